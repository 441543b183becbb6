"""Example runs, and a reader of the pages that are made from them."""

import random
import re
from html.parser import HTMLParser

from hfft.report import Record
from hfft.report.page import render_section

HOSTILE = "</td></pre><script>alert('1')</script>\"&amp; naïve 犬 עברית"
VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Checks that tags are balanced; keeps the text, the tags and their attributes."""

    def __init__(self, html):
        super().__init__()
        self.open, self.seen, self.attributes, self.words = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data if self.open[-1:] != ["style"] else "")


# Problem -> its task and its metric.
WITHOUT_LABELS = {
    "masked_language_modelling": ("fill-mask", "perplexity"),
    "masked_image_modelling": ("masked-image-modeling", "reconstruction_loss"),
}


def class_rows(names, rng):
    return [{"class": n, "precision": rng.random(), "recall": 0.5, "f1": rng.random(), "n": 100} for n in names]


def metrics(problem="single_label_classification", names=("cat", "dog"), splits=("validation", "test"), **changes):
    """What metrics.json holds for a run of this problem."""
    rng = random.Random(0)
    metrics_of = {"regression": "rmse", **{name: metric for name, (_, metric) in WITHOUT_LABELS.items()}}
    metric = metrics_of.get(problem, "f1_macro")
    scores = {s: {"loss": 0.5 + i, metric: 0.6125 + i, "n": 1234 + i} for i, s in enumerate(splits)}
    tables = {split: {} for split in splits}
    if "classification" in problem:
        tables = {split: {"classes": class_rows(names, rng)} for split in splits}
    if problem == "single_label_classification":
        for split in splits:
            tables[split]["confusion"] = [[rng.randrange(500) for _ in names] for _ in names]
    return {
        **scores,
        "train": {"loss": 0.75, "n": 640, "epochs": 2.0, "steps": 20, "seconds": 4000.25},
        "classes": tables,
        "recipe": "example",
        "task": WITHOUT_LABELS.get(problem, ("text-classification", ""))[0],
        "problem": problem,
        "labels": list(names) if "classification" in problem else [],
        "seed": 97,
        "backbone": {"name": "some/backbone", "revision": "0123abcd", "init": "pretrained"},
        "data": {
            "path": "some/data",
            "revision": None,
            "origin": {"train": "train", "validation": "0.1 of train", "test": "test"},
            "sizes": {"train": 640, **{split: scores[split]["n"] for split in splits}},
        },
        "world_size": 2,
        "versions": {"hfft": "0.1.0", "torch": "2.6.0"},
        **changes,
    }


def history(entries, every=1, metric="f1_macro"):
    """A log of `entries` training losses, an evaluation after each tenth of them."""
    rows = []
    for i in range(1, entries + 1):
        loss, at = 2 / i + random.Random(i).random() / 10, {"step": i * every, "epoch": i / entries}
        rows.append({"loss": loss, "learning_rate": 1e-4 * (1 - i / entries), "grad_norm": 1.5, **at})
        if i % max(entries // 10, 1) == 0:
            rows.append({"eval_loss": loss * 1.1, f"eval_{metric}": 0.5, "eval_n": 9, **at})
    return rows


def layer(depth, name, parameters=100, learning=None, lr=1e-3):
    learning = parameters if learning is None else learning
    rate = {"lr": lr if learning else None, "weight_decay": 0.01 if learning else None, "learns": learning > 0}
    sizes = {"tensors": 4, "parameters": parameters, "learning": learning, "share": parameters / 1000}
    return {"depth": depth, "layer": name, **sizes, **rate}


LAYERS = [
    layer(0, "embeddings", 300, 0),
    *(layer(i, f"block {i}", 100, 40) for i in (1, 2, 3)),
    layer(4, "block 4", 390),
    layer(5, "head", 10),
]


def section(name, found=None, **files):
    """One section of the report of such a run, as HTML."""
    return str(render_section(name, Record(found or metrics(), **files)))


def facts(html):
    """Term -> text, of a section's list of facts."""
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html)
    return {Reader(term).text: Reader(value).text for term, value in pairs}

"""The report: well-formed, complete, safe with any name, and readable from one logged point to ten thousand."""

import json
import math
import random
import re
from html import unescape
from html.parser import HTMLParser

import pytest

from hfft.publish import chart, report
from hfft.runs.folder import RunFolder

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


def class_rows(names, rng):
    return [{"class": n, "precision": rng.random(), "recall": 0.5, "f1": rng.random(), "n": 100} for n in names]


def figures(problem="single_label_classification", names=("cat", "dog"), splits=("validation", "test"), **changes):
    """What metrics.json holds for a run of this problem."""
    rng = random.Random(0)
    metric = {"regression": "rmse", "masked_language_modelling": "perplexity"}.get(problem, "f1_macro")
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
        "task": "fill-mask" if problem == "masked_language_modelling" else "text-classification",
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
PROBLEMS = ["single_label_classification", "multi_label_classification", "regression", "masked_language_modelling"]


@pytest.mark.parametrize("splits", [("validation", "test"), ("validation",), ("test",), ()])
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("entries", [0, 1, 25])
def test_every_kind_of_run_is_well_formed_and_names_each_figure(problem, splits, entries):
    found = figures(problem, splits=splits)
    page = Reader(report.page(found, LAYERS, history(entries), "name: example\n"))
    assert {"script", "link", "img", "iframe", "object", "form", "a"}.isdisjoint(page.seen)
    for split in splits:
        assert f"{split}, n {found[split]['n']:,}, seed 97" in page.text
        for name, value in found[split].items():
            assert name == "n" or f"{value:.4f}" in page.text
        assert f"origin: {found['data']['origin'][split]}" in page.text
    assert ("nothing was scored" in page.text) == (not splits)
    assert ("Nothing was logged" in page.text) == (not entries)
    assert ("precision" in page.text) == bool("classification" in problem and splits)
    assert ("Rows: true class" in page.text) == bool(problem == PROBLEMS[0] and splits)
    for needed in ("some/backbone at 0123abcd", "some/data (no revision)", "torch 2.6.0", "name: example", "1:06:40"):
        assert needed in page.text


def test_random_weights_stand_beside_with_their_own_size():
    scratch = {"test": {"loss": 3.5, "f1_macro": 0.25, "n": 1200}}
    page = Reader(report.page(figures(from_scratch=scratch), [], [], ""))
    assert "random weights: the same recipe, test, n 1,200, seed 97" in page.text
    assert "0.2500+1.3625" in page.text
    assert "validation, n 1,200" not in page.text


def test_hostile_names_stay_text():
    found = figures(names=(HOSTILE, "x" * 500))
    found["backbone"]["name"] = found["data"]["path"] = found["data"]["revision"] = HOSTILE
    found["data"]["origin"] = dict.fromkeys(("train", "validation", "test"), HOSTILE)
    found["versions"]["hfft"] = found["recipe"] = HOSTILE
    html = report.page(found, LAYERS, history(3), f"name: {HOSTILE}\n")
    page = Reader(html)
    assert "script" not in page.seen
    assert "<script" not in html
    assert HOSTILE in page.text
    assert ("title", HOSTILE) in page.attributes
    assert ("title", "x" * 500) in page.attributes
    assert "x" * 30 not in page.text


def test_nothing_is_fetched():
    html = report.page(figures(), LAYERS, history(40), "data: https://example.org/a.csv\n")
    page = Reader(html)
    assert {"src", "href", "xlink:href", "srcset", "data", "action"}.isdisjoint(name for name, _ in page.attributes)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "url(" not in html
    assert "@import" not in html
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_fifty_classes_and_ten_thousand_entries_stay_small():
    names = [f"class {i} of many, with a rather long name" for i in range(50)]
    html = report.page(figures(names=names), LAYERS, history(10_000, every=10), "")
    Reader(html)
    assert len(html.encode()) < 500_000


def test_the_worst_of_many_classes_come_first_and_empty_ones_last():
    rows = class_rows([f"c{i}" for i in range(40)], random.Random(1))
    rows[3] |= {"n": 0, "f1": 0.0}
    shown = re.findall(r"<bdi[^>]*>(c\d+)<", report.class_table(rows))
    assert shown[-1] == "c3"
    assert shown[:-1] == [row["class"] for row in sorted(rows, key=lambda row: row["f1"]) if row["n"]]
    assert "20 more" in report.class_table(rows)
    few = rows[:12]
    assert re.findall(r"<bdi[^>]*>(c\d+)<", report.class_table(few)) == [row["class"] for row in few]


@pytest.mark.parametrize(("size", "dense"), [(2, False), (12, False), (13, True), (50, True)])
def test_confusion_holds_every_count_and_names_both_axes_where_there_is_room(size, dense):
    rng = random.Random(size)
    counts = [[rng.randrange(3) * 17 for _ in range(size)] for _ in range(size)]
    counts[-1] = [0] * size  # a class that does not occur
    html = report.confusion(counts, [f"c{i}" for i in range(size)])
    Reader(html)
    cells = [int(cell or 0) for cell in re.findall(r"<td[^>]*>(\d*)</td>", html)]
    assert cells == [count for row in counts for count in row]
    assert html.count("<bdi") == size * (1 if dense else 2)
    assert html.count('class="right') == sum(counts[i][i] > 0 for i in range(size))


def test_layers_fold_only_blocks_that_are_alike():
    html = report.layers_table(LAYERS)
    rows = [re.sub(r"<[^>]*>", " ", row).split() for row in html.split("<tr>")[2:]]
    assert [row[0] for row in rows] == ["0", "1–3", "4", "5"]
    assert [row[-1] for row in rows[:-1]] == ["30.00%", "30.00%", "39.00%"]
    assert rows[0][2:5] == ["no", "–", "–"]
    assert rows[1][1:] == ["blocks", "1–3", "40.0%", "1.00e-03", "0.01", "12", "300", "30.00%"]
    assert "520 of 1,000 parameters learn (52.00%)" in html


def test_layers_tell_where_they_are_and_which_rates_they_have():
    rows = [{**row, "modules": [f"net.<{i}>"]} for i, row in enumerate(LAYERS)]
    rows[2] |= {"lr_lowest": 1e-5}
    html = report.layers_table(rows, {"tensors": 12, "moved": [], "live": 6})
    assert "net.&lt;0&gt;" in html
    assert "net.&lt;3&gt;" in html
    assert html.count("<tr>") == 7, "a block with other rates does not fold"
    assert "1.00e-05–1.00e-03" in html
    assert "6 statistics of frozen norms went on living" in html


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10, 299, 300, 301, 302, 599, 10_000])
def test_thinning_keeps_ends_extremes_mean_and_order(count):
    rng = random.Random(count)
    points = [(i, rng.gauss(0, 1)) for i in range(count)]
    bins = chart.thin(points)
    assert len(bins) <= chart.MOST_POINTS
    assert [x for x, *_ in bins] == sorted(x for x, *_ in bins)
    assert all(low <= mean <= high for _, mean, low, high in bins)
    if count <= chart.MOST_POINTS:
        assert bins == [(x, y, y, y) for x, y in points]
    if points:
        assert (bins[0][:2], bins[-1][:2]) == (points[0], points[-1])
        assert min(low for *_, low, _ in bins) == min(y for _, y in points)
        assert max(high for *_, high in bins) == max(y for _, y in points)


def coordinates(svg):
    """All (x, y) that paths visit."""
    return [
        tuple(map(float, p))
        for d in re.findall(r' d="([^"]*)"', svg)
        for p in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", d)
    ]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        [0.5],
        [0.0],
        [-3.0, -3.0],
        [1e-9, 1e9],
        [0.0, 1e-7],
        [1e-30, 1.0],
        [0.1, 9.99, 10.0],
        [float("nan")],
        [1e12] * 40,
    ],
)
def test_a_curve_stays_inside_its_frame_and_has_ticks(values, log):
    html = chart.curve("loss", [("train", 0, [(5 * i, value) for i, value in enumerate(values)])], log)
    Reader(html)
    assert all(chart.LEFT <= x <= chart.WIDTH for x, _ in coordinates(html))
    assert all(0 <= y <= chart.HEIGHT for _, y in coordinates(html))
    assert 2 <= html.count('class="grid"') <= 8
    assert "nan" not in re.sub("<figcaption>.*</figcaption>", "", html)


def test_a_curve_tells_extremes_and_what_is_not_finite():
    points = [(10, 3.0), (20, 0.25), (30, math.nan), (40, math.inf), (50, 0.5)]
    text = unescape(Reader(chart.curve("loss", [("train", 0, points)])).text)
    assert "train: last 0.5000, lowest 0.2500 (step 20), highest 3.0000 (step 10); not finite: 2 of 5" in text
    assert chart.curve("loss", [("train", 0, [])]) == ""


def test_ticks_are_few_round_and_inside():
    rng = random.Random(0)
    for _ in range(2000):
        low = rng.uniform(-1, 1) * 10 ** rng.uniform(-6, 6)
        high = low + abs(low) * 10 ** rng.uniform(-4, 4)
        found = chart.ticks(low, high)
        slack = 1e-6 * (high - low)
        assert 2 <= len(found) <= 7
        assert low - slack <= found[0] < found[-1] <= high + slack


def test_the_file_is_written_from_the_run_folder(tmp_path):
    folder = RunFolder(tmp_path)
    folder.recipe.write_text("name: example\n", encoding="utf-8")
    folder.write_json("layers.json", LAYERS)
    # transformers writes NaN as such, which json reads
    log = [*history(5), {"loss": math.nan, "step": 6}]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    report.write_report(folder, figures(names=("naïve", "犬")))
    page = Reader(folder.report.read_text(encoding="utf-8"))
    for needed in ("blocks 1–3", "not finite: 1 of 6", "name: example", "naïve", "犬"):
        assert needed in page.text
    bare = RunFolder(tmp_path / "bare")
    bare.path.mkdir()
    report.write_report(bare, figures())
    Reader(bare.report.read_text(encoding="utf-8"))


def test_what_stood_still_is_told_and_what_did_not_is_named():
    still = report.layers_table(LAYERS, {"tensors": 1234, "moved": []})
    assert "frozen tensors are, bit for bit, what was loaded" in still
    moved = report.layers_table(LAYERS, {"tensors": 12, "moved": ["stem.<b>"]})
    assert "Of 12 frozen tensors 1 MOVED: stem.&lt;b&gt;" in moved
    assert "frozen" not in report.layers_table(LAYERS, {"tensors": 0, "moved": []})

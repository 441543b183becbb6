"""Cost as work grows: `python -m tests.benchmarks.growth` measures time and memory against rows, classes, tokens and blocks.

Of every curve the exponent is fitted (slope of log time over log size, over its upper half); above 1 by more than
the noise it is marked. The table and the plot are written beside this.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers

from hfft import head, layers, report
from hfft.evaluate import Metrics
from hfft.head.spec import Head
from hfft.plan import measure
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from tests import stand_ins, training
from tests.benchmarks.plot import plot
from tests.benchmarks.table import versions
from tests.parts import prepared_of, splits_of

HERE = Path(__file__).parent
LINEAR = 1.15  # an exponent up to here is linear, noise included
LEAST = 0.02  # seconds: what is over sooner is repeated, and is not fitted

Work = Callable[[], Any]


@dataclass(frozen=True)
class Curve:
    """A cost over a size: `make(size, folder)` sets up and returns the work that is measured.

    Attributes:
        kept: the work returns the bytes it needed; else Python's and numpy's peak is traced.
        why: the reason for an exponent above one that lies in the matter.
    """

    axis: str
    what: str
    sizes: Sequence[int]
    make: Callable[[int, Path], Work]
    kept: bool = False
    why: str = ""


def text_file(rows: int, folder: Path, classes: int = 6) -> Recipe:
    """A recipe over a parquet file of short texts."""
    rng, words = np.random.default_rng(0), np.array(stand_ins.WORDS)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, max(rows - classes, 0))])
    table = {"text": [" ".join(row) for row in words[rng.integers(0, len(words), (len(labels), 8))]]}
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=[f"class {i}" for i in range(classes)])}
    )
    datasets.Dataset.from_dict({**table, "label": labels}, features=features).to_parquet(folder / "train.parquet")
    return Recipe.model_validate(
        {
            "name": "growth",
            "task": "text-classification",
            "backbone": {"name": "none"},
            "data": {"path": str(folder / "train.parquet"), "validation": 0.1},
            "training": {"output_dir": str(folder / "run")},
        }
    )


def loading(rows: int, folder: Path) -> Work:
    """Columns found, labels encoded, a share set aside."""
    recipe = text_file(rows, folder)
    splits_of(recipe)  # datasets turns the file into Arrow once, as it does for anyone
    return lambda: splits_of(recipe)


def tokenising(rows: int, folder: Path) -> Work:
    """Tokens of every row, never from a cache."""
    recipe = text_file(rows, folder)
    splits, labels = splits_of(recipe)

    def work() -> None:
        datasets.disable_caching()
        try:
            prepared_of(splits, recipe, labels, stand_ins.tokenizer())
        finally:
            datasets.enable_caching()

    return work


def epoch_order(rows: int, folder: Path) -> Work:
    """The batches of an epoch, as the trainer draws them."""
    recipe = text_file(rows, folder)
    splits, labels = splits_of(recipe)
    ready = prepared_of(splits, recipe, labels, stand_ins.tokenizer()).train
    model = bert(1)
    settings = training.arguments(folder / "run")
    return lambda: measure.epoch_batches(training.finetuner(model, labels, ready, settings))


def scoring(rows: int, classes: int) -> Work:
    """Metrics fed in batches of 256, and computed."""
    names = [f"class {i}" for i in range(classes)]
    rng = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(256, classes, generator=rng), torch.randint(classes, (256,), generator=rng)

    def work() -> None:
        metrics = Metrics(Labels.of("single_label_classification", names), ["accuracy", "f1_macro", "ece"])
        for _ in range(math.ceil(rows / 256)):
            metrics.update(logits, labels)
        metrics.compute()

    return work


def class_table(classes: int, folder: Path) -> Work:
    """Loading and encoding 20,000 rows of so many classes."""
    return loading_of(text_file(20_000, folder, classes))


def loading_of(recipe: Recipe) -> Work:
    """Loading, once datasets has turned the file into Arrow."""
    splits_of(recipe)
    return lambda: splits_of(recipe)


def new_head(classes: int, folder: Path) -> Work:
    """The head found and initialised anew."""
    config = transformers.BertConfig(**stand_ins.small(num_hidden_layers=1), num_labels=classes)
    model = transformers.BertForSequenceClassification(config)
    return lambda: head.replace(model, Head())


def report_page(classes: int, folder: Path) -> Work:
    """The report of a run, with its table of classes and, up to 50 of them, the confusion matrix."""
    names = [f"class {i}" for i in range(classes)]
    metrics = Metrics(Labels.of("single_label_classification", names), ["accuracy"])
    metrics.update(torch.randn(512, classes), torch.randint(classes, (512,)))
    figures = metrics.compute()
    tables = {key: value for key, value in metrics.result.items() if key != "metrics"}
    whole = {
        "test": figures,
        "classes": {"test": tables},
        "recipe": "growth",
        "task": "text-classification",
        "problem": "single_label_classification",
        "labels": names,
        "seed": 42,
        "train": {"loss": 1.0, "n": 512, "epochs": 1.0, "steps": 1, "seconds": 1.0},
        "backbone": {"name": "none", "revision": None, "init": "random"},
        "data": {"path": "none", "revision": None, "origin": {"train": "train", "test": "test"}, "sizes": {}},
        "world_size": 1,
        "versions": {},
    }
    return lambda: report.render(report.Record(whole))


def bert(blocks: int, positions: int = 512) -> Any:
    """A random BERT of so many narrow blocks."""
    sizes = stand_ins.small(num_hidden_layers=blocks, max_position_embeddings=positions, num_labels=6)
    return transformers.BertForSequenceClassification(transformers.BertConfig(**sizes))


def step(model: Any, tokens: int, folder: Path) -> Work:
    """One training step of 8 rows; returns the bytes kept for backward."""
    rows = [{"input_ids": torch.randint(5, 30, (tokens,)), "labels": i % 6} for i in range(8)]

    def work() -> int:
        labels = training.labels_of("single_label_classification", 6)
        settings = training.arguments(folder / "run", max_steps=1)
        trainer = training.finetuner(model, labels, rows, settings)
        clock = measure.Clock(trainer)
        with clock.watching(trainer.model):
            trainer.train()
        return clock.activations

    return work


def knowing_layers(blocks: int, folder: Path) -> Work:
    """Head, depths, optimiser groups and the table of a model of so many blocks."""
    model = bert(blocks)

    def work() -> None:
        depths = layers.depths(model)
        layers.table(model, depths, layers.param_groups(model, depths, 1e-3, 0.01, layer_decay=0.9))

    return work


def proof(blocks: int, folder: Path) -> Work:
    """The digests of every frozen tensor."""
    model = bert(blocks)
    layers.adapt(model, "head", None, layers.depths(model), head.parameter_names(model))
    return lambda: layers.frozen_digests(model)


CURVES = [
    Curve("rows", "load, encode labels, split", [1_000, 10_000, 100_000, 1_000_000], loading),
    Curve("rows", "tokenise", [1_000, 4_000, 16_000, 64_000], tokenising),
    Curve("rows", "order of an epoch", [1_000, 10_000, 100_000], epoch_order),
    Curve("rows", "metrics of 10 classes", [1_000, 10_000, 100_000, 1_000_000], lambda n, _: scoring(n, 10)),
    Curve("classes", "load, encode labels, split", [2, 10, 100, 1_000, 10_000], class_table),
    Curve("classes", "new head", [2, 10, 100, 1_000, 10_000], new_head),
    Curve("classes", "metrics of 2,048 rows", [2, 10, 100, 1_000, 10_000], lambda n, _: scoring(2048, n)),
    Curve("classes", "report", [2, 10, 100, 1_000, 10_000], report_page),
    Curve("tokens", "one training step", [64, 128, 256, 512, 1024], lambda n, f: step(bert(2, n), n, f), True,
          "attention compares every token with every other, and its dropout keeps a CPU from the fused kernel"),
    Curve("blocks", "one training step", [2, 8, 32, 128], lambda n, f: step(bert(n), 32, f), True),
    Curve("blocks", "head, depths, groups, table", [2, 8, 32, 128], knowing_layers),
    Curve("blocks", "digests of frozen tensors", [2, 8, 32, 128], proof),
]  # fmt: skip


@dataclass(frozen=True)
class Point:
    """What one size cost."""

    size: int
    seconds: float
    bytes: int


def cost(curve: Curve, size: int) -> Point:
    """CPU seconds, the least of a few runs, and bytes, of one size. Time on the wall would measure other processes too."""
    with tempfile.TemporaryDirectory() as name:
        work = curve.make(size, Path(name))
        work()  # warms up
        times: list[float] = []
        while len(times) < 3 or (sum(times) < 0.2 and len(times) < 50):
            started = time.process_time()
            found = work()
            times.append(time.process_time() - started)
            if times[0] > 3:
                break
        if not curve.kept:
            tracemalloc.start()
            work()
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return Point(size, min(times), found)


def exponent(points: Sequence[Point], key: str) -> float | None:
    """Slope of log cost over log size, over the upper half of a curve; None where it is over too soon to say."""
    upper = points[len(points) // 2 - (len(points) % 2 == 0) :]
    if len(upper) < 2 or upper[-1].seconds < LEAST:
        return None
    sizes, costs = np.log([p.size for p in upper]), np.log([max(getattr(p, key), 1e-9) for p in upper])
    return float(np.polyfit(sizes, costs, 1)[0])


def verdict(curve: Curve, slopes: Sequence[float | None]) -> str:
    """`linear or better`, or what is not."""
    known = [slope for slope in slopes if slope is not None]
    if not known:
        return "too short to tell"
    if max(known) <= LINEAR:
        return "linear or better"
    return f"WORSE THAN LINEAR{': ' + curve.why if curve.why else ''}"


def page(found: Sequence[tuple[Curve, Sequence[Point]]]) -> str:
    """The table of all curves."""
    lines = [
        "# Cost as work grows",
        "",
        f"Written by `python -m tests.benchmarks.growth`, {time.strftime('%Y-%m-%d')}, {torch.get_num_threads()} threads, "
        f"{versions()}. Exponents are slopes of log cost over log size over a curve's upper half; up to {LINEAR} counts as "
        "linear. Memory is Python's and numpy's peak, for training steps what is kept for the backward pass.",
        "",
        "![CPU seconds over size](growth.svg)",
        "",
        "| over | what | sizes | CPU seconds | MiB | exponent of time | of memory | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for curve, points in found:
        slopes = exponent(points, "seconds"), exponent(points, "bytes")
        cells = [
            curve.axis,
            curve.what,
            " / ".join(f"{p.size:,}" for p in points),
            " / ".join(f"{p.seconds:.3g}" for p in points),
            " / ".join(f"{p.bytes / 2**20:.3g}" for p in points),
            *("–" if slope is None else f"{slope:.2f}" for slope in slopes),
            verdict(curve, slopes),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure every curve; 1 where one is worse than linear and does not lie in the matter."""
    top = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth", description=__doc__)
    top.add_argument("--only", help="curves whose axis or name holds this")
    top.add_argument("--most", type=int, default=10**9, help="no size above this")
    top.add_argument("--folder", type=Path, default=HERE, help="where growth.md and growth.svg are written")
    given = top.parse_args(arguments)
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    found = []
    for curve in CURVES:
        if given.only and given.only not in f"{curve.axis} {curve.what}":
            continue
        points = [cost(curve, size) for size in curve.sizes if size <= max(given.most, curve.sizes[0])]
        found.append((curve, points))
        slopes = exponent(points, "seconds"), exponent(points, "bytes")
        told = ", ".join(f"{p.size:,}: {p.seconds:.3g} s {p.bytes / 2**20:.3g} MiB" for p in points)
        print(f"{curve.axis}, {curve.what}: {told}; {verdict(curve, slopes)} {slopes}", flush=True)
    (given.folder / "growth.md").write_text(page(found), encoding="utf-8")
    lines = [(f"{c.axis}: {c.what}", [(p.size, p.seconds) for p in points]) for c, points in found]
    (given.folder / "growth.svg").write_text(plot(lines, "size", "CPU seconds"), encoding="utf-8")
    steep = [
        c
        for c, points in found
        if not c.why and "WORSE" in verdict(c, [exponent(points, "seconds"), exponent(points, "bytes")])
    ]
    return 1 if steep else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Evidence of a tiny untrained text model beside a table, with its outputs as a run would store them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from hfft.evaluate.outputs import Outputs, columns_of
from hfft.recipe import load_recipe
from hfft.scorecard.evidence import Evidence
from hfft.tasks.labels import Labels
from tests.predict.runs import a_run

WORDS = ["film", "good", "bad", "fine", "dull", "long", "short", "who", "where", "when"]
RECIPE = """
task: {task}
problem_type: {problem}
backbone: {{name: nano-bert}}
data: {{path: {folder}, columns: {{text: said, label: kind}}, max_length: 32, validation: {validation}}}
"""
SINGLE = "single_label_classification"


def texts(n: int, seed: int) -> list[dict[str, str]]:
    """Rows of random words, each different, of three classes; `place` alternates."""
    rng = np.random.default_rng(seed)
    return [
        {
            "said": f"{' '.join(rng.choice(WORDS, rng.integers(3, 9)))} {seed} {i}",
            "kind": "abc"[i % 3],
            "place": "xy"[i % 2],
        }
        for i in range(n)
    ]


def put(path: Path, rows: Sequence[Mapping[str, object]]) -> str:
    """A table of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def evidence(
    folder: Path,
    *overrides: str,
    problem: str = SINGLE,
    names: tuple[str, ...] = ("a", "b", "c"),
    **splits: list[dict[str, str]],
) -> Evidence:
    """The evidence of a run on these splits."""
    given = {"train": texts(90, 0), "validation": texts(30, 1), "test": texts(45, 2)} | splits
    for name, rows in given.items():
        if rows:
            put(folder / "rows" / f"{name}.csv", rows)
    torch.manual_seed(0)
    a_run(folder / "run", problem=problem, names=names)
    text = RECIPE.format(
        task="text-classification",
        problem=problem,
        folder=folder / "rows",
        validation="validation" if given["validation"] else "none",
    )
    (folder / "run" / "recipe.yaml").write_text(text)
    recipe = load_recipe(folder / "run" / "recipe.yaml", *overrides)
    found = Evidence(str(folder / "run"), recipe, {}, {})
    outputs = {}
    for name, rows in found.splits.items():
        if name == "train":
            continue
        logits, labels = (torch.cat(parts) for parts in zip(*found.held.answers(rows), strict=True))
        outputs[name] = Outputs(name, "given", found.held.labels, **columns_of(logits, labels, found.held.labels))
    found.outputs = outputs
    return found


def of_digits(folder: Path, *overrides: str) -> Evidence:
    """The evidence of an untrained image model, with digits of 8 x 8 levels of grey as its data; without outputs."""
    names = tuple(str(i) for i in range(10))
    torch.manual_seed(0)
    a_run(folder / "run", "vit", names=names)
    text = "task: image-classification\nbackbone: {name: nano-vit}\ndata: {path: digits, max_train_samples: 20}\n"
    (folder / "run" / "recipe.yaml").write_text(text)
    recipe = load_recipe(folder / "run" / "recipe.yaml", *overrides)
    labels = Labels.of(SINGLE, names)
    nothing = Outputs("test", "given", labels, np.ones(0, "float32"), np.ones(0, "float32"))
    return Evidence(str(folder / "run"), recipe, {}, {"test": nothing})

"""The runs of a folder: what state each is in, and its main figure. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hfft.errors import BadInput
from hfft.recipe import yaml_lines
from hfft.report.numbers import number
from hfft.runs.folder import RunFolder
from hfft.tasks.measure import metric_names
from hfft.wording import listing, nearest

DEEPEST = 3  # folders below the given one
KEYS = ("run", "state", "model", "split", "figure", "value", "n", "seconds")


@dataclass(frozen=True)
class RunLine:
    """One run of a folder.

    Attributes:
        run: its path below the folder.
        state: `finished`, `unfinished`, or `damaged` if its files cannot be read.
        model: the pretrained model.
        split, figure, value, n: its main figure, of test if there is one; None if it is not finished.
        seconds: how long the run took.
    """

    run: str
    state: str
    model: str | None = None
    split: str | None = None
    figure: str | None = None
    value: float | None = None
    n: int | None = None
    seconds: float | None = None


def runs_of(folder: Path, sort: str = "run", reverse: bool = False) -> list[RunLine]:
    """The runs in a folder and below it, sorted by a key of `RunLine`; those without a value of it come last.

    Raises:
        BadInput: there is no such folder or key.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder; name the folder that the run folders are in")
    if sort not in KEYS:
        raise BadInput(f"--sort: unknown {sort!r}{nearest(sort, KEYS)} (known: {listing(KEYS)})")
    found = sorted((line(path, folder) for path in run_folders(folder)), key=lambda run: run.run)
    known = [run for run in found if getattr(run, sort) is not None]
    known.sort(key=lambda run: getattr(run, sort), reverse=reverse)
    return known + [run for run in found if getattr(run, sort) is None]


def run_folders(folder: Path, deep: int = DEEPEST) -> Iterator[Path]:
    """The folder itself and those below it that contain a recipe.yaml; what is inside a run is not searched."""
    if (folder / "recipe.yaml").is_file():
        yield folder
    elif deep:
        for inner in sorted(folder.iterdir()):
            if inner.is_dir() and not inner.is_symlink() and not inner.name.startswith("."):
                yield from run_folders(inner, deep - 1)


def line(path: Path, folder: Path) -> RunLine:
    """What is said of one run."""
    run, name = RunFolder(path), str(path.relative_to(folder)) if path != folder else path.resolve().name
    try:
        recipe = yaml_lines.parse(run.recipe.read_text(encoding="utf-8"))[0]
        model = str(recipe["backbone"]["name"])
        if run.state() != "finished":
            return RunLine(name, run.state(), model)
        metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
        split = next((split for split in ("test", "validation") if split in metrics), None)
        seconds = metrics.get("train", {}).get("seconds")
        if split is None:
            return RunLine(name, "finished", model, seconds=seconds)
        scores = metrics[split]
        figure = next(iter(metric_names(scores)), "loss")
        return RunLine(name, "finished", model, split, figure, scores.get(figure), scores.get("n"), seconds)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml_lines.DocumentError):
        return RunLine(name, "damaged")


def as_json(runs: Sequence[RunLine]) -> str:
    """The runs as JSON text."""
    return RunFolder.json_text([asdict(run) for run in runs]).rstrip()


def lines(runs: Sequence[RunLine]) -> list[str]:
    """A table for a terminal."""
    rows = [[_cell(key, getattr(run, key)) for key in KEYS] for run in runs]
    widths = [max(len(row[i]) for row in [list(KEYS), *rows]) for i in range(len(KEYS))]
    numbers = {KEYS.index(key) for key in ("value", "n", "seconds")}
    return [
        "  ".join(
            c.rjust(w) if i in numbers else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [list(KEYS), *rows]
    ]


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,.1f}" if key == "seconds" else number(value) if isinstance(value, int | float) else str(value)

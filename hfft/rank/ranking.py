"""Rank pretrained models, or the layers of one, for a recipe's data, without fine-tuning them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hfft.console import quiet_libraries
from hfft.errors import BadInput, HfftError, RunError
from hfft.rank.candidates import Candidate, candidate, distinct
from hfft.rank.layers import measured_layers
from hfft.rank.measure import measured
from hfft.rank.page import render
from hfft.rank.probe import METRICS, kind
from hfft.rank.sample import ROWS, Sample, sample_of
from hfft.rank.table import Row, as_csv, as_json, floor_notes, half_interval, in_order, lines, recommendation
from hfft.rank.verify import Verified, verified
from hfft.recipe import Recipe, load_recipe
from hfft.runs.folder import write
from hfft.wording import first_line, listing

Say = Callable[[str], None]


@dataclass(frozen=True)
class Ranking:
    """What a ranking found.

    Attributes:
        rows: in order, the best first, with those that could not be ranked at the end.
        data: where the rows of the sample come from, in words.
        metric: what the probes are scored by.
        recommendation: what to take and why, in a sentence.
        use: the overrides of the recipe that use it; empty if there is none.
        notes: what a user should know, one line each.
    """

    recipe: str
    rows: list[Row]
    data: str
    metric: str
    recommendation: str
    use: str
    notes: list[str]
    verified: Verified | None = None

    def about(self) -> str:
        """The line above the table."""
        return f"{self.data}; linear probe and k-NN: {self.metric}, five folds"

    def lines(self) -> list[str]:
        """The ranking as text."""
        said = [self.about(), *lines(self.rows), *self.notes, self.recommendation]
        said += [f"use it: {self.use}"] if self.use else []
        return [*said, *([self.verified.line()] if self.verified else [])]

    def json(self) -> str:
        """The ranking as JSON."""
        values = {**vars(self), "verified": vars(self.verified) if self.verified else None}
        return as_json(values.pop("rows"), **values)

    def write(self, folder: Path) -> Path:
        """Write `rank.json`, `rank.csv` and the page `rank.html` into a folder; returns the page."""
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / "rank.json", self.json() + "\n")
        write(folder / "rank.csv", as_csv(self.rows))
        write(folder / "rank.html", render(self))
        return folder / "rank.html"


def rank(
    recipe: Recipe | str | Path | Mapping[str, Any],
    backbones: Sequence[str] = (),
    rows: int = ROWS,
    layers: bool = False,
    verify: int = 0,
    output: Path | str | None = None,
    say: Say = lambda line: None,
) -> list[Row]:
    """Rank pretrained models for a recipe's data; returns the rows of the table, the best first.

    Args:
        recipe: a recipe, or what `load_recipe` takes.
        backbones: hub ids, folders, runs, or adapters; without any, the recipe's own.
        rows: number of training rows to rank on.
        layers: rank the layers of one model instead.
        verify: number of models to fine-tune briefly.
        output: folder for the files, and for the runs of `verify`; without it nothing is written.
        say: told each line of progress.

    Raises:
        BadInput: the recipe, the data or the arguments cannot be used.
        RunError: no model could be ranked.
    """
    if output is not None:
        writable(Path(output), "output")
    found = ranking(recipe, backbones, rows, layers, verify, None if output is None else Path(output), say)
    if output is not None:
        found.write(Path(output))
    return found.rows


def ranking(
    recipe: Recipe | str | Path | Mapping[str, Any],
    backbones: Sequence[str] = (),
    rows: int = ROWS,
    layers: bool = False,
    verify: int = 0,
    output: Path | None = None,
    say: Say = lambda line: None,
) -> Ranking:
    """As `rank`, with all that is said about the rows; nothing is written but the runs of `verify`."""
    quiet_libraries()
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    names = distinct(backbones) or [recipe.backbone.name]
    if layers and len(names) > 1:
        raise BadInput(f"--layers ranks the layers of one model; {len(names)} are given: {listing(names, 4)}")
    if verify < 0 or (verify and output is None):
        raise BadInput("--verify: takes the number of models to fine-tune, and a folder for their runs (--output)")
    if verify and layers:
        raise BadInput("--verify fine-tunes models; leave it out, or --layers")
    sample = sample_of(recipe, rows)
    made, candidates, notes = _measured(recipe, names, sample, layers, say)
    ordered = in_order(made)
    if not any(row.ranked and row.kind != "random" for row in ordered):
        raise RunError("no model could be ranked", *(f"{row.shown}: {row.error}" for row in ordered))
    checked = None
    if verify:
        ordered, checked = verified(ordered, candidates, verify, output or Path(), rows)
    metric = METRICS[kind(sample.targets)]
    half = half_interval(ordered[0], len(sample), metric)
    best = next((row for row in ordered if row.ranked and row.kind != "random"), None)
    floor = ordered[0].kind == "random"
    advice = recommendation(ordered, metric, half)
    use = "" if best is None or floor else best.line
    return Ranking(
        recipe.name,
        ordered,
        sample.origin,
        metric,
        advice,
        use,
        [*sample.notes, *notes, *floor_notes(ordered)],
        checked,
    )


def writable(folder: Path, said: str) -> None:
    """Make a folder, and test that files can be written to it.

    Args:
        said: the option that names it.

    Raises:
        BadInput: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / ".writable", "")
        (folder / ".writable").unlink()
    except OSError as error:
        raise BadInput(f"{said}: {folder} cannot be written ({error.strerror}); use another folder") from None


def _measured(
    recipe: Recipe, names: Sequence[str], sample: Sample, layers: bool, say: Say
) -> tuple[list[Row], list[Candidate], list[str]]:
    """The rows of all models, each followed by its architecture with random weights the first time that it occurs."""
    rows: list[Row] = []
    found: list[Candidate] = []
    notes: list[str] = []
    floors: dict[str, float | None] = {}  # architecture -> LogME of random weights

    def add(chosen: Candidate, architecture: str, of_layers: bool = False) -> Row:
        made, said = measured_layers(chosen, sample) if of_layers else _one(chosen, sample)
        found.append(chosen)
        rows.extend(replace(row, architecture=architecture) for row in made)
        notes.extend(said)
        best = max((row for row in made if row.ranked), key=Row.score, default=made[-1])
        say(f"{best.shown}: LogME {best.score():.3f}, linear probe {best.score('linear'):.3f}")
        return best

    for name in names:
        try:
            chosen = candidate(recipe, name)
            architecture = chosen.architecture()
            add(chosen, architecture, layers)
        except HfftError as error:
            rows.append(_failed(Row(name), error, say))
            continue
        if architecture not in floors:
            floor = chosen.untrained()
            try:
                floors[architecture] = add(floor, architecture).score()
            except HfftError as error:
                floors[architecture] = None
                rows.append(_failed(Row(name, "random", floor.line), error, say))
    return [replace(row, floor=floors.get(row.architecture)) for row in rows], found, notes


def _one(chosen: Candidate, sample: Sample) -> tuple[list[Row], list[str]]:
    row, said = measured(chosen, sample)
    return [row], said


def _failed(row: Row, error: HfftError, say: Say) -> Row:
    failed = replace(row, error=first_line(error))
    say(f"{failed.shown}: not ranked: {failed.error}")
    return failed

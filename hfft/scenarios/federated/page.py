"""The page of federated rounds: its table, accuracy round by round, the figures of each client, and the answer in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from hfft.evaluate.intervals import wilson
from hfft.evaluate.outputs import Outputs, is_right
from hfft.scenarios.federated.divisions import client_accuracies, describe
from hfft.studies.arms import in_points, mean_of, merged, seeds_in_words
from hfft.studies.study import Done, Figures
from hfft.studies.table import Cell, Line, Matrix, Plot, Row, Table
from hfft.wording import human

if TYPE_CHECKING:
    from hfft.studies.federated import Federated

SHOWN_ROUNDS, SHOWN_CLIENTS = 10, 20
COLUMNS = ("test accuracy", "minus pooled", "mean client", "worst client", "sent a round", "sent in all", "seconds")
POOLED, ALONE = "pooled", "alone"


@cache
def _right(path: str, changed: int) -> np.ndarray:
    """Whether each test row is answered rightly; a file is read once while it does not change."""
    return is_right(Outputs.read(Path(path)))


class Rounds:
    """What is done of a study, read arm by arm and seed by seed."""

    def __init__(self, study: Federated, done: Done):
        self.study, self.done = study, done

    def figures(self, arm: str, seed: int) -> Figures | None:
        """The figures of a child; None until it has finished."""
        found = self.done.get(f"{arm}-{seed}")
        return found if found is not None and found.failed is None else None

    def division(self, name: str, seed: int) -> dict[str, Any] | None:
        """Names, rows and test rows of the clients of a division."""
        found = self.figures("clients", seed)
        return None if found is None else found.metrics.get("divisions", {}).get(name)

    def values(self, measured: Callable[[int], float | None], digits: int = 4) -> Cell:
        """A figure of each seed that has it."""
        found = {seed: value for seed in self.study.all_seeds if (value := measured(seed)) is not None}
        return Cell(found, digits=digits)

    def accuracy(self, arm: str) -> Cell:
        """The accuracy of an arm on the whole test split."""
        return self.values(
            lambda seed: None if (one := self.figures(arm, seed)) is None else one.value("test", "accuracy")
        )

    def last(self, way: str, division: str) -> str:
        """The arm of the last global model."""
        return self.study.average_arm(way, division, self.study.rounds)

    def of_clients(self, arm: str, division: str, seed: int) -> list[float | None]:
        """The accuracy of a model on the test rows of each client; empty until it is there."""
        found, known = self.figures(arm, seed), self.division(division, seed)
        path = Path() if found is None else found.folder / "outputs" / "test.safetensors"
        if known is None or not path.is_file():
            return []
        right = _right(str(path), path.stat().st_mtime_ns)
        return client_accuracies(right, known["owners"], len(known["names"]))[0]

    def alone(self, division: str, seed: int) -> list[float | None]:
        """The accuracy of each client's own model on its test rows; empty until all are there."""
        known = self.division(division, seed)
        numbers = range(1, len(known["names"]) + 1) if known else ()
        arms = [self.study.alone_arm(division, number) for number in numbers]
        each = [self.of_clients(arm, division, seed) for arm in arms]
        return [found[k] for k, found in enumerate(each)] if all(each) else []

    def alone_on_all(self, division: str, seed: int) -> float | None:
        """The mean over clients of their own models' accuracy on the whole test split."""
        known = self.division(division, seed)
        numbers = range(1, len(known["names"]) + 1) if known else ()
        found = [self.figures(self.study.alone_arm(division, number), seed) for number in numbers]
        values = [one.value("test", "accuracy") for one in found if one is not None]
        return fmean(value for value in values if value is not None) if values and len(values) == len(numbers) else None

    def uplink(self, way: str, division: str, seed: int) -> list[int]:
        """Bytes that the clients sent in each round so far."""
        arms = [self.study.average_arm(way, division, k) for k in range(1, self.study.rounds + 1)]
        return [int(found.metrics["uplink"]["round"]) for arm in arms if (found := self.figures(arm, seed)) is not None]

    def failed(self, beginning: str) -> dict[int, str]:
        """Seed -> why children failed whose names begin so."""
        found = [
            {seed: f"{name}: {one.failed}"}
            for seed in self.study.all_seeds
            for name, one in self.done.items()
            if one.failed is not None and name.startswith(beginning) and name.endswith(f"-{seed}")
        ]
        return merged(*found)


def page(study: Federated, done: Done) -> Table:
    """The table of federated rounds."""
    rounds = Rounds(study, done)
    pooled = rounds.accuracy(POOLED)
    rows = [
        Row(POOLED, {"test accuracy": pooled, "seconds": _seconds(rounds, [POOLED])}, rounds.failed(POOLED)),
    ]
    begun = merged(rounds.failed("clients-"), rounds.failed("start-"))
    rows[0] = Row(POOLED, rows[0].cells, merged(rows[0].failed, begun))
    for division in study.division_names:
        if study.alone:
            rows.append(_alone_row(rounds, division, pooled))
        rows += [_row(rounds, way, division, pooled) for way in study.methods]
    plot = Plot("Accuracy of the global model", "rounds", "test accuracy", tuple(_lines(rounds, pooled)))
    notes = tuple(_notes(rounds))
    matrices = tuple(_matrices(rounds))
    return Table(_answer(rounds, pooled), COLUMNS, tuple(rows), (plot,) if plot.lines else (), notes, matrices)


def _name(way: str, division: str) -> str:
    return f"{way}, {division}"


def _row(rounds: Rounds, way: str, division: str, pooled: Cell) -> Row:
    study, last = rounds.study, rounds.last(way, division)
    of_clients = {seed: rounds.of_clients(last, division, seed) for seed in study.all_seeds}
    accuracy = rounds.accuracy(last)
    arms = [study.average_arm(way, division, k) for k in range(1, study.rounds + 1)]
    cells = {
        "test accuracy": accuracy,
        "minus pooled": accuracy.minus(pooled),
        **_client_cells(rounds, of_clients),
        "sent a round": Cell(text=_bytes(rounds, way, division, lambda sent: sent[-1])),
        "sent in all": Cell(text=_bytes(rounds, way, division, sum)),
        "seconds": _seconds(rounds, arms, f"{study.arm(way, division)}-round-"),
    }
    return Row(_name(way, division), cells, rounds.failed(f"{study.arm(way, division)}-round-"))


def _alone_row(rounds: Rounds, division: str, pooled: Cell) -> Row:
    study = rounds.study
    accuracy = _alone_cell(rounds, division)
    cells = {
        "test accuracy": accuracy,
        "minus pooled": accuracy.minus(pooled),
        **_client_cells(rounds, {seed: rounds.alone(division, seed) for seed in study.all_seeds}),
        "seconds": _seconds(rounds, [], f"{study.arm(ALONE, division)}-client-"),
    }
    return Row(_name(ALONE, division), cells, rounds.failed(f"{study.arm(ALONE, division)}-client-"))


def _alone_cell(rounds: Rounds, division: str) -> Cell:
    return rounds.values(lambda seed: rounds.alone_on_all(division, seed))


def _client_cells(rounds: Rounds, found: dict[int, list[float | None]]) -> dict[str, Cell]:
    """The mean and the worst of the clients that have test rows."""
    there = {seed: [value for value in values if value is not None] for seed, values in found.items()}
    return {
        "mean client": rounds.values(lambda seed: fmean(there[seed]) if there[seed] else None),
        "worst client": rounds.values(lambda seed: min(there[seed], default=None)),
    }


def _seconds(rounds: Rounds, arms: list[str], beginning: str = "") -> Cell:
    """The seconds of all children of these arms, or whose names begin so."""

    def of(seed: int) -> float | None:
        found = [rounds.figures(arm, seed) for arm in arms] if not beginning else []
        if beginning:
            names = [
                name for name in rounds.done if name.startswith(beginning) and name.rpartition("-")[2] == str(seed)
            ]
            found = [rounds.done[name] for name in names]
        seconds = [one.seconds for one in found if one is not None and one.seconds is not None]
        return sum(seconds) if seconds else None

    return rounds.values(of, digits=1)


def _bytes(rounds: Rounds, way: str, division: str, chosen: Callable[[list[int]], int]) -> str:
    """`12.3 MB` of the first seed that has any; the number does not depend on the seed."""
    for seed in rounds.study.all_seeds:
        if sent := rounds.uplink(way, division, seed):
            return human(chosen(sent))
    return ""


def _lines(rounds: Rounds, pooled: Cell) -> list[Line]:
    study = rounds.study
    found = []
    for division in study.division_names:
        for way in study.methods:
            cells = {float(k): rounds.accuracy(study.average_arm(way, division, k)) for k in range(1, study.rounds + 1)}
            line = Line.of(_name(way, division), cells)
            found.append(line if len(study.all_seeds) > 1 else _with_rows(rounds, line, way, division))
    ends = {1.0: pooled, float(study.rounds): pooled}
    return [line for line in [*found, Line.of(POOLED, ends)] if line.points]


def _with_rows(rounds: Rounds, line: Line, way: str, division: str) -> Line:
    """The line of a single seed with the interval over the test rows (Wilson's) in place of one over seeds."""
    points = []
    for x, mean, _, _ in line.points:
        one = rounds.figures(rounds.study.average_arm(way, division, int(x)), rounds.study.all_seeds[0])
        assert one is not None
        points.append((x, mean, one.metrics["test"]["low"], one.metrics["test"]["high"]))
    return Line(line.name, points)


def _matrices(rounds: Rounds) -> list[Matrix]:
    study = rounds.study
    steps = np.unique(np.linspace(1, study.rounds, min(study.rounds, SHOWN_ROUNDS)).round().astype(int)).tolist()
    arms = [(way, division) for division in study.division_names for way in study.methods]
    names = [_name(way, division) for way, division in arms]
    cells = [[rounds.accuracy(study.average_arm(*arm, k)) for k in steps] for arm in arms]
    found = []
    if any(cell.values for row in cells for cell in row):
        found.append(Matrix("Test accuracy of the global model after rounds", names, [str(k) for k in steps], cells))
    return [*found, *filter(None, (_by_client(rounds, division) for division in study.division_names))]


def _by_client(rounds: Rounds, division: str) -> Matrix | None:
    """The accuracy of each arm on the test rows of each client; None of many clients, or before they are known."""
    study = rounds.study
    known = rounds.division(division, study.all_seeds[0])
    if known is None or len(known["names"]) > SHOWN_CLIENTS:
        return None
    arms = {str(way): rounds.last(way, division) for way in study.methods} | {POOLED: POOLED}
    found = {
        name: {seed: rounds.of_clients(arm, division, seed) for seed in study.all_seeds} for name, arm in arms.items()
    }
    if study.alone:
        found[ALONE] = {seed: rounds.alone(division, seed) for seed in study.all_seeds}
    body = [
        [
            Cell({seed: value for seed, values in by_seed.items() if (value := _at(values, k)) is not None})
            for k in range(len(known["names"]))
        ]
        for by_seed in found.values()
    ]
    return Matrix(f"Accuracy on the test rows of each client, {division}", list(found), known["names"], body)


def _at(values: list[float | None], k: int) -> float | None:
    return values[k] if k < len(values) else None


def _notes(rounds: Rounds) -> list[str]:
    study, seed = rounds.study, rounds.study.all_seeds[0]
    notes = []
    for division in study.division_names:
        if (known := rounds.division(division, seed)) is not None:
            seeds = f" (seed {seed})" if len(study.all_seeds) > 1 else ""
            notes.append(describe(division, known) + seeds)
        for way in study.methods:
            if (one := rounds.figures(study.average_arm(way, division, 1), seed)) is not None:
                sent, whole = (int(one.metrics["uplink"][key]) for key in ("client", "model"))
                notes.append(
                    f"{_name(way, division)}: a client sends {human(sent)} a round; the whole model has {human(whole)}"
                )
    if study.alone:
        notes.append(
            "alone: test accuracy is the mean over the clients' own models, each trained as long as all rounds"
        )
    return notes


def _answer(rounds: Rounds, pooled: Cell) -> str:
    study = rounds.study
    said = []
    most, low_high = 0, ""
    for division in study.division_names:
        parts = []
        for way in study.methods:
            cell = rounds.accuracy(rounds.last(way, division))
            if (found := cell.summary()) is None:
                continue
            most = max(most, found.n)
            difference = f" ({in_points(cell.minus(pooled))})" if pooled.values else ""
            parts.append(f"{way} {mean_of(cell)}{difference}")
        alone = _alone_cell(rounds, division)
        if parts and alone.values:
            parts.append(f"clients alone {mean_of(alone)}")
        said += [f"{division}: {', '.join(parts)}"] if parts else []
    if not said:
        return f"{study.recipe.name}: no sequence of rounds has finished yet."
    seed = study.all_seeds[0]
    one = rounds.figures(rounds.last(study.methods[0], study.division_names[0]), seed)
    n = 0 if one is None else one.n("test")
    if most == 1 and one is not None:
        low, high = wilson(round(float(one.value("test", "accuracy") or 0) * n), n)
        low_high = f"; 95% interval of the first over its rows [{low:.3f}, {high:.3f}]"
    beside = f"all rows pooled {mean_of(pooled)}; " if pooled.values else ""
    return (
        f"{study.recipe.name}, test accuracy after {study.rounds} rounds: {beside}{'; '.join(said)} (n={n}, "
        f"{seeds_in_words(most)}{low_high})."
    )

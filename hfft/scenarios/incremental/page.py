"""The page of a sequence of tasks: its table, its matrices, and the answer in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hfft.evaluate.outputs import Outputs
from hfft.scenarios.incremental.domains import task_of_test_rows
from hfft.scenarios.incremental.measures import (
    average_accuracy,
    backward_transfer,
    domain_accuracies,
    forgetting,
    over_rows,
    task_accuracies,
)
from hfft.scenarios.incremental.runs import ANSWERED_BY_STORE, FROZEN
from hfft.scenarios.incremental.sequence import TaskSequence
from hfft.studies.arms import in_points, seeds_in_words
from hfft.studies.study import Done
from hfft.studies.table import Cell, Line, Matrix, Plot, Row, Table

if TYPE_CHECKING:
    from hfft.studies.incremental import Incremental

COLUMNS = ("last accuracy", "average accuracy", "forgetting", "backward transfer", "minus plain", "kept", "seconds")


@dataclass(frozen=True)
class Course:
    """What a method came to with one seed.

    Attributes:
        matrix: after each task the accuracy on each task so far; of joint training the last row alone.
        counts: the same of numbers of test rows.
        seconds: of all its runs.
        rows, size: rows that it keeps of earlier tasks after the last one that stores any, and bytes of all it keeps.
        chosen: share of the test rows of which it found the task after the last one; None if it looks for none.
    """

    matrix: tuple[tuple[float, ...], ...]
    counts: tuple[tuple[int, ...], ...]
    seconds: float
    rows: int = 0
    size: int = 0
    chosen: float | None = None

    @property
    def last(self) -> float:
        """The accuracy over all rows after the last task."""
        return over_rows(self.matrix[-1], self.counts[-1])


@cache
def _scored(
    path: str, changed: int, tasks: tuple[tuple[str, ...], ...], task_incremental: bool
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Accuracy and rows of each task of a file of outputs, which is read once while it does not change."""
    found, counts = task_accuracies(Outputs.read(Path(path)), tasks, task_incremental)
    return tuple(found), tuple(counts)


@cache
def _scored_by_domain(path: str, changed: int, tasks: int, folder: Path) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The same where tasks are domains: of the first so many, by the task of each row."""
    found, counts = domain_accuracies(Outputs.read(Path(path)), task_of_test_rows(folder), tasks)
    return tuple(found), tuple(counts)


def course(study: Incremental, done: Done, way: str, seed: int) -> Course | None:
    """What a method came to with a seed; None until it is at the end of its sequence."""
    tasks = study.sequence(done, seed)
    if tasks is None:
        return None
    rows, counts, seconds = list[tuple[float, ...]](), list[tuple[int, ...]](), 0.0
    for t in [len(tasks)] if way == "joint" else range(1, len(tasks) + 1):
        found = study.files(way, t, seed, done)
        if found is None:
            return None
        path, figures = found
        changed = path.stat().st_mtime_ns
        if tasks.domains:
            accuracies, n = _scored_by_domain(str(path), changed, t, done[study.asked(seed)].folder)
        else:
            groups = tuple(tuple(group) for group in tasks.classes[:t])
            accuracies, n = _scored(str(path), changed, groups, study.task_incremental)
        rows.append(accuracies)
        counts.append(n)
        if way not in FROZEN or t == 1:
            seconds += sum(one.seconds or 0.0 for one in figures)
    stored = [done[name].metrics for name in study.stores_of(way, len(tasks), seed) if name in done]
    seconds += sum(one.get("train", {}).get("seconds", 0.0) for one in stored)
    kept = stored[-1]["memory"] if stored else {}
    last = done[study.steps_of(way, len(tasks), seed)[-1]].metrics
    if way in ANSWERED_BY_STORE:
        kept = last.get("memory", {})
    elif way in FROZEN:
        kept = {"bytes": 8 * int(last.get("kept", 0))}
    chosen = last.get("chosen", {}).get("right")
    return Course(tuple(rows), tuple(counts), seconds, int(kept.get("rows", 0)), int(kept.get("bytes", 0)), chosen)


def page(study: Incremental, done: Done) -> Table:
    """The table of a study of tasks."""
    ways = ("joint", "plain", *study.ways)
    sequences = {s: tasks for s in study.all_seeds if (tasks := study.sequence(done, s)) is not None}
    tasks = next(iter(sequences.values()), None)
    found = {way: {s: one for s in study.all_seeds if (one := course(study, done, way, s))} for way in ways}
    plain = Cell({seed: one.last for seed, one in found["plain"].items()})
    rows = []
    for way in ways:
        last = Cell({seed: one.last for seed, one in found[way].items()})
        cells = {"last accuracy": last, "seconds": _cell(found[way], lambda one: one.seconds, 1)}
        if way != "joint":
            cells["average accuracy"] = _cell(found[way], lambda one: average_accuracy(one.matrix, one.counts))
            cells["forgetting"] = _cell(found[way], lambda one: forgetting(one.matrix))
            cells["backward transfer"] = _cell(found[way], lambda one: backward_transfer(one.matrix))
            some = next(iter(found[way].values()), None)
            cells["kept"] = Cell(text="" if some is None else _kept(some))
            if way == "l2p":
                cells["right task"] = _cell(
                    found[way], lambda one: float("nan") if one.chosen is None else one.chosen, 3
                )
        if way != "plain":
            cells["minus plain"] = last.minus(plain)
        rows.append(Row(way, cells, failed(study, done, way)))
    lines, matrices = [], []
    for way in ways[1:]:
        courses = found[way]
        if not courses or tasks is None:
            continue
        after = {
            float(t + 1): Cell({seed: over_rows(one.matrix[t], one.counts[t]) for seed, one in courses.items()})
            for t in range(len(tasks))
        }
        lines.append(Line.of(way, after))
        matrices.append(_matrix(way, list(courses.items()), len(tasks)))
    plot = Plot("Accuracy on all tasks so far", "tasks learned", "test accuracy", tuple(lines))
    answer, notes = _answer(study, found, tasks), _notes(study, sequences, found)
    columns = COLUMNS if "l2p" not in study.ways or study.task_incremental else (*COLUMNS[:-1], "right task", "seconds")
    return Table(answer, columns, tuple(rows), (plot,) if lines else (), notes, tuple(matrices))


def _cell(courses: dict[int, Course], measured: Callable[[Course], float], digits: int = 4) -> Cell:
    return Cell({seed: measured(one) for seed, one in courses.items()}, digits=digits)


def _kept(one: Course) -> str:
    """`200 rows, 0.1 MB`."""
    if not one.size:
        return "nothing"
    rows = f"{one.rows} rows, " if one.rows else ""
    return f"{rows}{one.size / 1e6:,.1f} MB"


def _matrix(way: str, courses: Sequence[tuple[int, Course]], tasks: int) -> Matrix:
    names = [f"task {t + 1}" for t in range(tasks)]
    cells = [
        [
            Cell({seed: one.matrix[t][j] for seed, one in courses}, digits=3) if j <= t else Cell(text="")
            for j in range(tasks)
        ]
        for t in range(tasks)
    ]
    return Matrix(f"{way}: accuracy on each task", [f"after {name}" for name in names], names, cells)


def failed(study: Incremental, done: Done, way: str) -> dict[int, str]:
    """Seed -> why a run of a method failed."""
    found: dict[int, str] = {}
    for seed in study.all_seeds:
        tasks = study.sequence(done, seed)
        names = [study.asked(seed)] if tasks is not None or seed == study.all_seeds[0] or study.by_domain else []
        for t in range(1, 1 + (0 if tasks is None else len(tasks))):
            names += [*study.steps_of(way, t, seed), *study.stores_of(way, t, seed)]
        failures = ((name, done[name].failed) for name in names if name in done)
        first = next(((name, why) for name, why in failures if why is not None), None)
        if first is not None:
            found[seed] = f"{first[0]}: {first[1]}"
    return found


def _answer(study: Incremental, found: dict[str, dict[int, Course]], tasks: TaskSequence | None) -> str:
    ended = {way: courses for way, courses in found.items() if courses and way != "joint"}
    if tasks is None or not ended:
        return f"{study.recipe.name}: nothing to compare yet."
    last = {way: Cell({seed: one.last for seed, one in courses.items()}) for way, courses in found.items() if courses}
    means = {way: summary.mean for way, cell in last.items() if (summary := cell.summary()) is not None}
    best = max(ended, key=lambda way: means[way])
    some = next(iter(ended[best].values()))
    n, seeds = sum(some.counts[-1]), seeds_in_words(len(ended[best]))
    bounds = ", ".join(f"{means[way]:.3f} {words}" for way, words in _BOUNDS.items() if way in means)
    gain = ""
    if best != "plain" and "plain" in last:
        gain = f" ({in_points(last[best].minus(last['plain']))} on plain fine-tuning)"
    how = (
        "among the classes of its own task, which it is told"
        if study.task_incremental
        else "without being told the task"
    )
    what = f"{len(tasks)} tasks of {len(tasks.seen(len(tasks)))} classes"
    if tasks.domains:
        what = f"{len(tasks)} domains with {len(tasks.seen(1))} classes"
    return (
        f"{study.recipe.name}, {what}: {best} keeps most, test accuracy "
        f"{means[best]:.3f} after the last task{gain}; {bounds} (n={n}, {seeds}; each row is answered {how})."
    )


_BOUNDS = {"joint": "with all tasks at once", "plain": "with plain fine-tuning"}


def _notes(
    study: Incremental, sequences: dict[int, TaskSequence], found: dict[str, dict[int, Course]]
) -> tuple[str, ...]:
    if not sequences:
        return ()
    orders = {seed: tasks.names for seed, tasks in sequences.items()}
    first = next(iter(orders.values()))
    notes = [f"task {t + 1}: {name}" for t, name in enumerate(first)]
    if any(names != first for names in orders.values()):
        notes = [f"seed {seed}: {', '.join(names)}" for seed, names in orders.items()]
    if any(way in study.ways for way in ("replay", "der", "icarl")):
        notes.append(
            f"memory: {study.memory} rows of earlier tasks at most, for replay, der and icarl; the others keep no row"
        )
    if "l2p" in study.ways:
        keys = "the mean of each class" if study.keys == "classes" else f"{study.keys} centres by k-means"
        how = "the task is told" if study.task_incremental else f"the nearest key chooses it ({keys} of each task)"
        notes.append(f"l2p: an adapter and a head for each task on the frozen backbone; {how}")
    notes += [f"{way} is left out: {why}" for way, why in study.left_out.items()]
    some = next((one for courses in found.values() for one in courses.values()), None)
    if some is not None and 0 in some.counts[-1]:
        empty = [str(t + 1) for t, n in enumerate(some.counts[-1]) if not n]
        notes.append(f"no test row in task {', '.join(empty)}: it has no figures")
    return tuple(notes)

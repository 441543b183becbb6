"""Several finished runs beside each other, as plain values; the first one is what the others are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hfft.compare.entry import SPLITS, Entry, read_all
from hfft.compare.paired import better, paired
from hfft.report.numbers import number, with_interval
from hfft.tasks.problem import smaller_is_better

IGNORED = {"name", "training.output_dir", "publish.hub_model_id"}  # differ between runs of any kind
# Figures of other blocks: title -> block and keys.
MORE: dict[str, tuple[str, ...]] = {
    "ECE": ("calibration", "figures", "ece"),
    "area under risk-coverage": ("selective", "figures", "aurc"),
    "accuracy, corrupted": ("corruption", "mean"),
    "accuracy, PGD-20": ("attack", "figures", "pgd20"),
    "accuracy, APGD-CE": ("attack", "figures", "apgd_ce"),
    "accuracy, words changed": ("attack", "figures", "words"),
}
COST: dict[str, tuple[str, ...]] = {
    "parameters": ("cost", "parameters"),
    "of which trained": ("cost", "trainable"),
    "latency, batch of 1 (ms)": ("cost", "latency_ms"),
    "rows a second": ("cost", "rows_per_second"),
}


@dataclass(frozen=True)
class Comparison:
    """Runs beside each other.

    Attributes:
        differences: key of a recipe -> value in each run, for keys whose values are not all the same.
        figures: split -> figure -> {"value", "low", "high"} or a number in each run, None where a run has none.
        pairs: split -> name of a later run -> it minus the first run, as by `paired`.
    """

    entries: Sequence[Entry]
    differences: dict[str, list[Any]]
    figures: dict[str, dict[str, list[Any]]]
    pairs: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of the runs."""
        return [entry.name for entry in self.entries]

    def json(self) -> dict[str, Any]:
        """The comparison as plain values."""
        return {
            "runs": [{"name": entry.name, "folder": str(entry.folder)} for entry in self.entries],
            "differences": self.differences,
            "figures": self.figures,
            "pairs": self.pairs,
        }

    def lines(self) -> Iterator[str]:
        """The comparison in a terminal."""
        rows = [(key, *map(_plain, values)) for key, values in self.differences.items()]
        yield from table(["recipe", *self.names], rows or [("no differences", *["" for _ in self.names])])
        for split, figures in self.figures.items():
            yield ""
            arrows = [(f"{name} {'↓' if smaller(name) else '↑'}" if split in SPLITS else name) for name in figures]
            rows = [
                (arrow, *map(with_interval, values)) for arrow, values in zip(arrows, figures.values(), strict=True)
            ]
            yield from table([self.title(split), *self.names], rows)
        for split, found in self.pairs.items():
            yield ""
            yield from (self.pair_line(split, name, pair) for name, pair in found.items())

    def title(self, split: str) -> str:
        """A split with the number of its rows, where the runs agree about it."""
        sizes = {entry.metrics[split]["n"] for entry in self.entries if split in entry.metrics}
        return (
            f"{split} (n={sizes.pop()})"
            if len(sizes) == 1
            else f"{split} (n={'/'.join(map(str, sorted(sizes)))})"
            if sizes
            else split
        )

    def pair_line(self, split: str, name: str, pair: Mapping[str, Any]) -> str:
        """One line of a test on the same rows."""
        first = self.entries[0].name
        if "why" in pair:
            return f"{name} and {first} on {split}: no paired test: {pair['why']}"
        p = f", McNemar p {number(pair['p'])}" if "p" in pair else f", {pair['why_no_p']}" if "why_no_p" in pair else ""
        sides = [found["count"] for found in pair.get("changed", {}).values()]
        moved = f"; right where {first} is wrong: {sides[0]}, the reverse: {sides[1]}" if sides else ""
        return (
            f"{name} minus {first} on the same rows of {split} (n={pair['n']}): {pair['what']} "
            f"{with_interval(pair['difference'])}{p}{moved}: {better(pair)}"
        )


def compare_runs(sources: Sequence[str]) -> Comparison:
    """Compare finished runs; the later ones with the first.

    Raises:
        BadInput: fewer than two different runs, or one that cannot be read.
    """
    entries = read_all(sources)
    return Comparison(entries, recipe_differences([e.recipe for e in entries]), figures_of(entries), pairs_of(entries))


def flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """`section.key` -> value; a list is one value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = flat(value, f"{path}{key}.") if isinstance(value, Mapping) and value else {f"{path}{key}": value}
        found |= inner
    return found


def recipe_differences(recipes: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """`section.key` -> value in each recipe, for keys that are not the same in all; None where a recipe has none."""
    each = [flat(recipe) for recipe in recipes]
    keys = dict.fromkeys(key for values in each for key in values)
    rows = {
        key: [values.get(key) for values in each]
        for key in keys
        if key not in IGNORED and not key.startswith("report.")
    }
    return {key: values for key, values in rows.items() if any(value != values[0] for value in values[1:])}


def figures_of(entries: Sequence[Entry]) -> dict[str, dict[str, list[Any]]]:
    """The metrics of each split with the scorecard's intervals, other blocks' figures, and the costs."""
    found: dict[str, dict[str, list[Any]]] = {}
    for split in SPLITS:
        each = [split_figures(entry, split) for entry in entries]
        names = dict.fromkeys(name for figures in each for name in figures)
        if names:
            found[split] = {name: [figures.get(name) for figures in each] for name in names}
    cost = {title: [reach(entry.blocks, keys) for entry in entries] for title, keys in COST.items()}
    cost["seconds of the run"] = [entry.metrics.get("train", {}).get("seconds") for entry in entries]
    found["cost"] = {title: values for title, values in cost.items() if any(value is not None for value in values)}
    return found


def split_figures(entry: Entry, split: str) -> dict[str, Any]:
    """A run's metrics of one split, each with its interval where the scorecard has one, and figures of other blocks."""
    task = entry.blocks.get("task", {})
    intervals = task.get("figures", {}) if task.get("split") == split else {}
    plain = {name: value for name, value in entry.metrics.get(split, {}).items() if name != "n"}
    more = {
        title: reach(entry.blocks, keys)
        for title, keys in MORE.items()
        if entry.blocks.get(keys[0], {}).get("split") == split
    }
    return {name: intervals.get(name, value) for name, value in plain.items()} | {
        name: value for name, value in {**intervals, **more}.items() if value is not None and name not in plain
    }


def reach(values: Any, keys: Sequence[str]) -> Any:
    """The value at nested keys, or None."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def pairs_of(entries: Sequence[Entry]) -> dict[str, dict[str, dict[str, Any]]]:
    """Split -> name -> the run minus the first one, on the same rows."""
    first, *others = entries
    seed = int(first.metrics.get("seed", 0))
    return {
        split: {other.name: paired(other, first, split, seed) for other in others}
        for split in SPLITS
        if any(split in entry.metrics for entry in entries)
    }


def smaller(name: str) -> bool:
    """Whether smaller values of a figure are better."""
    return smaller_is_better(name) or name in ("nll", "brier", "ECE", "area under risk-coverage")


def _plain(value: Any) -> str:
    return "–" if value is None else str(value)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns of text, the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        first, *others = (
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *others]).rstrip()

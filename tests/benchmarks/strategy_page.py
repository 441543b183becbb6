"""The statistics of the table of methods, and its page: hfft/strategy/figures.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any

from hfft.studies.intervals import paired
from tests.benchmarks.runs import digest, spread
from tests.benchmarks.strategy_claims import CLAIMS, SETTINGS, filled, recipe
from tests.benchmarks.strategy_methods import METHODS, is_there

Result = dict[str, Any]
SEEDS = 5  # that a finished row has
NAMES = {
    "balanced": "balanced accuracy",
    "many": "many (> 100 rows)",
    "medium": "medium",
    "few": "few (< 20 rows)",
    "robust": "accuracy under PGD-20",
    "shifted": "accuracy on shifted inputs",
}


def rounded(ratio: float) -> float:
    """How many times as many epochs a plain run gets in equal time: to a quarter up to 2, a half up to 4, then to one."""
    grid = 4 if ratio < 2 else 2 if ratio < 4 else 1
    return max(round(ratio * grid) / grid, 1.0)


def is_current(result: Result) -> bool:
    """Whether a result is of the recipe as it is written now."""
    method, setting = result["method"], result["setting"]
    known = method in METHODS and setting in SETTINGS
    return known and digest(recipe(setting, method, result["seed"], result["stretch"])) == result["recipe"]


def seeds(results: Sequence[Result], setting: str, method: str, stretch: float = 1) -> dict[int, Result]:
    """Seed -> result of a method."""
    wanted = (setting, method, stretch)
    return {r["seed"]: r for r in results if (r["setting"], r["method"], r["stretch"]) == wanted}


def ratio(mine: dict[int, Result], plain: dict[int, Result], key: str) -> float | None:
    """The median over seeds of what a method costs by what plain costs; None where no seed has both."""
    both = [mine[s][key] / plain[s][key] for s in sorted(mine.keys() & plain.keys()) if plain[s][key] > 0]
    return statistics.median(both) if both else None


def stretch_of(results: Sequence[Result], setting: str, method: str) -> float:
    """How many times as many epochs the plain run gets beside a method; 1 where that is not known yet."""
    cost = ratio(seeds(results, setting, method), seeds(results, setting, "plain"), "train_s")
    return 1.0 if cost is None else rounded(cost)


def page(results: Sequence[Result], conditions: str, planned: Sequence[tuple[str, str]] = ()) -> str:
    """A section for each claim, a table for each setting, a line for each method that was measured.

    Args:
        conditions: what the figures depend on, in words.
        planned: (setting, method) of the rows of a finished page.
    """
    now = [result for result in results if is_current(result)]
    parts = [
        "# What the methods come to\n",
        "Made by `make strategies` (`tests/benchmarks/strategies.py`): each method beside the plain run of the same seed,",
        "with the same rows, the same head at the start and the same order. Figures are means ± sample standard",
        "deviations over the seeds of a row. A difference is the mean over pairs of the same seed with its 95%",
        "t-interval, in **bold** where that leaves out zero; of twenty intervals one misses the truth. In equal time, the",
        "plain run gets as many times as many epochs as the method's training costs (CPU time, to a quarter). Step and",
        "memory: medians of ratios to the plain run; memory is the peak above that of the libraries. Learning rates and",
        "options are usual ones, not tuned. Where a method does not pay, its row says so. A method that was measured on",
        "another day than its plain run has the difference of the two days in its step, and in its epochs of equal time.\n",
        f"{conditions}.\n",
    ]
    if (few := unfinished(now, planned)) is not None:
        parts += [f"**Unfinished**: {few}. The same command goes on.\n"]
    for claim in CLAIMS.values():
        tables = [table for name in claim.settings if (table := _table(now, name, claim.methods, claim.figures))]
        if tables:
            parts += [f"## {claim.title}\n", *tables]
    missing = [name for name in METHODS if not is_there(name)]
    if missing:
        parts += [f"Not in this version of the package: {', '.join(missing)}.\n"]
    return "\n".join(parts).rstrip() + "\n"


def unfinished(results: Sequence[Result], planned: Sequence[tuple[str, str]]) -> str | None:
    """How many rows have fewer than SEEDS seeds; None if all have as many."""
    counts = [len(seeds(results, *row)) for row in planned]
    whole, none = sum(count >= SEEDS for count in counts), counts.count(0)
    some = len(counts) - whole - none
    return f"{whole} rows have {SEEDS} seeds, {some} fewer and {none} none" if some or none else None


def _table(results: Sequence[Result], setting: str, methods: Sequence[str], figures: Sequence[str]) -> str:
    """The table of a setting; empty where nothing was measured."""
    plain = seeds(results, setting, "plain")
    if not plain:
        return ""
    one, given = next(iter(plain.values())), SETTINGS[setting]
    values = recipe(setting, "plain", 1)
    training = values["training"]
    shown = [figure for figure in figures if figure in one["figures"]]
    heads = [NAMES.get(figure, figure) for figure in shown]
    columns = [
        "method",
        "recipe",
        "seeds",
        *heads,
        "difference",
        "in equal time, plain",
        "difference",
        "step",
        "memory",
    ]
    lines = [
        f"### {given.title}\n",
        f"`{values['backbone']['name']}`, {one['train_n']:,} training rows, {training['num_train_epochs']:g} epochs in "
        f"batches of {training['per_device_train_batch_size']} at {training['learning_rate']:g}; n = {one['n']:,} test rows. "
        f"Differences are of {heads[0]}.\n",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    for method in ("plain", *methods):
        mine = seeds(results, setting, method)
        if mine:
            lines.append(_row(results, setting, method, mine, plain, shown))
    return "\n".join(lines) + "\n"


def _row(
    results: Sequence[Result],
    setting: str,
    method: str,
    mine: dict[int, Result],
    plain: dict[int, Result],
    figures: Sequence[str],
) -> str:
    cells = [method, _recipe(setting, method), str(len(mine))]
    cells += [
        spread([run["figures"][figure] for run in mine.values() if figure in run["figures"]]) for figure in figures
    ]
    if method == "plain":
        cells += ["", "", "", "1", "1"]
    else:
        stretch = stretch_of(results, setting, method)
        longer = seeds(results, setting, "plain", stretch) if stretch > 1 else plain
        main = figures[0]
        after = f"{stretch:g} x epochs: {spread([run['figures'][main] for run in longer.values()])}" if longer else "–"
        costs = [ratio(mine, plain, key) for key in ("train_s", "memory_mib")]
        cells += [
            _difference(mine, plain, main),
            "the same epochs" if stretch == 1 else after,
            "" if stretch == 1 else _difference(mine, longer, main),
            *("–" if cost is None else f"{cost:.2f}" for cost in costs),
        ]
    return f"| {' | '.join(cells)} |"


def _difference(mine: dict[int, Result], theirs: dict[int, Result], figure: str) -> str:
    """`+0.012 ± 0.008`, in bold where the interval leaves zero out; with the number of pairs where it is not all seeds."""
    both = sorted(mine.keys() & theirs.keys())
    if not both:
        return "–"
    found = paired(*([runs[seed]["figures"][figure] for seed in both] for runs in (mine, theirs)))
    if found.n == 1:
        return f"{found.mean:+.3f} (1 pair)"
    text = f"{found.mean:+.3f} ± {found.half:.3f}"
    text = f"**{text}**" if found.differs else text
    return text if len(both) == len(mine) else f"{text} ({len(both)} pairs)"


def _recipe(setting: str, method: str) -> str:
    """The lines of a recipe that make the method, in one."""
    keys = {key: filled(value, SETTINGS[setting]) for key, value in METHODS[method].items()}
    shown = ", ".join(f"{key}: {json.dumps(_short(value))}" for key, value in keys.items())
    return f"`{shown}`".replace('"', "").replace("|", "\\|") if keys else ""


def _short(value: Any) -> Any:
    """A value with numbers of four digits at most."""
    if isinstance(value, dict):
        return {key: _short(inner) for key, inner in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value

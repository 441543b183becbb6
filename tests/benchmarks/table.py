"""What the runs of a benchmark say: ratios with their spread, whether the results agree, and the page of it all."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median, pvariance
from typing import Any

from tests.benchmarks.cases import Case

Runs = Sequence[dict[str, Any]]
FLAT = 1.05  # a memory that grows by less than this factor is flat


def of(runs: Runs, side: str, role: str = "main") -> list[dict[str, Any]]:
    """The runs of one side in one role (see `tests.benchmarks.run.plan`)."""
    return [run for run in runs if run["side"] == side and run["role"] == role]


def clock(case: Case) -> str:
    """Which time a case is about."""
    return "evaluate_s" if case.what == "evaluate" else "train_s"


def ratios(runs: Runs, side: str, key: str) -> list[float]:
    """A rival's time a row over ours of the same round; a rival of fewer rounds is compared with all of ours."""
    rival = [run[key] / run["rows"] for run in of(runs, side)]
    ours = [run[key] / run["rows"] for run in of(runs, "ours")]
    return [rival[i % len(rival)] / seconds for i, seconds in enumerate(ours)] if rival else []


def apart(runs: Runs, side: str) -> tuple[float, float]:
    """(our mean accuracy less the rival's on the same rows, the most that noise explains at 95 %).

    The noise is that of two proportions on the n held-out rows, and that of the seeds of each side's rounds.
    """
    ours = (side == "stock" and of(runs, "ours", "pair")) or of(runs, "ours")
    sides = [[run["accuracy"] for run in found] for found in (ours, of(runs, side))]
    n = ours[0]["n"]
    variance = sum(
        mean(values) * (1 - mean(values)) / n + (pvariance(values) / (len(values) - 1) if len(values) > 1 else 0.0)
        for values in sides
    )
    return mean(sides[0]) - mean(sides[1]), 1.96 * max(variance, 1 / n**2) ** 0.5


def failures(case: Case, runs: Runs) -> list[str]:
    """Why a case is no fair comparison, or a memory not flat."""
    found = []
    for side in ("tuned", "stock"):
        if not of(runs, side):
            continue
        difference, noise = apart(runs, side)
        if case.what == "train" and abs(difference) > noise:
            found.append(f"accuracy differs from {side}'s by {difference:+.3f}, noise is {noise:.3f}")
        if len({run["learning"] for run in [*of(runs, "ours"), *of(runs, side)]}) > 1:
            found.append(f"other parameters learn than in {side}")
    early, late = memory(case, runs)
    if late > FLAT * early:
        found.append(f"memory grows from {early:.0f} to {late:.0f} MiB")
    return found


def memory(case: Case, runs: Runs) -> tuple[float, float]:
    """MiB with few rows and with many: peaks of evaluation over ten times the rows, a stream early and late; else (0, 0)."""
    if case.what == "stream":
        return runs[0]["early_mib"], runs[0]["late_mib"]
    if more := of(runs, "ours", "more"):
        return median(run["peak_mib"] for run in of(runs, "ours")), more[0]["peak_mib"]
    return 0.0, 0.0


def _ratio(values: Sequence[float], floor: float | None) -> str:
    if not values:
        return "–"
    spread = f" ({min(values):.2f}–{max(values):.2f})" if len(values) > 1 else ""
    verdict = "" if floor is None else f", {'reaches' if median(values) >= floor else 'BELOW'} {floor:g}"
    return f"**{median(values):.2f}**{spread}{verdict}"


def _row(case: Case, runs: Runs) -> list[str]:
    key = clock(case)
    sides = [side for side in ("ours", "tuned", "stock") if of(runs, side)]
    epochs = case.epochs if case.what == "train" else 1

    def each(value: Any, form: str) -> str:
        return " / ".join(format(median(value(run) for run in of(runs, side)), form) for side in sides)

    return [
        case.title,
        each(lambda run: run["rows"], ",.0f"),
        each(lambda run: run[key], ".1f"),
        each(lambda run: run["rows"] * epochs / run[key], ",.0f"),
        each(lambda run: run["process_s"], ".1f"),
        each(lambda run: run["peak_mib"], ",.0f"),
        each(lambda run: run["accuracy"], ".3f"),
        _ratio(ratios(runs, "stock", key), case.above_stock),
        _ratio(ratios(runs, "tuned", key), case.above_tuned),
        _ratio(ratios(runs, "tuned", "process_s"), None),
        case.bound or "–",
    ]


HEAD = [
    "case", "rows", "seconds", "examples a second", "seconds of the process", "peak MiB", "accuracy", "stock / ours",
    "tuned / ours", "whole process, tuned / ours", "bound of tuned / ours",
]  # fmt: skip


def processor() -> str:
    """The name of this machine's processor, where it says so."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def versions() -> str:
    """The versions that a figure depends on."""
    return ", ".join(f"{n} {importlib.metadata.version(n)}" for n in ("torch", "transformers", "datasets"))


def page(cases: Sequence[Case], found: dict[str, Runs], cores: int) -> str:
    """The table as a page, with what it was made on."""
    runs = [run for case in cases for run in found[case.name]]
    dates, commits = sorted({run["date"] for run in runs}), sorted({run["commit"] for run in runs})
    lines = [
        "# Benchmark",
        "",
        f"Written by `python -m tests.benchmarks.run`, {' to '.join(dates)}: {cores} cores of {processor()}, {versions()}; "
        f"hfft at {', '.join(commits)}. README.md beside this says what is timed and what the sides are.",
        "",
        "Rows, seconds, rates, memory and accuracy read ours / tuned / stock, medians over the rounds. Ratios are of the "
        "time a row, medians over the rounds with the lowest and highest, and the floor that they should reach. `stock` runs "
        "on fewer rows where it would take hours: its accuracy is compared with ours on as many.",
        "",
        "| " + " | ".join(HEAD) + " |",
        "|---" * len(HEAD) + "|",
        *("| " + " | ".join(_row(case, found[case.name])) + " |" for case in cases),
        "",
    ]
    for case in cases:
        early, late = memory(case, found[case.name])
        if late:
            rows = max(run["rows"] for run in found[case.name])
            when = "in the second and the last fifth of" if case.what == "stream" else "at a tenth of and at"
            held = ""
            if more := of(found[case.name], "ours", "more"):
                held = f"; {more[0]['early_mib']:.0f} and {more[0]['late_mib']:.0f} held in the second and the last fifth of them"
            lines.append(f"- {case.title}: {early:.0f} and {late:.0f} MiB {when} {rows:,} rows{held}.")
        for side in ("tuned", "stock"):
            if case.what == "train" and of(found[case.name], side):
                difference, noise = apart(found[case.name], side)
                lines.append(
                    f"- {case.title}: accuracy {difference:+.3f} against {side}; noise up to {noise:.3f} "
                    f"(n={of(found[case.name], side)[0]['n']}, 95 %)."
                )
        lines += [f"- FAILED: {case.title}: {reason}." for reason in failures(case, found[case.name])]
    return "\n".join(lines) + "\n"

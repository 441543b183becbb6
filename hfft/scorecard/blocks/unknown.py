"""How often a model says `unknown` where it should answer, below a threshold of validation, and how right the rest is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfft.evaluate.intervals import figure, wilson
from hfft.evaluate.selective import rejection_threshold
from hfft.scorecard.evidence import Evidence, about, probabilities
from hfft.scorecard.words import with_interval
from hfft.tasks.problem import PROBLEMS

TARGET = 0.05
REMEDY = "set data.validation in the recipe, and keep score.outputs on"


def block(evidence: Evidence) -> dict[str, Any] | None:
    """The threshold of `hfft predict --reject 0.05` on the scored split: rows rejected, accuracy of those that are answered."""
    outputs, fitting = evidence.scored, evidence.fitting
    if not PROBLEMS[outputs.labels.problem].classes:
        return None
    found = {**about(outputs, evidence.seed), "target": TARGET}
    rows = 0 if fitting is None else len(fitting)
    threshold = threshold_of(evidence)
    if fitting is None or threshold is None:
        there = f"a rate of {TARGET:.0%} is told by {round(1 / TARGET) - 1} rows of validation at least, and there are {rows}"
        return {**found, "not_fitted": f"{there}; {REMEDY}"}
    p, references = probabilities(outputs)
    answered = p.max(1) >= threshold
    n, left = len(p), int(answered.sum())
    right = int((p.argmax(1) == references)[answered].sum())
    rest = {"accuracy_of_the_rest": figure(right / left, *wilson(right, left))} if left else {}
    return {
        **found,
        "threshold": threshold,
        "fitted_on": fitting.split,
        "fitted_n": rows,
        "rejected": figure((n - left) / n, *wilson(n - left, n)),
        **rest,
        "ood": {},
    }


def threshold_of(evidence: Evidence) -> float | None:
    """The probability below which an answer is `unknown`, fitted on validation; None where there are too few rows for it."""
    fitting = evidence.fitting
    return None if fitting is None else rejection_threshold(probabilities(fitting)[0].max(1), TARGET)


def with_others(found: dict[str, Any], sets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The block with the rate of `unknown` on each set of rows that belong to no class, which the block `ood` runs.

    Args:
        sets: name -> its figures there, with `rejected` where there is a threshold.
    """
    return {**found, "ood": {name: one["rejected"] for name, one in sets.items() if "rejected" in one}}


def lines(found: dict[str, Any]) -> list[str]:
    """The rate beside the one that was asked for, the accuracy of the rest, and rates of other data."""
    if "not_fitted" in found:
        return [found["not_fitted"]]
    said = [
        f"below {found['threshold']:.4f} ({found['target']:.0%} of {found['fitted_on']}, n={found['fitted_n']}) the answer is "
        f"unknown: {with_interval(found['rejected'])} of the rows"
    ]
    if "accuracy_of_the_rest" in found:
        said.append(f"accuracy of the rest {with_interval(found['accuracy_of_the_rest'])}")
    return [*said, *(f"of {name} {rate:.4f}" for name, rate in found["ood"].items())]

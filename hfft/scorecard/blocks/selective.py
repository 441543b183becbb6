"""What answering only where the model is sure gains, and sets of classes that hold the true one nine times of ten."""

from __future__ import annotations

from typing import Any

import numpy as np

from hfft.evaluate import weighted
from hfft.evaluate.intervals import bootstrap, figure, wilson
from hfft.evaluate.outputs import Outputs
from hfft.evaluate.selective import (
    accuracy_at,
    aurc,
    conformal_sets,
    conformal_threshold,
    curve,
    fewest_rows,
)
from hfft.scorecard.evidence import Evidence, about, probabilities
from hfft.scorecard.words import with_interval
from hfft.tasks.problem import PROBLEMS

TARGET = 0.9
REMEDY = "set data.validation in the recipe, and keep score.outputs on"


def block(evidence: Evidence) -> dict[str, Any] | None:
    """Risk over coverage by the probability of the answer, and split conformal sets; of rows with one class each."""
    outputs = evidence.scored
    if not PROBLEMS[outputs.labels.problem].classes:
        return None
    p, references = probabilities(outputs)
    confidence, wrong = p.max(1), (p.argmax(1) != references).astype(float)
    figures = bootstrap(
        lambda weights: {
            "aurc": aurc(weights, confidence, wrong),
            "accuracy_at_80": accuracy_at(weights, confidence, wrong),
        },
        len(p),
        evidence.seed,
        cost=4,
    )
    return {
        **about(outputs, evidence.seed),
        "figures": figures,
        "curve": curve(confidence, wrong),
        **conformal(p, references, evidence.fitting, evidence.seed),
    }


def conformal(p: np.ndarray, references: np.ndarray, fitting: Outputs | None, seed: int) -> dict[str, Any]:
    """`conformal`: sets of least ambiguity, with the threshold of another split's rows; or why there are none, `not_fitted`."""
    rows, fewest = 0 if fitting is None else len(fitting), fewest_rows(TARGET)
    if fitting is None or rows < fewest:
        there = f"sets of {TARGET:.0%} are fitted on {fewest} rows of validation at least, and there are {rows}"
        return {"not_fitted": f"{there}; {REMEDY}"}
    threshold = conformal_threshold(*probabilities(fitting), TARGET)
    sets = conformal_sets(p, threshold)
    held, sizes = int(sets[np.arange(len(p)), references].sum()), sets.sum(1).astype(float)
    size = bootstrap(lambda weights: {"mean_size": weighted.mean(weights, sizes)}, len(p), seed)["mean_size"]
    found = {
        "target": TARGET,
        "method": "LAC",
        "coverage": figure(held / len(p), *wilson(held, len(p))),
        "mean_size": size,
        "empty": float((sizes == 0).mean()),
        "threshold": threshold,
        "fitted_on": fitting.split,
        "fitted_n": rows,
    }
    return {"conformal": found}


def lines(found: dict[str, Any]) -> list[str]:
    """The figures, and the sets in one line."""
    said = [f"{name} {with_interval(value)}" for name, value in found["figures"].items()]
    if "conformal" not in found:
        return [*said, found["not_fitted"]]
    sets = found["conformal"]
    return [
        *said,
        f"sets for {sets['target']:.0%} hold the true class of {with_interval(sets['coverage'])} of the rows, mean size "
        f"{with_interval(sets['mean_size'])}, threshold {sets['threshold']:.4f} of {sets['fitted_on']} (n={sets['fitted_n']})",
    ]

"""May its confidence be trusted: errors of calibration, and what one temperature, fitted on validation, makes of them.

Rows of several labels count as one decision per class, whose confidence is that of the answer given, yes or no.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hfft.evaluate import weighted
from hfft.evaluate.calibration import MOST_CELLS, Decisions, errors, if_calibrated, reliability
from hfft.evaluate.intervals import bootstrap, figure, resamples
from hfft.evaluate.scaling import fit, row_losses
from hfft.scorecard.evidence import Evidence, about, logits_and_references
from hfft.scorecard.words import with_interval
from hfft.tasks.problem import PROBLEMS

ROUNDS = 200  # draws of a calibrated model
REMEDY = "set data.validation in the recipe, and keep score.outputs on"


def block(evidence: Evidence) -> dict[str, Any] | None:
    """Errors of calibration before and after temperature scaling, beside `if_calibrated`, those of a model without any.

    Intervals are basic ones of the bootstrap, and begin at 0 where a calibrated model has such an error by chance: an error
    over bins is above 0 for every model, and more so in resamples.
    """
    outputs = evidence.scored
    if not PROBLEMS[outputs.labels.problem].class_names:
        return None
    logits, references = logits_and_references(outputs)
    found = {**about(outputs, evidence.seed), **measured(logits, references, evidence.seed)}
    if saved := evidence.metrics.get("calibrated"):
        found["saved"] = saved  # the temperature that is part of the model, so that the one below is 1 or nearly
    if evidence.fitting is None or not len(evidence.fitting):
        return {**found, "not_fitted": f"a temperature is fitted on rows of validation, and there are none; {REMEDY}"}
    fitted_on = logits_and_references(evidence.fitting)
    scaling = fit("temperature", *fitted_on)
    after = {
        "temperature": scaling.temperature,
        "at_limit": scaling.at_limit,
        "fitted_on": evidence.fitting.split,
        "fitted_n": len(evidence.fitting),
        **measured(scaling.apply(logits), references, evidence.seed),
    }
    return {**found, "after": after}


def probabilities_of(logits: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Softmax for classes `(N,)`, sigmoid for labels `(N, C)`."""
    from scipy.special import expit, softmax

    return softmax(logits, axis=1) if references.ndim == 1 else expit(logits)


def measured(logits: np.ndarray, references: np.ndarray, seed: int) -> dict[str, Any]:
    """`figures`, `if_calibrated` and `bins` of logits `(N, C)` with classes `(N,)` or labels `(N, C)`."""
    p = probabilities_of(logits, references)
    losses, of_errors = row_losses(logits, references), errors(p, references)
    n, classes = p.shape
    cost = 2 * classes if references.ndim == 2 else 5 + classes
    if p.size > MOST_CELLS:
        figures = {name: figure(value[0]) for name, value in of_errors(np.ones((1, n))).items()}
        chance = dict[str, float]()
    else:
        figures = bootstrap(of_errors, n, seed, cost)
        drawn = if_calibrated(p, references.ndim == 2, seed, min(resamples(n, cost), ROUNDS))
        figures = {name: adjusted(found, drawn[name]) for name, found in figures.items()}
        chance = {name: float(values.mean()) for name, values in drawn.items()}
    nll = bootstrap(lambda weights: {"nll": weighted.mean(weights, losses)}, n, seed)
    return {"figures": {**figures, **nll}, "if_calibrated": chance, "bins": reliability(Decisions.of(p, references))}


def adjusted(found: dict[str, Any], calibrated: np.ndarray) -> dict[str, Any]:
    """A figure with its basic interval, from the percentiles of its resamples and its values for a calibrated model.

    Resamples of an error over bins lie above it by about as much as it lies above the truth; basic intervals turn that round
    (Davison and Hinkley 1997, 5.2.1).
    """
    value = found["value"]
    low, high = max(0.0, 2 * value - found["high"]), max(value, 2 * value - found["low"])
    by_chance = value <= np.percentile(calibrated, 97.5)
    return figure(value, 0.0 if by_chance else min(low, value), high)


def lines(found: dict[str, Any]) -> list[str]:
    """The errors as they are, and after scaling."""
    said = [f"{name} {with_interval(value)}" for name, value in found["figures"].items()]
    if "not_fitted" in found:
        return [*said, found["not_fitted"]]
    after = found["after"]
    limit = ", the limit of the search" if after["at_limit"] else ""
    head = (
        f"after temperature {after['temperature']:.3f}{limit}, fitted on {after['fitted_on']} (n={after['fitted_n']}):"
    )
    return [*said, head, *(f"  {name} {with_interval(value)}" for name, value in after["figures"].items())]

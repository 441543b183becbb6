"""Answer `unknown` where a model is unsure: thresholds for rates of rejected validation rows, stored in the model's config.json.

Plain transformers keeps the entry and ignores it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hfft.errors import BadInput
from hfft.evaluate.outputs import Outputs
from hfft.evaluate.selective import rejection_threshold
from hfft.runs.folder import RunFolder, write
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.problem.shown import UNKNOWN

if TYPE_CHECKING:
    from hfft.predict.predictor import Predictor

KEY = "rejection"  # the entry of config.json
RATES = (0.001, 0.002, 0.005, *(r / 100 for r in range(1, 11)), 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


def table(outputs: Outputs) -> dict[str, Any] | None:
    """Rate -> the probability below which at most this share of rows like these is; None if they have not one class each."""
    if not PROBLEMS[outputs.labels.problem].classes or outputs.logits is None:
        return None
    logits = torch.from_numpy(np.array(outputs.logits))
    if not len(logits) or not logits.isfinite().all():
        return None
    confidence = logits.softmax(1).amax(1).numpy()
    found = {f"{rate:g}": rejection_threshold(confidence, rate) for rate in RATES}
    thresholds = {rate: threshold for rate, threshold in found.items() if threshold is not None}
    return {"fitted_on": outputs.split, "fitted_n": len(logits), "thresholds": thresholds} if thresholds else None


def store(folder: RunFolder) -> dict[str, Any]:
    """Write a finished run's thresholds into its model's config.json, and return what metrics.json says of them.

    They replace those of the model that it began with. Without stored validation outputs there are none.
    """
    path, outputs = folder.model / "config.json", folder.outputs / "validation.safetensors"
    if not path.is_file():
        return {}
    values, found = json.loads(path.read_text(encoding="utf-8")), None
    with contextlib.suppress(BadInput):  # damaged outputs do not stop a run from being finished
        found = table(Outputs.read(outputs)) if outputs.is_file() else None
    if found is None and KEY not in values:
        return {}
    values.pop(KEY, None)
    if found is not None:
        values[KEY] = found
    write(path, json.dumps(values, indent=2, sort_keys=True) + "\n")
    return {} if found is None else {KEY: found}


def threshold(predictor: Predictor, rate: float, source: str) -> tuple[float, str]:
    """The probability below which an answer is `unknown`, and a line that says whose rate it is.

    A rate between stored ones takes the next lower one, so that no more rows are rejected than was asked.

    Raises:
        BadInput: the model's answers are not one class each, one of them is called `unknown`, or it stores no such rate.
    """
    asked = f"--reject {rate:g}"
    if not predictor.problem.classes:
        raise BadInput(f"{asked}: is for models that give one class per row; leave it out")
    if UNKNOWN in predictor.model.config.id2label.values():
        raise BadInput(f"{asked}: the model has a class called {UNKNOWN!r}; leave it out, and read --probabilities")
    stored = getattr(predictor.model.config, KEY, None)
    if stored is None:
        raise BadInput(
            f"{asked}: {source} stores no thresholds, which are chosen on validation rows; train it with a validation split "
            f"and score.outputs=auto, or leave it out and read --probabilities"
        )
    known, rows = _read(stored, source)
    usable = [one for one in known if one <= rate + 1e-12]
    if not usable:
        raise BadInput(
            f"{asked}: the {rows} validation rows of {source} give rates from {min(known):g}; use that, or more"
        )
    if rate > max(known) + 1e-12:
        raise BadInput(f"{asked}: {source} stores rates up to {max(known):g}; use that, or less")
    chosen = max(usable)
    return known[chosen], (
        f"answers below a probability of {known[chosen]:.4f} are {UNKNOWN}, as at most {chosen:.3g} of rows like its {rows} "
        f"validation rows"
    )


def _read(stored: Any, source: str) -> tuple[dict[float, float], int]:
    try:
        if not isinstance(stored, Mapping):
            raise TypeError(type(stored).__name__)
        known = {float(rate): float(value) for rate, value in stored["thresholds"].items()}
        if not known or not all(0 <= value <= 1 for value in known.values()):
            raise ValueError("not probabilities")
        return known, int(stored["fitted_n"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{source}: the entry {KEY} of config.json is damaged ({error}); restore the file, or train again"
        ) from None

"""What a model computes of rows: logits, and the features that its head reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from hfft.errors import BadInput
from hfft.predict.head_inputs import BATCH, logits_and_features
from hfft.predict.predictor import Predictor, own_logits


@dataclass(frozen=True)
class Answers:
    """What the model computes of rows.

    Attributes:
        logits: `(N, C)` float64.
        features: the inputs of the head's last layer, `(N, D)` float64; None where there is no such vector.
    """

    logits: np.ndarray
    features: np.ndarray | None


def no_features(predictor: Predictor) -> str | None:
    """Why a model has no features before its head; None if it has."""
    if predictor.hypotheses:
        return "the model compares each text with one about each class, and has no features of the text alone"
    if predictor.outputs is not own_logits:
        return "the classifier stands beside the model, not as its head"
    return None


def answered(predictor: Predictor, inputs: Iterable[Any], features: bool = True) -> Answers:
    """Run the model on inputs, in their order, a few batches at a time.

    Args:
        features: whether its features are wanted too.

    Raises:
        BadInput: there are no inputs, an output is not finite, or the head reads more than one vector per input.
    """
    inputs, size = iter(inputs), BATCH * predictor.modality.inputs.gathered
    found: list[tuple[np.ndarray, np.ndarray | None]] = []
    while some := list(islice(inputs, size)):
        if features:
            logits, read = logits_and_features(predictor, some)
            found.append((logits.double().numpy(), read.double().numpy()))
        else:
            found.append((predictor.logits(some, BATCH).double().numpy(), None))
    if not found:
        raise BadInput("there are no rows to run the model on")
    both = Answers(
        np.concatenate([logits for logits, _ in found]),
        np.concatenate([read for _, read in found if read is not None]) if features else None,
    )
    wrong = ~np.isfinite(both.logits).all(1)
    if both.features is not None:
        wrong |= ~np.isfinite(both.features).all(1)
    if wrong.any():
        raise BadInput(f"the model's outputs for {int(wrong.sum())} of {len(wrong)} rows are not finite")
    return both

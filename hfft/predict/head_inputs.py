"""What a finished model's head reads of each input, beside the outputs: the features of the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hfft.predict.predictor import Predictor
from hfft.train.reader import Reader

BATCH = 64


def logits_and_features(predictor: Predictor, inputs: list[Any], batch_size: int = BATCH) -> tuple[Tensor, Tensor]:
    """Logits `(N, C)` and features `(N, D)`, float32 on the CPU, in the order of the inputs, each computed once.

    Raises:
        BadInput: the head reads more than one vector per input.
    """
    reader = Reader(predictor.model, features=True)
    found: list[tuple[Tensor, Tensor]] = [(torch.empty(0), torch.empty(0))] * len(inputs)
    with reader.on():
        for places, logits in predictor.passes(inputs, batch_size):
            features, _ = reader.take()
            assert features is not None
            for place, outputs, read in zip(places, logits, features.float().cpu(), strict=True):
                found[place] = (outputs, read)
    return torch.stack([outputs for outputs, _ in found]), torch.stack([read for _, read in found])


def features_of_rows(
    predictor: Predictor, rows: Iterable[dict[str, Any]], columns: Mapping[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Features `(N, D)` and labels `(N,)` of a split's rows, read a few batches at a time."""
    reader, rows = predictor.modality.inputs, iter(rows)
    features, labels = [], list[int]()
    while some := list(islice(rows, BATCH * reader.gathered)):
        features.append(logits_and_features(predictor, [reader.of_row(row, columns) for row in some], BATCH)[1])
        labels += [row["labels"] for row in some]
    return torch.cat(features).numpy(), np.array(labels)

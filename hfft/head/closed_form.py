"""The last layer of a head from a classifier's solution, instead of random numbers (LP-FT, Kumar et al., arXiv:2202.10054)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from hfft.classifier.spec import ClassifierSpec
from hfft.errors import BadInput, ModelError
from hfft.wording import listing

# What is fitted for each `head.init`. The penalty of a logistic regression assumes features of equal scale; its C was chosen by
# test scores of three data sets, and is not the best of all.
SPECS = {
    "logistic-regression": ClassifierSpec(type="logistic-regression", C=0.1, transform=["standardise"]),
    "lda": ClassifierSpec(type="lda"),
    "centroid": ClassifierSpec(type="nearest-centroid"),
}


def closed_form(
    init: str, x: np.ndarray, y: np.ndarray, names: Sequence[str], seed: int = 42
) -> tuple[np.ndarray, np.ndarray]:
    """The weight `(C, D)` and bias `(C,)` of a linear layer that classifies features, in float64.

    Args:
        init: `logistic-regression`, `lda` or `centroid`.
        x: features `(N, D)`.
        y: classes `(N,)`.
        names: of the C classes.

    Raises:
        BadInput: a class has no rows, or the classifier cannot be fitted.
    """
    from hfft.classifier import fit  # imports scikit-learn, which other runs do not need

    absent = [name for i, name in enumerate(names) if not (y == i).any()]
    if absent:
        raise BadInput(f"head.init: is {init}, but train has no row of {listing(absent)}; use default")
    if not np.isfinite(x).all():
        raise BadInput(f"head.init: is {init}, but the features of a training row are not finite; use default")
    found = fit(SPECS[init], x, y, seed=seed, names=tuple(names)).linear
    assert found is not None  # none of these is anything but linear
    return found


def check_linear(last: nn.Module, outputs: int, kind: str) -> nn.Linear:
    """The last layer of a head, if it is one linear layer.

    Raises:
        ModelError: it is another.
    """
    if not isinstance(last, nn.Linear) or last.weight.shape[0] != outputs:
        raise ModelError(
            f"head.init: the head of {kind} does not end with one linear layer ({type(last).__name__}); use default, or "
            f"head.kind=linear"
        )
    return last


@torch.no_grad()
def write(last: nn.Linear, weight: np.ndarray, bias: np.ndarray) -> None:
    """Give a linear layer these weights.

    Raises:
        ModelError: it has no bias, and the solution needs one.
    """
    if last.bias is None:
        if np.abs(bias - bias.mean()).max() > 0:
            raise ModelError(
                "head.init: the head's last layer has no bias, which the solution needs; use head.kind=linear"
            )
    else:
        last.bias.copy_(torch.from_numpy(bias))
    last.weight.copy_(torch.from_numpy(weight))

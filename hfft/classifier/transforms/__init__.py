"""Maps of features that stand before a classifier. Each is fitted on training rows, and some on target rows too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hfft.classifier.transforms import coral, l2, pca, standardise, tca, whiten
from hfft.classifier.transforms.affine import Affine
from hfft.classifier.transforms.l2 import L2
from hfft.errors import BadInput

Step = Affine | L2
_FIT: dict[str, Callable[[np.ndarray, np.ndarray | None, int | str | None], tuple[Step, Step]]] = {
    "standardise": standardise.fit,
    "l2": l2.fit,
    "pca": pca.fit,
    "whiten": whiten.fit,
    "coral": coral.fit,
    "tca": tca.fit,
}


def fit_steps(
    steps: list[tuple[str, int | str | None]], x: np.ndarray, target: np.ndarray | None
) -> tuple[list[Step], list[Step]]:
    """Fit the transforms one after the other.

    Args:
        steps: name and option of each, as `ClassifierSpec.steps`.
        x: training features `(N, D)`, the source domain.
        target: features of target rows `(M, D)`; None if there is one domain only.

    Returns:
        The maps of source rows and those of target rows; the latter are what serves.

    Raises:
        BadInput: a transform does not fit the features.
    """
    source_maps: list[Step] = []
    target_maps: list[Step] = []
    for name, option in steps:
        if target is None and (name in ("coral", "tca") or option == "per-domain"):
            what = f"{name}: {option}" if option == "per-domain" else name
            raise BadInput(
                f"classifier.transform: {what} compares two domains; give rows of the other in data.sets.target"
            )
        of_source, of_target = _FIT[name](x, target, option)
        x = of_source(x)
        target = None if target is None else of_target(target)
        source_maps.append(of_source)
        target_maps.append(of_target)
    return source_maps, target_maps


def apply(steps: list[Step] | tuple[Step, ...], x: np.ndarray) -> np.ndarray:
    """Features `(N, D)` after the transforms, float64 `(N, K)`."""
    x = np.asarray(x, np.float64)
    for step in steps:
        x = step(x)
    return x

"""NCE: what the classes that a model already knows say about the new ones.

Tran et al., Transferability and Hardness of Supervised Classification Tasks, ICCV 2019 (arXiv:1908.08142).
"""

from __future__ import annotations

import numpy as np


def nce(source_classes: np.ndarray, classes: np.ndarray) -> float:
    """The negative conditional entropy -H(Y|Z) of the classes Y given the model's own predictions Z, in nats.

    Args:
        source_classes: `(N,)`, the class that the model's published classifier gives to each row.
        classes: `(N,)` class numbers.

    Returns:
        A number from -log(number of classes) to 0; larger is better, 0 where each source class has rows of one class only.
    """
    _, source = np.unique(source_classes, return_inverse=True)
    _, target = np.unique(classes, return_inverse=True)
    counts = np.zeros((source.max() + 1, target.max() + 1))
    np.add.at(counts, (source, target), 1)
    given = counts / counts.sum(1, keepdims=True)
    terms = counts * np.log(np.where(given > 0, given, 1))
    return float(terms.sum() / len(classes)) + 0.0  # without a minus before zero

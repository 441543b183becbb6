"""Which rows of an unlabelled set to label next, by what a finished model computes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch

from hfft.acquisition.choose import choose
from hfft.errors import BadInput, DataError
from hfft.predict.head_inputs import BATCH, logits_and_features
from hfft.predict.predictor import Predictor
from hfft.tasks.problem import PROBLEMS


@dataclass
class Pool:
    """The unlabelled rows as the model sees them; inputs are not kept, except texts.

    Attributes:
        ids: of the usable rows, in their order.
        texts: column -> the texts of these rows, for whoever labels them.
        probabilities, features: `(N, C)` and `(N, D)`.
        errors: one for each row that cannot be used.
    """

    ids: list[Any] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    probabilities: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    features: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    errors: list[DataError] = field(default_factory=list)


def read_pool(predictor: Predictor, rows: Iterable[tuple[Any, Any]], batch_size: int = BATCH) -> Pool:
    """Run the model over (id, input), each row once; an input may be the DataError that says why it cannot be used.

    Raises:
        BadInput: the model's rows have several labels or numbers.
    """
    problem = PROBLEMS[predictor.model.config.problem_type or "single_label_classification"]
    if not problem.classes or predictor.model.config.num_labels < 2:
        raise BadInput("label-next: needs a model of one class a row")
    pool, rows = Pool(), iter(rows)
    probabilities, features = [], []
    while some := list(islice(rows, batch_size * predictor.modality.inputs.gathered)):
        usable = [(name, value) for name, value in some if not isinstance(value, DataError)]
        pool.errors += [value for _, value in some if isinstance(value, DataError)]
        if not usable:
            continue
        logits, read = logits_and_features(predictor, [value for _, value in usable], batch_size)
        finite = (logits.isfinite().all(1) & read.isfinite().all(1)).tolist()
        pool.errors += [
            DataError(f"{name}: the model's outputs are not finite")
            for (name, _), good in zip(usable, finite, strict=True)
            if not good
        ]
        usable = [row for row, good in zip(usable, finite, strict=True) if good]
        kept = torch.tensor(finite)
        probabilities.append(problem.probabilities(logits[kept].double()))
        features.append(read[kept])
        pool.ids += [name for name, _ in usable]
        for column, position in (("text", 0), ("text_pair", 1)) if predictor.modality.tokens else ():
            parts = [value if isinstance(value, tuple) else (value,) for _, value in usable]
            if parts and len(parts[0]) > position:
                pool.texts.setdefault(column, []).extend(str(part[position]) for part in parts)
    if features:
        pool.probabilities, pool.features = torch.cat(probabilities).numpy(), torch.cat(features).numpy()
    return pool


def next_labels(
    predictor: Predictor, pool: Pool, n: int, by: str, labelled: np.ndarray, seed: int = 42
) -> Iterator[dict[str, Any]]:
    """The rows to label, in the order of choice: `id`, their texts, the class predicted, its probability, and the score.

    Args:
        by: a name from `hfft.acquisition.choose.WAYS`.
        labelled: `(M, D)` features of the rows that the model was trained on; only `core-set` reads them.

    Raises:
        BadInput: the pool has fewer rows.
    """
    if n > len(pool.ids):
        raise BadInput(f"--n {n}: the data has {len(pool.ids)} rows that can be used; lower it")
    found = choose(by, n, pool.probabilities, pool.features, labelled, seed)
    names, top = predictor.model.config.id2label, pool.probabilities.argmax(1)
    for i, row in enumerate(found.rows):
        yield {
            "id": pool.ids[row],
            **{column: texts[row] for column, texts in pool.texts.items()},
            "label": names[int(top[row])],
            "probability": round(float(pool.probabilities[row, top[row]]), 6),
            **({} if found.scores is None else {found.score: float(f"{found.scores[i]:.6g}")}),
        }

"""What a metric says of itself, and what it can be fed."""

from __future__ import annotations

from typing import Any

import evaluate
from datasets import Features, List, Value

CLASS = Value("int32")  # an index, a row
CLASSES = List(Value("uint8"))  # 0 or 1 of each class, a row
NUMBER = Value("float32")
NUMBERS = List(NUMBER)  # a row of them


def info(description: str, *others: dict[str, Any], citation: str = "", **features: Any) -> evaluate.MetricInfo:
    """What `evaluate` asks of a metric; `_compute` gets arrays, `(N,)` or `(N, C)`.

    Args:
        features: name of an input -> what it holds in a row.
        others: the same for further kinds of rows that the metric can be fed.
    """
    kinds = [Features(kind) for kind in (features, *others)]
    made = evaluate.MetricInfo(description=description, citation=citation, features=kinds if others else kinds[0])
    made.format = (
        "numpy"  # set here, since `evaluate` takes it for rows of one number only; lists would be 30 times larger
    )
    return made

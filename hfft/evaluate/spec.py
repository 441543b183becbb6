"""What a recipe says of scoring."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from hfft.spec import Spec
from hfft.tasks.measure import is_file
from hfft.tasks.problem import known_metrics
from hfft.wording import listing, nearest


def _metric(value: str) -> str:
    known = known_metrics()
    if value not in known and not is_file(value):
        raise ValueError(f"unknown metric {value!r}{nearest(value, known)} (known: {listing(known, 30)})")
    return value


class Score(Spec):
    """How the result is measured: by metrics of the problem, or by .py files that hold one each.

    `from_scratch` trains the same recipe from random weights beside it.
    """

    metrics: list[Annotated[str, AfterValidator(_metric)]] = []
    from_scratch: bool = False

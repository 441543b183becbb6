"""What a recipe says of the frozen cache."""

from __future__ import annotations

from pydantic import Field, field_validator

from hfft.spec import Spec
from hfft.wording import size_in_bytes


class FrozenCacheSpec(Spec):
    """What is kept of the part of the model that does not learn. `limit`: what the whole cache may take.

    Attributes:
        views: augmented views of each training row that are kept and shown in turn; without it augmented rows are not kept.
        dir: another folder than `$HFFT_CACHE`.
    """

    limit: str = "20GB"
    views: int | None = Field(default=None, ge=1)
    dir: str | None = None

    @field_validator("limit")
    @classmethod
    def _size(cls, value: str) -> str:
        size_in_bytes(value)
        return value

"""The recipe section for the frozen cache."""

from __future__ import annotations

from pydantic import Field, field_validator

from hfft.spec import Spec
from hfft.wording import size_in_bytes


class FrozenCacheSpec(Spec):
    """How outputs of frozen layers are stored.

    Attributes:
        limit: size limit of the whole cache.
        views: number of augmented views of each training row to store and show in turn; without it they are not stored.
        dir: a folder to use instead of `$HFFT_CACHE`.
    """

    limit: str = "20GB"
    views: int | None = Field(default=None, ge=1)
    dir: str | None = None

    @field_validator("limit")
    @classmethod
    def _size(cls, value: str) -> str:
        size_in_bytes(value)
        return value

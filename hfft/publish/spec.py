"""The recipe section `publish`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hfft.spec import Spec


class Publish(Spec):
    """Where the finished model is published.

    Attributes:
        hub_model_id: `name/model`, or `model` in the account of the token.
        as_: an adapter `merged` into the weights, or saved separately as an `adapter`; default: merged if its type allows it.
    """

    hub_model_id: str | None = Field(default=None, pattern=r"^\w[\w.-]*(/\w[\w.-]*)?$")
    private: bool = False
    license: str | None = None
    as_: Literal["merged", "adapter"] | None = Field(default=None, alias="as")

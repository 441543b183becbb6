"""What a recipe says of publishing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hfft.spec import Spec


class Publish(Spec):
    """Where the finished model goes: `name/model`, or `model` in the account of the token.

    Attributes:
        as_: an adapter `merged` into the weights, or apart as an `adapter`; merged where its type can be.
    """

    hub_model_id: str | None = Field(default=None, pattern=r"^\w[\w.-]*(/\w[\w.-]*)?$")
    private: bool = False
    license: str | None = None
    as_: Literal["merged", "adapter"] | None = Field(default=None, alias="as")

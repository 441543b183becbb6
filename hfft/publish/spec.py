"""The recipe section `publish`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hfft.spec import Spec
from hfft.wording import first_line


def repository_name(value: str) -> str:
    """Check the name of a repository by the rule of the hub's client.

    Raises:
        ValueError: the client would refuse it.
    """
    from huggingface_hub.errors import HFValidationError  # imported only if a recipe publishes
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(value)
    except HFValidationError as error:
        raise ValueError(f"{value!r} cannot name a repository: {first_line(error)}; choose another name") from None
    return value


class Publish(Spec):
    """Where the finished model is published.

    Attributes:
        hub_model_id: `name/model`, or `model` in the account of the token.
        private: whether a new repository is private.
        license: the licence stated in the card; default: none.
        as_: an adapter `merged` into the weights, or saved separately as an `adapter`; default: merged if its type allows it.
    """

    hub_model_id: Annotated[str, AfterValidator(repository_name)] | None = None
    private: bool = False
    license: str | None = None
    as_: Literal["merged", "adapter"] | None = Field(default=None, alias="as")

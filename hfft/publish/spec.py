"""The recipe section `publish`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hfft.spec import Spec


def repository_name(value: str) -> str:
    """Check the name of a repository by the hub's own rule (`validate_repo_id` of huggingface_hub).

    Raises:
        ValueError: the hub would refuse it.
    """
    parts = value.split("/")
    checks = {
        "has more than one /": len(parts) > 2,
        "is empty": "" in parts,
        "has a character other than a-z, A-Z, 0-9, -, _ and .": re.search(r"[^A-Za-z0-9_.\-/]", value),
        "starts or ends with - or .": any(part[:1] in "-." or part[-1:] in "-." for part in parts if part),
        "has -- or ..": "--" in value or ".." in value,
        "ends with .git": value.endswith(".git"),
        "is longer than 96 characters": any(len(part) > 96 for part in parts),
    }
    wrong = [text for text, found in checks.items() if found]
    if wrong:
        raise ValueError(f"{value!r} cannot name a repository, because it {' and '.join(wrong)}; choose another name")
    return value


class Publish(Spec):
    """Where the finished model is published.

    Attributes:
        hub_model_id: `name/model`, or `model` in the account of the token.
        as_: an adapter `merged` into the weights, or saved separately as an `adapter`; default: merged if its type allows it.
    """

    hub_model_id: Annotated[str, AfterValidator(repository_name)] | None = None
    private: bool = False
    license: str | None = None
    as_: Literal["merged", "adapter"] | None = Field(default=None, alias="as")

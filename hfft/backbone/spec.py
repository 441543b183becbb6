"""The recipe section for part 1, the pretrained model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from hfft.backbone.edit.spec import check_edit
from hfft.spec import Spec, all_finite

# Modules that a checkpoint of the package was pretrained without: they start untrained, as the head does.
UNTRAINED = {"nano-bert": ("bert.pooler",)}


class Backbone(Spec):
    """Part 1: the pretrained model.

    Attributes:
        name: a repository, a folder, or a backbone of the package (`nano-vit`, `nano-bert`, `nano-ast`).
        revision: branch, tag or commit of the repository.
        init: `random` starts from untrained weights of the same architecture.
        dtype: precision of the weights in memory.
        edit: modules to remove, replace and insert, in order (`hfft.backbone.edit.spec`).
        memory_format: memory layout of the weights, by torch's names; `auto` is channels-last for convolutional nets.
        config, processor: entries that override those of the model's own config and processor.
    """

    name: str = Field(min_length=1)
    revision: str | None = None
    init: Literal["pretrained", "random"] = "pretrained"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    memory_format: Literal["auto", "contiguous_format", "channels_last"] = "auto"
    edit: list[Annotated[dict[str, Any], AfterValidator(check_edit)]] = []
    config: Annotated[dict[str, Any], AfterValidator(all_finite)] = {}
    processor: Annotated[dict[str, Any], AfterValidator(all_finite)] = {}

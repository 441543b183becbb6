"""The recipe section for part 1, the pretrained model."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from hfft.backbone.edit.spec import check_edit
from hfft.spec import Spec, all_finite

# Modules that a checkpoint of the package was pretrained without: they start untrained, as the head does.
UNTRAINED = {"nano-bert": ("bert.pooler",)}


class CrossModal(Spec):
    """A text transformer that reads images or series, with a new input layer (FPT, Lu et al., arXiv:2103.05247).

    Attributes:
        patch: side in pixels of the square patches that an image is cut into, or time steps of the pieces of a series; each is
            one position of the transformer.
        image_size: side of the image in pixels, or [height, width], to which images are resized.
        length: time steps of a series.
        channels: of an image, 1 (grey) or 3 (RGB); of a series, any number.
    """

    patch: int = Field(ge=1)
    image_size: Annotated[int, Field(ge=1)] | Annotated[list[int], Field(min_length=2, max_length=2)] = 32
    length: int | None = Field(default=None, ge=1)
    channels: int = Field(default=3, ge=1)

    @property
    def size(self) -> list[int]:
        """Height and width of the image, or time steps of the series."""
        if self.length is not None:
            return [self.length]
        return self.image_size if isinstance(self.image_size, list) else [self.image_size] * 2

    @property
    def positions(self) -> int:
        """How many patches an input is cut into."""
        return math.prod(-(-side // self.patch) for side in self.size)


class Backbone(Spec):
    """Part 1: the pretrained model.

    Attributes:
        name: a repository, a folder, or a backbone of the package (`nano-vit`, `nano-bert`).
        revision: branch, tag or commit of the repository.
        init: `random` starts from untrained weights of the same architecture.
        dtype: precision of the weights in memory.
        edit: modules to remove, replace and insert, in order (`hfft.backbone.edit.spec`).
        cross_modal: read images or series with a text transformer; by default its norms, its position embeddings, the new
            input layer and the head learn (`layers.train: [embeddings, norms]`), attention and feed-forward layers do not.
        memory_format: memory layout of the weights, by torch's names; `auto` is channels-last for convolutional nets.
        config, processor: entries that override those of the model's own config and processor.
    """

    name: str = Field(min_length=1)
    revision: str | None = None
    init: Literal["pretrained", "random"] = "pretrained"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    cross_modal: CrossModal | None = None
    memory_format: Literal["auto", "contiguous_format", "channels_last"] = "auto"
    edit: list[Annotated[dict[str, Any], AfterValidator(check_edit)]] = []
    config: Annotated[dict[str, Any], AfterValidator(all_finite)] = {}
    processor: Annotated[dict[str, Any], AfterValidator(all_finite)] = {}

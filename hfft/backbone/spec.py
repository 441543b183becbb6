"""The recipe section for part 1, the pretrained model."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr

from hfft.backbone.edit.spec import check_edit
from hfft.spec import Spec, all_finite

# Modules that a checkpoint of the package was pretrained without: they start untrained, as the head does.
UNTRAINED = {"nano-bert": ("bert.pooler",)}


class Rnn(Spec):
    """A new recurrent net that reads the words of a text by their vectors.

    Attributes:
        type: `lstm` or `gru`.
        hidden_size: width of the states of one direction.
        num_layers: recurrent layers, one on another.
        bidirectional: whether a second net of each layer reads the text from its end.
        dropout: before each recurrent layer and, unless `head.dropout` says otherwise, before the classifier.
        pooling: `max` or `mean` over the words, or `last`, the last state of each direction.
        max_words: of a file, the first words that are kept beside those of the training texts; files begin with frequent ones.
    """

    type: Literal["lstm", "gru"] = "lstm"
    hidden_size: int = Field(default=150, ge=1)
    num_layers: int = Field(default=1, ge=1)
    bidirectional: bool = True
    dropout: float = Field(default=0.5, ge=0, lt=1)
    pooling: Literal["max", "mean", "last"] = "max"
    max_words: int = Field(default=50_000, ge=1)


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
        name: a repository, a folder, a backbone of the package (`nano-vit`, `nano-bert`, `nano-ast`), or with `rnn` a file of
            word vectors.
        rnn: take only the word vectors: a file's, or the embedding table of a model; a new recurrent net reads them.
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
    rnn: Rnn | None = None
    revision: str | None = None
    init: Literal["pretrained", "random"] = "pretrained"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    cross_modal: CrossModal | None = None
    memory_format: Literal["auto", "contiguous_format", "channels_last"] = "auto"
    edit: list[Annotated[dict[str, Any], AfterValidator(check_edit)]] = []
    config: Annotated[dict[str, Any], AfterValidator(all_finite)] = {}
    processor: Annotated[dict[str, Any], AfterValidator(all_finite)] = {}
    # The words of the training texts, which are known once the data is loaded: no key of a recipe.
    _words: tuple[str, ...] = PrivateAttr(default=())

    @property
    def words(self) -> tuple[str, ...]:
        """The words that a vocabulary from a file of vectors has beside the file's first ones."""
        return self._words

    def with_words(self, words: tuple[str, ...]) -> Backbone:
        """The same backbone, for training texts of these words."""
        found = self.model_copy()
        found._words = words
        return found

"""Build a recurrent net on word vectors: its config, its tokenizer, and its embedding table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from hfft.backbone.published_code import bare_class
from hfft.backbone.word_vectors.read import Vectors, read_vectors
from hfft.backbone.word_vectors.tokenizer import PAD, UNK, word_tokenizer
from hfft.errors import ModelError
from hfft.modeling_rnn import RnnConfig

if TYPE_CHECKING:
    from hfft.backbone.spec import Backbone

_ENDINGS = (".txt", ".vec", ".bin", ".gz", ".zip")


def from_file(backbone: Backbone) -> bool:
    """Whether a backbone's word vectors come from a file, and not from a model.

    Raises:
        ModelError: its name is that of such a file, which is not there.
    """
    if backbone.rnn is None:
        return False
    if Path(backbone.name).is_file():
        return True
    if backbone.name.endswith(_ENDINGS):
        raise ModelError(f"backbone.name: there is no file {backbone.name}; give a file of word vectors, or a model")
    return False


def vectors_of(backbone: Backbone) -> Vectors:
    """The vectors of a backbone's file: those of its first words and of the training texts.

    Raises:
        DataError: the file cannot be used.
    """
    assert backbone.rnn is not None
    return read_vectors(Path(backbone.name), backbone.rnn.max_words, backbone.words)


def rnn_config(backbone: Backbone, rows: int, width: int, padding: int | None) -> RnnConfig:
    """The config of the recurrent net that a backbone asks for.

    Args:
        rows, width: of its embedding table.
        padding: id of the padding token, if it has one.
    """
    assert backbone.rnn is not None
    options = backbone.rnn.plain()
    options.pop("max_words")
    options["rnn_type"] = options.pop("type")
    return RnnConfig(vocab_size=rows, embedding_size=width, pad_token_id=padding, **options)


def config_of_model(backbone: Backbone, published: PretrainedConfig) -> RnnConfig:
    """The config of the recurrent net on the embedding table of a model, which is built without weights to look at it.

    Raises:
        ModelError: it has no such table.
    """
    cls = bare_class(published)
    try:
        with torch.device("meta"):
            table: Any = None if cls is None else cls(published).get_input_embeddings()
    except NotImplementedError:
        table = None
    if not isinstance(table, nn.Embedding):
        raise ModelError(
            f"backbone.rnn: {backbone.name} is a {published.model_type}, which has no embedding table of words; choose a text "
            f"model"
        )
    padding = getattr(published.get_text_config(), "pad_token_id", None)
    return rnn_config(backbone, table.num_embeddings, table.embedding_dim, padding)


def config_of_file(backbone: Backbone) -> RnnConfig:
    """The config of the recurrent net on the vectors of a file."""
    found = vectors_of(backbone)
    return rnn_config(backbone, len(_words(found)) + 2, found.width, padding=0)


def tokenizer_of_file(backbone: Backbone) -> Any:
    """The tokenizer of the words of a file, with the settings that the recipe overrides."""
    found = vectors_of(backbone)
    return word_tokenizer(_words(found), lower=not found.cased, **backbone.processor)


def table_of_file(backbone: Backbone) -> Tensor:
    """The embedding table of the words of a file: `(words + 2, width)`, float32.

    Padding has the zero vector, and words without a vector have that of the file for them, or else the mean of all.
    """
    found = vectors_of(backbone)
    matrix = torch.from_numpy(found.matrix)
    own = [i for i, word in enumerate(found.words) if word not in (PAD, UNK)]
    unknown = matrix[found.words.index(UNK)] if UNK in found.words else matrix.mean(0)
    return torch.cat([torch.zeros(1, found.width), unknown[None], matrix[own]])


def without_vector(backbone: Backbone) -> list[str]:
    """The words of the training texts that have no vector in the backbone's file.

    Raises:
        ModelError: none of them has one.
    """
    found = vectors_of(backbone)
    known = set(found.words)
    asked = set(backbone.words) if found.cased else {word.lower() for word in backbone.words}
    missing = sorted(asked - known)
    if asked and len(missing) == len(asked):
        raise ModelError(
            f"backbone.name: none of the {len(asked):,} words of the training texts has a vector in {backbone.name}; choose "
            f"vectors of their language"
        )
    return missing


def rnn(cls: Any, backbone: Backbone, config: RnnConfig, embeddings: Callable[[], Any]) -> Any:
    """A new recurrent net on the backbone's word vectors, or with `init: random` on random ones of the same spread.

    Args:
        cls: the class of the net.
        embeddings: loads the embedding table of the model whose vectors it takes, if they come from no file.
    """
    table: Tensor
    if from_file(backbone):
        table = table_of_file(backbone)
    else:
        with torch.random.fork_rng(devices=[]):  # so that the net does not depend on what loading draws
            table = embeddings().weight.detach()
    config.initializer_range = float(table.std())
    model = cls._from_config(config, dtype=getattr(torch, backbone.dtype))
    if backbone.init != "random":
        with torch.no_grad():
            model.get_input_embeddings().weight.copy_(table)
    return model


def _words(found: Vectors) -> list[str]:
    return [word for word in found.words if word not in (PAD, UNK)]

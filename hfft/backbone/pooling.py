"""Which pooling fits a checkpoint: the one that it was trained with."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import transformers
from transformers.utils import cached_file

from hfft.backbone.load import load_published_config
from hfft.backbone.locate import source
from hfft.backbone.own_head import is_decoder
from hfft.backbone.published_code import bare_class
from hfft.errors import ModelError
from hfft.hub.client import arrived
from hfft.wording import first_line, listing

if TYPE_CHECKING:
    from torch import nn

    from hfft.backbone.spec import Backbone
    from hfft.tasks.table import Task

# Keys of a sentence encoder's pooling, in the order in which sentence-transformers concatenates the vectors.
MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean",
    "pooling_mode_weightedmean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
}


@dataclass(frozen=True)
class Pooling:
    """The pooling that fits a checkpoint.

    Attributes:
        pooling: `cls`, `mean`, `max`, `last` or `pooler`.
        why: the reason, as a sentence goes on after the pooling.
        stated: whether the checkpoint itself states it.
    """

    pooling: str
    why: str
    stated: bool = False

    def line(self) -> str:
        """The line for the user."""
        return f"pooling: {self.pooling}, {self.why}"


def fitting_pooling(backbone: Backbone, task: Task) -> Pooling:
    """The pooling that a checkpoint was trained with: a sentence encoder's own, a trained pooler, or what its kind reads.

    Raises:
        ModelError: a sentence encoder's pooling cannot be read.
    """
    name = backbone.name
    if backbone.rnn is not None:
        return Pooling("mean", "since its layers are new")
    if task.modality.tokens and (found := sentence_pooling(backbone)) is not None:
        return found
    config = load_published_config(backbone)
    if not task.modality.tokens:
        return Pooling(
            _of_images(config, tensor_names(backbone) or ()), f"as {config.model_type} reads {task.modality.plural}"
        )
    if trained_pooler(backbone):
        return Pooling("pooler", f"which {name} was trained with")
    if is_decoder(config):
        return Pooling("last", f"the token that has seen all others in a {config.model_type}")
    return Pooling("mean", f"since {name} has no trained pooler")


def usual_pooling(model: nn.Module, tokens: bool) -> str:
    """The pooling that suits a model in memory, whose checkpoint is not known: what a stock head on it reads, or the mean.

    Args:
        tokens: whether it reads texts.
    """
    config: Any = model.config
    names = [name for name, _ in model.named_parameters()]
    if not tokens:
        return _of_images(config, names)
    if any(".pooler." in f".{name}" for name in names):
        return "pooler"
    return "last" if is_decoder(config) else "mean"


def sentence_pooling(backbone: Backbone) -> Pooling | None:
    """The pooling in a sentence encoder's repository; None if it is none.

    Raises:
        ModelError: the file is damaged, or states a pooling that is not known.
    """
    path = _file(backbone, "1_Pooling/config.json")
    if path is None:
        return None
    name = backbone.name
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        chosen = [MODES[key] for key in MODES if stated.get(key)]
        named = stated.get("pooling_mode")  # of newer versions: a name, or several
        chosen = chosen or [_mode(one) for one in ([named] if isinstance(named, str) else named or [])]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"{name}: 1_Pooling/config.json cannot be read ({first_line(error)}); set pooling") from None
    if not chosen:
        raise ModelError(f"{name}: 1_Pooling/config.json states no pooling that hfft knows; set pooling, such as mean")
    more = f", without {listing(chosen[1:])}, which it concatenates" if len(chosen) > 1 else ""
    return Pooling(chosen[0], f"as {name} was trained{more}", stated=True)


def _mode(name: str) -> str:
    return {"lasttoken": "last", "mean_sqrt_len_tokens": "mean", "weightedmean": "mean"}.get(name) or {
        one: one for one in ("cls", "mean", "max")
    }[name]


def _of_images(config: Any, names: Iterable[str]) -> str:
    """A convolutional net's own pooler, which averages its map; a class token's state; otherwise the mean.

    Args:
        names: of the model's tensors.
    """
    returns = str(signature(bare_class(config).forward).return_annotation)
    if returns.strip("'>").endswith("WithPoolingAndNoAttention") or getattr(config, "use_mean_pooling", False):
        return "pooler"
    return "cls" if any("cls_token" in name or "class_embedding" in name for name in names) else "mean"


def trained_pooler(backbone: Backbone) -> bool | None:
    """Whether the weights contain a pooler; None if they cannot be looked at."""
    names = tensor_names(backbone)
    return None if names is None else any(".pooler." in f".{name}" for name in names)


def tensor_names(backbone: Backbone, download: bool = True) -> Iterable[str] | None:
    """Names of the tensors in a checkpoint, read without loading them; None if there is no such file, or it is damaged.

    A damaged file is refused where the weights are loaded.

    Args:
        download: whether the weights of a hub model may be downloaded for it.
    """
    index = _file(backbone, "model.safetensors.index.json", download)
    path = index or _file(backbone, "model.safetensors", download)
    if path is None:
        return None
    try:
        if index is not None:
            return list(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > path.stat().st_size:
                return None
            return [name for name in json.loads(file.read(size)) if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _file(backbone: Backbone, name: str, download: bool = True) -> Path | None:
    """A file of a backbone's folder or repository; None if it is not there, or not cached and the hub cannot be reached."""
    where = source(backbone.name)
    if Path(where).is_dir():
        path = Path(where) / name
        return path if path.is_file() else None
    found = arrived(
        "model",
        where,
        lambda again: cached_file(
            where,
            name,
            revision=backbone.revision,
            local_files_only=not download,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        ),
    )
    return None if found is None else Path(found)


def pooling_to_set(backbone: Backbone, task: Task, download: bool = True) -> Pooling | None:
    """The pooling for a new head on a text model whose own head would read what the checkpoint was not trained for.

    None where the architecture's head fits: it reads a trained pooler or none at all, or is itself the trained classifier.

    Args:
        download: whether the weights of a hub model may be downloaded to look for a pooler.
    """
    if not task.modality.tokens:
        return None
    config = load_published_config(backbone)
    kinds = config.architectures or [""]
    stock = getattr(transformers, task.auto_class)._model_mapping.get(type(config), None)
    if any(kind.endswith("ForSequenceClassification") for kind in kinds):
        return None
    if (found := sentence_pooling(backbone)) is not None:
        return found
    if stock is None or not _reads_pooler(stock, config):
        return None
    names = tensor_names(backbone, download)
    if names is None or any(".pooler." in f".{name}" for name in names):
        return None
    return Pooling("mean", f"since {backbone.name} has no trained pooler")


def _reads_pooler(stock: Any, config: Any) -> bool:
    """Whether the architecture's head stands on a pooler with weights of its own."""
    import torch

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = stock(config)
        except Exception:  # some architectures look at values as they are built
            return False
    base = model.base_model
    return base is not model and any(".pooler." in f".{name}" for name, _ in base.named_parameters())

"""Edits that a config can express: another image size, more tokens. The result is the stock architecture."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from hfft.errors import ModelError
from hfft.wording import listing

_Adapt = Callable[[str, Tensor, Tensor], Tensor]  # (name, tensor, tensor of the wanted shape) -> adapted tensor


def built(model: PreTrainedModel, config: PretrainedConfig) -> PreTrainedModel:
    """A model of the same class built from a config, untrained, on the current model's device (meta stores no data)."""
    config = copy.deepcopy(config)
    attention = getattr(model.config, "_attn_implementation", None)
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with torch.device(model.device):
            kwargs = {"attn_implementation": attention} if attention else {}
            return type(model)._from_config(config, dtype=model.dtype, **kwargs)
    finally:
        logging.set_verbosity(before)


def on_meta(model: PreTrainedModel, config: PretrainedConfig) -> PreTrainedModel:
    """The same on the meta device, without any data."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with torch.device("meta"):
            return type(model)(copy.deepcopy(config))
    finally:
        logging.set_verbosity(before)


def rebuilt(
    model: PreTrainedModel,
    config: PretrainedConfig,
    rename: Callable[[str], str | None] = str,
    adapt: _Adapt | None = None,
) -> PreTrainedModel:
    """A model built from `config` with the weights of this one.

    Args:
        rename: name of a tensor in this model -> its name in the new one; None if it is removed.
        adapt: converts a tensor whose shape differs to the wanted shape.
    """
    new = built(model, config)
    wanted, state = new.state_dict(), {}
    for name, tensor in model.state_dict().items():
        to = rename(name)
        if to is None or to not in wanted:
            continue
        fits = tensor.shape == wanted[to].shape
        state[to] = tensor if fits or adapt is None else adapt(to, tensor, wanted[to])
    if model.device.type != "meta":
        new.load_state_dict(state)
        for name, parameter in model.named_parameters():
            if (to := rename(name)) is not None and to in wanted:
                new.get_parameter(to).requires_grad = parameter.requires_grad
    return new.train(model.training)


def entries(config: PretrainedConfig) -> Iterator[tuple[PretrainedConfig, str, Any]]:
    """(config number, entry, value) for each entry of a config and the configs nested in it."""
    for key, value in list(vars(config).items()):
        if isinstance(value, PretrainedConfig):
            yield from entries(value)
        elif not key.startswith("_") and key not in ("edits", "own_head", "id2label", "label2id"):
            yield config, key, value


def changed(config: PretrainedConfig, changes: dict[tuple[int, str], Any]) -> PretrainedConfig:
    """A copy of a config with other values; the keys of `changes` are those of `entries`."""
    new = copy.deepcopy(config)
    for i, (part, key, _) in enumerate(list(entries(new))):
        if (i, key) in changes:
            setattr(part, key, changes[i, key])
    return new


# --- image size


def image_size(model: PreTrainedModel, size: int | list[int]) -> PreTrainedModel:
    """The model for images of another size, with position tables interpolated (bicubic, as the models do themselves).

    Raises:
        ModelError: the grid of a position table cannot be determined.
    """
    places = [(i, key, v) for i, (_, key, v) in enumerate(entries(model.config)) if key == "image_size"]
    height, width = size if isinstance(size, list) else (size, size)
    changes: dict[tuple[int, str], Any] = {}
    for i, key, value in places:
        pair = isinstance(value, (list, tuple))
        if not pair and height != width:
            raise ModelError(
                f"backbone.edit: image_size is {height}x{width}; {model.config.model_type} takes square images only"
            )
        changes[i, key] = type(value)((height, width)) if pair else height
    if not changes:  # the model takes images of any size
        return model
    new = changed(model.config, changes)
    old = places[0][2]
    before, after = tuple(old) if isinstance(old, (list, tuple)) else (old, old), (height, width)
    return _adapted(model, new, "image_size", lambda name, t, to: _interpolated(name, t, to, before, after))


def _adapted(model: PreTrainedModel, config: PretrainedConfig, key: str, adapt: _Adapt) -> PreTrainedModel:
    try:
        return rebuilt(model, config, adapt=adapt)
    except (ValueError, RuntimeError, TypeError, AssertionError, ZeroDivisionError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[-1].strip()
        raise ModelError(f"backbone.edit: {key} does not fit {model.config.model_type}: {said[:200]}") from error


def _interpolated(name: str, table: Tensor, like: Tensor, before: tuple[int, int], after: tuple[int, int]) -> Tensor:
    """A position table for another grid; rows that belong to no patch (class tokens, registers) are unchanged."""
    if not table.is_floating_point():  # an index that the architecture computes
        return like
    dim = next(d for d, (a, b) in enumerate(zip(table.shape, like.shape, strict=True)) if a != b)
    if table.ndim not in (2, 3) or dim != table.ndim - 2:
        raise ValueError(f"{name} changes from {tuple(table.shape)} to {tuple(like.shape)}")
    rows, wanted = table.shape[dim], like.shape[dim]
    for extra in range(9):
        old, new = _grid(rows - extra, before), _grid(wanted - extra, after)
        if old and new:
            break
    else:
        raise ValueError(f"the grid of {name} cannot be determined from {rows} rows")
    if like.is_meta:
        return like
    last = "relative" in name  # BEiT puts rows that belong to no patch last
    flat = table.reshape(rows, -1)
    own, grid = (flat[rows - extra :], flat[: rows - extra]) if last else (flat[:extra], flat[extra:])
    image = grid.T.reshape(1, -1, *old).float()
    image = F.interpolate(image, size=new, mode="bicubic", align_corners=False).to(table.dtype)
    grid = image.flatten(2)[0].T
    return torch.cat([grid, own] if last else [own, grid]).reshape(like.shape)


def _grid(rows: int, image: tuple[int, int]) -> tuple[int, int] | None:
    """Height and width of a grid with this many rows and the image's aspect ratio; None if there is none."""
    height = math.isqrt(max(0, round(rows * image[0] / image[1])))
    return (height, rows // height) if height and height * round(height * image[1] / image[0]) == rows else None


def channels(model: PreTrainedModel, count: int) -> PreTrainedModel:
    """The model for another number of image channels: its first convolution summed for grey, otherwise repeated and scaled.

    As in timm (`adapt_input_conv`): a grey image gives the outputs of an RGB image with three equal channels.

    Raises:
        ModelError: no config entry is the number of channels.
    """
    wide = ("num_channels", "in_channels", "in_chans", "num_input_channels")
    places = {(i, k): count for i, (_, k, v) in enumerate(entries(model.config)) if k in wide and type(v) is int}
    if not places:
        raise ModelError(f"backbone.edit: channels: no entry of {model.config.model_type}'s config sets them")

    def adapt(name: str, weight: Tensor, like: Tensor) -> Tensor:
        if weight.ndim != 4 or like.shape != (weight.shape[0], count, *weight.shape[2:]):
            raise ValueError(f"{name} changes from {tuple(weight.shape)} to {tuple(like.shape)}")
        if like.is_meta:
            return like
        if count == 1:
            return weight.sum(1, keepdim=True)
        given = weight.shape[1]
        return weight.repeat(1, math.ceil(count / given), 1, 1)[:, :count] * (given / count)

    return _adapted(model, changed(model.config, places), f"channels {count}", adapt)


# --- tokens


@torch.no_grad()
def tokens(model: PreTrainedModel, tokenizer: Any, new: list[str]) -> tuple[PreTrainedModel, list[int]]:
    """Add tokens that the vocabulary or the embedding table lacks; each starts as the mean of all existing embeddings.

    Returns:
        The model, and the rows of the new tokens in its table.
    """
    old = model.get_input_embeddings().weight.detach()
    vocabulary = tokenizer.get_vocab()
    before = {i for i in vocabulary.values() if i < len(old)}
    tokenizer.add_tokens(new)
    now = tokenizer.get_vocab()
    added = sorted(
        {*now.values()} - {*vocabulary.values()} | {now[token] for token in new if now.get(token, 0) >= len(old)}
    )
    if not added:
        raise ModelError(f"backbone.edit: tokens: the tokenizer already has {listing(new)}; leave them out")
    mean = old[sorted(before)].mean(0)
    if max(added) >= len(old):
        model.resize_token_embeddings(max(added) + 1, mean_resizing=False)
    if not mean.is_meta:
        model.get_input_embeddings().weight[added] = mean.to(old.dtype)
    return model, added

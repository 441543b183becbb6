"""Run a model once on a blank input, before data is prepared: what it reads, what it answers, which of its blocks it uses."""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hfft import backbone, head, layers
from hfft.backbone.edit import edit
from hfft.data.modality.base import Inputs
from hfft.errors import HfftError, ModelError
from hfft.layers import Depths
from hfft.layers.freeze import reversible
from hfft.pipeline.masked_images import masks_of
from hfft.recipe import Recipe
from hfft.strategy import logits_of
from hfft.tasks.table import Task
from hfft.wording import first_line, listing

# How far the logits of texts may move, relative to their size, when longer ones pad the batch.
MOVED = 1e-4
TEXTS = ["A TEXT", "A LONGER TEXT", "THE LONGEST OF ALL"]


def check_ahead(recipe: Recipe, processor: Any) -> None:
    """Check before any data or weights are fetched that the recipe's model reads what its processor makes.

    Raises:
        BadInput: it does not, or a model of its kind answers with something else than a row of classes.
    """
    task = recipe.the_task
    if not _has_blank(task):
        return
    model = backbone.build_meta_model(recipe.backbone, recipe.head, task, processor, len(recipe.tasks))
    if model is None:
        return
    processor = copy.deepcopy(processor)  # edits change it
    model, _ = edit.edit(model, recipe.backbone.edit, processor, task.modality.inputs.blank)
    check_inputs(model, processor, task)
    check_checkpointing(model, recipe)
    masks_of(recipe, model, processor)
    if task.labelled:
        with torch.no_grad(), contextlib.suppress(NotRun):  # many architectures look at values, which are missing here
            _check_shape(model, _logits(model.eval(), task.modality.inputs.blank(processor)))


def check_checkpointing(model: PreTrainedModel, recipe: Recipe) -> None:
    """Raise ModelError if the recipe wants activations computed again in the backward pass, which the model cannot."""
    if recipe.training.get("gradient_checkpointing") and not model.supports_gradient_checkpointing:
        raise ModelError(
            f"training.gradient_checkpointing: transformers does not support it for {model.config.model_type}; leave it out, or "
            f"use smaller micro-batches (gradient_accumulation_steps)"
        )


def check_inputs(model: PreTrainedModel, processor: Any, task: Task) -> None:
    """Check that the model reads what its processor makes, and has an embedding for every token; no weights are needed.

    Raises:
        ModelError: it does not.
    """
    modality, kind, name = task.modality, model.config.model_type, type(processor).__name__
    if not _has_blank(task):
        return
    try:
        made = modality.inputs.blank(processor)
    except HfftError:
        raise
    except Exception as error:
        raise ModelError(
            f"backbone.name: {name} of {kind} does not read plain {modality.plural} ({first_line(error)}); use another model"
        ) from error
    wanted = next((name for name in modality.input_names if name in made), None)
    if wanted is None:
        raise ModelError(
            f"backbone.name: {name} of {kind} makes {listing(made)} of {modality.plural}, not {modality.input_name}; "
            f"use another model"
        )
    reads = inspect.signature(model.forward).parameters
    if wanted not in reads and not any(p.kind is p.VAR_KEYWORD for p in reads.values()):
        raise ModelError(f"backbone.name: {kind} does not read {wanted} but {listing(reads)}; use another model")
    if modality.tokens:
        if odd := [key for key, value in made.items() if value.ndim != 2]:
            raise ModelError(
                f"backbone.name: {name} of {kind} makes {listing(odd)} with several numbers for a token; use another model"
            )
        check_table(model, processor)


def check_table(model: PreTrainedModel, tokenizer: Any) -> None:
    """Check that every token of the tokenizer has a row in the model's embedding table.

    Raises:
        ModelError: the tokenizer has more.
    """
    try:
        table = model.get_input_embeddings()
    except NotImplementedError:
        return
    if not isinstance(table, nn.Embedding):
        return
    vocabulary, rows = tokenizer.get_vocab(), table.num_embeddings
    beyond = sorted((token for token, i in vocabulary.items() if i >= rows), key=vocabulary.get)
    if beyond:
        raise ModelError(
            f"backbone.name: the tokenizer has {max(vocabulary.values()) + 1} tokens, the embedding table {rows} rows; "
            f"add rows with backbone.edit=[{{tokens: [{listing(map(repr, beyond), 8)}]}}]"
        )


def check_answers(
    model: PreTrainedModel, processor: Any, task: Task, batch_size: int, divided: bool = False
) -> set[str] | None:
    """Check that the model answers a blank input with its classes, alone as in a padded batch, and in training.

    Args:
        batch_size: rows of a batch when the model is scored.
        divided: whether each process may hold only a part of the weights; the model is not run then.

    Returns:
        Names of the parameters that the answer depends on; None if that cannot be told.

    Raises:
        ModelError: it does not.
    """
    parameters = dict(model.named_parameters())
    # not every architecture computes in half precision on a CPU
    if (
        divided
        or not task.labelled
        or not _has_blank(task)
        or any(p.is_meta or p.dtype != torch.float32 for p in parameters.values())
    ):
        return None
    inputs, kind = task.modality.inputs, model.config.model_type
    with _as_it_was(model):
        model.eval()
        with torch.enable_grad():
            logits = _logits(model, inputs.blank(processor))
        _check_shape(model, logits)
        read = None if any(map(reversible, model.modules())) else _read(logits, parameters)
        if read is not None and read < set(parameters):  # some are read in training alone, such as wav2vec 2.0's mask
            with torch.enable_grad(), contextlib.suppress(NotRun):
                read |= _read(_logits(model.train(), inputs.blank(processor)), parameters)
            model.eval()
        if not task.modality.tokens:
            return read
        with torch.no_grad():
            _logits(model.train(), inputs.batch(TEXTS, processor))
            model.eval()
            off = _moved_by_padding(model, inputs, processor)
            if off > MOVED:  # rounding, or not?
                with contextlib.suppress(NotRun):  # not every architecture computes in double precision
                    precise = _moved_by_padding(copy.deepcopy(model).double(), inputs, processor)
                    off = off if math.isnan(precise) else precise
            if off > MOVED and batch_size > 1:
                raise ModelError(
                    f"training.per_device_eval_batch_size: is {batch_size}, but the outputs of {kind} for a text change with "
                    f"the padding of its batch (by {off:.0e}), so it would be served other ones than were scored; use 1"
                )
    return read


def _moved_by_padding(model: PreTrainedModel, inputs: Inputs, processor: Any) -> float:
    """How far the logits of a text move, relative to their size, when longer texts pad its batch."""
    alone = torch.cat([_logits(model, inputs.batch([text], processor)) for text in TEXTS])
    padded = _logits(model, inputs.batch(TEXTS, processor))
    return float((alone - padded).abs().max() / alone.abs().max().clamp(min=1e-30))


def never_read(model: PreTrainedModel, depths: Depths, read: set[str] | None) -> dict[str, set[str]]:
    """What the task does not read: module (or parameter) -> names of its parameters.

    Such as CANINE's last block, which is for its pretraining, or the image tower of a model that classifies texts. A block
    is left out as a whole or not at all: an expert that this one input does not take is read by others.
    """
    if read is None:
        return {}
    names = {name for name, depth in depths.tensors.items() if depth != depths.head}
    unread: set[str] = set()
    for paths in layers.block_paths(model):
        block = {name for name in names if name.startswith(tuple(f"{path}." for path in paths))}
        names -= block
        unread |= block if not block & read else set()
    unread |= names - read
    found = {top: {name for name in unread if name.startswith(f"{top}.")} for top in head.top_modules(model, unread)}
    alone = unread.difference(*found.values())
    return {**found, **{name: {name} for name in alone}}


def leave_out(model: nn.Module, depths: Depths, unread: dict[str, set[str]], entries: Sequence[str]) -> list[str]:
    """Freeze what the task never reads, so that it does not count as learning; returns a line that says so.

    Args:
        unread: the result of `never_read`, found before an adapter wrapped the model.
        entries: the recipe's `layers.train`.

    Raises:
        ModelError: nothing else would learn in front of the head.
    """
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    idle = {name for name in learning if any(f".{name}.".find(f".{path}.") >= 0 for path in unread)}
    if not idle:
        return []
    what = listing(sorted(unread), 3)
    if {depths.of(name) for name in learning.keys() - idle} <= {depths.head}:
        raise ModelError(
            f"layers.train: {listing(entries)} names only what this task does not read ({what}); name others"
        )
    for name in idle:
        learning[name].requires_grad_(False)
    count = sum(learning[name].numel() for name in idle)
    return [f"not read by this task, and so not learning: {what} ({count:,} parameters)"]


def _has_blank(task: Task) -> bool:
    """Whether the modality says what an arbitrary input is."""
    return type(task.modality.inputs).blank is not Inputs.blank


class NotRun(ModelError):
    """The model cannot be run on what its processor makes."""


def _check_shape(model: PreTrainedModel, logits: Tensor) -> None:
    if logits.shape != (1, model.config.num_labels):
        raise ModelError(
            f"backbone.name: {model.config.model_type} answers with outputs of shape {tuple(logits.shape)} for "
            f"{model.config.num_labels} classes; use another model"
        )


def _logits(model: PreTrainedModel, batch: dict[str, Any]) -> Tensor:
    kind = model.config.model_type
    device = model.device
    try:
        outputs = model(**{name: value.to(device) for name, value in batch.items()})
    except Exception as error:
        how = "in training " if model.training else ""
        raise NotRun(
            f"backbone.name: {kind} cannot be run {how}on what its processor makes ({first_line(error)}); use another model"
        ) from error
    if "logits" not in outputs:
        raise ModelError(
            f"backbone.name: {type(model).__name__} returns no logits, which transformers' pipelines read; use another model"
        )
    return logits_of(outputs)


def _read(logits: Tensor, parameters: dict[str, nn.Parameter]) -> set[str]:
    """Names of the parameters in the graph behind some outputs; no gradient is computed."""
    reached: set[int] = set()
    waiting, seen = [logits.grad_fn], {logits.grad_fn}
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        if (leaf := getattr(node, "variable", None)) is not None:
            reached.add(id(leaf))
        new = {before for before, _ in node.next_functions} - seen
        seen |= new
        waiting.extend(new)
    return {name for name, parameter in parameters.items() if id(parameter) in reached}


@contextlib.contextmanager
def _as_it_was(model: PreTrainedModel) -> Iterator[None]:
    """Give the model its mode and its buffers back, and torch and numpy their random numbers."""
    training, drawn = model.training, np.random.get_state()  # speech models mask by numpy's global generator
    buffers = [
        (module._buffers, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        model.train(training)
        np.random.set_state(drawn)
        for held, name, buffer, before in buffers:
            held[name] = buffer.copy_(before)  # I-BERT puts others in their places

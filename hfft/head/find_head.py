"""Find the head of any model from its structure: the parts outside the base model, and those that depend on the classes."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from hfft.errors import ModelError
from hfft.wording import nearest_path

# Config entries for the dropout before the head, most specific first.
_DROPOUT = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout", "cls_dropout", "final_dropout",
            "summary_last_dropout", "classifier_proj_dropout")  # fmt: skip
# Entries that a config need not have, or that mean the head's dropout only in this architecture.
_DROPOUT_OF = {"deberta": "cls_dropout", "deberta-v2": "cls_dropout", "efficientnet": "dropout_rate"}


def dropout_entry(config: PretrainedConfig) -> str:
    """The config entry for the head's dropout.

    Raises:
        ModelError: the stock head of this architecture has no dropout.
    """
    if config.model_type in _DROPOUT_OF:
        return _DROPOUT_OF[config.model_type]
    for entry in _DROPOUT:
        if hasattr(config, entry):
            return entry
    raise ModelError(f"head.dropout: the head of {config.model_type} has no dropout of its own; leave it out")


def output_parameters(model: PreTrainedModel) -> dict[str, int]:
    """Name -> dimension, for tensors whose shape depends on the number of outputs: the last layer of the head.

    Two copies of the architecture on the meta device, without data, differ in exactly these. The results for the last
    models are cached, because they are needed several times at startup.
    """
    asked = type(model), model.config.to_json_string(use_diff=False)
    if asked not in _ANSWERED:
        if len(_ANSWERED) >= 16:
            _ANSWERED.clear()
        _ANSWERED[asked] = _differing(model)
    return dict(_ANSWERED[asked])


_ANSWERED: dict[tuple[type, str], dict[str, int]] = {}


def _differing(model: PreTrainedModel) -> dict[str, int]:
    shapes = []
    for extra in (1, 2):
        config = copy.deepcopy(model.config)
        # num_labels is derived from id2label; problem_type would forbid some sizes
        config.problem_type, config.num_labels = None, model.config.num_labels + extra
        level = logging.get_verbosity()
        logging.set_verbosity_error()
        try:
            with torch.device("meta"):
                shapes.append({name: p.shape for name, p in type(model)(config).named_parameters()})
        finally:
            logging.set_verbosity(level)
    first, second = shapes
    return {
        name: next(d for d, (a, b) in enumerate(zip(first[name], second[name], strict=True)) if a != b)
        for name in first
        if first[name] != second[name]
    }


def parameter_names(model: PreTrainedModel, extra: Iterable[str] = ()) -> set[str]:
    """Names of all parameters and buffers of the head: outside the base model, dependent on the classes, or in `extra`.

    Raises:
        ModelError: `extra` names a module that does not exist.
    """
    base = model.base_model
    names = list(model.state_dict())
    found = set(output_parameters(model))
    if base is not model:
        inside = {id(t) for t in base.state_dict(keep_vars=True).values()}
        found |= {name for name, t in model.state_dict(keep_vars=True).items() if id(t) not in inside}
    else:
        # There is no separate base model (CLIP's or SigLIP's classifier): use the modules that contain the last layer, and
        # layers that stand beside the whole encoder, such as Whisper's projector.
        owners = {name.rpartition(".")[0] for name in found}
        owners |= {name for name, child in model.named_children() if isinstance(child, nn.Linear)}
        found |= {name for name in names if name.rpartition(".")[0] in owners}
    for module in extra:
        matching = {name for name in names if f".{name}".find(f".{module}.") >= 0}
        if not matching:
            known = [n for n, _ in model.named_modules() if n]
            near = nearest_path(module, known)
            raise ModelError(f"head.new: {model.config.model_type} has no module {module!r}{near}")
        found |= matching
    return found


def top_modules(model: nn.Module, names: set[str]) -> list[str]:
    """The outermost modules that contain only head parameters, such as `classifier`: an adapter saves these in full."""
    parameters = {name for name, _ in model.named_parameters()}
    found: list[str] = []
    for path, module in model.named_modules():
        own = {f"{path}.{n}" for n, _ in module.named_parameters()}
        if path and own and own <= names & parameters and not any(path.startswith(f"{f}.") for f in found):
            found.append(path)
    return found

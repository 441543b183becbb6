"""A model of several tasks as one model for each, which plain transformers loads; the weights they share are stored once."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from hfft import head
from hfft.backbone.published_code import with_head
from hfft.modeling_tasks import of_one
from hfft.tasks.labels import Labels

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARED, OWN = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@torch.no_grad()
def task_model(model: PreTrainedModel, labels: Labels, task: str) -> PreTrainedModel:
    """The model with the outputs of one task alone; its other tensors are those of `model`, not copies.

    Args:
        model: with the outputs of all tasks, and no adapter.
    """
    own, span = dict(labels.tasks)[task], labels.spans[task]
    config = copy.deepcopy(model.config)
    names = own.names or [f"LABEL_{i}" for i in range(own.size)]
    config.id2label, config.label2id = dict(enumerate(names)), {name: i for i, name in enumerate(names)}
    config.problem_type = own.problem
    if config.num_labels != own.size:
        config.num_labels = own.size
    cls = type(model)
    if (getattr(config, "own_head", None) or {}).pop("tasks", None):
        cls = with_head(cls.bare)
    with torch.device("meta"):
        single = cls(config)
    last = head.output_parameters(model)
    number = list(labels.spans).index(task)
    state = {
        own_name: tensor.narrow(last[name], span.start, own.size).clone() if name in last else tensor
        for name, tensor in model.state_dict().items()
        if (own_name := of_one(name, number)) is not None
    }
    single.load_state_dict(state, assign=True)
    single.tie_weights()
    for name, buffer in model.named_buffers():  # those that no checkpoint has are on the meta device still
        owner, _, key = (of_one(name, number) or "").rpartition(".")
        if not key:
            continue
        if getattr(single.get_submodule(owner), key).is_meta:
            setattr(single.get_submodule(owner), key, buffer)
    return single.eval()


def share(folder: Path, first: Path) -> bool:
    """Store the tensors that two saved models have in common in one file, a hard link; returns whether that was done.

    Args:
        folder: a model that was just saved, in one file.
        first: an earlier one, in one file or divided by this function.
    """
    if not (folder / WHOLE).is_file() or not ((first / WHOLE).is_file() or (first / SHARED).is_file()):
        return False  # divided by its size
    ours, theirs = tensors(folder / WHOLE), tensors(first / (SHARED if (first / SHARED).is_file() else WHOLE))
    common = {name for name, tensor in theirs.items() if name in ours and torch.equal(ours[name], tensor)}
    if (first / SHARED).is_file():
        if common != set(theirs):
            return False
    else:
        _divide(first, theirs, common)
    del theirs
    _divide(folder, ours, common, first / SHARED)
    return True


def tensors(file: Path) -> dict[str, Tensor]:
    """Name -> tensor of a file, which stay on the disk until they are read."""
    with safe_open(file, "pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118


def _divide(folder: Path, found: Mapping[str, Tensor], common: set[str], shared: Path | None = None) -> None:
    """Write a model as two files, those in `common` and the others; with `shared`, the first is a link to that."""
    own = {name: tensor.clone() for name, tensor in found.items() if name not in common}
    if shared is None:
        save_file({name: found[name].clone() for name in common}, folder / SHARED, metadata={"format": "pt"})
    else:
        link(shared, folder / SHARED)
    save_file(own, folder / OWN, metadata={"format": "pt"})
    size = sum(tensor.numel() * tensor.element_size() for tensor in found.values())
    files = {name: SHARED if name in common else OWN for name in sorted(found)}
    about = {"total_parameters": sum(tensor.numel() for tensor in found.values()), "total_size": size}
    (folder / INDEX).write_text(json.dumps({"metadata": about, "weight_map": files}, indent=2) + "\n", encoding="utf-8")
    (folder / WHOLE).unlink()


def link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)

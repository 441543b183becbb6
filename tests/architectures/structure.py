"""What must hold of a model's structure: each check returns None, or in one line what does not hold."""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import nn
from transformers import PretrainedConfig

from hfft.head.replace_head import reinitialise
from tests.architectures.case import Case, logits, moved, some
from tests.architectures.tiny import LABELS, model_class, tiny_config

# --- depths


def blocks_by_config(config: PretrainedConfig, modality: str) -> int | None:
    """The number of blocks that the config tells, or None where it does not."""
    if modality == "image" and hasattr(config, "vision_config"):
        config = config.vision_config
    if modality == "text" and hasattr(config, "vision_config"):  # the tower for images comes first
        return config.vision_config.num_hidden_layers + config.get_text_config().num_hidden_layers
    for entry in ("block_sizes", "stage_num_blocks", "num_block_repeats", "depths", "depth"):
        counts = getattr(config, entry, None)
        if isinstance(counts, (list, tuple)):
            return sum(counts)
    if isinstance(getattr(config, "encoder", None), PretrainedConfig):
        return sum(blocks_by_config(part, modality) or 0 for part in (config.encoder, config.decoder))
    if isinstance(getattr(config, "encoder_layers", None), int):
        return config.encoder_layers + config.decoder_layers
    if config.is_encoder_decoder:
        return config.num_layers + config.num_decoder_layers
    if hasattr(config, "num_hidden_groups"):  # one group of layers stands for all that share it
        return config.num_hidden_groups * config.inner_group_num
    if hasattr(config, "num_self_attends_per_block"):  # repeated with the same weights
        return config.num_self_attends_per_block
    if hasattr(config, "local_transformer_stride"):  # one block of characters on either side
        return config.num_hidden_layers + 2
    return getattr(config.get_text_config(), "num_hidden_layers", None)


def depths(case: Case) -> str | None:
    """Every parameter has a depth; embeddings are 0, the head N + 1, and N is the number the config tells."""
    model, found = case.tiny.model, case.depths
    names = {name for name, _ in model.named_parameters()}
    if set(found.tensors) != names:
        return f"no depth for {some(names ^ set(found.tensors))}"
    told = blocks_by_config(model.config, case.modality)
    if found.blocks < 1 or (told is not None and found.blocks != told):
        return f"{found.blocks} blocks, the config tells {told}"
    if empty := set(range(1, found.blocks + 1)) - set(found.tensors.values()):
        return f"no parameter in block {some(map(str, empty))}"
    if wrong := {name for name in case.head_names & names if found.tensors[name] != found.head}:
        return f"of the head, yet not at its depth: {some(wrong)}"
    try:
        embeddings = model.get_input_embeddings()
    except NotImplementedError:  # images have none, or the architecture does not tell
        embeddings = None
    if isinstance(embeddings, nn.Module):
        inside = {id(p) for p in embeddings.parameters()}
        if wrong := {name for name, p in model.named_parameters() if id(p) in inside and found.tensors[name] != 0}:
            return f"input embeddings at depth {found.tensors[min(wrong)]}: {some(wrong)}"
    return against_order_of_use(case) if 0 in found.tensors.values() else "nothing at depth 0"


def against_order_of_use(case: Case) -> str | None:
    """What runs before the first block is at depth 0, and nothing behind the last block is, but for tables."""
    model, found, order = case.fresh(), case.depths, []
    for path, module in model.named_modules():
        if path in found.modules:
            module.register_forward_pre_hook(partial(lambda path, *_: order.append(path), path))
    with torch.no_grad():
        logits(model, case.tiny.inputs)
    first_use = {path: i for i, path in reversed(list(enumerate(order)))}
    blocks = [i for path, i in first_use.items() if 1 <= found.modules[path] <= found.blocks]
    start = min((i for path, i in first_use.items() if found.modules[path] == 1), default=min(blocks))
    if wrong := {path for path, i in first_use.items() if i < start and found.modules[path] > 0}:
        return f"runs before the first block, yet at depth {found.modules[min(wrong)]}: {some(wrong)}"
    tables = {path for path, module in model.named_modules() if isinstance(module, nn.Embedding)}
    if wrong := {path for path, i in first_use.items() if i > max(blocks) and not found.modules[path]} - tables:
        return f"runs behind the last block, yet at depth 0: {some(wrong)}"
    return None


# --- head


def expected_head(case: Case) -> set[str]:
    """What depends on the number of classes, and what lies outside the base model."""
    cls = model_class(case.modality, case.name)
    shapes = []
    for count in (LABELS, LABELS + 2):
        with torch.device("meta"):
            model = cls(tiny_config(case.modality, case.name, count))
        shapes.append({name: t.shape for name, t in model.state_dict().items()})
    dependent = {name for name in shapes[0] if shapes[0][name] != shapes[1][name]}
    prefix = cls.base_model_prefix
    if prefix and hasattr(model, prefix):
        return dependent | {name for name in shapes[0] if not name.startswith(f"{prefix}.")}
    return dependent


def head_found(case: Case) -> str | None:
    """The head is what depends on the classes and what is outside the base model; drawn anew, nothing else changes."""
    names, expected = case.head_names, expected_head(case)
    if missing := expected - names:
        return f"not taken for the head: {some(missing)}"
    if extra := names - expected:
        return f"taken for the head: {some(extra)}"
    if not names:
        return "no head"
    model = case.fresh()
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(7)
    reinitialise(model, names)
    changed = moved(before, model.state_dict())
    if changed - names:
        return f"drawn anew with the head: {some(changed - names)}"
    stayed = names & {name for name, _ in model.named_parameters()} - changed
    return f"not drawn anew: {some(stayed)}" if stayed else None

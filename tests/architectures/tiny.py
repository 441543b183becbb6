"""A tiny random instance of any classification type of transformers, with inputs for it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.models.auto import modeling_auto

from tests.architectures.overrides import CONFIGS, INPUTS

WIDTH, HEADS, LAYERS, VOCABULARY, POSITIONS, SIDE = 32, 4, 3, 64, 64, 64
LENGTH = 16  # tokens of an example; texts are drawn from the upper half of the vocabulary, which holds nothing special
LABELS = 3

TYPES: dict[str, dict[str, Any]] = {
    "image": dict(modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES),
    "text": dict(modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES),
}
ROWS = [(modality, name) for modality, types in TYPES.items() for name in types]


def _at_most(most: int) -> Callable[[int], int]:
    return lambda value: min(value, most)


# The kinds of whole numbers in a config, by the entry's name: the first that matches gives the tiny value.
_NUMBERS: tuple[tuple[str, Callable[[int], int]], ...] = (
    (r"pad_token_id|pad_index|decoder_start_token_id", lambda _: 0),
    (r"(bos|cls)_(token_id|index)", lambda _: 1),
    (r"(forced_)?(eos|sep|eod)_(token_id|index)", lambda _: 2),
    (r"(mask|unk)_(token_id|index)", lambda _: 3),
    (r"image_token_(id|index)", lambda _: 4),
    (r"\w*(image|video|vision|boi|eoi)\w*_token_(id|index)|boi_token_index|eoi_token_index", lambda _: 5),
    (r"(task_)?type_vocab_size", _at_most(4)),
    (r"(\w+_)?vocab_size", _at_most(VOCABULARY)),
    (r"num_key_value_heads|num_kv_heads|linear_num_key_heads", _at_most(2)),
    (r"num_experts_per_tok|moe_topk", _at_most(2)),
    (r"n_shared_experts", _at_most(1)),
    (r"(num|n)_(\w+_)?experts", _at_most(4)),
    (r"(num_|n_)(\w+_)?heads?|n_head|(en|de)coder_attention_heads", _at_most(HEADS)),
    (r"(\w+_)?head_dim|d_kv|d_head|kv_channels|attention_head_size|query_pre_attn_scalar", _at_most(WIDTH // HEADS)),
    (r"\w+_lora_rank|adapter_rank", _at_most(WIDTH // 2)),
    (r"(num_|n_)(hidden_|decoder_|self_attends_per_)?(layers?|block)|(en|de)coder_layers", _at_most(LAYERS)),
    (r"first_k_dense_replace", _at_most(1)),
    (r"\w*intermediate_size|(\w+_)?ffn_dim|d_ff|d_inner|dff|ffn_hidden_size|feed_forward_size", _at_most(2 * WIDTH)),
    (r"hidden_dim", _at_most(2 * WIDTH)),
    (r"\w*hidden_size|d_model|n_embd|dim|emb_dim|embed_dim|\w*embedding_size|projection_(dim|size)", _at_most(WIDTH)),
    (r"(prediction_head|pooler_output|out_hidden)_size|\w+_embed_dim|word_embed_proj_dim", _at_most(WIDTH)),
    (r"num_latents", _at_most(8)),
    (r"d_latents|auxiliary_channels|entity_emb_size", _at_most(WIDTH)),
    (r"(original_)?max_position_embeddings|n_positions|max_2d_position_embeddings|max_seq_len", _at_most(POSITIONS)),
    (r"image_size|input_size", _at_most(SIDE)),
    (r"patch_size", lambda size: 16 if size >= 14 else size),
)
# The same for lists of them, one for each stage.
_LISTS: tuple[tuple[str, Callable[[list[int]], list[int]]], ...] = (
    (r"depths?|num_block_repeats", lambda counts: [min(count, 2) for count in counts]),
    (r"(neck_)?hidden_sizes|embed_dims?", lambda sizes: [16 * max(1, round(size / min(sizes))) for size in sizes]),
    (r"num_attention_heads|num_heads", lambda counts: [HEADS for _ in counts]),
    (r"image_size", lambda sides: [SIDE for _ in sides]),
)


@dataclass(frozen=True)
class Tiny:
    """A tiny model, in float32 and in eval, with inputs and labels for four examples."""

    model: PreTrainedModel
    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor


def tiny_entries(config: PretrainedConfig) -> dict[str, Any]:
    """What to give to the config's class, for a tiny model of the kind: every size of the default config shrunk."""
    known = set(inspect.signature(type(config)).parameters)
    entries: dict[str, Any] = {}
    for name, value in vars(config).items():
        if isinstance(value, PretrainedConfig) and name in known:
            entries[name] = {**tiny_entries(value), "model_type": value.model_type}
        elif name in known and name not in ("num_labels", "chunk_size_feed_forward") and not isinstance(value, bool):
            single = isinstance(value, int)
            if single or (isinstance(value, (list, tuple)) and value and all(type(v) is int for v in value)):
                rules = _NUMBERS if single else _LISTS
                rule = next((rule for pattern, rule in rules if re.fullmatch(pattern, name)), None)
                if rule is not None:
                    entries[name] = rule(value)
    heads = getattr(config, "num_attention_heads", None)
    for name in ("num_key_value_heads", "num_kv_heads"):
        if name in entries and getattr(config, name) == heads:  # as many as there are queries, and some need that
            entries[name] = entries["num_attention_heads"]
    if "head_dim" in known:  # some derive it, some do not
        entries["head_dim"] = WIDTH // HEADS
    return entries


def tiny_config(modality: str, name: str, labels: int = LABELS) -> PretrainedConfig:
    """The config of a tiny instance of a model type, with `labels` outputs."""
    default = AutoConfig.for_model(name)
    entries = tiny_entries(default)
    for entry, value in CONFIGS.get(f"{name}/{modality}", CONFIGS.get(name, {})).items():
        entries[entry] = {**entries[entry], **value} if isinstance(entries.get(entry), dict) else value
    config = type(default)(**entries)
    for part in (config, *(value for value in vars(config).values() if isinstance(value, PretrainedConfig))):
        for entry, value in vars(part).items():
            if "drop" in entry and isinstance(value, float) and value > 0.1:  # some let nothing through in two steps
                setattr(part, entry, 0.1)
    config.num_labels = labels
    if modality == "text" and getattr(config.get_text_config(), "pad_token_id", None) is None:
        config.get_text_config().pad_token_id = config.pad_token_id = 0
    config.architectures = [model_class(modality, name).__name__]
    return config


def model_class(modality: str, name: str) -> type[PreTrainedModel]:
    """The class of a model type; the first, where there are several."""
    found = TYPES[modality][name]
    return getattr(transformers, found if isinstance(found, str) else found[0])


def tiny_model(modality: str, name: str, seed: int = 0, labels: int = LABELS) -> PreTrainedModel:
    """A tiny instance with every parameter moved a little: zeros and ones of an untrained model pass little on."""
    torch.manual_seed(seed)
    model = model_class(modality, name)(tiny_config(modality, name, labels)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model


def tiny(modality: str, name: str, labels: int = LABELS) -> Tiny:
    """A tiny model with inputs and labels for four examples."""
    model = tiny_model(modality, name, labels=labels)
    draw = torch.Generator().manual_seed(1)
    inputs = image_inputs(model, draw) if modality == "image" else text_inputs(model, draw)
    special = INPUTS.get(f"{name}/{modality}", INPUTS.get(name))
    inputs = special(inputs, model.config) if special else inputs
    settle_statistics(model, inputs)
    return Tiny(model, inputs, torch.tensor([0, 1, 2, 1]))


def settle_statistics(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> None:
    """Give batch norms the statistics of these inputs: with those of no training at all, signals die in eval."""
    norms = [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    if norms:
        with torch.no_grad():
            model(**inputs)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
        norm.eval()


def side_of(config: PretrainedConfig) -> int:
    """Pixels along an image that the model takes."""
    side = getattr(config, "image_size", None) or getattr(getattr(config, "vision_config", None), "image_size", SIDE)
    return side if isinstance(side, int) else side[0]


def image_inputs(model: PreTrainedModel, draw: torch.Generator, count: int = 4) -> dict[str, torch.Tensor]:
    """Random pixels of the size that the model takes."""
    side = side_of(model.config)
    return {"pixel_values": torch.randn(count, 3, side, side, generator=draw)}


def text_inputs(model: PreTrainedModel, draw: torch.Generator, count: int = 4) -> dict[str, torch.Tensor]:
    """Random tokens without padding, the last of them the end of the text where the model has one."""
    config = model.config.get_text_config()
    ids = torch.randint(VOCABULARY // 2, VOCABULARY, (count, LENGTH), generator=draw)
    end = getattr(config, "eos_token_id", None)
    if isinstance(end, int) and end < VOCABULARY:
        ids[:, -1] = end
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

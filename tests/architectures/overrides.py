"""What the generic rule of a tiny model cannot know, type by type."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

Inputs = dict[str, torch.Tensor]

_HYBRID = {"layer_types": ["linear_attention", "linear_attention", "full_attention"]}
_LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_GROUPS = {"n_routed_experts": 8, "n_group": 2, "topk_group": 1, "num_experts_per_tok": 2}
_SHARED = {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2, "use_mamba_kernels": False}

# Entries of the config, beside those that the rule gives.
CONFIGS: dict[str, dict[str, Any]] = {
    "axk1": _GROUPS,
    "bit": {"embedding_size": 32, "hidden_sizes": [32, 64, 64, 64], "num_groups": 4},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        "rope_parameters": dict.fromkeys(("sliding_attention", "full_attention"), _ROPE),
    },
    "cvt": {"depth": [1, 2, 3]},  # it looks its rates up by stage in a list of blocks
    "deepseek_v2": _GROUPS,
    "deepseek_v3": _GROUPS,
    "donut-swin": {"embed_dim": 16, "depths": [1, 2], "num_heads": [2, 2], "window_size": 4},
    "efficientnet": {
        "width_coefficient": 0.25,
        "depth_coefficient": 1.0,
        "in_channels": [32, 16],
        "out_channels": [16, 24],
        "kernel_sizes": [3, 3],
        "strides": [1, 2],
        "num_block_repeats": [1, 2],
        "expand_ratios": [1, 2],
        "hidden_dim": 320,
    },
    "esm": {"vocab_size": 64},
    "gpt_neo": {"attention_types": [[["global", "local", "global"], 1]]},
    "gptj": {"rotary_dim": 4},
    "hgnet_v2": {
        "embedding_size": 16,
        "hidden_sizes": [16, 16, 32, 32],
        "stem_channels": [3, 8, 16],
        "stage_in_channels": [16, 16, 16, 32],
        "stage_mid_channels": [8, 8, 8, 8],
        "stage_out_channels": [16, 16, 32, 32],
        "stage_numb_of_layers": [2, 2, 2, 2],
    },
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
    "layoutlmv3": {"coordinate_size": 5, "shape_size": 6},
    "lilt": {"hidden_size": 48},
    "markuplm": {"max_depth": 4, "xpath_unit_hidden_size": 4},
    "mobilenet_v1": {"depth_multiplier": 0.25},
    "mobilenet_v2": {"depth_multiplier": 0.25},
    "nemotron": {"num_key_value_heads": 2},
    "qwen3_5": {
        "vision_config": {"depth": 3},
        "text_config": {
            **_HYBRID,
            **_LINEAR,
            "rope_parameters": {**_ROPE, "mrope_section": [1, 1, 2], "partial_rotary_factor": 1.0},
        },
    },
    "qwen3_5_text": {**_HYBRID, **_LINEAR},
    "qwen3_next": {**_HYBRID, **_LINEAR},
    "reformer": {
        "axial_pos_shape": [4, 4],
        "axial_pos_embds_dim": [16, 16],
        "attn_layers": ["local", "lsh", "local"],
        "local_attn_chunk_length": 4,
        "lsh_attn_chunk_length": 4,
        "num_buckets": 4,
        "hash_seed": 0,
    },
    "swiftformer": {"depths": [3, 3, 4, 3]},  # the last block of a stage is of a kind of its own
    "swin": {"embed_dim": 16, "depths": [1, 2], "num_heads": [2, 2], "window_size": 4},
    "swinv2": {"embed_dim": 16, "depths": [1, 2], "num_heads": [2, 2], "window_size": 4},
    "t5": {"decoder_start_token_id": 0},
    "textnet": {
        "stem_out_channels": 16,
        "hidden_sizes": [16, 16, 24, 24, 32],
        "conv_layer_kernel_sizes": [[[3, 3], [3, 1]], [[3, 3]], [[1, 3]], [[3, 3]]],
        "conv_layer_strides": [[1, 2], [2], [1], [2]],
    },
    "xmod": {"default_language": "en_XX"},
    "zamba": {**_SHARED, "attention_hidden_size": 64, "attention_head_dim": 16},
    "zamba2": _SHARED,
}


def _boxes(inputs: Inputs, config: Any) -> Inputs:
    box = torch.tensor([1, 2, 8, 9]).expand(*inputs["input_ids"].shape, 4)
    return {**inputs, "bbox": box}


def _pixels_as_tokens(inputs: Inputs, config: Any) -> Inputs:
    draw = torch.Generator().manual_seed(2)
    return {"input_ids": torch.randint(0, config.vocab_size, (len(inputs["pixel_values"]), 16), generator=draw)}


def _patches(inputs: Inputs, config: Any) -> Inputs:
    vision = config.vision_config
    side = 4
    count = len(inputs["pixel_values"])
    draw = torch.Generator().manual_seed(2)
    return {
        "pixel_values": torch.randn(count, side * side, 3 * vision.patch_size**2, generator=draw),
        "pixel_attention_mask": torch.ones(count, side * side, dtype=torch.long),
        "spatial_shapes": torch.tensor([[side, side]] * count),
    }


# What a model takes beside or in place of tokens, or of pixels.
INPUTS: dict[str, Callable[[Inputs, Any], Inputs]] = {
    "imagegpt": _pixels_as_tokens,
    "layoutlm": _boxes,
    "layoutlmv3": _boxes,
    "lilt": _boxes,
    "siglip2": _patches,
}


def _of_tables(config: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "vocab.txt"
        words.write_text(
            "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[EMPTY]", *"abcdefghijklmnopqrstuvwxyz"])
        )
        return transformers.TapasTokenizer(str(words))


# The processors of models that take no plain pixels, no plain texts or whose tokens are not those of a vocabulary.
PROCESSORS: dict[str, Callable[[Any], Any]] = {
    "canine": lambda config: transformers.CanineTokenizer(),
    "imagegpt": lambda config: transformers.ImageGPTImageProcessorPil(
        clusters=np.linspace(-1, 1, config.vocab_size - 1)[:, None].repeat(3, 1), size={"height": 4, "width": 4}
    ),
    "tapas": _of_tables,
    "siglip2": lambda config: transformers.Siglip2ImageProcessorPil(
        patch_size=config.vision_config.patch_size, max_num_patches=16
    ),
}

"""Tiny random models of many architectures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from hfft import head, layers
from hfft.tasks.table import TASKS
from tests.architectures.overrides import CONFIGS

VOCABULARY = 40  # token 0 pads
SIDE = 32  # pixels of an image
SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
SEVERAL = "several_tasks"
PROBLEMS = (SINGLE, MULTI, REGRESSION)


@dataclass(frozen=True)
class Architecture:
    """How to build a tiny instance of a model type, and what its structure is known to be.

    Attributes:
        head: every parameter outside the backbone, in order.
        last: those of them whose shape depends on the number of outputs.
        blocks: paths of the blocks from the input on.
    """

    modality: str
    config: dict[str, Any]
    head: tuple[str, ...]
    last: tuple[str, ...]
    blocks: tuple[str, ...]

    @property
    def task(self) -> str:
        """The task that fits."""
        return f"{self.modality}-classification"


def _linear(*paths: str) -> tuple[str, ...]:
    return tuple(f"{path}.{leaf}" for path in paths for leaf in ("weight", "bias"))


def _flat(path: str, count: int = 3) -> tuple[str, ...]:
    return tuple(f"{path}.{i}" for i in range(count))


def _nested(outer: str, inner: str, depths: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"{outer}.{i}.{inner}.{j}" for i, depth in enumerate(depths) for j in range(depth))


_BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
    "vocab_size": VOCABULARY,
    "pad_token_id": 0,
}
_VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": SIDE,
    "patch_size": 8,
}
_CLASSIFIER = _linear("classifier")

TEXT = {
    "bert": Architecture("text", _BERT, _CLASSIFIER, _CLASSIFIER, _flat("bert.encoder.layer")),
    "roberta": Architecture(
        "text",
        _BERT,
        _linear("classifier.dense", "classifier.out_proj"),
        _linear("classifier.out_proj"),
        _flat("roberta.encoder.layer"),
    ),
    "distilbert": Architecture(
        "text",
        {
            "dim": 16,
            "n_layers": 3,
            "n_heads": 2,
            "hidden_dim": 24,
            "max_position_embeddings": 24,
            "vocab_size": VOCABULARY,
        },
        _linear("pre_classifier", "classifier"),
        _CLASSIFIER,
        _flat("distilbert.transformer.layer"),
    ),
    "electra": Architecture(
        "text",
        {**_BERT, "embedding_size": 8},
        _linear("classifier.dense", "classifier.out_proj"),
        _linear("classifier.out_proj"),
        _flat("electra.encoder.layer"),
    ),
    "deberta-v2": Architecture(
        "text",
        {
            **_BERT,
            "relative_attention": True,
            "max_relative_positions": 8,
            "position_buckets": 4,
            "pos_att_type": ["c2p", "p2c"],
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "type_vocab_size": 0,
        },
        _linear("pooler.dense", "classifier"),
        _CLASSIFIER,
        _flat("deberta.encoder.layer"),
    ),
    "modernbert": Architecture(
        "text",
        {
            **_BERT,
            "bos_token_id": 1,
            "cls_token_id": 1,
            "eos_token_id": 2,
            "sep_token_id": 2,
            "local_attention": 8,
        },
        ("head.dense.weight", "head.norm.weight", *_CLASSIFIER),
        _CLASSIFIER,
        _flat("model.layers"),
    ),
    "gpt2": Architecture(
        "text",
        {
            "n_embd": 16,
            "n_layer": 3,
            "n_head": 2,
            "n_positions": 24,
            "vocab_size": VOCABULARY,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        ("score.weight",),
        ("score.weight",),
        _flat("transformer.h"),
    ),
    "llama": Architecture(
        "text",
        {
            **_BERT,
            "num_key_value_heads": 1,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        ("score.weight",),
        ("score.weight",),
        _flat("model.layers"),
    ),
}
IMAGE = {
    "vit": Architecture("image", _VIT, _CLASSIFIER, _CLASSIFIER, _flat("vit.layers")),
    "dinov2": Architecture(
        "image",
        {**{k: v for k, v in _VIT.items() if k != "intermediate_size"}, "mlp_ratio": 2},
        _CLASSIFIER,
        _CLASSIFIER,
        _flat("dinov2.encoder.layer"),
    ),
    "beit": Architecture(
        "image",
        {**_VIT, "use_relative_position_bias": True, "use_mean_pooling": True, "layer_scale_init_value": 0.1},
        _CLASSIFIER,
        _CLASSIFIER,
        _flat("beit.layers"),
    ),
    "convnext": Architecture(
        "image",
        {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 2, 1], "image_size": SIDE, "patch_size": 2},
        _CLASSIFIER,
        _CLASSIFIER,
        _nested("convnext.encoder.stages", "layers", (1, 1, 2, 1)),
    ),
    "swin": Architecture(
        "image",
        {
            "embed_dim": 8,
            "depths": [1, 2],
            "num_heads": [2, 2],
            "window_size": 2,
            "mlp_ratio": 2.0,
            "image_size": SIDE,
            "patch_size": 4,
        },
        _CLASSIFIER,
        _CLASSIFIER,
        _nested("swin.encoder.layers", "blocks", (1, 2)),
    ),
    "resnet": Architecture(
        "image",
        {"embedding_size": 8, "hidden_sizes": [8, 12, 16], "depths": [2, 1, 2], "layer_type": "basic"},
        _linear("classifier.1"),
        _linear("classifier.1"),
        _nested("resnet.encoder.stages", "layers", (2, 1, 2)),
    ),
    "efficientnet": Architecture(
        "image",
        {
            **CONFIGS["efficientnet"],
            "image_size": SIDE,
            "depthwise_padding": [],
            "initializer_range": 0.5,  # so deep and narrow, it would pass nothing on
        },
        _CLASSIFIER,
        _CLASSIFIER,
        _flat("efficientnet.encoder.blocks"),
    ),
    "clip": Architecture(
        "image",
        {
            "vision_config": _VIT,
            "text_config": {**_BERT, "bos_token_id": 1, "eos_token_id": 2},
        },
        _CLASSIFIER,
        _CLASSIFIER,
        _flat("vision_model.encoder.layers"),
    ),
    "siglip": Architecture(
        "image",
        {
            "vision_config": _VIT,
            "text_config": {**_BERT, "bos_token_id": 1, "eos_token_id": 2},
        },
        _CLASSIFIER,
        _CLASSIFIER,
        _flat("vision_model.encoder.layers"),
    ),
}
ALL = {**TEXT, **IMAGE}
# Of a test of every architecture, the fast tier keeps these.
FEW = ("bert", "vit", "resnet")
EVERY = [pytest.param(name, marks=() if name in FEW else pytest.mark.slow) for name in ALL]


def tiny_config(name: str, labels: int = 3, dropout: float | None = 0.0, **changes: Any) -> PretrainedConfig:
    """The config of a tiny instance; every dropout and drop path at `dropout`, or at its default where that is None."""
    config = AutoConfig.for_model(name, **{**ALL[name].config, **changes})
    config.num_labels = labels
    if dropout is not None:
        for part in (
            config,
            *(getattr(config, sub) for sub in ("vision_config", "text_config") if hasattr(config, sub)),
        ):
            for key, value in list(vars(part).items()):
                if ("drop" in key or "pdrop" in key) and isinstance(value, (int, float)):
                    setattr(part, key, dropout)
    return config


def tiny(name: str, labels: int = 3, dropout: float | None = 0.0, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A tiny random instance with a head of `labels` outputs, in float32 and in eval."""
    config = tiny_config(name, labels, dropout, **changes)
    torch.manual_seed(seed)
    auto = getattr(transformers, TASKS[ALL[name].task].auto_class)
    return auto.from_config(config).eval()


def head_and_depths(model: PreTrainedModel) -> tuple[set[str], layers.Depths]:
    """What a run finds out about a model before it trains it."""
    names = head.parameter_names(model)
    return names, layers.depths(model, names)

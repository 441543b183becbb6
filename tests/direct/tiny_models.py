"""Tiny models with random weights that answer as they are: with a head, an image-text model, one for inference, an encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from hfft.backbone.spec import Backbone
from tests import stand_ins

ANIMALS = ["tabby, tabby cat", "Persian cat", "beagle", "Yorkshire terrier", "truck"]
INFERENCE = ["contradiction", "neutral", "entailment"]
SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "projection_dim": 16,
}  # fmt: skip


def classes(names: list[str]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


def resnet(folder: Path, names: list[str] = ANIMALS) -> Backbone:
    """A convolutional net of these classes, as transformers saves it."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    config = transformers.ResNetConfig(**sizes, **classes(names))
    net = transformers.ResNetForImageClassification(config)
    torch.nn.init.normal_(net.classifier[1].bias)
    net.save_pretrained(folder)
    transformers.ConvNextImageProcessorPil(size={"shortest_edge": 32}, crop_pct=1.0).save_pretrained(folder)
    return Backbone(name=str(folder))


def inference(folder: Path, names: list[str] = INFERENCE) -> Backbone:
    """A text encoder that says of a pair of texts whether the first entails the second."""
    torch.manual_seed(0)
    config = transformers.BertConfig(**stand_ins.small(initializer_range=0.5), **classes(names))
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    stand_ins.tokenizer().save_pretrained(folder)
    return Backbone(name=str(folder))


def encoder(folder: Path) -> Backbone:
    """A text encoder without a head."""
    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig(**stand_ins.small(initializer_range=0.5))).save_pretrained(folder)
    stand_ins.tokenizer().save_pretrained(folder)
    return Backbone(name=str(folder))


def clip(folder: Path) -> Backbone:
    """An image-text model."""
    torch.manual_seed(0)
    text = transformers.CLIPTextConfig(
        vocab_size=40, max_position_embeddings=32, eos_token_id=3, bos_token_id=2, pad_token_id=0, **SIZES
    )
    vision = transformers.CLIPVisionConfig(image_size=32, patch_size=8, **SIZES)
    parts = {"text_config": text.to_dict(), "vision_config": vision.to_dict()}
    config = transformers.CLIPConfig(**parts, projection_dim=16)
    return _image_text(transformers.CLIPModel(config), folder)


def siglip(folder: Path) -> Backbone:
    """An image-text model with a bias, and texts of one length."""
    torch.manual_seed(0)
    text = {"vocab_size": 40, "max_position_embeddings": 64, "pad_token_id": 0, "projection_size": 32, **SIZES}
    vision = {"image_size": 32, "patch_size": 8, **SIZES}
    model = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))
    model.logit_scale.data.fill_(1.0)
    model.logit_bias.data.fill_(-0.3)
    return _image_text(model, folder)


def _image_text(model: Any, folder: Path) -> Backbone:
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "embed" not in name:
            parameter.data.mul_(8)
    model.save_pretrained(folder)
    stand_ins.tokenizer().save_pretrained(folder)
    transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    return Backbone(name=str(folder))

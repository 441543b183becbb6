"""AdaBN and TENT: whose statistics, which weights, which answers; the model itself stays as it is."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    ConvNextImageProcessor,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from hfft.errors import BadInput
from hfft.predict.predictor import Predictor
from hfft.scenarios.adaptation.test_time import adabn, batch_norms, batches_of, few_rows, tent
from hfft.strategy.regularise.entropy import entropy
from hfft.tasks.table import TASKS

IMAGE = TASKS["image-classification"].modality
PROCESSOR = {"size": {"shortest_edge": 16}, "crop_pct": 1.0, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


@pytest.fixture(params=["resnet", "vit"])
def predictor(request) -> Predictor:
    torch.manual_seed(0)
    if request.param == "resnet":
        sizes = {"hidden_sizes": [8, 16], "depths": [1, 1], "embedding_size": 8, "layer_type": "basic"}
        model = ResNetForImageClassification(ResNetConfig(**sizes, num_labels=3))
    else:
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
        model = ViTForImageClassification(ViTConfig(**sizes, image_size=16, patch_size=8, num_labels=3))
    return Predictor(model.eval(), ConvNextImageProcessor(**PROCESSOR), IMAGE)


@pytest.fixture
def inputs() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 120, (16, 16, 3), np.uint8)) for _ in range(20)]


def weights(predictor: Predictor) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in predictor.model.state_dict().items()}


def test_adabn_takes_the_statistics_of_the_rows_and_leaves_the_model(predictor, inputs):
    if not batch_norms(predictor.model):
        with pytest.raises(BadInput, match=r"no BatchNorm, whose statistics it would replace; use tent"):
            adabn(predictor, inputs)
        return
    before = weights(predictor)
    found = adabn(predictor, inputs, size=20)
    assert all(torch.equal(before[name], value) for name, value in predictor.model.state_dict().items())
    first, seen = predictor.model.resnet.embedder.embedder.normalization, []
    handle = first.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    predictor.logits(inputs, 20)
    handle.remove()
    adapted = found.model.resnet.embedder.embedder.normalization
    torch.testing.assert_close(adapted.running_mean, seen[0].mean((0, 2, 3)))
    torch.testing.assert_close(adapted.running_var, seen[0].var((0, 2, 3)))
    assert not found.model.training
    same = copy.deepcopy(weights(found))
    found.logits(inputs, 20)
    assert all(torch.equal(same[name], value) for name, value in found.model.state_dict().items()), (
        "answers move nothing"
    )


def test_tent_moves_norms_alone_and_answers_before_its_step(predictor, inputs):
    before = weights(predictor)
    logits, count = tent(predictor, inputs, size=20)
    assert all(torch.equal(before[name], value) for name, value in predictor.model.state_dict().items())
    norms = [name for name, _ in predictor.model.named_parameters() if "norm" in name]
    assert count == sum(before[name].numel() for name in norms) > 0
    if not batch_norms(predictor.model):  # of one batch every row is answered by the model as it was
        torch.testing.assert_close(logits, predictor.logits(inputs, 20))
        twice, _ = tent(predictor, inputs * 8, size=20, learning_rate=0.05)
        plain = predictor.logits(inputs * 8, 20)
        assert entropy(twice[-100:]).mean() < entropy(plain[-100:]).mean()


def test_tent_normalises_by_the_batch_where_there_is_batchnorm(predictor, inputs):
    if batch_norms(predictor.model):
        logits, _ = tent(predictor, inputs, size=20)
        torch.testing.assert_close(logits, adabn_of_batch(predictor, inputs), atol=1e-5, rtol=1e-4)
        assert not torch.allclose(logits, predictor.logits(inputs, 20), atol=1e-3)


def adabn_of_batch(predictor: Predictor, inputs: list[Image.Image]) -> torch.Tensor:
    """The logits of a batch in training mode, put back into the order of the rows."""
    model = copy.deepcopy(predictor.model)
    for module in batch_norms(model):
        module.train()
    (batch,) = [batch for _, batch in predictor.batches(inputs, 20)]
    with torch.no_grad():
        return model(**batch).logits


def test_every_row_is_in_one_batch_and_batches_are_nearly_equal():
    found = batches_of(130, 64, 0)
    assert sorted(map(len, found)) == [43, 43, 44]
    assert sorted(np.concatenate(found)) == list(range(130))


def test_small_batches_are_told():
    assert few_rows(130, 64) is None
    assert "batches of 5 rows" in few_rows(5, 64)
    assert "batches of 8 rows" in few_rows(64, 8)

"""The founding article's run is the plain loop of its hyperparameters."""

from pathlib import Path

import pytest
import torch
from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification

from hfft.errors import BadInput
from hfft.recipe import load_recipe
from hfft.studies.plain_loop import difference, plain_loop


@pytest.fixture(scope="module")
def resnet(tmp_path_factory) -> Path:
    """A small residual net with a stem as ResNet-50's, on disk."""
    folder = tmp_path_factory.mktemp("resnet")
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", num_labels=3)
    ResNetForImageClassification(config).save_pretrained(folder)
    ConvNextImageProcessor(size={"shortest_edge": 32}).save_pretrained(folder)
    return folder


def founding(resnet: Path, *overrides: str):
    """The founding article's recipe, on the small net and digits."""
    few = ("data.columns={}", "data.path=digits", "training.per_device_train_batch_size=20")
    few += ("data.augment=[{random_crop: {size: 8, padding: 1}}, horizontal_flip]", "training.dataloader_num_workers=0")
    return load_recipe("resnet50_cifar10_plain", f"backbone.name={resnet}", *few, *overrides)


@pytest.mark.slow
def test_twenty_steps_are_those_of_a_plain_loop(resnet):
    assert difference(founding(resnet), steps=20) < 1e-10


@pytest.mark.slow
def test_another_decay_or_rate_would_be_seen(resnet, monkeypatch):
    def other(model, batches, **given):
        return plain_loop(model, batches, **{**given, "weight_decay": 0.0})

    monkeypatch.setattr("hfft.studies.plain_loop.plain_loop", other)
    assert difference(founding(resnet), steps=3) > 1e-8


@pytest.mark.parametrize(
    "change", ["training.lr_scheduler_type=cosine", "layers.train=head", "training.optim=adamw_torch"]
)
def test_a_run_of_another_kind_is_refused(resnet, change):
    with pytest.raises(BadInput, match="does not train as the plain loop does"):
        difference(founding(resnet, change))


def test_the_loop_by_hand():
    """Two steps of momentum with decay on one weight, computed on paper."""

    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))

        def forward(self, x):
            return type("Out", (), {"logits": torch.stack([self.w * x, -self.w * x], 1)})

    model = Two()
    batch = {"pixel_values": torch.ones(1, dtype=torch.float64), "labels": torch.tensor([0])}
    plain_loop(model, [batch, batch], lr=0.1, momentum=0.9, weight_decay=0.5, max_norm=1e9)
    w, v = 1.0, 0.0
    for _ in range(2):
        gradient = -2 / (1 + torch.e ** (2 * w)) + 0.5 * w
        v = 0.9 * v + gradient
        w -= 0.1 * v
    assert abs(float(model.w.detach()) - w) < 1e-12

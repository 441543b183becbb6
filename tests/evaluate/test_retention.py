"""What a backbone still does of its old task is measured with its old head, after training and after edits."""

import numpy as np
import pytest
import torch

from hfft.errors import ModelError
from hfft.evaluate.old_task import measure_retention, retention, with_old_head
from tests.backbone.edit.test_edit import batch, done, logits
from tests.examples import SINGLE, tiny
from tests.training import arguments, examples, finetuner, labels_of


def test_it_is_agreement_and_divergence():
    rng = np.random.default_rng(2)
    before, after = rng.normal(size=(6, 4)) * 2, rng.normal(size=(6, 4))
    p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (before, after))
    found = retention(torch.tensor(before), torch.tensor(after))
    assert found["agreement"] == pytest.approx(np.mean(before.argmax(1) == after.argmax(1)))
    assert found["divergence"] == pytest.approx(np.mean((p * np.log(p / q)).sum(1)))
    same = torch.tensor(before)
    assert retention(same, same) == {"agreement": 1.0, "divergence": pytest.approx(0.0, abs=1e-12)}


@pytest.mark.parametrize("name", ["vit", "bert", "resnet"])
def test_a_backbone_that_has_not_learned_has_forgotten_nothing(name):
    old, model = tiny(name, labels=7), tiny(name, labels=3)
    model.base_model.load_state_dict(old.base_model.state_dict())
    assert torch.equal(logits(with_old_head(model, old), name), logits(old, name))
    assert model.config.num_labels == 3
    assert measure_retention(model, old, [batch(name), batch(name)])["agreement"] == 1.0


def test_it_is_measured_after_training_and_after_an_edit(tmp_path):
    old, model = tiny("vit", labels=7), tiny("vit", labels=3)
    model.base_model.load_state_dict(old.base_model.state_dict())
    before = {key: value.clone() for key, value in old.state_dict().items()}
    model, _ = done(model, {"expand": "last-1"})
    assert measure_retention(model, old, [batch("vit")])["divergence"] == pytest.approx(0.0, abs=1e-9)
    finetuner(model, labels_of(SINGLE), examples("image", SINGLE, 16), arguments(tmp_path)).train()
    assert measure_retention(model, old, [batch("vit")])["divergence"] > 1e-6
    assert all(torch.equal(value, before[key]) for key, value in old.state_dict().items())


def test_a_head_of_another_kind_is_refused():
    with pytest.raises(ModelError, match="retention: the old head does not fit"):
        with_old_head(tiny("vit"), tiny("resnet"))

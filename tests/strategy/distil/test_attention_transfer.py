"""Attention transfer: the equation, maps without dropout, and models that have none."""

import json

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.distil.attention_transfer import attention_map, attention_transfer, eager
from hfft.strategy.needs import uncacheable
from tests.examples import tiny
from tests.strategy.cases import CASES, Answering, Case, trainer_of
from tests.training import methods_of


def maps(rng, heads, rows=2, length=4):
    scores = np.exp(rng.normal(size=(rows, heads, length, length)))
    return scores / scores.sum(3, keepdims=True)


@pytest.mark.parametrize("heads", [3, 1])
def test_it_is_the_equation_over_heads_and_real_positions(heads):
    rng = np.random.default_rng(0)
    teacher, student = maps(rng, 3), maps(rng, heads)
    mask = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])
    p, q = (teacher, student) if heads == 3 else (teacher.mean(1, keepdims=True), student)
    expected = []
    for row, length in ((0, 4), (1, 3)):
        kl = [
            [sum(p[row, h, t] * np.log(p[row, h, t] / q[row, h, t])) for t in range(length)] for h in range(p.shape[1])
        ]
        expected.append(np.mean(kl))
    found = attention_transfer(*(torch.from_numpy(x) for x in (teacher, student)), torch.from_numpy(mask).double())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_positions_that_nobody_attends_to_cost_nothing():
    p = torch.tensor([[[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.25, 0.75, 0.0]]]], requires_grad=True)
    found = attention_transfer(p.detach(), p, torch.tensor([[1.0, 1.0, 0.0]]))
    found.sum().backward()
    assert found.abs().max() < 1e-6
    assert p.grad.isfinite().all()


@pytest.mark.slow_but("bert", "vit")
@pytest.mark.parametrize("name", ["bert", "vit", "distilbert", "roberta", "gpt2", "modernbert"])
def test_maps_are_those_that_transformers_returns_and_have_no_dropout(name, tmp_path):
    model = tiny(name, dropout=0.3)
    trainer = trainer_of(Case({"attention_transfer": "x"}, model=name), tmp_path, dropout=0.3)
    method = next(m for m in trainer.methods if m.name == "attention_transfer")
    eager(model)
    inputs = trainer.setting.inspector.sample()
    with attention_map(method.attention) as found:
        trainer.model.train()
        trainer.model(**inputs)
    assert method.attention.training
    [seen] = found
    torch.testing.assert_close(seen.sum(3), torch.ones_like(seen[..., 0]))
    assert seen.requires_grad
    with torch.no_grad(), attention_map(method.attention) as found:
        expected = trainer.model.eval()(**inputs, output_attentions=True).attentions[-1]
    torch.testing.assert_close(found[0], expected)


def test_a_model_without_attention_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"strategy\.attention_transfer: the model has no attention maps .* use hints"):
        trainer_of(Case({"attention_transfer": "x"}, model="resnet"), tmp_path)


def test_a_teacher_with_other_positions_is_refused(tmp_path, monkeypatch):
    other = tiny("vit", patch_size=16).double()
    monkeypatch.setattr("tests.strategy.cases.Answering", lambda model: Answering(other))
    with pytest.raises(BadInput, match=r"attention_transfer\.teacher: attends to 5 positions, the model to 17"):
        trainer_of(Case({"attention_transfer": "x"}, model="vit"), tmp_path)


@pytest.mark.slow
def test_the_maps_come_nearer_and_the_saved_config_says_nothing_of_it(tmp_path):
    case = Case({"attention_transfer": {"teacher": "wide", "weight": 30.0}}, model="vit")
    trainer = trainer_of(case, tmp_path, num_train_epochs=12, optim="adamw_torch", learning_rate=0.01)
    trainer.train()
    logged = [entry["attention_transfer"] for entry in trainer.state.log_history if "attention_transfer" in entry]
    assert logged[-1] < 0.8 * logged[0]
    trainer.model.save_pretrained(tmp_path / "model")
    assert "eager" not in json.dumps(json.loads((tmp_path / "model" / "config.json").read_text()))


def test_nothing_is_cached():
    assert "reads the outputs of blocks" in uncacheable(methods_of(attention_transfer="x"))
    assert CASES["attention_transfer"].neutral

"""FGM: the gradient is that of the loss at the embeddings and at the moved ones, by a computation of its own."""

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.adversarial.embeddings import Embeddings
from hfft.strategy.adversarial.fgm import fgm
from hfft.strategy.needs import Situation, refusals
from tests import training
from tests.examples import EVERY, SINGLE, TEXT
from tests.strategy.cases import Case, trainer_of
from tests.training import methods_of


def test_it_is_the_equation():
    gradient = np.random.default_rng(0).normal(size=(3, 4, 5))
    expected = 0.7 * gradient / np.sqrt((gradient**2).sum((1, 2), keepdims=True))
    np.testing.assert_allclose(fgm(torch.tensor(gradient), 0.7), expected, atol=1e-12)


def gradients_of(case, folder, **changes):
    """The gradients of the first step, its batch, and the model before it."""
    kept = training.Gradients()
    trainer = trainer_of(case, folder, callbacks=(kept,), max_steps=1, max_grad_norm=0.0, learning_rate=0.0, **changes)
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.train()
    return kept.steps[0], batch, trainer.model


def by_hand(model, batch, changes, again=True):
    """Loss of a batch with embeddings that are given and moved."""
    embeddings = model.get_input_embeddings()(batch["input_ids"]) + changes
    logits = model(inputs_embeds=embeddings, attention_mask=batch["attention_mask"]).logits
    return torch.nn.functional.cross_entropy(logits, batch["labels"])


@pytest.mark.parametrize("epsilon", [0.1, 2.0])
def test_the_gradient_is_that_of_both_losses(epsilon, tmp_path):
    found, batch, model = gradients_of(Case({"fgm": epsilon}), tmp_path)
    model.zero_grad()
    change = torch.zeros(*batch["input_ids"].shape, 16, dtype=torch.float64, requires_grad=True)
    loss = by_hand(model, batch, change)
    [gradient] = torch.autograd.grad(loss, change, retain_graph=True)
    real = batch["attention_mask"][..., None]
    assert (batch["attention_mask"] == 0).any()
    gradient = gradient * real
    moved = epsilon * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1)
    (loss + by_hand(model, batch, moved)).backward()
    expected = {name: p.grad for name, p in model.named_parameters()}
    assert training.difference(expected, found) < 1e-12


@pytest.mark.parametrize(("method", "step"), [("fgm", None), ("freelb", 1 / 3)])
def test_a_change_is_as_long_as_a_tenth_of_a_tokens_embedding(method, step, tmp_path):
    trainer = trainer_of(Case({method: {}}), tmp_path)
    with torch.no_grad():
        trainer.model.get_input_embeddings().weight.normal_().mul_(7)
    [found] = [one for one in trainer.methods if one.name == method]
    found.start(trainer.setting)
    assert found.epsilon == pytest.approx(0.1 * 7 * 16**0.5, rel=0.05)
    assert step is None or found.step == pytest.approx(step * found.epsilon)
    [given] = trainer_of(Case({method: 0.5}), tmp_path).methods
    given.start(trainer.setting)
    assert given.epsilon == 0.5


def test_other_losses_are_counted_once(tmp_path):
    with_term, _, _ = gradients_of(Case({"fgm": 1.0, "bss": 0.7}), tmp_path)
    alone, _, _ = gradients_of(Case({"bss": 0.7}), tmp_path)
    none, _, _ = gradients_of(Case(), tmp_path)
    assert with_term.keys() == alone.keys()
    rest = {name: with_term[name] - (alone[name] - none[name]) for name in none}  # the task's, twice
    assert 1.0 < sum(g.square().sum() for g in rest.values()) / sum(g.square().sum() for g in none.values()) < 9.0


@pytest.mark.parametrize("name", [entry for entry in EVERY if entry.values[0] in TEXT])
def test_every_model_of_texts_reads_the_moved_embeddings(name, tmp_path):
    trainer = trainer_of(Case({"fgm": 1.0}, model=name), tmp_path)
    batch = trainer.steps.prepared(training.collate(training.examples("text", SINGLE, 4)))
    embeddings = Embeddings(trainer.setting, "fgm")
    change = torch.randn_like(embeddings.zeros(batch)) * embeddings.real(batch)
    with torch.no_grad():
        plain = batch.logits(batch.inputs)
        with embeddings.shifted(change):
            moved = batch.logits(batch.inputs)
        assert torch.equal(batch.logits(batch.inputs), plain)
    assert ((plain - moved).abs().amax(1) > 1e-5).all()


def test_images_are_referred_to_what_suits_them():
    [(key, why)] = refusals(methods_of(fgm=1.0), Situation(SINGLE, continuous=True))
    assert key == "fgm"
    assert why == "attacks the embeddings of a text, which images do not have; use pgd, fast_at or trades"


def test_two_that_compute_the_gradient_again_are_refused():
    [(key, why)] = refusals(methods_of(fgm=1.0, sam=0.1), Situation(SINGLE, continuous=False))
    assert (key, why) == ("sam", "recomputes the gradient, as fgm does; leave one of them out")


def test_an_embedding_that_is_not_read_is_refused(tmp_path):
    trainer = trainer_of(Case({"fgm": 1.0}), tmp_path)
    embeddings = Embeddings(trainer.setting, "fgm")
    with (
        pytest.raises(BadInput, match=r"strategy\.fgm: the model does not read its input embedding"),
        embeddings.shifted(torch.zeros(1, 1, 16)),
    ):
        pass
    trainer.setting.model.get_input_embeddings = lambda: torch.nn.Identity()
    with pytest.raises(BadInput, match=r"strategy\.fgm: the model has no table of input embeddings"):
        Embeddings(trainer.setting, "fgm")

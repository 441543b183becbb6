"""PCGrad: the paper's projection, for two losses and for more."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from hfft.strategy.adversarial.pcgrad import pcgrad, surgery
from hfft.strategy.method import TASK, At, Method, Pass
from hfft.strategy.needs import Situation, refusals
from tests.examples import SINGLE
from tests.strategy.adversarial.test_fgm import gradients_of
from tests.strategy.cases import Case, LearnedScale, trainer_of
from tests.training import methods_of


def projected(parts, rng):
    """The paper's algorithm on vectors: the sum of the projected gradients."""
    total = np.zeros_like(parts[0])
    for i, own in enumerate(parts):
        moved = own.copy()
        for j in rng.permutation(len(parts)):
            if i != j and moved @ parts[j] < 0:
                moved = moved - (moved @ parts[j]) / (parts[j] @ parts[j]) * parts[j]
        total = total + moved
    return total


def test_two_gradients_in_conflict():
    """g1 = (1, 0), g2 = (-1, 1): g1 loses (-1/2)(-1, 1), g2 loses -1 (1, 0): (1/2, 1/2) and (0, 1)."""
    parts = [[torch.tensor([1.0, 0.0])], [torch.tensor([-1.0, 1.0])]]
    torch.testing.assert_close(pcgrad(parts, np.random.default_rng(0)), [torch.tensor([0.5, 1.5])])


@pytest.mark.parametrize("seed", range(4))
def test_several_gradients_are_the_papers_algorithm(seed):
    rng = np.random.default_rng(seed)
    vectors = [rng.normal(size=7) for _ in range(4)]
    parts = [[torch.tensor(v[:3]), torch.tensor(v[3:]).view(2, 2)] for v in vectors]
    assert surgery(parts, np.random.default_rng(seed)) is not None
    found = np.concatenate([tensor.flatten() for tensor in pcgrad(parts, np.random.default_rng(seed))])
    np.testing.assert_allclose(found, projected(vectors, np.random.default_rng(seed)), atol=1e-12)


def test_what_does_not_conflict_stays_to_the_bit():
    parts = [[torch.tensor([1.0, 0.1])], [torch.tensor([0.0, 1.0])]]
    assert surgery(parts, np.random.default_rng(0)) is None
    assert torch.equal(pcgrad(parts, np.random.default_rng(0))[0], torch.tensor([1.0, 1.1]))


def test_losses_that_are_not_named_are_added_as_they_are():
    model = torch.nn.Linear(2, 1, bias=False)
    found = {TASK: [1.0, 0.0], "l2_sp": [-1.0, 1.0], None: [0.3, 1.5]}  # the last: all, with 0.3, 0.5 of another

    def again(only=None):
        model.weight.grad = torch.tensor([found[only]])

    again()
    [_, method] = sorted(methods_of(pcgrad=["l2_sp"], l2_sp=0.1), key=lambda m: m.name == "pcgrad")
    method.gradients(model, again, At(0, 0, 0.0, 0))
    torch.testing.assert_close(model.weight.grad, torch.tensor([[0.5 + 0.3, 1.5 + 0.5]]))


class Opposing(Method):
    """A term that wants other labels than the task."""

    name = "opposing"

    def losses(self, seen: Pass):
        return {"opposing": 0.5 * cross_entropy(seen.logits[TASK], (seen.labels + 1) % 3, reduction="none")}


def test_the_step_takes_the_gradient_of_each_loss_and_what_surgery_leaves_of_it(tmp_path):
    found, batch, model = gradients_of(Case({"pcgrad": ["opposing"]}, more=(Opposing,)), tmp_path)
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    losses = cross_entropy(logits, batch["labels"]), 0.5 * cross_entropy(logits, (batch["labels"] + 1) % 3)
    vectors = []
    for loss in losses:
        gradients = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
        vectors.append(torch.cat([g.flatten() for g in gradients]).numpy())
    assert vectors[0] @ vectors[1] < 0
    expected = projected(vectors, np.random.default_rng(0))
    np.testing.assert_allclose(
        torch.cat([found[n].flatten() for n, _ in model.named_parameters()]), expected, atol=1e-12
    )


def test_a_name_without_a_loss_is_refused_with_those_that_have_one():
    found = refusals(methods_of(pcgrad=["sam", "bss"], bss=0.1, ema=0.9), Situation(SINGLE))
    why = "terms names sam, but the methods here that add a loss are: bss; name those"
    assert found == [("pcgrad", why)]
    [(_, why)] = refusals(methods_of(pcgrad=["bss"]), Situation(SINGLE))
    assert why.endswith("are: none; name those")


def test_modules_of_other_methods_learn_from_all_losses(tmp_path):
    once = {"max_steps": 1, "max_grad_norm": 0.0}
    states = []
    for strategy in ({"l2_sp": 0.3}, {"l2_sp": 0.3, "pcgrad": ["l2_sp"]}):
        trainer = trainer_of(Case(strategy, more=(LearnedScale,)), tmp_path, **once)
        trainer.train()
        states.append(trainer.steps.state()["learned_scale/modules/scale.weight"])
    assert states[0] != 0.1
    assert torch.equal(*states)

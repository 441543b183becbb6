"""DANN, CDAN, MDD and MCD are their papers' equations, and their gradients reach the backbone reversed."""

import math

import pytest
import torch
from torch.nn import functional as F

from hfft.errors import BadInput
from hfft.strategy import (
    agreement,
    certainty,
    disagreement,
    discrepancy,
    domain_loss,
    multilinear,
    reverse_gradient,
    warm_up,
)
from hfft.strategy.method import At, Pass
from tests.examples import SINGLE, tiny
from tests.training import arguments, examples, finetuner, labels_of, methods_of

AT = At(step=5, epoch=1, share=0.5, seed=0)
FACTOR = 2 / (1 + math.exp(-10 * 0.5)) - 1


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def started(tmp_path, **strategy):
    """A method after its start on a tiny model with 16 features and 3 classes."""
    [method] = methods_of(**strategy)
    rows = examples("text", SINGLE, 8)
    trainer = finetuner(
        tiny("bert"), labels_of(SINGLE), rows, arguments(tmp_path), methods=[method], sets={"target": rows[:3]}
    )
    trainer.train()
    return method, trainer


def seen(features=None, b=4, classes=3, at=AT):
    """What a method sees: features and logits of the task's and of the other set's rows, which ask for gradients."""
    features = {"task": random(b, 16), "target": random(b, 16, seed=1)} if features is None else features
    logits = {"task": random(b, classes, seed=2), "target": random(b, classes, seed=3)}
    for tensor in (*features.values(), *logits.values()):
        tensor.requires_grad_()
    return Pass(logits, features, {}, torch.arange(b) % classes, None, {}, at)


def test_a_reversed_gradient_has_the_same_values_and_the_opposite_sign():
    x = random(5).requires_grad_()
    y = reverse_gradient(x, 0.3)
    assert torch.equal(x, y)
    (y * torch.arange(5)).sum().backward()
    torch.testing.assert_close(x.grad, -0.3 * torch.arange(5.0))


def test_the_warm_up_is_the_papers():
    assert [warm_up(0.0), warm_up(0.5), warm_up(1.0)] == pytest.approx([0, FACTOR, 2 / (1 + math.exp(-10)) - 1])
    assert warm_up(1.0, alpha=1.0) == pytest.approx(0.4621, abs=1e-4)


def test_the_domain_loss_is_the_mean_of_both_sets_cross_entropies():
    source, target = random(4), random(2, 4, seed=1)
    expected = F.binary_cross_entropy_with_logits(source, torch.ones(4), reduction="none")
    expected = expected + F.binary_cross_entropy_with_logits(target, torch.zeros(2, 4), reduction="none").mean(0)
    torch.testing.assert_close(domain_loss(source, target), expected / 2)
    assert domain_loss(torch.zeros(1), torch.zeros(1, 1)).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", ["dann", "cdan", "mdd"])
@pytest.mark.slow_but("dann")
def test_the_network_learns_what_the_backbone_unlearns(name, tmp_path):
    method, _ = started(tmp_path, **{name: {"on": "target", "hidden": 8, "weight": 1.5}})
    now, most = seen(), 0.1 if name == "mdd" else 1.0
    first = next(method.inside["network"].parameters())
    first.grad = None
    method.losses(now)[name].sum().backward()
    reversed_, learned = now.features["task"].grad.clone(), first.grad.clone()
    for tensor in (*now.features.values(), *method.inside.parameters()):
        tensor.grad = None
    method.reversed = lambda features, at, most=1.0: features
    method.losses(now)[name].sum().backward()
    torch.testing.assert_close(first.grad, learned)
    torch.testing.assert_close(now.features["task"].grad * -FACTOR * most, reversed_)
    assert now.logits["task"].grad is None


def test_the_product_is_every_feature_times_every_probability():
    features, p = random(2, 3), random(2, 4, seed=1).softmax(1)
    expected = torch.stack([torch.outer(p[i], features[i]).flatten() for i in range(2)])
    torch.testing.assert_close(multilinear(features, p), expected)


def test_certain_rows_count_twice_and_uniform_ones_by_their_classes():
    weights = certainty(torch.tensor([[100.0, 0, 0, 0], [0, 0, 0, 0]]))
    assert weights.tolist() == pytest.approx([2, 1 + 1 / 4])


@pytest.mark.slow
def test_the_random_products_are_as_long_as_asked_and_in_the_checkpoint(tmp_path):
    method, trainer = started(tmp_path, cdan={"on": "target", "hidden": 8, "randomized_dim": 5, "entropy": True})
    assert method.inside["network"][0].in_features == 5
    assert {"cdan/modules/maps.features", "cdan/modules/maps.classes"} <= set(trainer.steps.state())
    learning = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert {id(p) for p in method.inside.parameters()} <= learning
    assert not [name for name in trainer.model.state_dict() if "network" in name or "maps" in name]


def test_disparities_are_of_the_heads_answers():
    logits, second = random(6, 4), random(6, 4, seed=1)
    p, answers = second.softmax(1), logits.argmax(1)
    mine = torch.stack([p[i, answers[i]] for i in range(6)])
    torch.testing.assert_close(agreement(logits, second), -torch.log(mine))
    torch.testing.assert_close(disagreement(logits, second), -torch.log(1 - mine), atol=1e-4, rtol=1e-4)
    sure = torch.tensor([[100.0, 0, 0]], requires_grad=True)
    disagreement(sure, sure).sum().backward()
    assert torch.isfinite(sure.grad).all()


def test_the_discrepancy_is_the_mean_absolute_difference():
    left, right = random(3, 4), random(3, 4, seed=1)
    torch.testing.assert_close(discrepancy(left, right), (left.softmax(1) - right.softmax(1)).abs().mean(1))
    apart = discrepancy(torch.tensor([[99.0, 0, 0, 0]]), torch.tensor([[0, 99.0, 0, 0]]))
    assert apart.item() == pytest.approx(2 / 4)


@pytest.mark.slow
def test_both_classifiers_differ_more_along_their_gradients_and_the_backbone_makes_them_agree(tmp_path):
    method, trainer = started(tmp_path, mcd={"on": "target"})
    now, head = seen(), trainer.model.classifier
    found = method.losses(now)
    torch.testing.assert_close(
        found["mcd_second"],
        F.cross_entropy(method.inside["second"](now.features["task"]), now.labels, reduction="none"),
    )
    gap = discrepancy(head(now.features["target"]), method.inside["second"](now.features["target"]))
    torch.testing.assert_close(found["mcd"], -gap)
    ascend = torch.autograd.grad(gap.sum(), [head.weight, now.features["target"]])
    trainer.model.zero_grad()
    found["mcd"].sum().backward()
    torch.testing.assert_close(head.weight.grad, -ascend[0])
    torch.testing.assert_close(now.features["target"].grad, ascend[1])


def test_a_head_that_is_not_linear_is_refused_for_two_classifiers():
    [method] = methods_of(mcd="target")
    method.name = "mcd"

    class Setting:
        sets, rows, model = {"target": 3}, 5, None

        class inspector:
            last_layer = staticmethod(lambda model: torch.nn.Bilinear(2, 2, 2))

    with pytest.raises(BadInput, match=r"strategy\.mcd: .* is Bilinear; set head\.kind=linear"):
        method.start(Setting)

"""Co-Tuning: the relationship of the classes, the loss of the old classifier, mixed rows, and refusals."""

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.method import TASK, At, Pass
from hfft.strategy.needs import Situation, refusals
from hfft.strategy.regularise.co_tuning import co_tuning, relationship
from tests.examples import MULTI, SINGLE, tiny
from tests.strategy.cases import source_head
from tests.training import arguments, examples, finetuner, labels_of, methods_of


def test_a_label_is_related_to_the_mean_prediction_of_its_rows():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    found = relationship(p, torch.tensor([1, 1, 0]), 3)
    expected = np.array([[0.1, 0.1, 0.8], [0.6, 0.25, 0.15], [1.3 / 3, 0.6 / 3, 1.1 / 3]])  # no row has label 2
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    torch.testing.assert_close(found.sum(1), torch.ones(3))


def test_the_loss_is_the_cross_entropy_with_the_related_classes():
    logits, targets = np.random.default_rng(0).normal(size=(4, 3)), np.random.default_rng(1).dirichlet(np.ones(3), 4)
    q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = co_tuning(torch.from_numpy(logits), torch.from_numpy(targets))
    np.testing.assert_allclose(found.numpy(), -(targets * np.log(q)).sum(1), rtol=1e-10)


def trainer_of(folder, head=lambda: source_head(torch.float32), strategy=None, **changes):
    return finetuner(
        changes.pop("model", None) or tiny("bert", dropout=0.0),
        labels_of(SINGLE),
        examples("text", SINGLE, 12),
        arguments(folder, num_train_epochs=1),
        methods=methods_of(**(strategy or {"co_tuning": 2.0})),
        source_head=head,
        **changes,
    )


def test_the_relationship_is_that_of_the_pretrained_model_and_its_classifier_learns(tmp_path):
    trainer = trainer_of(tmp_path)
    [method] = trainer.methods
    found = trainer.outputs_of("train")
    p = source_head(torch.float32)(found.features).softmax(1).detach()
    torch.testing.assert_close(method.relation, relationship(p, found.labels, 3))
    before = method.relation.clone()
    trainer.train()
    assert torch.equal(method.relation, before)
    assert not torch.allclose(method.beside["head"].weight, source_head(torch.float32).weight)


def test_mixed_rows_have_the_mixture_of_both_labels():
    [method] = methods_of(co_tuning=1.0)
    method.relation = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    method.beside = torch.nn.ModuleDict({"head": torch.nn.Identity()})
    logits, lam = torch.randn(2, 2), torch.tensor([0.25, 0.6])
    notes = {"co_tuning": [(torch.tensor([0, 1]), lam), (torch.tensor([1, 1]), 1 - lam)]}
    seen = Pass({}, {TASK: logits}, {}, torch.tensor([0, 1]), None, notes, At(0, 0, 0.0, 0))
    mixed = lam[:, None] * method.relation[[0, 1]] + (1 - lam)[:, None] * method.relation[[1, 1]]
    torch.testing.assert_close(method.losses(seen)["co_tuning"], co_tuning(logits, mixed))


@pytest.mark.parametrize("key", ["co_tuning", "lwf"])
def test_a_backbone_without_a_fitting_classifier_is_refused_with_the_reason(key, tmp_path):
    def none():
        raise BadInput("x has no classifier of its own; leave the method out")

    with pytest.raises(BadInput, match=rf"strategy\.{key}: x has no classifier of its own"):
        trainer_of(tmp_path, none, {key: 1.0})
    with pytest.raises(
        BadInput, match=rf"strategy\.{key}: the backbone's own classifier reads 9 features, but the model"
    ):
        trainer_of(tmp_path, lambda: torch.nn.Linear(9, 5), {key: 1.0})
    with pytest.raises(BadInput, match=rf"strategy\.{key}: the backbone's own classifier is unknown"):
        trainer_of(tmp_path, None, {key: 1.0})


def test_what_cannot_have_the_classifiers_features_is_refused_by_the_recipe_alone():
    [(key, why)] = refusals(methods_of(co_tuning=1.0), Situation(SINGLE, own_head=True))
    assert key == "co_tuning"
    assert why.endswith("leave head.kind and head.pooling out")
    assert refusals(methods_of(co_tuning=1.0), Situation(MULTI))
    assert refusals(methods_of(co_tuning=1.0), Situation(SINGLE, streaming=True))
    assert refusals(methods_of(co_tuning=1.0), Situation(SINGLE)) == []

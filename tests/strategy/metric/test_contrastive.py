"""Pairs of rows as in SetFit: drawn from (seed, epoch, row), their cosine loss, and the regression that becomes the head."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from hfft.errors import BadInput, DataError
from hfft.layers import adapt
from hfft.strategy.method import At, Pass
from hfft.strategy.metric.contrastive import drawn_pairs, logistic_head, pairs_loss
from hfft.strategy.needs import Situation, refusals
from tests.examples import SINGLE, head_and_depths, tiny
from tests.strategy.cases import CASES, trainer_of
from tests.training import methods_of

CLASSES = np.array([0, 1, 0, 2, 1, 0, 0])


def test_a_pair_has_another_row_of_the_class_and_one_of_another_class():
    seen = np.zeros((2, 7, 7), int)
    for epoch in range(60):
        rows = np.arange(7)
        same, other = drawn_pairs(rows, CLASSES, epoch, 42)
        assert (CLASSES[same] == CLASSES).all()
        assert (CLASSES[other] != CLASSES).all()
        assert (same[:3] != rows[:3]).all()
        assert same[3] == 3, "the only row of its class"
        seen[0, rows, same] += 1
        seen[1, rows, other] += 1
    assert (seen[0, 0] > 0).tolist() == [False, False, True, False, False, True, True]
    assert (seen[1, 0] > 0).tolist() == [False, True, False, True, True, False, False]


def test_pairs_depend_on_seed_epoch_and_row_alone():
    whole = drawn_pairs(np.arange(7), CLASSES, 3, 42)
    for part, every in zip(drawn_pairs(np.array([5, 1]), CLASSES, 3, 42), whole, strict=True):
        assert part.tolist() == every[[5, 1]].tolist()
    others = [drawn_pairs(np.arange(7), CLASSES, epoch, seed) for epoch, seed in ((4, 42), (3, 43))]
    assert all((np.stack(other) != np.stack(whole)).any() for other in others)


def test_the_loss_is_the_mean_squared_error_of_the_cosines_of_all_triples():
    draw = torch.Generator().manual_seed(0)
    row, same, other = (torch.randn(5, 4, generator=draw, dtype=torch.float64) for _ in range(3))
    parts = {"task": row, "same_class": same, "other_class": other}
    seen = Pass({}, parts, {}, torch.zeros(5), None, {}, At(0, 0, 0.0, 0))
    [method] = methods_of(contrastive="drawn")
    found = method.losses(seen)["contrastive"]
    triples = [
        (row, same, 1.0),
        (row, other, 0.0),
    ]  # Tunstall et al. 2022, section 3.1, with sentence-transformers' loss
    errors = [
        (float(a @ b / (a.norm() * b.norm())) - target) ** 2
        for left, right, target in triples
        for a, b in zip(left, right, strict=True)
    ]
    assert float(found.mean()) == pytest.approx(np.mean(errors), abs=1e-12)


def test_all_pairs_of_a_batch_count_both_kinds_alike_in_any_order():
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 2, 1, 1])
    unit = (x / x.norm(dim=1, keepdim=True)).detach().numpy()
    errors = {True: [], False: []}
    for i in range(6):
        for j in range(i):
            alike = bool(labels[i] == labels[j])
            errors[alike].append((unit[i] @ unit[j] - alike) ** 2)
    expected = (np.mean(errors[True]) + np.mean(errors[False])) / 2
    assert pairs_loss(x, labels).item() == pytest.approx(expected, abs=1e-12)
    turned = torch.tensor([3, 0, 5, 1, 4, 2])
    assert pairs_loss(x[turned], labels[turned]).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 1, 2], [0]])
def test_a_kind_without_pairs_counts_as_nothing_and_has_a_gradient(labels):
    x = torch.randn(len(labels), 3, requires_grad=True)
    pairs_loss(x, torch.tensor(labels)).backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("classes", [2, 4])
def test_the_head_gives_the_probabilities_of_the_regression(classes):
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(60, 5)), np.arange(60) % classes
    x[:, 0] += y
    weight, bias = logistic_head(torch.from_numpy(x), torch.from_numpy(y), C=0.3)
    found = (torch.from_numpy(x) @ weight.T + bias).softmax(1).numpy()
    np.testing.assert_allclose(found, LogisticRegression(C=0.3, max_iter=1000).fit(x, y).predict_proba(x), atol=1e-9)


@pytest.mark.parametrize("name", ["contrastive", "contrastive, all pairs of a batch"])
def test_what_is_scored_has_the_head_of_the_features_and_what_trains_its_own(name, tmp_path):
    trainer = trainer_of(CASES[name], tmp_path)
    trainer.train()
    before = trainer.model.classifier.weight.clone()
    with trainer.scored():
        found = trainer.setting.inspector.outputs_of(trainer.model)
        weight = trainer.model.classifier.weight.clone()
    x, y = found.features.double().numpy(), found.labels.numpy()
    expected = LogisticRegression(max_iter=1000).fit(x, y).predict_proba(x)
    np.testing.assert_allclose(found.logits.softmax(1).numpy(), expected, atol=1e-6)
    assert not torch.equal(weight, before)
    assert torch.equal(trainer.model.classifier.weight, before)


def test_the_body_does_not_depend_on_the_head(tmp_path):
    one, two = (trainer_of(CASES["contrastive"], tmp_path / f"{i}") for i in (0, 1))
    with torch.no_grad():
        two.model.classifier.weight.mul_(3.0)
    for trainer in (one, two):
        trainer.train()
    both = zip(one.model.bert.named_parameters(), two.model.bert.parameters(), strict=True)
    assert all(torch.equal(left, right) for (_, left), right in both)


def test_a_frozen_body_is_refused(tmp_path):
    trainer = trainer_of(CASES["contrastive"], tmp_path)
    head_names, depths = head_and_depths(tiny("bert"))
    adapt(trainer.model, "head", None, depths, head_names)
    with pytest.raises(BadInput, match=r"strategy.contrastive: .* all that they come from is frozen; set layers.train"):
        trainer.methods[0].start(trainer.setting)


def test_a_class_without_rows_is_refused(tmp_path):
    trainer = trainer_of(CASES["contrastive"], tmp_path)
    trainer.setting.class_ids = np.zeros(20, int)
    with pytest.raises(DataError, match=r"strategy.contrastive: .* has no rows"):
        trainer.methods[0].start(trainer.setting)


@pytest.mark.parametrize(
    ("strategy", "situation", "said"),
    [
        (
            {"contrastive": {}, "class_weights": "balanced"},
            Situation(SINGLE),
            "class_weights changes the loss of the logits, which contrastive does not learn",
        ),
        ({"contrastive": {}, "gce": 0.7}, Situation(SINGLE), "gce replaces the loss, as contrastive does"),
        ({"contrastive": {}, "ema": 0.9}, Situation(SINGLE), "ema scores other weights than the last step's"),
        ({"contrastive": {}, "prototypes": 1}, Situation(SINGLE), "prototypes replaces the loss, as contrastive does"),
        ({"contrastive": "batch", "mixup": 0.2}, Situation(SINGLE), "contrastive needs rows that are not mixed"),
        ({"contrastive": {}}, Situation("regression"), "contrastive needs classes"),
        ({"contrastive": {}}, Situation(SINGLE, streaming=True), "contrastive needs the number of rows of each class"),
    ],
)
def test_what_it_cannot_be_combined_with(strategy, situation, said):
    assert any(f"{key} {why}".startswith(said) for key, why in refusals(methods_of(**strategy), situation))

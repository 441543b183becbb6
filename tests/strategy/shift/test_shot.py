"""SHOT's pseudo-labels and diversity are those of its paper, and labels of the rows are never read."""

import math

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.recipe.find import load_recipe
from hfft.strategy.method import At
from hfft.strategy.shift.shot import diversity, pseudo_labels
from tests.training import methods_of

SHOT = {
    "task": "image-classification",
    "backbone": {"name": "nano-vit"},
    "head": {"keep_known": True},
    "layers": {"freeze": "head"},
    "data": {"path": "digits", "labels": "none"},
    "strategy": {"shot": {}},
}


def by_hand(features, logits, threshold):
    """As the authors' `obtain_label`, in numpy."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    x = np.concatenate([features, np.ones((len(features), 1))], 1)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    classes = p.shape[1]
    counts = np.eye(classes)[p.argmax(1)].sum(0)
    labelset = np.where(counts > threshold)[0]
    weights = p
    for _ in range(2):
        centres = weights.T @ x / (1e-8 + weights.sum(0)[:, None])
        norms = np.linalg.norm(centres[labelset], axis=1)
        distance = 1 - x @ centres[labelset].T / norms
        found = labelset[distance.argmin(1)]
        weights = np.eye(classes)[found]
    return found


@pytest.mark.parametrize("threshold", [0, 6])
def test_pseudo_labels_are_those_of_the_authors(threshold):
    rng = np.random.default_rng(0)
    features, logits = rng.normal(size=(40, 5)), rng.normal(size=(40, 6)) * 2
    found = pseudo_labels(torch.from_numpy(features), torch.from_numpy(logits), threshold)
    assert found.tolist() == by_hand(features, logits, threshold).tolist()
    assert found.tolist() != logits.argmax(1).tolist(), "else the test would say nothing"


def test_if_no_class_has_enough_rows_every_class_may_be_given():
    found = pseudo_labels(torch.eye(3), torch.eye(3) * 9, threshold=10)
    assert found.tolist() == [0, 1, 2]


def test_pseudo_labels_mend_a_row_that_lies_among_rows_of_another_class():
    features = torch.tensor([[1.0, 0.0]] * 9 + [[0.0, 1.0]] * 9)
    logits = torch.tensor([[3.0, 0.0]] * 8 + [[0.0, 1.0]] + [[0.0, 3.0]] * 9)
    assert pseudo_labels(features, logits).tolist() == [0] * 9 + [1] * 9


def test_diversity_is_the_entropy_of_the_mean_prediction():
    assert diversity(torch.eye(4) * 1000).item() == pytest.approx(math.log(4), abs=1e-4)
    assert diversity(torch.tensor([[1000.0, 0, 0, 0]] * 5)).item() == pytest.approx(0, abs=1e-4)


def test_the_loss_of_a_row_does_not_depend_on_its_label():
    [method] = methods_of(shot={})
    logits, at = torch.randn(5, 3), At(step=0, epoch=0, share=0.0, seed=0)

    def never(logits, labels):
        raise AssertionError("labels were read")

    one, two = (method.example_loss(never, logits, torch.full((5,), label), at) for label in (0, 2))
    assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.labels=read", "set data.labels=none"),
        ("layers.freeze=[]", "set layers.freeze=head"),
        ("head.keep_known=false", "head.keep_known=true"),
        ("strategy.balanced={}", "reads labels, which shot does without"),
        ("strategy.focal=2", "replaces the loss, as shot does"),
        ("strategy.logit_adjustment=1", "reads labels, which shot does without"),
        ("strategy.mixup=0.2", "rows that are not mixed"),
        ("strategy.shot=null", "nothing that learns without labels; add shot"),
        ("data.validation=0.1", "a share of rows without labels"),
        ("data.shots=4", "chooses rows by their class"),
        ("score.from_scratch=true", "learns from labels"),
        ("training.label_smoothing_factor=0.1", "smooths labels"),
        ("data.streaming=true", "needs all rows"),
    ],
)
def test_what_does_not_go_with_it_is_refused_in_one_line(override, said):
    load_recipe(SHOT)
    with pytest.raises(BadInput, match=said):
        load_recipe(SHOT, override)

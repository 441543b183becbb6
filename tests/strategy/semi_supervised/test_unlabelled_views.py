"""Rows without labels: which are read, in which views, and what their predictions are used for."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hfft.strategy.method import At, Batch, Target
from hfft.strategy.needs import Situation, refusals
from hfft.strategy.semi_supervised.views import STRONG, predictions, pseudo_label_loss
from tests.training import methods_of

AT = At(0, 0, 0.0, 0)
CLASSES = "single_label_classification"


def setting(size=50, tokenizer=None):
    modality = "text" if tokenizer else "image"
    return SimpleNamespace(sets={"target": size}, outputs=3, tokenizer=tokenizer, modality=modality, device="cpu")


def started(name, size=50, tokenizer=None, **options):
    [method] = methods_of(**{name: {"on": "target", **options}})
    method.start(setting(size, tokenizer))
    return method


def test_an_epoch_reads_ratio_times_as_many_rows_all_in_turn():
    method = started("fixmatch", size=50, ratio=5)
    found = method.companions(np.arange(10), 0, 0)
    assert len(found) == 10
    weak, strong = ([found[part].rows for part in method.parts(view)] for view in ("weak", "strong"))
    np.testing.assert_array_equal(weak, strong)
    assert sorted(np.concatenate(weak)) == list(range(50))
    later = method.companions(np.arange(10), 1, 0)
    assert not np.array_equal(later["fixmatch weak 1"].rows, weak[0])


def test_a_set_smaller_than_a_step_is_read_again():
    method = started("fixmatch", size=3, ratio=2)
    assert np.bincount(method.numbers(np.arange(6), 0, 0).ravel()).tolist() == [4, 4, 4]


def test_the_strong_view_follows_the_weak_one_and_suits_the_rows():
    for tokenizer, kind in ((None, "image"), ("words", "text")):
        found = started("fixmatch", tokenizer=tokenizer).companions(np.arange(2), 0, 0)
        assert (found["fixmatch weak 1"].draw, found["fixmatch weak 1"].augment) == (0, ())
        assert (found["fixmatch strong 1"].draw, found["fixmatch strong 1"].augment) == (1, STRONG[kind])
    given = started("fixmatch", strong=["horizontal_flip"]).companions(np.arange(2), 0, 0)
    assert given["fixmatch strong 1"].augment == ("horizontal_flip",)


def test_operations_of_the_other_kind_of_rows_are_refused():
    methods = methods_of(fixmatch={"on": "target", "strong": ["rand_augment"]})
    [(key, why)] = refusals(methods, Situation(CLASSES, sets=("target",), tokens=True))
    assert key == "fixmatch"
    assert why == "strong: rand_augment is for images, but the rows are texts; leave it out, or choose one for texts"
    assert refusals(methods, Situation(CLASSES, sets=("target",), tokens=False)) == []


def test_a_set_that_is_not_there_and_two_of_the_family_are_refused():
    methods = methods_of(fixmatch="rest", flexmatch="target")
    found = dict(refusals(methods, Situation(CLASSES, sets=("target",))))
    assert found["fixmatch"] == "on is 'rest', which is not in data.sets (known: target)"
    assert "as fixmatch does; leave one of them out" in found["flexmatch"]


def test_weak_views_are_taken_out_of_the_batch_and_predicted_without_a_gradient():
    x = torch.arange(15.0)[:, None].requires_grad_()
    labels = torch.zeros(5, dtype=torch.long)
    batch = Batch({"x": x}, ["task", "a", "b"], labels, [Target(labels)], None, 5, AT)
    batch.logits = lambda inputs: torch.cat([inputs["x"], -inputs["x"]], 1)
    p = predictions(batch, ["a", "b"])
    assert batch.parts == ["task"]
    assert p.shape == (5, 2, 2)
    assert not p.requires_grad
    torch.testing.assert_close(p[2, 1], torch.tensor([12.0, -12.0]).softmax(0))


@pytest.mark.parametrize("threshold", [0.0, 0.5, torch.tensor([0.9, 0.2, 0.5])])
def test_consistency_is_the_equation_of_fixmatch(threshold):
    torch.manual_seed(0)
    strong, weak = torch.randn(6, 2, 3), (3 * torch.randn(6, 2, 3)).softmax(2)
    expected = torch.zeros(6)
    for i in range(6):
        for k in range(2):
            q = weak[i, k]
            limit = threshold if isinstance(threshold, float) else threshold[q.argmax()]
            if q.max() >= limit:
                expected[i] += F.cross_entropy(strong[i, k], q.argmax()) / 2
    torch.testing.assert_close(pseudo_label_loss(strong, weak, threshold), expected)
    assert (expected > 0).any()


def test_a_batch_without_own_rows_has_no_losses():
    assert pseudo_label_loss(torch.zeros(0, 2, 3), torch.zeros(0, 2, 3), 0.5).shape == (0,)


def test_certainty_at_the_threshold_counts():
    weak = torch.tensor([[[0.95, 0.05]], [[0.9499, 0.0501]]])
    found = pseudo_label_loss(torch.zeros(2, 1, 2), weak, 0.95)
    assert found.tolist() == [pytest.approx(math.log(2)), 0.0]

"""Forward correction is its paper's equation, with a matrix that is given or estimated from anchor points."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.loss.forward_correction import anchor_matrix, forward_correction, symmetric_noise
from hfft.strategy.loss_chain import chain
from hfft.strategy.method import At
from hfft.tasks.problem import PROBLEMS
from tests.examples import SINGLE
from tests.strategy.noisy import AT, LABELS, LOGITS, loss_of, softmax, started, total
from tests.training import methods_of

NOISE = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.05, 0.35, 0.6]])
NAMED = {"c": {"b": 0.35, "a": 0.05}, "a": {"b": 0.2, "c": 0.1}}


def by_hand(labels=LABELS):
    """`-log sum_i T[i, y] p_i`, one row after the other."""
    p = softmax(LOGITS)
    return np.array([-np.log(sum(NOISE[i, y] * row[i] for i in range(3))) for row, y in zip(p, labels, strict=True)])


def test_it_is_the_equation():
    np.testing.assert_allclose(loss_of(started({"forward_correction": {"matrix": NAMED}})), by_hand(), rtol=1e-6)
    found = forward_correction(torch.tensor(LOGITS), torch.tensor(NOISE))
    np.testing.assert_allclose(found.exp(), softmax(LOGITS) @ NOISE, rtol=1e-12)
    torch.testing.assert_close(found.softmax(1), found.exp())


def test_a_number_is_symmetric_noise():
    expected = np.array([[0.7, 0.15, 0.15], [0.15, 0.7, 0.15], [0.15, 0.15, 0.7]])
    np.testing.assert_allclose(symmetric_noise(3, 0.3), expected, rtol=1e-6)
    losses = -np.log((softmax(LOGITS) @ expected)[np.arange(5), LABELS])
    np.testing.assert_allclose(loss_of(started({"forward_correction": 0.3})), losses, rtol=1e-6)


def test_without_noise_it_is_cross_entropy():
    plain = PROBLEMS[SINGLE].loss(torch.tensor(LOGITS), torch.tensor(LABELS))
    torch.testing.assert_close(loss_of(started({"forward_correction": {"matrix": {"a": {"b": 0.0}}}})), plain)


def test_it_corrects_any_loss():
    methods = methods_of(gce=0.7, forward_correction={"matrix": NAMED})
    methods[1].matrix = torch.tensor(NOISE)
    found = chain(methods, PROBLEMS[SINGLE].loss)(torch.tensor(LOGITS), torch.tensor(LABELS), AT)
    np.testing.assert_allclose(found, (1 - np.exp(-by_hand()) ** 0.7) / 0.7, rtol=1e-10)


def test_of_mixed_rows_each_label_counts_by_its_share():
    others, share = (LABELS + 1) % 3, np.array([0.9, 0.5, 0.2, 1.0, 0.0])
    expected = share * by_hand() + (1 - share) * by_hand(others)
    assert total({"forward_correction": {"matrix": NAMED}}, share, others) == pytest.approx(expected.sum(), rel=1e-6)


def test_anchor_points_of_ten_classes_are_the_papers_97th_percentile():
    p = np.random.default_rng(0).dirichlet(np.full(10, 0.3), size=1000)
    found = anchor_matrix(torch.tensor(p), torch.full((10,), 100))
    for c in range(10):
        np.testing.assert_array_equal(found[c], p[np.argsort(-p[:, c])[30]])


def test_an_anchor_point_of_a_rare_class_is_among_its_own_rows():
    classes = np.repeat([0, 1, 2], [280, 100, 10])
    p = 0.96 * np.eye(4)[classes] + 0.01
    found = anchor_matrix(torch.tensor(p), torch.tensor([280, 100, 10, 0]))
    assert found.argmax(1).tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(found[3], np.eye(4)[3])  # a class without rows


def test_the_matrix_of_a_model_that_learned_the_noise_is_found():
    rng, sure = np.random.default_rng(1), np.eye(3)[np.arange(300) % 3]
    true = 0.98 * sure + 0.02 * rng.dirichlet(np.ones(3), size=300)
    np.testing.assert_allclose(anchor_matrix(torch.tensor(true @ NOISE), torch.full((3,), 100)), NOISE, atol=0.02)


def estimated():
    method = started({"forward_correction": {"matrix": "anchors", "after": 2}})
    logits = torch.tensor(np.log(np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.1, 0.6]]))).float()
    asked = []

    def outputs_of(name, features=True):
        asked.append(name)
        return SimpleNamespace(logits=logits)

    for epoch in range(4):
        method.epoch(None, outputs_of, At(epoch * 10, epoch, 0.0, 0))
        if epoch == 1:
            assert method.state() == {}
            plain = PROBLEMS[SINGLE].loss(torch.tensor(LOGITS), torch.tensor(LABELS))
            torch.testing.assert_close(loss_of(method), plain)
    assert asked == ["train"]
    return method, logits.softmax(1)


def test_it_is_estimated_once_after_so_many_epochs():
    method, p = estimated()
    torch.testing.assert_close(method.matrix, p)
    again = started({"forward_correction": {"matrix": "anchors", "after": 2}})
    again.load(method.state())
    torch.testing.assert_close(loss_of(again), loss_of(method))


def test_a_model_that_does_not_tell_classes_apart_yet_is_not_corrected(capsys):
    method = started({"forward_correction": "anchors"})
    unsure = torch.tensor(np.log(np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.3, 0.1, 0.6]]))).float()
    sure = torch.tensor(np.log(np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.1, 0.6]]))).float()
    for epoch, logits in ((1, unsure), (2, sure)):
        method.epoch(
            None, lambda *_, logits=logits, **__: SimpleNamespace(logits=logits), At(epoch * 10, epoch, 0.0, 0)
        )
        assert bool(method.state()) == (epoch == 2)
    assert "no correction in epoch 2: the rows that are most likely of class 'b' are" in capsys.readouterr().out
    torch.testing.assert_close(method.matrix, sure.softmax(1))


def test_a_row_far_from_its_label_has_a_finite_loss_and_gradient():
    logits = torch.tensor([[300.0, -300.0, 0.0]], requires_grad=True)
    loss = -forward_correction(logits, torch.eye(3))[0, 1]
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


REFUSED = {
    "shares of a class that is not there": ({**NAMED, "d": {"a": 1.0}}, r"no class 'd' in the data .*has: a, b, c\)"),
    "a label that is not there": ({**NAMED, "b": {"x": 1.0}}, "no class 'x' in the data"),
    "noise that leaves nothing": (0.7, "is 0.7, but from 0.666667 on labels of 3 classes say nothing"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_matrix_that_does_not_fit_the_data_is_refused(what):
    matrix, why = REFUSED[what]
    with pytest.raises(BadInput, match=r"strategy\.forward_correction\.matrix: .*" + why):
        started({"forward_correction": {"matrix": matrix}})


@pytest.mark.parametrize("others", [{"a": 0.1, "b": 0.1}, {"b": 0.6, "c": 0.5}])
def test_shares_of_more_than_all_rows_are_refused(others):
    with pytest.raises(ValueError, match=r"matrix of class 'a' should name other classes, with shares of 1 together"):
        methods_of(forward_correction={"matrix": {"a": others}})

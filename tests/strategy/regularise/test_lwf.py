"""LwF: the paper's loss up to a constant, answers kept or asked for in each step, and a classifier that learns."""

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.needs import Situation, refusals
from hfft.strategy.regularise.lwf import lwf
from tests.examples import SINGLE, tiny
from tests.strategy.cases import source_head
from tests.training import arguments, examples, finetuner, labels_of, methods_of


def test_it_is_the_papers_loss_but_for_a_constant():
    draws = np.random.default_rng(0)
    before, now = draws.normal(size=(5, 4)) * 2, draws.normal(size=(5, 4))

    def powered(logits):
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        return p**0.5 / (p**0.5).sum(1, keepdims=True)  # the paper's y' at T = 2

    constant = (powered(before) * np.log(powered(before))).sum(1)
    expected = -(powered(before) * np.log(powered(now))).sum(1) + constant
    found = lwf(torch.from_numpy(before), torch.from_numpy(now), 2.0)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)
    assert lwf(torch.from_numpy(before), torch.from_numpy(before)).abs().max() < 1e-12


def trainer_of(folder, modality="text", **strategy):
    model = tiny("bert" if modality == "text" else "vit", dropout=0.0)
    return finetuner(
        model,
        labels_of(SINGLE),
        examples(modality, SINGLE, 16),
        arguments(folder, num_train_epochs=8, learning_rate=0.05, max_grad_norm=0),
        methods=methods_of(**strategy),
        source_head=lambda: source_head(torch.float32),
    )


@pytest.mark.slow
def test_the_answers_are_those_of_the_start_and_the_term_holds_them(tmp_path):
    apart = []
    for weight in (1e-9, 1.0):
        trainer = trainer_of(tmp_path, lwf=weight)
        [method] = trainer.methods
        start = method.kept.clone()
        expected = source_head(torch.float32)(trainer.outputs_of("train").features).detach()
        torch.testing.assert_close(start, expected)
        trainer.train()
        assert torch.equal(method.kept, start)
        now = method.beside["head"](trainer.outputs_of("train").features).detach()
        apart.append(lwf(start, now).mean().item())
        logs = [log["lwf"] for log in trainer.state.log_history if "loss" in log]
        assert logs[0] == pytest.approx(0, abs=1e-6)
    assert apart[1] < apart[0] / 2, apart


def test_where_rows_change_a_copy_of_the_start_answers_to_what_the_model_sees(tmp_path):
    trainer = trainer_of(tmp_path, "image", mixup=1.0, lwf=1.0)
    method = trainer.methods[1]
    assert method.kept is None
    trainer.train()
    logs = [log["lwf"] for log in trainer.state.log_history if "loss" in log]
    assert logs[0] == pytest.approx(0, abs=1e-6)  # the copy and the model are the same yet, mixed rows or not
    assert logs[1] > 0
    fresh = tiny("vit", dropout=0.0)
    assert all(torch.equal(p, dict(method.before.named_parameters())[n]) for n, p in fresh.named_parameters())


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_growing_head_holds_its_own_answers_for_the_classes_that_it_knew(modality, tmp_path):
    more, apart = {"mixup": 1e-3} if modality == "image" else {}, []
    for weight in (1e-9, 30.0):
        trainer = trainer_of(tmp_path, modality, lwf={"classes": ["class 2", "class 0"], "weight": weight}, **more)
        method = trainer.methods[-1]
        start = trainer.outputs_of("train").logits[:, [2, 0]]
        assert (method.kept is None) == bool(more)
        if method.kept is not None:
            torch.testing.assert_close(method.kept, start)
        assert method.modules() is None
        trainer.train()
        logs = [log["lwf"] for log in trainer.state.log_history if "loss" in log]
        assert logs[0] == pytest.approx(0, abs=1e-6)
        apart.append(lwf(start, trainer.outputs_of("train").logits[:, [2, 0]]).mean().item())
    assert apart[1] < apart[0] / 2, apart


def test_a_class_that_the_task_does_not_have_is_refused(tmp_path):
    trainer = trainer_of(tmp_path)
    [method] = methods_of(lwf={"classes": ["class 0", "cat"]})
    with pytest.raises(BadInput, match=r"strategy.lwf.classes: cat is no class of the task"):
        method.start(trainer.setting)


def test_a_new_head_has_no_answers_to_keep():
    methods = methods_of(lwf={"classes": ["a", "b"]})
    [(key, why)] = refusals(methods, Situation(SINGLE, new_head=True))
    assert (key, "set head.keep_known=true" in why) == ("lwf", True)

"""`check_method` finds what is wrong with a method, and nothing with one that is right."""

import pytest
import torch

from hfft.strategy.method import TASK, Method
from tests.strategy.cases import Case, Surgery
from tests.strategy.check import check_effect, check_method, check_resume, check_same, check_saved, plain_weights, run


class SmallLogits(Method):
    """Right: a value for each row."""

    name = "small_logits"

    def losses(self, seen):
        return {"small_logits": seen.logits[TASK].square().sum(1)}


class MeanOfTheMicroBatch(SmallLogits):
    """Wrong: the weight of a row depends on how many there are beside it."""

    def losses(self, seen):
        rows = super().losses(seen)["small_logits"]
        return {"small_logits": rows.mean().expand(len(rows)) * len(rows)}


class Forgets(SmallLogits):
    """Wrong: what it counts is in no checkpoint."""

    steps = 0

    def losses(self, seen):
        return {"small_logits": self.steps * super().losses(seen)["small_logits"]}

    def updated(self, model, at):
        self.steps += 1


class Draws(SmallLogits):
    """Wrong: it draws from torch's generator, once a micro-batch."""

    def losses(self, seen):
        rows = super().losses(seen)["small_logits"]
        return {"small_logits": rows * torch.rand(())}


class Adds(SmallLogits):
    """Wrong: the saved model has a parameter that no plain one knows."""

    def start(self, setting):
        setting.model.classifier.register_parameter("extra", torch.nn.Parameter(torch.zeros(2)))


class Idles(Method):
    """Wrong: it does nothing."""

    name = "idles"


@pytest.mark.slow
def test_a_method_that_is_right_passes(tmp_path):
    check_method(Case(more=(SmallLogits,)), tmp_path)


def test_a_method_that_computes_the_gradient_again_passes_where_it_stands_alone(tmp_path):
    case = Case(more=(Surgery,))
    check_same(run(case, tmp_path / "whole", 8, 1, 17), run(case, tmp_path / "split", 2, 4, 17))


@pytest.mark.parametrize("wrong", [MeanOfTheMicroBatch, Draws])
def test_what_depends_on_the_split_is_found(wrong, tmp_path):
    case = Case(more=(wrong,))
    with pytest.raises(AssertionError):
        check_same(run(case, tmp_path / "whole", 8, 1, 17), run(case, tmp_path / "split", 2, 4, 17))


def test_a_state_in_no_checkpoint_is_found(tmp_path):
    with pytest.raises(AssertionError):
        check_resume(Case(more=(Forgets,)), tmp_path)


def test_a_parameter_that_no_plain_model_knows_is_found(tmp_path):
    with pytest.raises(AssertionError):
        check_saved(Case(more=(Adds,)), tmp_path)


def test_a_method_that_does_nothing_is_found(tmp_path):
    with pytest.raises(AssertionError):
        check_effect(Case(more=(Idles,)), tmp_path / "with", plain_weights("bert", tmp_path / "without"))

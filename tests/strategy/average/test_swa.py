"""SWA: which weights are averaged, the statistics that belong to the mean, and what is scored."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import TrainerCallback

from hfft.errors import BadInput
from hfft.strategy.method import At, Setting
from hfft.strategy.needs import Situation, refusals
from hfft.tasks.problem import PROBLEMS
from hfft.train.norm_statistics import estimate, moving_norms, norms
from tests import examples, training
from tests.examples import SINGLE
from tests.strategy.cases import CASES, Case, trainer_of


def setting(model, **changes):
    return Setting(model, set(), PROBLEMS[SINGLE], 2, 0, torch.device("cpu"), rows=4, **changes)


class Walk(TrainerCallback):
    """The weights after each step."""

    def __init__(self):
        self.weights = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.weights.append(model.classifier.weight.detach().double().numpy().copy())


def test_the_mean_is_that_of_every_kth_step_from_the_start_on():
    model = nn.Linear(2, 1)
    [method] = training.methods_of(swa={"start": 0.5, "every": 3})
    method.start(setting(model))
    walked = []
    for step in range(1, 21):
        with torch.no_grad():
            model.weight.add_(torch.randn(1, 2))
        method.updated(model, At(step, 0, step / 20, 0))
        walked.append(model.weight.detach().double().numpy().copy())
    expected = np.mean([walked[step - 1] for step in (12, 15, 18)], axis=0)
    before = model.weight.detach().clone()
    with method.scored(model):
        np.testing.assert_allclose(model.weight.detach().numpy(), expected, rtol=1e-5)
    assert torch.equal(model.weight, before)


@pytest.mark.slow
def test_without_every_the_ends_of_epochs_are_averaged(tmp_path):
    walk = Walk()
    case = Case({"swa": 0.5})
    trainer = trainer_of(case, tmp_path, num_train_epochs=4, callbacks=(walk,))
    trainer.train()
    assert len(walk.weights) == 12
    with trainer.scored():
        found = trainer.model.classifier.weight.detach().numpy().copy()
    np.testing.assert_allclose(found, np.mean([walk.weights[i] for i in (5, 8, 11)], axis=0), rtol=1e-5)


@pytest.mark.slow
def test_the_evaluation_of_an_epoch_scores_the_mean_that_includes_its_end(tmp_path):
    seen = []

    class Scored(TrainerCallback):
        def on_evaluate(self, args, state, control, **kwargs):
            seen.append(next(method.mean.count for method in trainer.methods))

    trainer = trainer_of(Case({"swa": 0.5}), tmp_path, num_train_epochs=4, eval_strategy="epoch", callbacks=(Scored(),))
    trainer.train()
    assert seen == [0, 1, 2, 3]


@pytest.mark.slow
def test_batch_norms_have_the_statistics_of_all_training_rows(tmp_path):
    trainer = trainer_of(Case({"swa": {"start": 0.3, "every": 1}}, model="resnet"), tmp_path, dtype=torch.float32)
    trainer.train()
    before = {name: buffer.clone() for name, buffer in trainer.model.named_buffers()}
    with trainer.scored():
        first = trainer.model.resnet.embedder.embedder
        pixels = torch.stack([row["pixel_values"] for row in trainer.train_dataset])
        with torch.no_grad():
            seen = first.convolution(pixels).double().numpy()
        norm = first.normalization
        np.testing.assert_allclose(norm.running_mean.numpy(), seen.mean((0, 2, 3)), atol=1e-5)
        np.testing.assert_allclose(norm.running_var.numpy(), seen.var((0, 2, 3), ddof=1), rtol=1e-4)
        assert not torch.equal(norm.running_mean, before["resnet.embedder.embedder.normalization.running_mean"])
    assert all(torch.equal(buffer, before[name]) for name, buffer in trainer.model.named_buffers())


@pytest.mark.slow
def test_statistics_of_frozen_norms_stay(tmp_path):
    trainer = trainer_of(Case({"swa": {"start": 0.3, "every": 1}}, model="resnet"), tmp_path, dtype=torch.float32)
    training.freeze_batch_norm(trainer.model)
    assert len(norms(trainer.model)) > 3
    assert moving_norms(trainer, trainer.model) == []
    before = {name: buffer.clone() for name, buffer in trainer.model.named_buffers()}
    estimate(trainer, moving_norms(trainer, trainer.model), trainer.model)
    assert all(torch.equal(buffer, before[name]) for name, buffer in trainer.model.named_buffers())


def test_a_stream_is_refused_for_a_model_with_batch_norm():
    [method] = training.methods_of(swa=0.5)
    model = examples.tiny("resnet")
    with pytest.raises(BadInput, match=r"strategy.swa: .*BatchNorm.*data.streaming=false"):
        method.start(Setting(model, set(), PROBLEMS[SINGLE], 2, 0, torch.device("cpu"), moving_norms=True))
    method.start(Setting(nn.Linear(2, 1), set(), PROBLEMS[SINGLE], 2, 0, torch.device("cpu")))


def test_one_average_of_the_weights_at_most():
    methods = training.methods_of(ema=0.9, swa=0.5)
    [(key, why)] = refusals(methods, Situation(SINGLE))
    assert (key, why) == ("swa", "scores other weights than the last step's, as ema does; leave one of them out")


@pytest.mark.slow
def test_a_run_without_a_step_to_average_scores_its_weights(tmp_path):
    trainer = trainer_of(CASES["swa"], tmp_path)
    raw = trainer.model.classifier.weight.detach().clone()
    with trainer.scored():
        assert torch.equal(trainer.model.classifier.weight, raw)

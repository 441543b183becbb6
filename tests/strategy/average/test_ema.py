"""EMA: its recursion, and what is scored."""

import pytest
import torch
from torch import nn

from hfft.strategy.method import At, Setting
from hfft.tasks.problem import PROBLEMS
from tests.examples import SINGLE
from tests.strategy.cases import CASES, trainer_of
from tests.training import methods_of


def test_it_follows_its_recursion():
    model = nn.Linear(2, 1)
    [method] = methods_of(ema=0.9)
    method.start(Setting(model, set(), PROBLEMS[SINGLE], 2, 0, torch.device("cpu")))
    mean = model.weight.detach().clone()
    for step in range(1, 200):
        with torch.no_grad():
            model.weight.add_(torch.randn(1, 2))
        method.updated(model, At(step, 0, 0.0, 0))
        keep = min(0.9, (1 + step) / (10 + step))
        mean = keep * mean + (1 - keep) * model.weight.detach()
    torch.testing.assert_close(method.mean["weight"], mean)


@pytest.mark.slow
def test_the_average_is_scored_and_the_weights_come_back_to_the_bit(tmp_path):
    trainer = trainer_of(CASES["ema"], tmp_path, dtype=torch.float32)
    trainer.train()
    [method] = [m for m in trainer.methods if m.name == "ema"]
    raw = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    plain = {key: value for key, value in trainer.evaluate().items() if key == "eval_loss"}
    with trainer.scored():
        for name, parameter in trainer.model.named_parameters():
            assert torch.equal(parameter, method.mean[name])
    assert all(torch.equal(p, raw[name]) for name, p in trainer.model.named_parameters())
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            parameter.copy_(method.mean[name])
    method.mean = {}
    assert trainer.evaluate()["eval_loss"] == plain["eval_loss"]

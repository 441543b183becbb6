"""Weights of classes act on a step as on its loss, whether or not its gradient is clipped."""

import pytest
import torch

from tests.strategy.cases import Case, trainer_of

NAMES = ["class 0", "class 1", "class 2"]


def weights_after(folder, factor, norm, **changes):
    """The weights before and after one step of SGD with the same weight for every class."""
    case = Case({"class_weights": dict.fromkeys(NAMES, factor)} if factor else {})
    trainer = trainer_of(case, folder, rows=8, max_steps=1, max_grad_norm=norm, dropout=None, **changes)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    return before, dict(trainer.model.named_parameters())


@pytest.mark.slow_but("31.0-0.01")
@pytest.mark.parametrize("norm", [0.0, 0.01, 100.0])
@pytest.mark.parametrize("factor", [0.25, 31.0])
def test_equal_weights_are_a_factor_of_the_rate_with_and_without_clipping(factor, norm, tmp_path):
    before, plain = weights_after(tmp_path / "plain", None, norm, learning_rate=0.01 * factor)
    _, weighed = weights_after(tmp_path / "weighed", factor, norm, learning_rate=0.01)
    moved = False
    for name, tensor in plain.items():
        torch.testing.assert_close(weighed[name], tensor, rtol=1e-4, atol=1e-7)  # torch adds 1e-6 to the norm
        moved |= not torch.equal(tensor, before[name])
    assert moved


def test_of_a_clipped_step_the_mean_weight_of_its_rows_is_the_limit(tmp_path):
    case = Case({"class_weights": {"class 0": 9.0, "class 1": 1.0, "class 2": 0.5}})
    trainer = trainer_of(case, tmp_path, rows=8, max_steps=1, max_grad_norm=1e-3, learning_rate=1.0, dropout=None)
    before = torch.cat([p.detach().flatten().clone() for p in trainer.model.parameters()])
    factors = torch.tensor([9.0, 1.0, 0.5])[[row["labels"] for row in trainer.train_dataset]]
    trainer.train()
    after = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
    assert float((after - before).norm()) == pytest.approx(1e-3 * float(factors.mean()), rel=1e-2)

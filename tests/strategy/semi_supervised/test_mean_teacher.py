"""Mean teacher: the squared difference, and an average that is scored."""

from pathlib import Path

import pytest
import torch

from hfft.strategy.semi_supervised.mean_teacher import difference
from tests.strategy.cases import CASES, trainer_of


def test_the_difference_is_that_of_probabilities_meaned_over_views():
    student, teacher = torch.randn(4, 2, 3), torch.randn(4, 2, 3).softmax(2)
    expected = [
        sum(float(((student[i, k].softmax(0) - teacher[i, k]) ** 2).sum()) for k in range(2)) / 2 for i in range(4)
    ]
    assert difference(student, teacher).tolist() == pytest.approx(expected)


@pytest.mark.slow
def test_the_average_is_scored_and_the_weights_come_back(tmp_path: Path):
    trainer = trainer_of(CASES["mean_teacher"], tmp_path)
    trainer.train()
    [method] = trainer.methods
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    with trainer.scored():
        for name, parameter in trainer.model.named_parameters():
            torch.testing.assert_close(parameter.detach(), method.state()[name], rtol=0, atol=0)
        assert any(not torch.equal(p, before[name]) for name, p in trainer.model.named_parameters())
    assert all(torch.equal(p, before[name]) for name, p in trainer.model.named_parameters())

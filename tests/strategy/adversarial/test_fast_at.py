"""Fast adversarial training: one step of 1.25 radii from a random start of each row."""

import numpy as np
import torch

from tests.strategy.adversarial.test_pgd import BLACK, SPAN, prepared
from tests.strategy.cases import Case, trainer_of


def images(folder, **options):
    trainer = trainer_of(Case({"fast_at": {"epsilon": 0.05, **options}}, model="vit"), folder)
    batch, before, after = prepared(trainer)
    return trainer, batch, before, after


def test_it_is_the_papers_step(tmp_path):
    trainer, batch, before, after = images(tmp_path)
    start = np.stack([np.random.default_rng((42, 0, int(row), 4)).random(before[0].numel()) for row in batch.rows])
    begin = (before + (2 * torch.from_numpy(start).view_as(before) - 1) * 0.05).clamp(0, 1).requires_grad_()
    logits = trainer.model.eval()(begin * SPAN + BLACK[0]).logits
    torch.nn.functional.cross_entropy(logits, batch.labels, reduction="sum").backward()
    moved = begin.detach() + 1.25 * 0.05 * begin.grad.sign()
    expected = torch.minimum(torch.maximum(moved, before - 0.05), before + 0.05).clamp(0, 1)
    torch.testing.assert_close(after, expected)


def test_a_step_of_0_leaves_the_random_start(tmp_path):
    _, _, before, after = images(tmp_path, step=0)
    apart = (after - before).abs()
    assert 0.01 < apart.mean() < 0.05
    assert apart.max() <= 0.05 + 1e-12

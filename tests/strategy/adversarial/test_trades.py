"""TRADES: the paper's two terms, and an attack on the divergence alone."""

import numpy as np
import pytest
import torch

from hfft.strategy.adversarial.trades import trades
from hfft.strategy.method import TASK, At, Pass
from hfft.tasks.problem import PROBLEMS
from tests.examples import SINGLE
from tests.strategy.adversarial.test_attacks import softmax
from tests.strategy.adversarial.test_pgd import BLACK, SPAN, prepared
from tests.strategy.cases import Case, trainer_of
from tests.training import methods_of


def test_it_is_the_equation():
    rng = np.random.default_rng(0)
    clean, attacked = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    p, q = softmax(clean), softmax(attacked)
    found = trades(PROBLEMS[SINGLE], torch.tensor(clean), torch.tensor(attacked))
    np.testing.assert_allclose(found, (p * np.log(p / q)).sum(1), atol=1e-12)


@pytest.mark.parametrize(("beta", "share", "weight"), [(6.0, 0.5, 6.0), ({"start": 0.0, "end": 4.0}, 0.5, 2.0)])
def test_beta_is_the_weight_and_may_rise(beta, share, weight):
    [method] = methods_of(trades={"beta": beta})
    method.problem = PROBLEMS[SINGLE]
    logits = {TASK: torch.randn(4, 3), "trades": torch.randn(4, 3)}
    seen = Pass(logits, {}, {}, torch.zeros(4), None, {}, At(5, 0, share, 0))
    expected = weight * trades(PROBLEMS[SINGLE], logits[TASK], logits["trades"])
    torch.testing.assert_close(method.losses(seen)["trades"], expected)


def test_clean_images_stay_and_the_attacked_ones_differ_most_in_prediction(tmp_path):
    case = Case({"trades": {"epsilon": 0.05, "step": 0.02, "steps": 5}}, model="vit")
    trainer = trainer_of(case, tmp_path)
    batch, before, after = prepared(trainer)
    torch.testing.assert_close(after.clamp(0, 1), before)
    attacked = (batch.part("trades")["pixel_values"] - BLACK[0]) / SPAN
    apart = (attacked - before).abs().flatten(1).amax(1)
    torch.testing.assert_close(apart, torch.full_like(apart, 0.05))
    model = trainer.model.eval()

    def divergence(x):
        clean, other = (model(images * SPAN + BLACK[0]).logits for images in (before, x))
        return trades(PROBLEMS[SINGLE], clean, other)

    random = before + 0.05 * torch.randn_like(before).sign()
    assert (divergence(attacked) > 3 * divergence(random.clamp(0, 1))).all()
    assert len(batch.targets) == 1

"""The contrastive losses of SimCLR and SimCSE are those of their papers, and learn without labels."""

import math

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from hfft import finetune, load_recipe
from hfft.strategy.metric.nt_xent import nt_xent
from hfft.strategy.needs import Situation, refusals
from tests.strategy.cases import CASES, trainer_of
from tests.training import methods_of


def by_hand(x, y, temperature):
    """Equation 1 of SimCLR, view by view."""
    z = [*x, *y]
    total = 0.0
    for i in range(len(z)):
        j = (i + len(x)) % len(z)
        sim = [float(F.cosine_similarity(z[i], other, dim=0)) / temperature for other in z]
        total -= sim[j] - math.log(sum(math.exp(s) for k, s in enumerate(sim) if k != i))
    return total / len(z)


def test_simclr_is_its_equation():
    torch.manual_seed(0)
    x, y = torch.randn(2, 5, 4, dtype=torch.float64)
    assert nt_xent(x, y, 0.5).item() == pytest.approx(by_hand(x, y, 0.5))


def test_simcse_looks_among_the_other_views_alone():
    torch.manual_seed(1)
    x, y = torch.randn(2, 5, 4, dtype=torch.float64)
    sim = torch.stack([F.cosine_similarity(row, y) for row in x]) / 0.05
    expected = -(sim.diagonal() - sim.exp().sum(1).log()).mean()
    assert nt_xent(x, y, 0.05, symmetric=False).item() == pytest.approx(expected.item())


def test_a_single_row_has_nothing_to_be_told_from():
    x = torch.randn(1, 4)
    assert nt_xent(x, x + 1).item() == pytest.approx(0, abs=1e-6)
    assert nt_xent(x, x + 1, symmetric=False).item() == 0


@pytest.mark.parametrize(
    ("name", "tokens", "why"), [("simclr", True, "impossible for text"), ("simcse", False, "texts")]
)
def test_each_is_for_its_own_kind_of_rows(name, tokens, why):
    situation = Situation("single_label_classification", tokens=tokens, continuous=not tokens)
    assert any(why in text for _, text in refusals(methods_of(**{name: 0.1}), situation))


@pytest.mark.slow
def test_labels_change_nothing_but_the_head(tmp_path):
    weights = []
    for seed in (0, 1):
        trainer = trainer_of(CASES["simclr"], tmp_path / str(seed))
        if seed:
            for row in trainer.train_dataset:
                row["labels"] = (row["labels"] + 1) % 3
        trainer.train()
        weights.append({n: p.detach() for n, p in trainer.model.named_parameters() if "classifier" not in n})
    assert all(torch.equal(p, weights[1][n]) for n, p in weights[0].items())


@pytest.mark.slow
def test_a_run_without_labels_is_the_backbone_of_the_next(tmp_path):
    few = ["training.max_steps=1", "training.eval_strategy=no", "data.max_train_samples=40", "data.validation=none"]
    few += ["data.max_eval_samples=20", "publish=null", "score.from_scratch=false"]
    first = finetune(load_recipe("digits", *few, "strategy.simclr=0.5", f"training.output_dir={tmp_path / 'a'}"))
    words = [f"backbone.name={tmp_path / 'a'}", "training.learning_rate=0", "training.warmup_steps=0"]
    second = finetune(load_recipe("digits", *few, *words, f"training.output_dir={tmp_path / 'b'}"))
    left, right = (load_file(run.model / "model.safetensors") for run in (first, second))
    backbone = [name for name in left if "classifier" not in name]
    assert backbone
    assert all(torch.equal(left[name], right[name]) for name in backbone)

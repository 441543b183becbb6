"""The finished model beside its teacher: distances, sizes, and a teacher that is gone."""

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.evaluate.against_reference import against_reference, distances, in_words
from hfft.tasks.problem import PROBLEMS
from tests.examples import MULTI, REGRESSION, SINGLE, tiny
from tests.strategy.cases import CASES, Case, trainer_of


def test_distances_are_those_of_the_problem():
    rng = np.random.default_rng(0)
    mine, theirs = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (theirs, mine))
    found = distances(PROBLEMS[SINGLE], torch.from_numpy(mine), torch.from_numpy(theirs))
    assert found["divergence"] == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-6)
    assert found["agreement"] == pytest.approx((mine.argmax(1) == theirs.argmax(1)).mean())
    found = distances(PROBLEMS[MULTI], torch.from_numpy(mine), torch.from_numpy(theirs))
    assert found["agreement"] == pytest.approx(((mine > 0) == (theirs > 0)).mean())
    assert distances(PROBLEMS[REGRESSION], torch.from_numpy(mine), torch.from_numpy(mine)) == {"divergence": 0.0}


def test_both_models_are_measured_on_the_test_split(tmp_path):
    trainer = trainer_of(CASES["distillation"], tmp_path)
    [(name, found)] = against_reference(trainer, {"validation": None, "test": trainer.eval_dataset}).items()
    assert (name, found["split"], found["n"]) == ("distillation", "test", 6)
    model, teacher = tiny("bert").double(), tiny("bert", seed=1).double()
    batch = trainer.data_collator(trainer.eval_dataset)
    batch.pop("labels")
    with torch.no_grad():
        mine, theirs = model(**batch).logits, teacher(**batch).logits
    expected = distances(PROBLEMS[SINGLE], mine, theirs)
    assert found["divergence"] == pytest.approx(expected["divergence"], rel=1e-2)  # of logits in float32
    assert found["agreement"] == expected["agreement"]
    assert found["model"]["parameters"] == sum(p.numel() for p in model.parameters())
    assert found["reference"]["bytes"] > 8 * found["reference"]["parameters"] - 1
    assert min(found[which]["milliseconds"] for which in ("model", "reference")) > 0
    assert "agreement" in in_words(name, found)


def test_nothing_is_compared_without_a_teacher_or_rows(tmp_path):
    assert against_reference(trainer_of(Case(), tmp_path), {"test": [1]}) == {}
    assert against_reference(trainer_of(CASES["distillation"], tmp_path), {"test": None}) == {}


def test_a_teacher_that_is_gone_is_told_and_nothing_fails(tmp_path, capsys):
    trainer = trainer_of(CASES["distillation"], tmp_path)

    def gone(name):
        raise BadInput(f"{name} has no finished model")

    trainer.setting.load_model = gone
    assert against_reference(trainer, {"test": trainer.eval_dataset}) == {}
    assert "strategy.distillation: not compared at the end" in capsys.readouterr().out

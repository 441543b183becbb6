"""What the arguments of a run mean is settled once the splits are known."""

from types import SimpleNamespace

import pytest
from transformers import TrainingArguments

from hfft.errors import BadInput
from hfft.pipeline.build import check_schedule


def settled(folder, validation=True, stopping=False, **given):
    arguments = TrainingArguments(str(folder), use_cpu=True, eval_strategy="epoch", save_strategy="epoch", **given)
    splits = SimpleNamespace(sizes={"train": 100}, validation=[0] if validation else None)
    check_schedule(arguments, splits, stopping)
    return arguments


@pytest.mark.parametrize(
    ("metric", "mode"), [(None, "min"), ("loss", "min"), ("accuracy", "max"), ("eval_f1_macro", "max"), ("ece", "min")]
)
def test_a_plateau_is_that_of_the_metric_in_its_direction(metric, mode, tmp_path):
    found = settled(tmp_path, lr_scheduler_type="reduce_lr_on_plateau", metric_for_best_model=metric)
    assert found.lr_scheduler_kwargs == {"mode": mode}


def test_the_recipes_own_direction_and_options_stay(tmp_path):
    given = {"lr_scheduler_type": "reduce_lr_on_plateau", "metric_for_best_model": "accuracy"}
    found = settled(tmp_path, lr_scheduler_kwargs={"mode": "min", "patience": 2}, **given)
    assert found.lr_scheduler_kwargs == {"mode": "min", "patience": 2}
    assert not settled(tmp_path, metric_for_best_model="accuracy").lr_scheduler_kwargs


@pytest.mark.parametrize(("stopping", "key"), [(True, "early_stopping"), (False, "load_best_model_at_end")])
def test_the_best_model_needs_validation_rows(stopping, key, tmp_path):
    with pytest.raises(BadInput, match=f"training.{key}: there is no validation split; set data.validation"):
        settled(tmp_path, validation=False, stopping=stopping, load_best_model_at_end=True)

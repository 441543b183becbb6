"""The arguments of a run: the recipe's over hfft's defaults, and transformers' refusals in one line."""

import pytest
import torch
from transformers import TrainingArguments

from hfft.errors import BadInput
from hfft.recipe import Recipe
from hfft.train import training_arguments
from hfft.train.arguments import DEFAULTS, FIXED


def recipe(folder, **training) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "r",
            "task": "text-classification",
            "backbone": {"name": "some/model"},
            "data": {"path": "some/data"},
            "training": {"output_dir": str(folder), "use_cpu": True, **training},
        }
    )


def test_what_neither_the_recipe_nor_hfft_says_is_transformers_own(tmp_path):
    ours, stock = training_arguments(recipe(tmp_path)), TrainingArguments(str(tmp_path), use_cpu=True)
    set_here = {*DEFAULTS, *FIXED, "dataloader_pin_memory", "disable_tqdm", "per_device_eval_batch_size", "run_name"}
    set_here.add("train_sampling_strategy")
    differing = {key for key, value in stock.to_dict().items() if value != ours.to_dict()[key]}
    assert differing <= {*set_here, "do_eval"}, "do_eval follows eval_strategy"


def test_the_recipe_stands_above_the_defaults_and_changes_above_the_recipe(tmp_path):
    given = recipe(tmp_path, save_strategy="no", logging_steps=3, max_steps=7)
    found = training_arguments(given, max_steps=1)
    assert (found.save_strategy, found.logging_steps, found.max_steps) == ("no", 3, 1)
    assert training_arguments(given, output_dir=str(tmp_path / "other")).output_dir == str(tmp_path / "other")


def test_what_hfft_relies_on_cannot_be_changed(tmp_path):
    found = training_arguments(recipe(tmp_path, remove_unused_columns=True, batch_eval_metrics=False))
    assert not found.remove_unused_columns
    assert found.batch_eval_metrics


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_half_precision_where_there_is_hardware_for_it(name, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert getattr(training_arguments(recipe(tmp_path, **{name: "auto"})), name) is False


@pytest.mark.parametrize("task", ["text-classification", "image-classification"])
def test_what_a_gpu_gets_by_default_and_that_a_recipe_stands_above_it(task, tmp_path, monkeypatch):
    given: dict = {}

    class Recorded(Exception):
        pass

    def record(**arguments):
        given.update(arguments)
        raise Recorded

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr("hfft.train.arguments.TrainingArguments", record)
    monkeypatch.setattr("hfft.train.arguments.cores", lambda: 5)
    on_gpu = {"bf16": True, "tf32": True, "dataloader_pin_memory": True, "accelerator_config": {"non_blocking": True}}
    workers = {"dataloader_num_workers": 4, "dataloader_prefetch_factor": 2} if task.startswith("image") else {}
    with pytest.raises(BadInput):
        training_arguments(recipe(tmp_path, use_cpu=False).model_copy(update={"task": task}))
    assert {**on_gpu, **workers}.items() <= given.items()
    assert not {"optim", "torch_compile"} & set(given), "transformers' own: the fused AdamW, and no compiling"
    said = {"bf16": False, "tf32": False, "dataloader_pin_memory": False, "dataloader_num_workers": 1}
    said |= {"accelerator_config": {"non_blocking": False}, "dataloader_prefetch_factor": 7, "torch_compile": True}
    with pytest.raises(BadInput):
        training_arguments(recipe(tmp_path, use_cpu=False, **said).model_copy(update={"task": task}))
    assert said.items() <= given.items()


@pytest.mark.parametrize(
    "training",
    [
        {"save_strategy": "epoch", "eval_strategy": "steps", "load_best_model_at_end": True},
        {"optim": "fastest"},
        {"warmup_ratio": 0.1},
    ],
)
def test_what_transformers_refuses_is_one_line(training, tmp_path):
    with pytest.raises(BadInput, match=r"^training: [^\n]+$"):
        training_arguments(recipe(tmp_path, **training))


def test_a_tracker_that_is_not_installed_is_told_at_once(tmp_path):
    with pytest.raises(BadInput, match=r"^training.report_to: neptune, swanlab is not installed; install it, or leave"):
        training_arguments(recipe(tmp_path, report_to=["neptune", "swanlab"]))

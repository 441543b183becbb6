"""Arguments of other libraries, read from their source: held against the real classes, and checked without them."""

import dataclasses
import importlib
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from hfft.layers.adapters.arguments import adapter_problems
from hfft.recipe import training_arguments as arguments
from hfft.recipe.training_arguments import OWNED, REMOVED, enum_values, trackers, training_arguments, training_problem

ROOT = Path(__file__).parents[2]


def test_the_arguments_read_from_source_are_the_fields_of_training_arguments():
    from transformers import TrainingArguments

    assert list(training_arguments()) == [field.name for field in dataclasses.fields(TrainingArguments)]


def test_the_choices_read_from_source_are_the_values_of_the_enums():
    for path, name in arguments._ENUMS.values():
        enum = getattr(importlib.import_module(f"transformers.{path.removesuffix('.py')}"), name)
        assert enum_values("transformers", path, name) == [member.value for member in enum]


def test_the_choices_written_here_are_those_of_transformers():
    from transformers import TrainingArguments

    fields = {field.name: field for field in dataclasses.fields(TrainingArguments)}
    for key, choices in arguments._CHOICES.items():
        assert choices == list(fields[key].metadata["choices"])


def test_removed_arguments_are_gone_and_owned_and_bounded_ones_exist():
    known = set(training_arguments())
    assert set(REMOVED) & known == set()
    assert set(OWNED) - known == set()
    assert set(arguments._RANGES) - known == set()
    assert {*arguments._ENUMS, *arguments._CHOICES} - known == set()


def test_what_replaces_a_removed_argument_exists_where_it_is_an_argument():
    for old, new in REMOVED.items():
        word = new.partition(" ")[0].rstrip(":")
        if word.replace("_", "").isalpha() and word not in ("the", "nothing"):
            assert word in training_arguments(), f"{old} -> {new}"


def test_the_defaults_of_a_run_pass_the_check_and_what_it_fixes_is_not_for_recipes():
    from hfft.train.arguments import DEFAULTS, FIXED

    assert {key: training_problem(key, value) for key, value in DEFAULTS.items()} == dict.fromkeys(DEFAULTS)
    assert set(FIXED) <= set(OWNED)


def test_every_default_of_training_arguments_passes_the_check():
    from transformers import TrainingArguments

    for field in dataclasses.fields(TrainingArguments):
        if field.name not in OWNED and field.default is not dataclasses.MISSING:
            assert training_problem(field.name, getattr(field.default, "value", field.default)) is None, field.name


@pytest.mark.slow
def test_a_recipe_is_checked_without_importing_the_libraries(tmp_path):
    recipe = tmp_path / "x.yaml"
    recipe.write_text(
        "task: image-classification\nbackbone: {name: a/b}\ndata: {path: p, augment: [random_crop]}\n"
        "layers: {adapter: {type: lora, r: 4}}\ntraining: {learning_rate: 3e-4, optim: adamw_torch, bf16: auto}\n"
    )
    script = (
        "import json, sys\nfrom hfft.recipe import load_recipe\n"
        f"load_recipe({str(recipe)!r}, 'training.lr_scheduler_type=cosine')\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert "hfft" in loaded
    assert loaded & {"torch", "transformers", "datasets", "peft", "accelerate", "huggingface_hub", "sklearn"} == set()


def test_a_library_that_is_missing_is_named():
    with pytest.raises(ModuleNotFoundError, match="no_such_library is not installed; pip install no_such_library"):
        arguments.dataclass_fields("no_such_library", "x.py", "X")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning_rate", 3e-4),
        ("learning_rate", 1),
        ("learning_rate", 0),
        ("num_train_epochs", 0.5),
        ("warmup_steps", 0.1),
        ("warmup_steps", 100),
        ("seed", 2**32 - 1),
        ("data_seed", None),
        ("max_steps", -1),
        ("label_smoothing_factor", 1),
        ("bf16", "auto"),
        ("fp16", True),
        ("tf32", None),
        ("optim", "adamw_torch"),
        ("optim_args", "momentum=0.9, nesterov=true"),
        ("optim_args", ""),
        ("log_level", "passive"),
        ("eval_strategy", "no"),
        ("save_strategy", "best"),
        ("lr_scheduler_type", "cosine"),
        ("lr_scheduler_kwargs", {"num_cycles": 2}),
        ("train_sampling_strategy", "group_by_length"),
        ("report_to", ["tensorboard"]),
        ("report_to", "none"),
        ("gradient_checkpointing", True),
        ("report_to", ["wandb", "mlflow"]),
        ("fsdp_config", {"a": 1}),
    ],
)
def test_a_good_argument_is_accepted(key, value):
    assert training_problem(key, value) is None


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("learing_rate", 1e-3, "unknown key; did you mean 'learning_rate'?"),
        ("zzzzzz", 1, "unknown key"),
        ("hub_modle_id", "x", "unknown key"),
        ("warmup_ratio", 0.1, f"unknown to the installed transformers; use {REMOVED['warmup_ratio']}"),
        ("evaluation_strategy", "epoch", "unknown to the installed transformers; use eval_strategy"),
        ("push_to_hub", True, "is not set here; use publish.hub_model_id"),
        ("hub_token", "x", f"is not set here; use {OWNED['hub_token']}"),
        ("learning_rate", "3e-4", "is '3e-4' (str); expected float"),
        ("learning_rate", True, "is True (bool); expected float"),
        ("learning_rate", None, "is None (NoneType); expected float"),
        ("learning_rate", [1], "is [1] (list); expected float"),
        ("max_steps", 1.5, "is 1.5 (float); expected int"),
        ("max_steps", "1" * 200, f"is '{'1' * 79} (str); expected int"),
        ("bf16", 1, "is 1 (int); expected bool"),
        ("full_determinism", "auto", "is 'auto' (str); expected bool"),
        ("bf16_full_eval", True, f"is not set here; use {OWNED['bf16_full_eval']}"),
        ("parallelism_config", "", f"is not set here; use {OWNED['parallelism_config']}"),
        ("optim_args", "/regex(/", "is '/regex(/'; expected pairs such as 'momentum=0.9,nesterov=true'"),
        (
            "optim_args",
            "betas=(0.9,0.95)",
            "is 'betas=(0.9,0.95)'; expected pairs such as 'momentum=0.9,nesterov=true'",
        ),
        ("optim_args", 3, "is 3 (int); expected str | None"),
        ("report_to", {"a": 1}, "is {'a': 1} (dict); expected None | str | list[str]"),
        ("learning_rate", -1, "is -1; expected a finite number of at least 0"),
        ("learning_rate", math.nan, "is nan; expected a finite number of at least 0"),
        ("learning_rate", math.inf, "is inf; expected a finite number of at least 0"),
        ("adam_epsilon", math.nan, "is nan; expected a finite number"),
        ("adam_epsilon", math.inf, "is inf; expected a finite number"),
        ("per_device_train_batch_size", 0, "is 0; expected between 1 and 1000000"),
        ("seed", 2**32, "is 4294967296; expected between 0 and 4294967295"),
        ("label_smoothing_factor", 1.5, "is 1.5; expected between 0 and 1"),
    ],
)
def test_a_bad_argument_is_answered(key, value, problem):
    assert training_problem(key, value) == problem


@pytest.mark.parametrize("key", sorted({*arguments._ENUMS, *arguments._CHOICES}))
@pytest.mark.parametrize("value", ["seqential", 3, None, ["no"], {"a": 1}, True])
def test_a_choice_that_does_not_exist_is_answered_with_those_that_do(key, value):
    problem = training_problem(key, value)
    assert problem.startswith(f"is {value!r}; expected one of ")


def test_a_misspelt_choice_is_answered_with_the_nearest():
    assert training_problem("lr_scheduler_type", "cosin").endswith("; did you mean 'cosine'?")


@pytest.mark.parametrize("key", sorted(REMOVED))
def test_every_removed_argument_is_answered_with_what_replaced_it(key):
    assert training_problem(key, 1) == f"unknown to the installed transformers; use {REMOVED[key]}"


@pytest.mark.parametrize("key", sorted(OWNED))
def test_every_owned_argument_is_answered_with_where_it_belongs(key):
    assert training_problem(key, 1) == f"is not set here; use {OWNED[key]}"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"r": 8, "lora_alpha": 16, "lora_dropout": 0.1, "bias": "none", "use_dora": True},
        {"r": 1, "lora_dropout": 0, "target_modules": ["query", "value"], "init_lora_weights": "pissa"},
        {"target_modules": "all-linear", "rank_pattern": {"a": 1}, "init_lora_weights": False},
    ],
)
def test_a_good_adapter_is_accepted(given):
    assert adapter_problems({"type": "lora", **given}) == []


SHARE = "expected a number of at least 0 and below 1"
WHOLE = "expected a whole number of at least 1"


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("lora_alpa", 3, "unknown key; did you mean 'lora_alpha'?"),
        ("task_type", "SEQ_CLS", "is set by hfft; leave it out"),
        ("r", 0, f"is 0; {WHOLE}"),
        ("r", True, f"is True; {WHOLE}"),
        ("r", 1.5, f"is 1.5; {WHOLE}"),
        ("lora_dropout", 1, f"is 1; {SHARE}"),
        ("lora_dropout", math.nan, f"is nan; {SHARE}"),
        ("lora_dropout", "x", f"is 'x'; {SHARE}"),
        ("lora_dropout", False, f"is False; {SHARE}"),
        ("lora_alpha", "x", "is 'x' (str); expected int"),
        ("use_dora", 1, "is 1 (int); expected bool"),
        ("bias", "some", "is 'some'; expected one of none, all, lora_only"),
    ],
)
def test_a_bad_argument_of_an_adapter_is_answered(key, value, problem):
    assert adapter_problems({"type": "lora", key: value}) == [(key, problem)]


@pytest.mark.parametrize(("given", "shown"), [({}, None), ({"type": "lorra", "zzz": 1}, "lorra"), ({"type": []}, [])])
def test_an_adapter_of_another_type_is_answered_with_the_known_one(given, shown):
    [(key, problem)] = adapter_problems(given)
    assert key == "type"
    assert problem.startswith(f"is {shown!r}; expected a PEFT adapter type")


def test_all_mistakes_of_an_adapter_are_told_at_once():
    assert [key for key, _ in adapter_problems({"type": "lora", "r": -1, "bias": "x", "zzz": 1})] == [
        "r",
        "bias",
        "zzz",
    ]


@pytest.mark.parametrize(
    ("key", "value", "near"),
    [
        ("report_to", "../x", ""),
        ("report_to", "wanbd", "; did you mean 'wandb'?"),
        ("report_to", ["none", "wandb"], ""),
        ("report_to", [3], ""),
        ("log_level", "no", "; did you mean 'info'?"),
        ("log_level_replica", "warn", "; did you mean 'warning'?"),
    ],
)
def test_trackers_and_levels_are_those_of_transformers(key, value, near):
    said = training_problem(key, value)
    assert said is not None
    assert "; expected one of " in said
    assert said.endswith(near)


def test_trackers_and_levels_are_whole():
    from transformers import training_args
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    assert trackers() == list(INTEGRATION_TO_CALLBACK)
    for key in ("log_level", "log_level_replica"):
        assert all(training_problem(key, level) is None for level in training_args.trainer_log_levels)

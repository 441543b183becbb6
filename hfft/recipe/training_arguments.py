"""Arguments of other libraries' dataclasses, read from their installed source without importing them.

`training:` is `transformers.TrainingArguments` and `layers.adapter:` a PEFT config, verbatim. Importing either takes
seconds (torch), while checking a recipe must take well under one. So the source files are parsed, never executed.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hfft.recipe.training_keys import TrainingKeys
from hfft.wording import listing, nearest

# Arguments of older transformers releases, and what to use now (5.x; a test checks this against the source).
REMOVED = {
    "warmup_ratio": "warmup_steps with a value below 1 (a fraction of all steps)",
    "evaluation_strategy": "eval_strategy",
    "overwrite_output_dir": "the flag --fresh",
    "logging_dir": "the environment variable TENSORBOARD_LOGGING_DIR",
    "save_safetensors": "nothing: weights are always saved as safetensors",
    "group_by_length": "train_sampling_strategy: group_by_length",
    "no_cuda": "use_cpu",
    "use_mps_device": "nothing: Accelerate selects the device",
    "jit_mode_eval": "torch_compile",
    "fp16_backend": "nothing: Accelerate implements mixed precision",
    "half_precision_backend": "nothing: Accelerate implements mixed precision",
    "fp16_opt_level": "nothing: Accelerate implements mixed precision",
    "include_inputs_for_metrics": "include_for_metrics: [inputs]",
    "push_to_hub_model_id": "publish.hub_model_id",
    "push_to_hub_organization": "publish.hub_model_id",
    "push_to_hub_token": "the environment variable HF_TOKEN",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "eval_batch_size": "per_device_eval_batch_size",
    "train_batch_size": "per_device_train_batch_size",
    "batch_size": "per_device_train_batch_size",
    "epochs": "num_train_epochs",
    "lr": "learning_rate",
    "tpu_num_cores": "nothing: accelerate launch starts the processes",
    "adafactor": "optim: adafactor",
    "tokenizer": "backbone.name (the processor comes with the model)",
}
# Arguments of TrainingArguments that hfft sets itself, and what to use instead.
OWNED = {
    "push_to_hub": "publish.hub_model_id",
    "hub_model_id": "publish.hub_model_id",
    "hub_private_repo": "publish.private",
    "hub_token": "the environment variable HF_TOKEN: a recipe never contains a token",
    "hub_strategy": "publish: the finished model is pushed once, in one commit",
    "hub_always_push": "publish",
    "hub_revision": "publish",
    "resume_from_checkpoint": "the same command again: an unfinished run continues by itself",
    "remove_unused_columns": "nothing: only the recipe's columns are read",
    "label_names": "data.columns.label",
    "batch_eval_metrics": "nothing: metrics are always updated batch by batch",
    "include_for_metrics": "score.metrics",
    "prediction_loss_only": "score.metrics",
    "do_train": "hfft train",
    "do_eval": "hfft score",
    "do_predict": "hfft predict",
    "dataloader_persistent_workers": "nothing: workers that outlive an epoch would repeat its augmentation",
    "ignore_data_skip": "nothing: a resumed run continues where it stopped",
    "auto_find_batch_size": "nothing: if memory runs out, the same global batch is trained in smaller micro-batches",
    "enable_jit_checkpoint": "nothing: a signal stops a run after the current step, with a checkpoint",
    "parallelism_config": "accelerate launch with a configuration file",
    "fp16_full_eval": "fp16: the weights would be converted to half precision and saved so",
    "bf16_full_eval": "bf16: the weights would be converted to half precision and saved so",
    "save_only_model": "nothing: a run cannot resume from a checkpoint without the optimiser",
    "restore_callback_states_from_checkpoint": "nothing: a resumed run continues where it stopped",
}
_RANGES: dict[str, tuple[float, float]] = {
    "learning_rate": (0, float("inf")),
    "num_train_epochs": (0, float("inf")),
    "per_device_train_batch_size": (1, 1_000_000),
    "per_device_eval_batch_size": (1, 1_000_000),
    "gradient_accumulation_steps": (1, 1_000_000),
    "weight_decay": (0, float("inf")),
    "max_grad_norm": (0, float("inf")),
    "warmup_steps": (0, float("inf")),
    "label_smoothing_factor": (0, 1),
    "adam_beta1": (0, 1),
    "adam_beta2": (0, 1),
    "dataloader_num_workers": (0, 1024),
    "seed": (0, 2**32 - 1),
    "data_seed": (0, 2**32 - 1),
}
_NAMES = {"bool": bool, "int": int, "float": float, "str": str, "dict": dict, "list": list, "None": type(None)}


@functools.cache
def _tree(package: str, path: str) -> ast.Module:
    spec = importlib.util.find_spec(package)  # locates the package, does not import it
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed; pip install {package}")
    return ast.parse((Path(spec.submodule_search_locations[0]) / path).read_text(encoding="utf-8"))


def _class(tree: ast.Module, name: str) -> ast.ClassDef:
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def dataclass_fields(package: str, path: str, name: str) -> dict[str, str]:
    """Field name -> annotation as written, for the dataclass `name` in `package/path`."""
    body = _class(_tree(package, path), name).body
    return {
        node.target.id: ast.unparse(node.annotation)
        for node in body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_")
    }


def enum_values(package: str, path: str, name: str) -> list[str]:
    """The string values of the enum `name` in `package/path`."""
    body = _class(_tree(package, path), name).body
    return [
        node.value.value
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]


@functools.cache
def training_arguments() -> dict[str, str]:
    """Every argument of the installed `TrainingArguments` with its annotation as written."""
    return dataclass_fields("transformers", "training_args.py", "TrainingArguments")


_ENUMS = {
    "lr_scheduler_type": ("trainer_utils.py", "SchedulerType"),
    "optim": ("training_args.py", "OptimizerNames"),
    "eval_strategy": ("trainer_utils.py", "IntervalStrategy"),
    "logging_strategy": ("trainer_utils.py", "IntervalStrategy"),
    "save_strategy": ("trainer_utils.py", "SaveStrategy"),
}
_COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")  # torch.compile's
_LEVELS = ["detail", "debug", "info", "warning", "error", "critical", "passive"]
_CHOICES = {
    "train_sampling_strategy": ["random", "sequential", "group_by_length", "batch_rebalance"],
    "log_level": _LEVELS,
    "log_level_replica": _LEVELS,
}


@functools.cache
def trackers() -> list[str]:
    """The trackers that `report_to` accepts."""
    tree = _tree("transformers", "integrations/integration_utils.py")
    known = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "INTEGRATION_TO_CALLBACK"
    )
    return [str(ast.literal_eval(key)) for key in getattr(known, "keys", ()) if key is not None]


_PACKAGES = {
    "azure_ml": ("azureml",),
    "flyte": ("flytekit",),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "kubeflow": (),
}


def missing_trackers(report_to: str | list[str] | None) -> list[str]:
    """The trackers of `report_to` whose package is not installed."""
    names = [report_to] if isinstance(report_to, str) else report_to or []
    found = []
    for name in names:
        packages = () if name in ("all", "none") else _PACKAGES.get(name, (name,))
        if packages and not any(importlib.util.find_spec(package) for package in packages):
            found.append(name)
    return found


def type_problem(value: Any, annotation: str) -> str | None:
    """Why a value does not fit an annotation, or None; annotations other than plain types are left to the library."""
    found = _admits(value, ast.parse(annotation, mode="eval").body)
    if found is None or found:
        return None
    if annotation.startswith("Literal["):
        return f"is {value!r:.80}; expected one of {listing(ast.literal_eval(annotation.removeprefix('Literal')))}"
    return f"is {value!r:.80} ({type(value).__name__}); expected {annotation}"


def _admits(value: Any, node: ast.expr) -> bool | None:
    """Whether an annotation admits a value; None if it contains a type that the source does not resolve."""
    if isinstance(node, ast.BinOp):
        return _any(_admits(value, part) for part in (node.left, node.right))
    if isinstance(node, ast.Subscript):
        kind = ast.unparse(node.value).rpartition(".")[2]
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if kind == "Literal":  # an entry such as `pissa_niter_[number of iters]` stands for many values
            choices = [ast.literal_eval(part) for part in parts]
            open_ended = tuple(c.partition("[")[0] for c in choices if isinstance(c, str) and c.endswith("]"))
            return value in choices or (isinstance(value, str) and bool(open_ended) and value.startswith(open_ended))
        if kind in ("Optional", "Union"):
            return _any([value is None and kind == "Optional", *(_admits(value, part) for part in parts)])
        if kind == "list" and isinstance(value, list):
            inner = [_admits(item, parts[0]) for item in value]
            return None if None in inner else all(inner)
        return _admits(value, node.value)
    plain = _NAMES.get(ast.unparse(node))
    if plain is None:
        return None
    if isinstance(value, bool):
        return plain is bool
    return isinstance(value, (int, float) if plain is float else plain)


def _any(answers: Iterable[bool | None]) -> bool | None:
    found = list(answers)
    return True if True in found else None if None in found else False


def training_problem(key: str, value: Any) -> str | None:
    """What is wrong with `training.<key>: <value>`, or None: unknown name, wrong type, value out of range."""
    known = training_arguments()
    if key in OWNED:
        return f"is not set here; use {OWNED[key]}"
    if key not in known:
        if key in REMOVED:
            return f"unknown to the installed transformers; use {REMOVED[key]}"
        return f"unknown key{nearest(key, [*TrainingKeys.model_fields, *(k for k in known if k not in OWNED)])}"
    if key in ("bf16", "fp16", "tf32", "per_device_train_batch_size") and value == "auto":
        return None
    if key == "metric_for_best_model" and value == "":
        return "is empty; name a metric or leave it out"
    if key == "torch_compile_mode" and value not in (None, *_COMPILE_MODES):
        return f"is {value!r:.80}; expected one of {listing(_COMPILE_MODES)}"
    if key == "lr_scheduler_kwargs" and not isinstance(value, dict | None):
        return f"is {value!r:.80}; expected a mapping of arguments"
    pairs = value.split(",") if key == "optim_args" and isinstance(value, str) and value else []
    if not all(part.count("=") == 1 for part in pairs):
        return f"is {value!r:.80}; expected pairs such as 'momentum=0.9,nesterov=true'"
    if key == "report_to" and isinstance(value, str | list):
        names = [value] if isinstance(value, str) else value
        choices = ["none", "all", *trackers()] if len(names) == 1 else trackers()
        for name in names:
            if name not in choices:
                return f"is {name!r:.80}; expected one of {listing(choices, 50)}{nearest(str(name), choices)}"
        return None
    if key in _ENUMS or key in _CHOICES:
        choices = _CHOICES.get(key) or enum_values("transformers", *_ENUMS[key])
        if value not in choices:
            return f"is {value!r:.80}; expected one of {listing(choices, 50)}{nearest(str(value), choices)}"
        return None
    if problem := type_problem(value, known[key]):
        return problem
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = _RANGES.get(key, (float("-inf"), float("inf")))
        if not low <= value <= high or value != value or value == float("inf"):
            least = f" of at least {low:.12g}" if low != float("-inf") else ""
            bound = f"between {low:.12g} and {high:.12g}" if high != float("inf") else f"a finite number{least}"
            return f"is {value}; expected {bound}"
    return None

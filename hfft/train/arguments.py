"""Turn the recipe's `training:` into TrainingArguments, and check that the launch started all requested processes."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import torch
from transformers import Trainer, TrainingArguments
from transformers.integrations.integration_utils import get_available_reporting_integrations

from hfft.errors import BadInput
from hfft.recipe import Recipe
from hfft.recipe.training_keys import foreign
from hfft.train import distributed
from hfft.train.device import cores, layout
from hfft.wording import first_line, listing

# Where hfft's defaults differ from transformers': a run shows its progress and can be continued.
DEFAULTS: dict[str, Any] = {
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "logging_steps": 0.01,  # a fraction of all steps: a hundred points, however long the run is
    "logging_nan_inf_filter": False,  # the filter shows 0.0 while every weight becomes NaN
    "report_to": "none",
    "bf16": "auto",
    "tf32": "auto",
}
# Arguments that affect speed and memory. `hfft show` prints those that the recipe does not set.
LEFT_OPEN = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "per_device_eval_batch_size",
    "train_sampling_strategy",
    "dataloader_num_workers",
    "dataloader_prefetch_factor",
    "dataloader_pin_memory",
    "bf16",
    "tf32",
    "optim",
    "torch_compile",
)
EVALUATED = 64  # rows at once, at least: nothing is stored for a backward pass
AUTO = 32  # rows of a step if the batch size is `auto` and no accumulation is given
FIXED: dict[str, Any] = {"remove_unused_columns": False, "batch_eval_metrics": True, "label_names": ["labels"]}


def training_arguments(recipe: Recipe, **changes: Any) -> TrainingArguments:
    """The arguments of a run: the recipe's override hfft's defaults, which override transformers'.

    Args:
        changes: arguments that override the recipe's, such as `max_steps` in a check.

    Raises:
        BadInput: transformers refuses a value, or there are fewer processes than the launch asked for.
    """
    said = {**foreign(recipe.training), **changes}
    gpu = torch.cuda.is_available() and not said.get("use_cpu")
    text = recipe.the_task.modality.tokens
    batch = said.get("per_device_train_batch_size", 8)
    if batch == "auto":  # all rows of a step at once, until it is known how many fit on the device
        batch = said.get("gradient_accumulation_steps") or AUTO
        said |= {"per_device_train_batch_size": batch, "gradient_accumulation_steps": 1}
    given = {
        **DEFAULTS,
        "run_name": recipe.name,
        "train_sampling_strategy": "group_by_length" if text and not recipe.data.streaming else "random",
        "dataloader_pin_memory": gpu,
        # a GPU would wait for images; on a CPU, workers take cores from the model
        "dataloader_num_workers": 0 if text or not gpu else min(cores() - 1, 8),
        "disable_tqdm": not sys.stderr.isatty(),  # bars only in a terminal; a log gets one line per epoch
        "per_device_eval_batch_size": max(4 * batch, EVALUATED),
        **({"ddp_find_unused_parameters": True} if recipe.layers.schedule else {}),  # waiting layers have no gradients
        **said,
        "output_dir": str(recipe.output_dir),
        **changes,
        **FIXED,
    }
    for name in ("bf16", "fp16", "tf32"):
        if given.get(name) == "auto":
            given[name] = gpu and (name == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False))
    if given.get("fp16") and "bf16" not in said:
        given["bf16"] = False
    if given["dataloader_num_workers"]:
        given.setdefault("dataloader_prefetch_factor", 2)
    if gpu:
        given["accelerator_config"] = {"non_blocking": True, **(given.get("accelerator_config") or {})}
    if distributed.size() > 1 and not torch.cuda.is_available():
        given.setdefault("use_cpu", True)  # without it, transformers does not connect the processes
    distributed.join(bool(given.get("use_cpu")), given.get("ddp_timeout"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arguments = TrainingArguments(**given)
            _ = arguments.device  # sets up the process group
    except Exception as error:  # a recipe may contain any value
        raise BadInput(f"training: {first_line(error)}") from error
    check_world(arguments.world_size)
    check_trackers(arguments)
    if arguments.n_gpu > 1:
        # One process with several GPUs would use nn.DataParallel, which is slow and scales losses differently.
        if arguments.process_index == 0:
            print(f"{arguments.n_gpu} GPUs are visible, 1 is used; for all, start with `accelerate launch --multi_gpu`")
        arguments._n_gpu = 1
    return arguments


def describe_open(training: dict[str, Any], memory_format: str, trainer: Trainer) -> dict[str, Any]:
    """The values chosen for speed arguments that the recipe does not set, as sections of a recipe."""
    values = trainer.args.to_dict()
    chosen = {name: values[name] for name in LEFT_OPEN if training.get(name, "auto") == "auto"}
    if "non_blocking" not in (training.get("accelerator_config") or {}):
        chosen["accelerator_config"] = {"non_blocking": trainer.args.accelerator_config.non_blocking}
    open_ = memory_format == "auto"
    laid_out = {"backbone": {"memory_format": layout(trainer.model)}} if open_ else {}
    return {**laid_out, "training": chosen}


def check_trackers(arguments: TrainingArguments) -> None:
    """Raise BadInput if a tracker of `report_to` is not installed; transformers notices only after data and model are loaded."""
    installed = {*get_available_reporting_integrations(), "flyte"}  # transformers does not list flyte
    if missing := [name for name in arguments.report_to if name not in installed]:
        raise BadInput(f"training.report_to: {listing(missing)} is not installed; install it, or leave it out")


def check_world(world_size: int) -> None:
    """Raise BadInput if a launch for several processes started unconnected ones, each of which would train by itself.

    torchrun and Accelerate's multi-process launchers set WORLD_SIZE; Accelerate's one-process launcher sets only
    MASTER_ADDR if `--num_processes` or `--num_machines` asked for more than it starts.
    """
    wanted = os.environ.get("WORLD_SIZE", "1")
    by_accelerate = "ACCELERATE_MIXED_PRECISION" in os.environ
    if int(wanted) != world_size:
        raise BadInput(
            f"the launch asked for {wanted} processes, but this one belongs to a group of {world_size}; on CPU add "
            f"training.use_cpu=true (or set ACCELERATE_USE_CPU=true), on GPUs check that each process has one"
        )
    if world_size == 1 and by_accelerate and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        raise BadInput(
            "the launch asked for several processes but started one; on CPU use `accelerate launch --multi_gpu "
            "--num_processes N …` or `torchrun --nproc-per-node N …`"
        )

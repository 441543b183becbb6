"""A run under FSDP2 on CPUs, which Accelerate starts on GPUs alone: torchrun … tests/train/fsdp.py FOLDER.

Accelerate 1.15 looks at FSDP's variables only where the processes are those of GPUs (`state.py`) and trains with DDP on
CPUs, unasked. Told that they are, while its devices stay CPUs, it goes the very way that it goes on GPUs:
`fully_shard` over a mesh of CPUs, DTensors, checkpoints in FSDP's own format.
"""

import os
import shutil
import sys
from pathlib import Path

import torch
import yaml
from accelerate.state import PartialState
from accelerate.utils import DistributedType

from hfft import run
from hfft.pipeline.finetune import finetune
from hfft.recipe import Recipe, load_recipe

PRESET = Path(__file__).parents[2] / "recipes/launch/fsdp.yaml"


def preset() -> dict[str, str]:
    """The variables that `accelerate launch` makes of the preset."""
    values = yaml.safe_load(PRESET.read_text(encoding="utf-8"))
    told = {name.upper(): str(value).lower() for name, value in values["fsdp_config"].items()}
    return {**told, "ACCELERATE_USE_FSDP": "true", "FSDP_AUTO_WRAP_POLICY": values["fsdp_config"]["fsdp_auto_wrap_policy"],
            "FSDP_STATE_DICT_TYPE": values["fsdp_config"]["fsdp_state_dict_type"]}  # fmt: skip


def pretend() -> None:
    """Let Accelerate take these processes for those of GPUs."""
    os.environ.update(preset())
    begin = PartialState.__init__

    def on_cpus(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        begin(self, *args, **kwargs)
        if self._shared_state.get("distributed_type") == DistributedType.MULTI_CPU:
            self._shared_state["distributed_type"] = DistributedType.MULTI_GPU

    PartialState.__init__ = on_cpus


# No dropout and plain SGD: then two processes do what one does but for rounding.
STILL = "backbone.config={hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0, classifier_dropout: 0.0}"
SHORT = (
    *("data.max_train_samples=48", "data.max_eval_samples=16", "score.from_scratch=false", "training.eval_strategy=no"),
    *("training.max_steps=4", "training.save_strategy=steps", "training.save_steps=2", "training.use_cpu=true"),
    *("training.optim=sgd", "training.learning_rate=0.1", "training.logging_steps=1"),
)
CASES: dict[str, tuple[str, ...]] = {
    "text": ("docstrings", STILL),
    "text, last block": ("docstrings", STILL, "layers={train: last-1}", "training.gradient_accumulation_steps=2"),
    "text, LoRA, no outputs": ("docstrings", STILL, "layers={adapter: {type: lora, r: 4}}", "score.outputs=off"),
    "text, gradual": ("docstrings", STILL, "layers={schedule: {type: gradual, every: 0.2}}"),
    "image, methods": (
        "digits",
        "backbone.config={hidden_dropout_prob: 0.0}",
        "data.augment=[]",
        "strategy={mixup: 1.0, logit_adjustment: 1.0, focal: 2.0, l2_sp: 0.1, sam: 0.05, ema: 0.5}",
    ),
    "image, no outputs": (
        "digits",
        "backbone.config={hidden_dropout_prob: 0.0}",
        "layers={layer_decay: 0.7}",
        "score.outputs=off",
    ),
}
# Continued from its first checkpoint. torch 2.13 cannot put back the state of an optimiser that has none, as plain SGD.
AGAIN = (
    "docstrings",
    "strategy={ema: 0.9, l2_sp: 0.1}",
    "training.optim=adamw_torch_fused",
    "training.learning_rate=1e-3",
)


def recipe(case: str, folder: Path, batch: int) -> Recipe:
    """The recipe of a case, with so many rows of a step on each process."""
    name, *overrides = CASES[case]
    place = f"training.output_dir={folder / case.replace(', ', '-').replace(' ', '-')}"
    return load_recipe(name, *SHORT, *overrides, place, f"training.per_device_train_batch_size={batch}")


def main(folder: Path, *names: str) -> None:
    """Run cases, all if none is named, and a run that is continued, in each process of a launch."""
    for case in names or CASES:
        finetune(recipe(case, folder, 4))
    name, *overrides = AGAIN
    run, again = (load_recipe(name, *SHORT, *overrides, f"training.output_dir={folder}/{w}") for w in ("run", "again"))
    finetune(run)
    if os.environ["RANK"] == "0":
        left = shutil.ignore_patterns("checkpoint-4", "model", "metrics.json")
        shutil.copytree(run.output_dir, again.output_dir, ignore=left)
    torch.distributed.barrier()
    finetune(again)


if __name__ == "__main__":
    pretend()
    main(Path(sys.argv[1]), *sys.argv[2:])
    run.leave_world()
    run.leave(0)

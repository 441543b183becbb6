"""Where the time of one training step goes, by operator and by category, from torch's profiler."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import Trainer, TrainerCallback

from hfft.plan.measure import read_by_itself

WARM = 3  # steps before the profiled one
TOP = 12
KINDS = {
    "matrix products": ("mm", "linear", "matmul", "conv", "attention", "baddbmm", "addmv"),
    "optimiser": ("adam", "sgd", "foreach", "optimizer", "clip", "norm_except"),
    "softmax, norms, activations": ("softmax", "layer_norm", "batch_norm", "gelu", "silu", "relu", "tanh", "dropout"),
    "embeddings and copies": ("embedding", "copy", "index", "gather", "cat", "contiguous", "clone", "fill", "zero"),
}


class OneStep(TrainerCallback):
    """Profiles one step after some warm-up steps."""

    def __init__(self) -> None:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # otherwise it logs its own start and stop
        kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
        self.profile = profile(activities=kinds, acc_events=True)
        self.begun = self.ended = self.seconds = self.reading = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start profiling before the chosen step."""
        if state.global_step == WARM:
            self.reading = time.perf_counter() - self.ended
            self.profile.start()
            self.begun = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop profiling after it."""
        if state.global_step == WARM + 1:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.seconds = time.perf_counter() - self.begun
            self.profile.stop()
            control.should_training_stop = True
        self.ended = time.perf_counter()


def breakdown(trainer: Trainer) -> Iterator[str]:
    """Profile one step of a trainer; yields line by line what takes the time. The model is trained by this.

    An operator's time does not include the operators that it calls; the remainder of the step is Python and waiting.
    Profiling itself slows down a step with many small operators.
    """
    step = OneStep()
    trainer.args.max_steps = WARM + 1
    read_by_itself(trainer.args)
    trainer.add_callback(step)
    trainer.train()
    trainer.remove_callback(step)
    on_gpu = torch.cuda.is_available()
    own = [
        (event.key, (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1e6, event.count)
        for event in step.profile.key_averages()
        if "ProfilerStep" not in event.key
    ]
    whole = step.seconds + step.reading
    kinds: dict[str, float] = defaultdict(float)
    for name, seconds, _ in own:
        kinds[kind(name)] += seconds
    kinds["Python and waiting"] = max(step.seconds - sum(kinds.values()), 0.0)
    kinds["reading rows"] = step.reading
    yield f"one step: {whole:.3f} s"
    for name, seconds in sorted(kinds.items(), key=lambda item: -item[1]):
        yield f"  {name:<30} {seconds:>8.4f} s {seconds / whole:>6.1%}"
    yield "its operators:"
    for name, seconds, calls in sorted(own, key=lambda entry: -entry[1])[:TOP]:
        yield f"  {name[:48]:<48} {seconds:>8.4f} s {seconds / whole:>6.1%} {calls:>6} calls"


def kind(operator: str) -> str:
    """The category of an operator, from its name."""
    name = operator.lower()
    if "optimizer" in name or "_fused" in name or "foreach" in name:
        return "optimiser"
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "other operators")

"""Follow the schedule of layers in training: which depths learn in a step, and at which fraction of their rates."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from transformers import Trainer, TrainerCallback, set_seed

from hfft import layers
from hfft.errors import RunError
from hfft.layers import Depths
from hfft.layers.schedules.moments import begins
from hfft.layers.schedules.surgical import relative_gradients, shares
from hfft.layers.spec import Schedule

BATCHES = 5  # as the authors' code measures relative gradients
# In a group of the optimiser, and so in its checkpoints: the factor on the rate set by the scheduler.
SCALE = "scale"


class UnfreezingCallback(TrainerCallback):
    """Lets each depth learn from its start on, at its fraction of the rate.

    `requires_grad` changes only at the beginning of an epoch, before its first batch is drawn, or at the beginning of a
    step, before its first forward pass. What learns depends only on the epoch and the step, and the fractions of the
    rates are stored in the optimiser's groups, so a resumed run has the same values as the stopped one.

    Until its start, a parameter is frozen like one that never learns: it has no gradient and no optimiser state, and its
    module is in `eval()`. `early` lists tensors that changed before their start.

    The optimiser has all groups from the first step on. Several processes need `ddp_find_unused_parameters`:
    DistributedDataParallel wraps everything that learns at some point, and must not wait for missing gradients.

    Attributes:
        waited: how many tensors had to wait for their start.
        early: the names of those that changed before it.
    """

    def __init__(self, trainer: Trainer, depths: Depths, schedule: Schedule):
        self.trainer, self.depths, self.schedule = trainer, depths, schedule
        self.begins = begins(schedule, depths.blocks)
        self.depth_of: dict[str, int] | None = None  # of everything that learns at some point
        self.learning: set[int] = set()
        self.digests: dict[str, str] = {}
        self.waited = 0
        self.early: list[str] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Freeze what has to wait, and record its digests."""
        model = self.trainer.model
        if self.depth_of is None:
            self.depth_of = {n: self.depths.of(n) for n, p in model.named_parameters() if p.requires_grad}
        never = set(layers.frozen_tensors(model))
        self._let_learn(self._due(state))
        self.digests = {n: d for n, d in layers.frozen_digests(model).items() if n not in never}
        if self.trainer.live_norms:  # BatchNorm statistics may change
            self.digests = {n: d for n, d in self.digests.items() if n in self.depth_of}
        self.waited, self.early = len(self.digests), []

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start what starts with the epoch; for `surgical`, measure again, unless the run resumes within the epoch."""
        self._update(state)
        groups = self.trainer.optimizer.param_groups
        if self.schedule.type == "surgical" and (float(state.epoch).is_integer() or SCALE not in groups[0]):
            parts = shares(measure(self.trainer, self.schedule, int(state.epoch)))
            for group in groups:
                group[SCALE] = parts.get(group["depth"], 1.0)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start what starts with the step."""
        self._update(state)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Multiply each group's rate by its factor."""
        self.rates = [group["lr"] for group in self.trainer.optimizer.param_groups]
        for group in self.trainer.optimizer.param_groups:
            group["lr"] = group["lr"] * group.get(SCALE, 1.0)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restore the rates, from which the scheduler continues."""
        for group, rate in zip(self.trainer.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Compare what has not started, and make everything trainable again, as it was before training."""
        self.early += layers.moved(self.trainer.model, self.digests)
        self._let_learn(set(self.begins))

    def _update(self, state: Any) -> None:
        now = self._due(state)
        if now != self.learning:
            self._let_learn(now)
            frozen = set(layers.frozen_tensors(self.trainer.model))
            waking = {name: digest for name, digest in self.digests.items() if name not in frozen}
            self.early += layers.moved(self.trainer.model, waking)
            self.digests = {name: digest for name, digest in self.digests.items() if name in frozen}
        if self.schedule.head_learning_rate is not None:
            alone = self.learning == {self.depths.head}
            for group in self.trainer.optimizer.param_groups:
                rate = group.get("initial_lr", group["lr"])
                wanted = alone and group["depth"] == self.depths.head and rate > 0
                group[SCALE] = self.schedule.head_learning_rate / rate if wanted else 1.0

    def _due(self, state: Any) -> set[int]:
        return {depth for depth, start in self.begins.items() if start.reached(state.epoch, state.global_step)}

    def _let_learn(self, depths: set[int]) -> None:
        assert self.depth_of is not None
        parameters = dict(self.trainer.model.named_parameters())
        for name, depth in self.depth_of.items():
            parameters[name].requires_grad_(depth in depths)
        self.learning = depths


def measure(trainer: Any, schedule: Schedule, epoch: int) -> dict[int, float]:
    """Mean relative gradient of each depth over some batches, drawn by seed and epoch; the same on every process.

    Each batch has the rows of a whole step, however the step is split. Runs in `eval()` and with random numbers of its
    own, so that training continues as if nothing had been measured.

    Raises:
        RunError: the gradients are all zero or not finite.
    """
    arguments, rows, model = trainer.args, trainer.train_dataset, trainer.model
    if hasattr(rows, "set_epoch"):
        rows.set_epoch(epoch)
    size = arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size
    with _apart(arguments.seed):
        drawn = np.random.default_rng((arguments.seed, epoch)).permutation(len(rows)).tolist()
        batches = [drawn[i : i + size] for i in range(0, len(drawn), size)][: schedule.batches or BATCHES]
        model.eval()
        found = [relative_gradients(model, trainer.depths, _losses(trainer, batch)) for batch in batches]
    mean = {depth: sum(one[depth] for one in found) / len(found) for depth in found[0]}
    if arguments.world_size > 1:  # devices may round differently, but the rates must be the same
        mean = broadcast_object_list([mean])[0]
    if not 0 < sum(mean.values()) < float("inf"):
        raise RunError("layers.schedule: no gradient reaches the layers below the head; use a type other than surgical")
    return mean


def _losses(trainer: Any, rows: list[int]) -> Iterator[torch.Tensor]:
    """The mean task loss of the rows, in parts of one micro-batch each."""
    size = trainer.args.train_batch_size
    parts = [rows[i : i + size] for i in range(0, len(rows), size)]
    batches = [trainer.data_collator([trainer.train_dataset[i] for i in part]) for part in parts]
    targets = torch.stack([trainer.problem.count(batch["labels"]) for batch in batches]).sum().clamp(min=1)
    for batch in batches:
        inputs = trainer._prepare_inputs(batch)
        with trainer.compute_loss_context_manager():
            yield trainer.compute_loss(trainer.model, inputs, num_items_in_batch=targets.to(trainer.args.device))


@contextmanager
def _apart(seed: int) -> Iterator[None]:
    """Seed the random generators inside, and restore their states afterwards."""
    python, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            set_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)

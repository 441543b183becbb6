"""One optimiser step as methods see it: their hooks are called, and what they return is reduced according to its kind.

    the step   all micro-batches are available
    ├ statistics, if there is more than one micro-batch or process: all run forward first (hfft.train.statistic)
    ├ micro-batch   batch hooks, then around( one forward pass over all parts ), example_loss, losses, backward
    └ after the last one   weights (a backward pass of their own, once), then gradients and change_gradients

A value per row is divided once, by the targets or rows of the global batch, and multiplied by the number of processes,
because DistributedDataParallel averages their gradients. Filler rows are removed before a method sees them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hfft.strategy.loss_chain import chain
from hfft.strategy.method import HOOKS, TASK, Batch, Method, Target, defines
from hfft.strategy.needs import needed
from hfft.strategy.tensors import adding_gradients, whole
from hfft.train.answers import held_logits
from hfft.train.batches import NUM_OWN_ROWS
from hfft.train.changed_gradients import change_gradients
from hfft.train.companions import ROW_NUMBERS
from hfft.train.reader import Reader
from hfft.train.resume import random_state, set_random_state
from hfft.train.run_hooks import RunHooks
from hfft.train.statistic import Kept, gather_rows, look_ahead, values
from hfft.train.step_loss import full_precision, pass_of, task_loss
from hfft.train.term_weights import follows_evaluations


class PreparedInputs(dict[str, Any]):
    """A micro-batch on its device, after the methods' `batch` hooks."""

    def __init__(self, batch: Batch):
        super().__init__({**batch.inputs, "labels": batch.labels})
        self.batch = batch


class Steps(RunHooks):
    """Calls the methods' hooks and reduces what they return, for one Trainer.

    Args:
        trainer: runs the model (`run`, `release`) and has the processes and the problem.
    """

    def __init__(self, trainer: Any, methods: Sequence[Method]):
        self.trainer, self.methods = trainer, list(methods)
        self.of = {hook: [m for m in methods if defines(m, hook)] for hook in HOOKS}
        states = tuple(sorted({depth for method in methods for depth in method.states}))
        self.reader = Reader(trainer.model, needed(methods, "features"), states)
        self.loss_of_row = chain(self.of["example_loss"], trainer.problem.loss)
        self._follows_evaluations = follows_evaluations(methods)
        self.begin([], None, None)

    # --- a step

    def begin(
        self, batches: Sequence[dict[str, Any]], targets: Tensor | None, rows: Tensor | None, alone: bool = False
    ) -> None:
        """Start a step.

        Args:
            batches: its micro-batches in this process, as collated.
            targets, rows: how many the global batch contains; None to count those of each micro-batch.
            alone: this process tries a step by itself, without the others.
        """
        self._batches, self._targets, self._rows, self._alone = list(batches), targets, rows, alone
        self.mean_weight: Tensor | None = None
        self._ready: list[Batch] = []
        self._random: list[Any] = []
        self._kept: list[Kept] = []
        self._statistics: dict[str, Tensor] = {}
        self._index = 0
        for parameter in self.module_parameters():
            parameter.grad = None

    def micro_batch(
        self, model: nn.Module, inputs: dict[str, Any], step: Callable[[nn.Module, dict[str, Any]], Tensor]
    ) -> Tensor:
        """Run the next micro-batch forward and backward by `step`, and after the last one finish; returns the logged loss."""
        self._batches = self._batches or [inputs]
        self._model, i = model, self._index
        last = i == len(self._batches) - 1
        self._index += 1
        if i == 0:
            self._look_ahead()
        batch = self._batch(i)
        if self.of["gradients"]:
            self._random.append(random_state())
        with self.reader.on(), self._around(batch):
            loss = step(model, PreparedInputs(batch))
            self.trainer.release()
        if last:
            loss = loss + self._finish()
        return loss

    @property
    def _divided(self) -> bool:
        return len(self._batches) > 1 or self._processes > 1

    @property
    def _processes(self) -> int:
        return 1 if self._alone else self.trainer.accelerator.num_processes

    def _batch(self, i: int) -> Batch:
        """Micro-batch `i` after the `batch` hooks, prepared once per step."""
        if i < len(self._ready):
            return self._ready[i]
        batch = self.prepared(self._batches[i])
        if self.of["gradients"] or self.of["statistic"]:
            self._ready.append(batch)
        return batch

    def prepared(self, inputs: dict[str, Any]) -> Batch:
        """A collated micro-batch on its device, after the `batch` hooks."""
        inputs = dict(self.trainer._prepare_inputs(inputs))
        labels, own, numbers = inputs.pop("labels"), inputs.pop(NUM_OWN_ROWS, None), inputs.pop(ROW_NUMBERS, None)
        parts = [TASK, *(numbers.parts if numbers is not None else ())]
        size = len(labels) // len(parts)
        by_part = {name: labels[k * size : (k + 1) * size] for k, name in enumerate(parts)}
        rows = None if numbers is None else numbers.rows
        task, at = by_part[TASK], self.trainer.at()
        batch = Batch(inputs, parts, task, [Target(task)], rows, size if own is None else own, at, by_part)
        batch.logits = partial(held_logits, self.trainer)
        for method in self.of["batch"]:
            method.batch(batch)
        return batch

    def _around(self, batch: Batch) -> contextlib.ExitStack:
        stack = contextlib.ExitStack()
        for method in self.of["around"]:
            stack.enter_context(method.around(self.trainer.model, batch))
        return stack

    # --- the loss of a micro-batch

    def loss(
        self,
        model: nn.Module,
        batch: Batch,
        targets: Tensor | int | None,
        only: str | None = None,
        kept: Kept | None = None,
    ) -> tuple[Tensor, Any]:
        """A micro-batch's share of the step's loss, times the number of processes, and the model's outputs.

        Args:
            targets: number in the global batch; None for the number in the micro-batch.
            only: the name of the only loss to compute; `task` is the task loss.
            kept: gradients of statistics, from `look_ahead`.
        """
        outputs = self.trainer.run(model, batch.inputs, batch.all_labels())
        with full_precision(self.trainer.args.device):
            seen = pass_of(outputs, batch, self.reader)
            processes, problem = self._processes, self.trainer.problem
            counts = problem.targets(batch.labels)[: batch.own]
            whole = partial(torch.as_tensor, dtype=seen.logits[TASK].dtype)  # integers would be divided in float32
            scale = processes / whole(counts.sum() if targets is None else targets)
            per_row = processes / whole(batch.own if self._rows is None else self._rows)
            terms: dict[str, Tensor] = {}
            if only in (None, TASK):
                terms[TASK] = task_loss(seen, batch, self.loss_of_row) * scale
            for method in self.of["losses"]:
                terms |= {n: v.sum() * per_row for n, v in method.losses(seen).items() if only in (None, n)}
            if self.of["statistic"] and not self._divided:
                terms |= {n: v for n, v in values(self.of["statistic"], seen).items() if only in (None, n)}
            if not terms:  # `only` names a loss of the weights, whose gradient comes later; each process runs backward
                terms[TASK] = seen.logits[TASK].sum() * 0
            loss = torch.stack([*terms.values()]).sum() if len(terms) > 1 else next(iter(terms.values()))
            if kept is not None:
                surrogate = kept.surrogate(seen) * processes
                loss = loss + (surrogate - surrogate.detach())  # adds its gradient, but nothing to the logged loss
        self._terms = terms
        return loss, outputs

    def record(self, model: nn.Module, batch: Batch, targets: Tensor | int | None) -> tuple[Tensor, Any]:
        """`loss` of the current micro-batch, with its terms logged."""
        kept = self._kept[self._index - 1] if self._kept else None
        loss, outputs = self.loss(model, batch, targets, kept=kept)
        for name, value in self._terms.items():
            if name != TASK:
                self.trainer.term_log.add(name, value)
        if self._follows_evaluations:
            self.trainer.term_log.add_task(self._terms[TASK])
        if len(self._terms) > 1 or self.of["weights"]:
            self.trainer.loss_terms["task loss"] = self._terms[TASK].detach()
            self.trainer.loss_terms |= {n: v.detach() for n, v in self._terms.items() if n != TASK}
        return loss, outputs

    def weigh(self, labels: Sequence[Tensor], rows: Tensor) -> None:
        """Compute the mean factor of the losses of a step's rows, from the labels of each micro-batch of this process."""
        trainer, methods = self.trainer, self.of["row_weights"]
        if methods and (trainer.args.max_grad_norm or self.of["change_gradients"]):
            # in float64, so that the sum of float32 factors is the same in any order
            factors = [torch.stack([m.row_weights(part) for m in methods]).prod(0).double().sum() for part in labels]
            dtype = torch.float32 if rows.device.type == "mps" else torch.float64
            total = torch.stack(factors).sum().reshape(1).to(rows.device, dtype)
            self.mean_weight = (trainer.accelerator.gather(total).sum() / rows).float()

    # --- statistics of the whole step

    def _look_ahead(self, only: str | None = None) -> None:
        """Run all micro-batches forward, with the random numbers of their training pass, and store the statistics' gradients."""
        if not (self.of["statistic"] and self._divided) or only == TASK:
            self._kept = []
            return
        model, state = self._model, random_state()
        buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        model.train()
        passes = []
        for i in range(len(self._batches)):
            batch = self._batch(i)
            if i < len(self._random):  # the step is being computed again
                set_random_state(self._random[i])
            with torch.no_grad(), self.reader.on(), self._around(batch):
                with self.trainer.compute_loss_context_manager():
                    outputs = self.trainer.run(model, batch.inputs, batch.all_labels())
                with full_precision(self.trainer.args.device):
                    passes.append(pass_of(outputs, batch, self.reader))
                self.trainer.release()
        set_random_state(state)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        accelerator = self.trainer.accelerator
        with full_precision(self.trainer.args.device):
            found, self._kept = look_ahead(
                self.of["statistic"], passes, gather_rows(accelerator), accelerator.process_index, only
            )
        self._statistics = self._statistics or found

    # --- after the last micro-batch

    def _finish(self) -> Tensor:
        """Complete the step after its last micro-batch; returns what this adds to the logged loss."""
        added = self.trainer.zero()
        for name, value in self._statistics.items():
            self.trainer.term_log.add(name, value)
            added = added + value.to(added.dtype)
        for name, value in self._weights().items():
            self.trainer.term_log.add(name, value)
            self.trainer.loss_terms[name] = value
            added = added + value.to(added.dtype)
        self._average_modules()
        for method in self.of["gradients"]:
            method.gradients(self._plain, self.again, self.trainer.at())
        if self.of["change_gradients"]:  # otherwise the model is not walked in each step
            change_gradients(self.of, self._plain, self.mean_weight, self.trainer.at())
        self._batches, self._ready = [], []
        return added

    @property
    def _plain(self) -> nn.Module:
        return self.trainer.accelerator.unwrap_model(self._model)

    def _weights(self, only: str | None = None) -> dict[str, Tensor]:
        """Losses that depend only on the weights: once per step, with a backward pass of their own after the last one.

        Not averaged over processes, because each adds the same; FSDP has sharded its weights again by then.
        """
        found = {n: v for m in self.of["weights"] for n, v in m.weights(self._plain, self.trainer.at()).items()}
        found = {name: whole(value) for name, value in found.items() if only in (None, name)}
        asking = [value for value in found.values() if value.requires_grad]
        if asking:
            with adding_gradients(self._model):
                self.trainer.accelerator.backward(torch.stack(asking).sum())
        return {name: value.detach() for name, value in found.items()}

    def again(self, add: bool = False, only: str | None = None) -> None:
        """Compute the step's gradient again: same rows, same random numbers, current weights.

        Args:
            add: add the gradient of the data to the existing one.
            only: the name of the only loss to compute; `task` is the task loss. Unless it is added, the gradient of the
                methods' modules stays that of all losses.
        """
        model, state = self._model, random_state()
        accelerator = self.trainer.accelerator
        whole_gradients = [] if add or only is None else [(p, p.grad) for p in self.module_parameters()]
        buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        if not add:
            model.zero_grad(set_to_none=True)
            for parameter in self.module_parameters():
                parameter.grad = None
        self._look_ahead(only)
        for i, batch in enumerate(self._ready):
            last = i == len(self._ready) - 1
            set_random_state(self._random[i])
            with (
                contextlib.nullcontext() if last else accelerator.no_sync(model),
                self.reader.on(),
                self._around(batch),
            ):
                with self.trainer.compute_loss_context_manager():
                    loss, _ = self.loss(model, batch, self._targets, only, self._kept[i] if self._kept else None)
                accelerator.backward(loss)
                self.trainer.release()
        if not add:
            self._weights(only)
        self._average_modules()
        for parameter, gradient in whole_gradients:
            parameter.grad = gradient
        set_random_state(state)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)

    # --- modules beside the model

    def module_parameters(self) -> list[nn.Parameter]:
        """The parameters of the methods' modules, which are trained with the model."""
        found = [modules for method in self.of["modules"] if (modules := method.modules()) is not None]
        return [parameter for modules in found for parameter in modules.parameters()]

    def _average_modules(self) -> None:
        """Average the gradients of the methods' modules over the processes, as DistributedDataParallel does for the model."""
        for parameter in self.module_parameters() if self._processes > 1 else ():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.distributed.all_reduce(gradient)
            parameter.grad = gradient / self._processes

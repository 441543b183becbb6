"""The one Trainer: it owns the loss, the optimiser's groups and what is frozen; the loop is transformers'."""

from __future__ import annotations

import contextlib
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from hfft import layers, strategy
from hfft.errors import RunError
from hfft.frozen_cache.cached_dataset import ROWS
from hfft.frozen_cache.frozen_cache import FrozenCache, FrozenCacheSettings
from hfft.layers import Depths
from hfft.layers.adapters import rank_allocation
from hfft.layers.spec import Schedule
from hfft.strategy import Term
from hfft.strategy.losses import count, logits_of
from hfft.tasks.labels import Labels
from hfft.train import fsdp
from hfft.train.batches import OWN, Dealing, in_parts
from hfft.train.callbacks import QuietProgress, SetEpoch
from hfft.train.last_block import LastBlock
from hfft.train.module_modes import Modes, asked_once
from hfft.train.unfreezing import SCALE, UnfreezingCallback
from hfft.wording import listing


class FineTuner(Dealing):
    """A Trainer whose gradients are the same for every split of a batch into micro-batches, accumulation and processes.

    The loss is the sum over examples, divided once by the examples of the whole global batch; transformers 5.23 scales
    it by the accumulation factor or the number of processes for many heads (transformers#47688).

    Args:
        labels: what the outputs mean, hence which loss.
        depths: depth of every parameter, for the optimiser's groups.
        pace: arguments of `hfft.layers.param_groups` beside rate and decay.
        terms: what is minimised beside the task loss; only in training.
        class_weights: (C,) factor of each class's loss; only in training.
        live_norms: let the statistics of frozen BatchNorms move.
        schedule: when which depth learns; None for all that does from the first step on.
        keeping: run what is frozen once per row, and keep what it answers.
        on_device: makes the model's inputs of a batch that has arrived on the device.
        last_block: computes only what is read of the last block; without it, everything.
    """

    loss_is_scaled_for_ga = True  # normalised here, over the whole accumulated batch
    optimizer: torch.optim.Optimizer | None

    def __init__(
        self,
        *args: Any,
        labels: Labels,
        depths: Depths,
        pace: Mapping[str, Any] | None = None,
        terms: Sequence[Term] = (),
        class_weights: Sequence[float] | None = None,
        live_norms: bool = False,
        schedule: Schedule | None = None,
        keeping: FrozenCacheSettings | None = None,
        on_device: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        last_block: LastBlock | None = None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.labels, self.depths, self.pace, self.terms = labels, depths, dict(pace or {}), list(terms)
        self.class_weights = None if class_weights is None else torch.tensor(class_weights, device=self.args.device)
        self._term_sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, device=self.args.device))
        self.live_norms, self.on_device, self.keeping = live_norms, on_device, keeping
        self.modes = Modes()
        self.last_block = last_block or LastBlock(wanted=False)
        self.prefix: FrozenCache | None = None  # while training
        self.kept: dict[str, Any] = {}  # what the last training tells of it
        self._whole = fsdp.prepared(self) if self.is_fsdp_enabled else None
        self.remove_callback(PrinterCallback)
        if self.callback_handler.pop_callback(ProgressCallback) is not None:
            self.add_callback(QuietProgress())
        self.add_callback(SetEpoch(self))
        self.follow = None if schedule is None else UnfreezingCallback(self, depths, schedule)
        if self.follow is not None:  # before all others, so that they find what learns as it is in the step
            self.callback_handler.callbacks.insert(0, self.follow)
        if rank_allocation.allocator(self.model) is not None:
            self.add_callback(rank_allocation.AllocateRanks())

    # --- what is frozen runs once

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """transformers' training; what is frozen runs once per row, where it can."""
        with contextlib.nullcontext() if self.is_fsdp_enabled else asked_once(self.model):
            if self.keeping is None:
                return super().train(*args, **kwargs)
            self.prefix = FrozenCache(self, self.keeping, self.depths, logits_of)
            try:
                return super().train(*args, **kwargs)
            finally:
                self.prefix.close()
                self.kept, self.prefix = self.prefix.report, None

    def _get_dataloader(self, dataset: Any, *args: Any, sampler_fn: Any = None, **kwargs: Any) -> Any:
        if self.prefix is None:
            return super()._get_dataloader(dataset, *args, sampler_fn=sampler_fn, **kwargs)
        sampler = None if sampler_fn is None else lambda _: sampler_fn(dataset)
        with self.prefix.feeding(dataset) as rows:
            return super()._get_dataloader(rows, *args, sampler_fn=sampler, **kwargs)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """transformers' step; a backward pass may compute again, so the model runs whole again only behind it."""
        with self.last_block.reading(self, inputs):
            try:
                return super().training_step(model, inputs, *args, **kwargs)
            finally:
                self._release()

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """transformers' count; none where the model does not run whole, since counting takes longer than a head."""
        serving = self.prefix is not None and self.prefix.cut is not None
        return 0 if serving else super().floating_point_ops(inputs)

    def _ready(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return inputs if self.prefix is None else self.prefix.ready(inputs)

    def _release(self) -> None:
        if self.prefix is not None:
            self.prefix.release()

    # --- batches

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        inputs = super()._prepare_inputs(inputs)
        return inputs if self.on_device is None else self.on_device(inputs)

    # --- loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Share of this micro-batch in the mean loss of the global batch, times the number of processes (DDP averages)."""
        if model.training:
            self.modes.set(model, self.live_norms)
        inputs = self._ready(inputs)
        labels, own = inputs["labels"], inputs.get(OWN)
        outputs = model(**{name: value for name, value in inputs.items() if name not in ("labels", OWN)})
        learning = model.training
        sums, counts = strategy.per_example(
            logits_of(outputs),
            labels,
            self.labels.problem,
            self.args.label_smoothing_factor if learning else 0.0,
            self.class_weights if learning else None,
        )
        sums, counts = sums[:own], counts[:own]
        if num_items_in_batch is None:
            num_items_in_batch = counts.sum()
        scale = (self.accelerator.num_processes if learning else 1) / num_items_in_batch
        loss = sums.sum() * scale
        if learning:
            share = counts.sum() * scale
            if self.terms:
                self.parts["task loss"] = loss.detach()
            for term in self.terms:
                value = term.weight * term.function(model, inputs, outputs) * share
                self.parts[term.name] = value.detach()
                self._term_sums[term.name] += torch.nan_to_num(torch.stack([value.detach(), share]), 0.0, 0.0, 0.0)
                loss = loss + value
        return (loss, outputs) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> Tensor | None:
        """Targets in the global batch: over all micro-batches and all processes."""
        if not batch_samples or "labels" not in batch_samples[0]:
            return None
        self._leave_out_repeats(batch_samples)
        targets = [count(batch["labels"][: batch.get(OWN)], self.labels.problem) for batch in batch_samples]
        return self.accelerator.gather(torch.stack(targets).sum().reshape(1).to(device)).sum().clamp(min=1)

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Logits alone, whatever else the model returns; for masked tokens (loss, count) of each example in their place."""
        self.leave_if_asked()
        self._end_with_the_rows()
        # Not inference_mode: what a model caches in it, such as BEiT its table of positions, cannot be trained with.
        with torch.no_grad(), self.compute_loss_context_manager(), self.last_block.reading(self, inputs):
            whole = ROWS in inputs or self.is_fsdp_enabled or self.is_deepspeed_enabled  # who meet in each forward pass
            inputs = self._ready(self._prepare_inputs(inputs))
            found = [self._scored(model, part) for part in ([inputs] if whole else in_parts(inputs))]
            self._release()
        columns = [torch.cat(parts) for parts in zip(*found, strict=True)]
        if len(columns) == 1:
            return None, columns[0], None
        logits, labels, sums, counts = columns
        return sums.sum() / counts.sum().clamp(min=1), logits, labels

    def _scored(self, model: nn.Module, inputs: dict[str, Any]) -> tuple[Tensor, ...]:
        """Logits and labels as metrics take them, and loss and count of each example; without labels logits alone."""
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        logits, labels = logits_of(outputs).float(), inputs.get("labels")
        if labels is None:
            return (logits,)
        sums, counts = strategy.per_example(logits, labels, self.labels.problem)
        if self.labels.problem == "masked_language_modelling":
            logits, labels = torch.stack([sums, counts], 1), torch.zeros(len(sums), device=sums.device)
        return logits, labels, sums, counts

    # --- optimiser

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """transformers' optimiser over hfft's groups: by depth, no decay for norms, biases, tokens and positions."""
        if self.optimizer is None:
            model = self.model if model is None else model
            cls, kwargs = self.get_optimizer_cls_and_kwargs(self.args, model)
            groups = self.groups(model)
            self.optimizer = cls(kwargs.pop("params", groups), **{k: v for k, v in kwargs.items() if k != "model"})
        return self.optimizer

    def groups(self, model: nn.Module | None = None) -> list[dict[str, Any]]:
        """The optimiser's groups, the head's first."""
        model = self.model if model is None else model
        return layers.param_groups(model, self.depths, self.args.learning_rate, self.args.weight_decay, **self.pace)

    # --- checkpoints

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Load every weight of a checkpoint: transformers skips those that it saved under older names (transformers#43701)."""
        if not self._load_whole(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        """The same for the best checkpoint of the run."""
        if not self._load_whole(self.state.best_model_checkpoint):
            super()._load_best_model()

    def _load_whole(self, folder: str | None) -> bool:
        """Load a checkpoint as a pretrained model is loaded; False where it holds shards of its own kind."""
        model = self.model
        if hasattr(model, "peft_config") and folder and not self.is_fsdp_enabled and not self.is_deepspeed_enabled:
            return rank_allocation.load_state(model, folder)
        if not isinstance(model, PreTrainedModel) or self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return False
        saved, found = type(model).from_pretrained(
            folder, config=model.config, dtype=model.dtype, use_safetensors=True, output_loading_info=True
        )
        if found["missing_keys"]:
            raise RunError(
                f"checkpoint {folder} lacks {listing(sorted(found['missing_keys']))}; begin anew with --fresh"
            )
        model.load_state_dict(saved.state_dict())
        return True

    def whole_model(self) -> nn.Module:
        """The trained model without what training wrapped it in; on the first process alone where FSDP divides it."""
        plain = self.accelerator.unwrap_model(self.model)
        return plain if not self.is_fsdp_enabled else fsdp.gathered(self, self._whole) or plain

    def progress(self) -> dict[str, Any]:
        """With the sums of the terms since the last log."""
        return {**super().progress(), "terms": {name: sums.tolist() for name, sums in self._term_sums.items()}}

    def restore(self, progress: dict[str, Any]) -> None:
        """With the sums of the terms."""
        super().restore(progress)
        for name, sums in progress["terms"].items():
            self._term_sums[name] = torch.tensor(sums, device=self.args.device)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """transformers' files, and beside an adapter's what it takes to go on training it exactly."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*invalid shape")  # a layer that AdaLoRA left no rank
            super()._save(output_dir, state_dict)
        model = self.accelerator.unwrap_model(self.model)
        if hasattr(model, "peft_config") and output_dir and not self.is_fsdp_enabled and not self.is_deepspeed_enabled:
            rank_allocation.save_state(model, output_dir)

    # --- what is told

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """transformers' log, with the mean of each term since the last one under its name."""
        if "loss" in logs:
            for name, sums in self._term_sums.items():
                value, steps = self.accelerator.gather(sums.reshape(1, 2)).sum(0)  # the shares of a step add up to one
                logs[name] = (value / steps).item()
            self._term_sums.clear()
        if "learning_rate" in logs and self.optimizer is not None:
            logs["learning_rate"] *= self.optimizer.param_groups[0].get(SCALE, 1.0)
        super().log(logs, start_time)

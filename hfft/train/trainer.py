"""The one Trainer: it owns the loss, the optimiser's groups and the frozen layers; the loop is transformers'."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from hfft import layers, strategy
from hfft.frozen_cache.cached_dataset import ROWS
from hfft.frozen_cache.frozen_cache import FrozenCache, FrozenCacheSettings
from hfft.layers import Depths
from hfft.layers.adapters import rank_allocation
from hfft.layers.spec import Schedule
from hfft.strategy.method import At, Method
from hfft.strategy.outputs import logits_of
from hfft.tasks.labels import Labels
from hfft.tasks.problem import problem_of
from hfft.train import fsdp, method_state, term_weights
from hfft.train.answers import Answers, answers
from hfft.train.batches import NUM_OWN_ROWS, Dealing, in_parts, num_rows
from hfft.train.callbacks import CallMethods, QuietProgress, SetEpoch
from hfft.train.clipping import clip
from hfft.train.companions import AccompaniedRows, MethodOrder, accompanied
from hfft.train.in_precision import in_precision
from hfft.train.last_block import LastBlock
from hfft.train.load_checkpoint import load_whole
from hfft.train.module_modes import Modes, asked_once
from hfft.train.setting import setting_of
from hfft.train.steps import PreparedInputs, Steps
from hfft.train.unfreezing import SCALE, UnfreezingCallback


class FineTuner(Dealing):
    """A Trainer whose gradients are the same for every split of a batch into micro-batches, accumulation and processes.

    The loss is the sum over examples, divided once by the number of examples in the global batch; transformers 5.23
    scales it by the accumulation factor or the number of processes for many heads (transformers#47688).

    Args:
        labels: the meaning of the outputs, which decides the loss.
        depths: depth of every parameter, for the optimiser's groups.
        lr_rules: arguments of `hfft.layers.param_groups` other than rate and decay.
        methods: methods from `hfft.strategy.build_methods`; used only in training.
        sets: name -> further rows that methods read.
        class_ids, domain_ids: `(rows,)` class and domain of each training row, for methods that need `counts` or `domains`.
        load_model: name or folder -> a finished model, for methods that need a `teacher`.
        source_head: returns the classifier with which the backbone was published, for methods that need it.
        live_norms: keep updating the statistics of frozen BatchNorms.
        schedule: when each depth starts to learn; None to start all in the first step.
        cache_settings: settings for running frozen layers once per row and storing their outputs; None for no cache.
        on_device: turns a batch into the model's inputs once it is on the device.
        last_block: computes only the part of the last block that is read; None to compute all of it.
    """

    loss_is_scaled_for_ga = True  # normalised here, over the whole accumulated batch
    optimizer: torch.optim.Optimizer | None
    data_collator: Any

    def __init__(
        self,
        *args: Any,
        labels: Labels,
        depths: Depths,
        lr_rules: Mapping[str, Any] | None = None,
        methods: Sequence[Method] = (),
        sets: Mapping[str, Any] | None = None,
        class_ids: np.ndarray | None = None,
        domain_ids: np.ndarray | None = None,
        load_model: Callable[[str], nn.Module] | None = None,
        source_head: Callable[[], nn.Linear] | None = None,
        live_norms: bool = False,
        schedule: Schedule | None = None,
        cache_settings: FrozenCacheSettings | None = None,
        on_device: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        last_block: LastBlock | None = None,
        **kwargs: Any,
    ):
        implied = strategy.implied_methods(kwargs.get("args", args[1] if len(args) > 1 else None), args[0])
        self.methods: list[Method] = strategy.in_order([*methods, *implied])
        super().__init__(*args, skips=max((m.skips for m in self.methods), default=0), **kwargs)
        self.labels, self.depths, self.lr_rules = labels, depths, dict(lr_rules or {})
        self.problem, self.sets = problem_of(labels), dict(sets or {})
        self.live_norms, self.on_device, self.cache_settings = live_norms, on_device, cache_settings
        self.modes, self.last_block = Modes(), last_block or LastBlock(wanted=False)
        self.frozen_cache: FrozenCache | None = None  # set during training
        self.cache_report: dict[str, Any] = {}  # the cache's report on the last training
        self._whole = fsdp.prepared(self) if self.is_fsdp_enabled else None
        self.accompanied_rows: AccompaniedRows | None = None  # set when the training loader is made
        self.remove_callback(PrinterCallback)
        if self.callback_handler.pop_callback(ProgressCallback) is not None:
            self.add_callback(QuietProgress())
        self.add_callback(SetEpoch(self))
        self.follow = None if schedule is None else UnfreezingCallback(self, depths, schedule)
        if self.follow is not None:  # before all other callbacks, so that they see which parameters learn in the step
            self.callback_handler.callbacks.insert(0, self.follow)
        if rank_allocation.allocator(self.model) is not None:
            self.add_callback(rank_allocation.AllocateRanks())
        self.add_callback(CallMethods(self))
        self.setting = setting_of(self, class_ids, domain_ids, load_model, source_head)
        for method in self.methods:
            method.start(self.setting)
        self.steps = Steps(self, self.methods)
        if self.steps.of["order"]:
            self.order = MethodOrder(self.steps.of["order"][0], lambda: self.at().epoch, self.args.seed)

    def at(self, more: int = 0) -> At:
        """The current point of the training, `more` steps after the last counted one."""
        step = self.state.global_step + more
        return At(step, int(self.state.epoch or 0), step / max(self.state.max_steps, 1), self.args.seed)

    def outputs_of(self, name: str, features: bool = True) -> Answers:
        """The model's outputs for all rows of `train` or of a set, with features unless they are not needed."""
        return answers(self, self.model, self.train_dataset if name == "train" else self.sets[name], features)

    def zero(self) -> Tensor:
        """A zero scalar on the device, to add to."""
        return torch.zeros((), device=self.args.device)

    # --- frozen layers run once

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """transformers' training, where frozen layers run once per row if possible."""
        with contextlib.nullcontext() if self.is_fsdp_enabled else asked_once(self.model):
            if self.cache_settings is None:
                return super().train(*args, **kwargs)
            self.frozen_cache = FrozenCache(self, self.cache_settings, self.depths, logits_of)
            try:
                return super().train(*args, **kwargs)
            finally:
                self.frozen_cache.close()
                self.cache_report, self.frozen_cache = self.frozen_cache.report, None

    def _get_dataloader(self, dataset: Any, *args: Any, sampler_fn: Any = None, **kwargs: Any) -> Any:
        sampler = None if sampler_fn is None else lambda _: sampler_fn(dataset)
        with contextlib.ExitStack() as stack:
            rows = dataset
            if self.frozen_cache is not None:
                rows = stack.enter_context(self.frozen_cache.feeding(dataset))
            if kwargs.get("is_training"):
                rows = stack.enter_context(self.accompanied(rows))
            return super()._get_dataloader(rows, *args, sampler_fn=sampler, **kwargs)

    def accompanied(self, rows: Any) -> contextlib.AbstractContextManager[Any]:
        """The training rows with the methods' companions; inside, the collator is set for them."""
        return accompanied(self, rows)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """transformers' step; the model runs in full again only after the backward pass, which may recompute activations."""
        with self.last_block.reading(self, inputs):
            try:
                return super().training_step(model, inputs, num_items_in_batch)
            finally:
                self.release()

    def micro_batch(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any) -> Tensor:
        """Forward and backward pass of one micro-batch, with the methods' hooks."""

        def step(model: nn.Module, inputs: dict[str, Any]) -> Tensor:
            return super(FineTuner, self).micro_batch(model, inputs, num_items_in_batch)

        return self.steps.micro_batch(model, inputs, step)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """transformers' count; 0 if the cache serves the frozen layers, because counting takes longer than a head's step."""
        serving = self.frozen_cache is not None and self.frozen_cache.cut is not None
        return 0 if serving else super().floating_point_ops(inputs)

    def release(self) -> None:
        """Let the model run in full again."""
        if self.frozen_cache is not None:
            self.frozen_cache.release()

    def run(self, model: nn.Module, inputs: dict[str, Any], labels: Tensor) -> Any:
        """The model's outputs, computed from the cut on if there is one; the caller then calls `release`.

        Args:
            inputs: K parts of a batch, `(K * B, …)`, without labels.
            labels: `(K * B, …)`, stored with the outputs of the frozen part.
        """
        if model.training:
            self.modes.set(model, self.live_norms)
        if self.frozen_cache is not None:
            inputs = self.frozen_cache.ready({**inputs, "labels": labels})
            self.steps.reader.forget()  # discard the pass that verified the cut
        return model(**{name: value for name, value in inputs.items() if name != "labels"})

    # --- batches

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if isinstance(inputs, PreparedInputs):
            return inputs
        inputs = super()._prepare_inputs(inputs)
        return in_precision(self.model, inputs if self.on_device is None else self.on_device(inputs))

    # --- loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """This micro-batch's share of the mean loss of the global batch, times the number of processes (DDP averages)."""
        if model.training:
            batch = inputs.batch if isinstance(inputs, PreparedInputs) else self.steps.prepared(inputs)
            loss, outputs = self.steps.record(model, batch, num_items_in_batch)
        else:
            labels = inputs["labels"]
            outputs = self.run(model, {name: value for name, value in inputs.items() if name != "labels"}, labels)
            targets = self.problem.count(labels) if num_items_in_batch is None else num_items_in_batch
            loss = self.problem.loss(logits_of(outputs), labels).sum() / targets
        return (loss, outputs) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> Tensor | None:
        """Targets in the global batch, over all micro-batches and processes; also starts the step."""
        if not batch_samples or "labels" not in batch_samples[0]:
            return None
        self._leave_out_repeats(batch_samples)
        own = [min(num_rows(batch), batch.get(NUM_OWN_ROWS, num_rows(batch))) for batch in batch_samples]
        labels = [b["labels"][:n] for b, n in zip(batch_samples, own, strict=True)]
        targets = torch.stack([self.problem.count(part) for part in labels]).sum().to(device)
        counts = torch.stack([targets, torch.full((), sum(own), device=device)])
        found = self.accelerator.gather(counts.reshape(1, 2)).sum(0).clamp(min=1)
        self.steps.begin(batch_samples, found[0], found[1])
        self.steps.weigh(labels, found[1])
        return found[0]

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Only the logits, whatever else the model returns; for masked tokens, (loss, count) of each example instead."""
        self.leave_if_asked()
        self._end_with_the_rows()
        # Not inference_mode: tensors that a model caches in it, such as BEiT's table of positions, cannot be used in training.
        with torch.no_grad(), self.compute_loss_context_manager(), self.last_block.reading(self, inputs):
            # FSDP and DeepSpeed synchronise in each forward pass, so all processes need the same number of passes.
            whole = ROWS in inputs or self.is_fsdp_enabled or self.is_deepspeed_enabled
            found = []
            for part in map(self._prepare_inputs, [inputs] if whole else in_parts(inputs)):
                found.append(self._scored(model, part if self.frozen_cache is None else self.frozen_cache.ready(part)))
            self.release()
        columns = [torch.cat(parts) for parts in zip(*found, strict=True)]
        if len(columns) == 1:
            return None, columns[0], None
        logits, labels, sums, counts = columns
        return self.own_mean(sums, counts), logits, labels

    def _scored(self, model: nn.Module, inputs: dict[str, Any]) -> tuple[Tensor, ...]:
        """Logits and labels for the metrics, and loss and count of each example; without labels, only the logits."""
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        logits, labels = logits_of(outputs).float(), inputs.get("labels")
        if labels is None:
            return (logits,)
        sums, counts = self.problem.loss(logits, labels), self.problem.targets(labels)
        if self.problem.per_token:
            logits, labels = torch.stack([sums, counts], 1), torch.zeros(len(sums), device=sums.device)
        return logits, labels, sums, counts

    # --- optimiser

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """transformers' optimiser with hfft's groups: by depth, without decay for norms, biases, tokens and positions."""
        if self.optimizer is None:
            model = self.model if model is None else model
            cls, kwargs = self.get_optimizer_cls_and_kwargs(self.args, model)
            groups = self.groups(model)
            if beside := self.steps.module_parameters():  # at the head's rate
                groups.append({**groups[0], "params": beside})
            self.optimizer = cls(kwargs.pop("params", groups), **{k: v for k, v in kwargs.items() if k != "model"})
        return self.optimizer

    def groups(self, model: nn.Module | None = None) -> list[dict[str, Any]]:
        """The optimiser's groups, the head's first."""
        model = self.model if model is None else model
        return layers.param_groups(model, self.depths, self.args.learning_rate, self.args.weight_decay, **self.lr_rules)

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """transformers' clipping, including the methods' modules; with weighted rows, of the gradient per unit of weight."""
        beside, weight = self.steps.module_parameters(), self.steps.mean_weight
        if self.is_deepspeed_enabled or (not beside and weight is None):
            return super()._clip_grad_norm(model)
        return clip(self.accelerator, [*model.parameters(), *beside], self.args.max_grad_norm, weight)

    # --- checkpoints

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Load all weights of a checkpoint: transformers skips those that it saved under older names (transformers#43701)."""
        if not self._load_whole(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        method_state.load(self.methods, resume_from_checkpoint)

    def _load_best_model(self) -> None:
        """Load all weights of the run's best checkpoint."""
        if not self._load_whole(self.state.best_model_checkpoint):
            super()._load_best_model()
        method_state.load(self.methods, self.state.best_model_checkpoint)

    def _load_whole(self, folder: str | None) -> bool:
        divided = self.is_fsdp_enabled or self.is_deepspeed_enabled
        return not divided and load_whole(self.model, folder)

    def whole_model(self) -> nn.Module:
        """The trained model without training wrappers; gathered only on the first process if FSDP shards it."""
        plain = self.accelerator.unwrap_model(self.model)
        return plain if not self.is_fsdp_enabled else fsdp.gathered(self, self._whole) or plain

    def scored(self) -> contextlib.AbstractContextManager[None]:
        """The model as it is evaluated and published."""
        return self.steps.scored()

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """transformers' evaluation of the model as it will be published."""
        with self.scored():
            figures = super().evaluate(*args, **kwargs)
        if self.is_in_train:
            term_weights.evaluated(self, figures)
        return figures

    def _save_methods(self, folder: Path) -> None:
        method_state.save(self.methods, folder, self.args.should_save)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """transformers' files, and for an adapter also the state needed to resume its training exactly."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*invalid shape")  # a layer for which AdaLoRA left no rank
            super()._save(output_dir, state_dict)
        model = self.accelerator.unwrap_model(self.model)
        if hasattr(model, "peft_config") and output_dir and not self.is_fsdp_enabled and not self.is_deepspeed_enabled:
            rank_allocation.save_state(model, output_dir)

    # --- logs

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """transformers' log, with the mean of each loss term since the last log under its name; skipped steps do not count."""
        if "loss" in logs:
            steps = self.term_log.taken + self.term_log.left_out
            logs["loss"] *= steps / max(self.term_log.taken, 1)
            logs |= self.term_log.means(self.accelerator.gather) | term_weights.moving(self)
        if "learning_rate" in logs and self.optimizer is not None:
            logs["learning_rate"] *= self.optimizer.param_groups[0].get(SCALE, 1.0) * self.steps.rate()
        super().log(logs, start_time)

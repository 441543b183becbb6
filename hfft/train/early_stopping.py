"""Stop the training when the validation figure no longer improves; a resumed run stops at the same step."""

from __future__ import annotations

from typing import Any

from transformers import Trainer
from transformers.trainer_callback import EarlyStoppingCallback

from hfft.recipe import training_keys


class EarlyStopping(EarlyStoppingCallback):
    """transformers' callback, which also counts on from a checkpoint, and does not train on if that had stopped."""

    @classmethod
    def of(cls, spec: training_keys.EarlyStopping) -> EarlyStopping:
        """The callback of a recipe."""
        return cls(spec.patience, spec.threshold)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the count from the checkpoint."""
        if not args.load_best_model_at_end:  # a check of a single step
            return
        super().on_train_begin(args, state, control, **kwargs)
        saved = state.stateful_callbacks.get(type(self).__name__, {}).get("attributes", {})
        count = saved.get("early_stopping_patience_counter", 0) if state.global_step else 0
        self.early_stopping_patience_counter = count
        control.should_training_stop |= count >= self.early_stopping_patience

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Count an evaluation of the training; those after its end do not count."""
        if args.load_best_model_at_end and not control.should_training_stop:
            super().on_evaluate(args, state, control, metrics, **kwargs)


def stopped_early(trainer: Trainer) -> dict[str, Any] | None:
    """Where and why a training ended before its last step; None if it did not.

    Returns:
        `step` and `epoch` of the end, `best_step` and `best`, the figure of the model that was kept, and `why`, a sentence.
    """
    state, metric = trainer.state, str(trainer.args.metric_for_best_model).removeprefix("eval_")
    for guard in trainer.callback_handler.callbacks:
        if not isinstance(guard, EarlyStopping) or state.global_step >= state.max_steps:
            continue
        patience, threshold = guard.early_stopping_patience, guard.early_stopping_threshold
        if guard.early_stopping_patience_counter < patience:
            continue
        times = "1 evaluation" if patience == 1 else f"{patience} evaluations in a row"
        why = (
            f"after step {state.global_step} of {state.max_steps} (epoch {state.epoch:.3g}), because validation {metric} did "
            f"not improve{f' by more than {threshold:g}' if threshold else ''} in {times}; the model is that of step "
            f"{state.best_global_step}, {metric} {state.best_metric:.4f}"
        )
        kept = {"best_step": state.best_global_step, "best": state.best_metric}
        return {"step": state.global_step, "epoch": state.epoch, **kept, "why": why}
    return None

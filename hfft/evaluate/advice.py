"""What the losses of a finished training suggest: where the gap to the validation rows opened, and which options bear on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfft.tasks.problem import smaller_is_better

RISE = 0.05  # of the lowest validation loss: a rise that is more than noise
OPTIONS = {
    "image": ("data.augment", "strategy.mixup=0.2", "layers.train=last-2", "strategy.l2_sp.weight=0.01"),
    "audio": ("data.augment", "strategy.mixup=0.2", "layers.train=last-2", "strategy.l2_sp.weight=0.01"),
    "text": ("strategy.r_drop", "layers.train=last-2", "strategy.l2_sp.weight=0.01"),
}
PAGE = "hfft/strategy/figures.md"


@dataclass(frozen=True)
class Evaluated:
    """One evaluation during training.

    Attributes:
        train, validation: losses; that of training is the last one logged before it.
        metric: the main validation metric; None if none was computed.
    """

    step: int
    epoch: float
    train: float
    validation: float
    metric: float | None


def evaluations(history: Sequence[Mapping[str, Any]], metric: str | None) -> list[Evaluated]:
    """The evaluations in a Trainer's log, in order."""
    found, train = [], None
    for entry in history:
        train = entry.get("loss", train)
        if "eval_loss" in entry and train is not None:
            value = entry.get(f"eval_{metric}")
            found.append(Evaluated(entry["step"], entry["epoch"], train, entry["eval_loss"], value))
    return found


def advice(
    history: Sequence[Mapping[str, Any]],
    metric: str | None,
    modality: str,
    best_kept: bool,
    given: Collection[str] = (),
) -> list[str]:
    """At most three lines, worded as options; none with fewer than three evaluations.

    Args:
        history: the Trainer's log.
        metric: the main metric of the recipe.
        modality: `image`, `text` or `audio`.
        best_kept: whether the model of the best evaluation was kept, not the last one.
        given: keys that the recipe sets already, such as `strategy.mixup`; they are not named.
    """
    seen = evaluations(history, metric)
    if len(seen) < 3:
        return []
    lowest, last = min(seen, key=lambda one: one.validation), seen[-1]
    if last.validation <= lowest.validation * (1 + RISE):
        if lowest is last and last.train <= last.validation and seen[-2].validation > last.validation * (1 + RISE):
            return [
                f"validation loss still fell at the end (step {last.step}, {seen[-2].validation:.3f} to "
                f"{last.validation:.3f}): training.num_train_epochs may be raised"
            ]
        return []
    lines = [
        f"the gap opened at step {lowest.step} (epoch {lowest.epoch:.3g}): validation loss {lowest.validation:.3f} there and "
        f"{last.validation:.3f} at the end, training loss {lowest.train:.3f} and {last.train:.3f}"
    ]
    if not best_kept and metric is not None and last.metric is not None and lowest.metric is not None:
        change = lowest.metric - last.metric
        better = change < 0 if smaller_is_better(metric) else change > 0
        lines.append(
            f"option: training.early_stopping.patience=3 keeps the best evaluation; at step {lowest.step} validation {metric} "
            f"was {lowest.metric:.4f}, at the end {last.metric:.4f}{'' if better else ', so only the loss gains by it'}"
        )
    options = [option for option in OPTIONS.get(modality, ()) if not any(option.startswith(key) for key in given)]
    if options:
        lines.append(f"options that narrow the gap: {', '.join(options)}; what each brought on other data is in {PAGE}")
    return lines

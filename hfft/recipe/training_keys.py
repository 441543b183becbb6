"""The keys of `training` that are hfft's own, beside the arguments of transformers' TrainingArguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from hfft.spec import Spec


class EarlyStopping(Spec):
    """End the training once the validation figure stops improving; a number is the patience.

    Attributes:
        patience: number of evaluations in a row without an improvement after which the training ends.
        threshold: by how much the figure must be better than the best one so far to count as an improvement.
    """

    patience: int = Field(ge=1)
    threshold: float = Field(default=0.0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return value if isinstance(value, (Mapping, Spec)) else {"patience": value}


class TrainingKeys(Spec):
    """All other keys are arguments of `transformers.TrainingArguments`, verbatim.

    Attributes:
        early_stopping: implies an evaluation per epoch (unless `eval_strategy` says otherwise) and that the best model is
            kept, by `metric_for_best_model`.
    """

    early_stopping: EarlyStopping | None = None


def own(training: Mapping[str, Any]) -> TrainingKeys:
    """hfft's own keys of a recipe's `training`, which has been checked."""
    return TrainingKeys.model_validate({key: training[key] for key in TrainingKeys.model_fields if key in training})


def foreign(training: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a recipe's `training` that are transformers', with those that hfft's own keys imply."""
    found = {key: value for key, value in training.items() if key not in TrainingKeys.model_fields}
    if training.get("early_stopping") is None:
        return found
    evaluate = found.get("eval_strategy", "epoch")
    implied = {"load_best_model_at_end": True, "save_strategy": evaluate}
    if evaluate == "steps" and "eval_steps" in found and "save_strategy" not in found:
        implied["save_steps"] = found["eval_steps"]
    return {**implied, **found}

"""The table of tasks: what a task's model class is, which columns it reads, what it is scored by. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Modality = Literal["image", "text"]
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


@dataclass(frozen=True)
class Task:
    """One task: the Auto class that loads its model, and the columns of its data.

    Attributes:
        pipeline: the name under which `transformers.pipeline` serves it.
        auto_class: the class of transformers that loads the model with its head.
        columns: default name of each column the task reads; `None` where there is no usual one.
        labelled: False where targets are made from the inputs, as in masked language modelling.
    """

    name: str
    pipeline: str
    auto_class: str
    modality: Modality
    columns: dict[str, str | None]
    labelled: bool = True


TASKS = {
    task.name: task
    for task in (
        Task(
            "image-classification",
            "image-classification",
            "AutoModelForImageClassification",
            "image",
            {"image": "image", "label": "label"},
        ),
        Task(
            "text-classification",
            "text-classification",
            "AutoModelForSequenceClassification",
            "text",
            {"text": "text", "text_pair": None, "label": "label"},
        ),
        Task("fill-mask", "fill-mask", "AutoModelForMaskedLM", "text", {"text": "text"}, labelled=False),
    )
}

# Per problem: every metric that can be asked for, the ones that are reported when none is; larger is better unless
# listed in SMALLER_IS_BETTER. `loss` is always reported.
METRICS: dict[str, tuple[str, ...]] = {
    "single_label_classification": (
        "accuracy",
        "balanced_accuracy",
        "f1_macro",
        "f1_micro",
        "f1_weighted",
        "precision_macro",
        "recall_macro",
        "top5_accuracy",
        "ece",
        "matthews_correlation",
    ),
    "multi_label_classification": ("f1_micro", "f1_macro", "subset_accuracy", "hamming_accuracy", "average_precision"),
    "regression": ("mse", "rmse", "mae", "r2", "pearson", "spearman"),
    "masked_language_modelling": ("perplexity",),
}
DEFAULT_METRICS: dict[str, tuple[str, ...]] = {
    "single_label_classification": ("accuracy", "f1_macro"),
    "multi_label_classification": ("f1_micro", "f1_macro"),
    "regression": ("rmse", "spearman"),
    "masked_language_modelling": ("perplexity",),
}
SMALLER_IS_BETTER = {"loss", "ece", "mse", "rmse", "mae", "perplexity"}


def known_metrics() -> list[str]:
    """All metric names of all problems, each once."""
    return list(dict.fromkeys(name for names in METRICS.values() for name in names))

"""The table of tasks: the model class of each task and the columns that it reads. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hfft.tasks.modality import AUDIO, IMAGE, SERIES, TEXT, Modality

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
LABEL: dict[str, str | None] = {"label": "label"}


@dataclass(frozen=True)
class Task:
    """One task: a modality, a problem, and the Auto class that loads its model.

    Attributes:
        pipeline: the task's name in `transformers.pipeline`; empty if there is none.
        auto_class: the transformers class that loads the model with its head.
        auto_classes: model type -> the class that loads it instead.
        columns: role -> usual name of each column that the task reads; `None` if there is no usual one.
        example: the pipeline's input in example code, as Python.
        labelled: False if targets are made from the inputs, as in masked language modelling.
        problem: the kind of target, which a recipe can choose if there are labels.
    """

    name: str
    pipeline: str
    auto_class: str
    modality: Modality
    columns: dict[str, str | None]
    example: str
    labelled: bool = True
    problem: str = "single_label_classification"
    auto_classes: Mapping[str, str] = field(default_factory=dict)

    def auto_class_of(self, config: Any) -> str:
        """Name of the transformers class that loads a model with this config."""
        return self.auto_classes.get(config.model_type, self.auto_class)


TASKS = {
    task.name: task
    for task in (
        Task(
            "image-classification",
            "image-classification",
            "AutoModelForImageClassification",
            IMAGE,
            {**IMAGE.columns, **LABEL},
            '"image.png"',
        ),
        Task(
            "text-classification",
            "text-classification",
            "AutoModelForSequenceClassification",
            TEXT,
            {**TEXT.columns, **LABEL},
            '"a text"',
        ),
        Task(  # transformers has no Auto class for series: the model is saved as one of sequences, with its own code
            "time-series-classification",
            "",
            "AutoModelForSequenceClassification",
            SERIES,
            {**SERIES.columns, **LABEL},
            "series",  # an array (time steps, channels)
        ),
        Task(
            "audio-classification",
            "audio-classification",
            "AutoModelForAudioClassification",
            AUDIO,
            {**AUDIO.columns, **LABEL},
            '"sound.wav"',
        ),
        Task(
            "fill-mask",
            "fill-mask",
            "AutoModelForMaskedLM",
            TEXT,
            {"text": "text"},
            'f"a {model.tokenizer.mask_token} text"',
            labelled=False,
            problem="masked_language_modelling",
        ),
        Task(  # transformers has no pipeline for it
            "masked-image-modeling",
            "",
            "AutoModelForMaskedImageModeling",
            IMAGE,
            {**IMAGE.columns},
            "image",  # a PIL image
            labelled=False,
            problem="masked_image_modelling",
            auto_classes={"vit_mae": "AutoModelForPreTraining"},  # masks by itself
        ),
    )
}

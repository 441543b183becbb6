"""Load a saved model as other people will, with plain transformers, and compare its outputs with those that were scored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedModel

from hfft import direct
from hfft.backbone import published_code
from hfft.backbone.spec import Backbone
from hfft.classifier.files import is_saved
from hfft.data import Splits
from hfft.evaluate.load_metric import made
from hfft.hub.client import arrived
from hfft.predict.predictor import load_predictor
from hfft.publish.adapter import adapter_config, stands_alone
from hfft.tasks.table import Task

SAMPLE = 8  # rows: any other weights show in each
TOLERANCE = 1e-4  # of probabilities: the same weights on the same machine, in batches of another size


@dataclass(frozen=True)
class Sample:
    """Rows on which outputs are compared.

    Attributes:
        inputs: images, texts, or pairs of texts, as a user passes them to a pipeline.
        expected: probabilities of the classes, or the values of a regression, `(n, C)`.
    """

    inputs: list[Any]
    expected: Tensor


def sample_inputs(splits: Splits, task: Task, split: str) -> list[Any]:
    """The first rows of a split, as a user would pass them."""
    inputs, rows = task.modality.inputs, getattr(splits, split)
    return [inputs.plain(inputs.of_row(row, splits.columns)) for row in rows.take(SAMPLE)]


def sampled_split(splits: Splits) -> str:
    """The split to take a sample from."""
    return "test" if splits.test is not None else "validation" if splits.validation is not None else "train"


def loads_plainly(model: Path, backbone: Backbone) -> bool:
    """Whether a pipeline of plain transformers can serve a model folder.

    It cannot if only PEFT can load the adapter, if the model needs its own code (hfft runs no code from repositories), if
    a classifier stands beside it, if it expects other channels than a pipeline passes, or if hfft turns its outputs into
    those for other classes.
    """
    if (model / "config.json").is_file() and direct.KEY in json.loads((model / "config.json").read_text("utf-8")):
        return False
    adapter = adapter_config(model)
    own_code = (model / f"{published_code.FILE}.py").is_file()
    channels = any("channels" in edit for edit in backbone.edit)
    return not own_code and not channels and not is_saved(model) and (adapter is None or stands_alone(adapter))


def load_pipeline(
    source: str, task: Task, revision: str | None = None, device: Any = "cpu", dtype: Any = torch.float32
) -> transformers.Pipeline:
    """The pipeline of plain transformers for a model folder or a repository."""
    how = {"revision": revision, "device": device, "dtype": dtype}
    if Path(source).exists():
        return transformers.pipeline(task.pipeline, source, **how)
    return arrived("model", source, lambda again: transformers.pipeline(task.pipeline, source, **how))


def pipeline_difference(pipe: transformers.Pipeline, task: Task, sample: Sample) -> float:
    """`difference` between the outputs of a pipeline and the expected ones, computed with the task's `evaluate.evaluator`."""
    return difference(pipeline_answers(pipe, task, sample.inputs), sample.expected.double())


def pipeline_answers(pipe: transformers.Pipeline, task: Task, inputs: Sequence[Any]) -> Tensor:
    """The outputs of a pipeline for inputs in their order, `(n, C)` float64, by the task's `evaluate.evaluator`.

    Args:
        inputs: images, texts, or pairs of texts, as a user passes them to a pipeline.
    """
    import evaluate
    from datasets import Dataset, Features, List, Value

    names = list(pipe.model.config.id2label.values())
    base: Any = type(evaluate.evaluator(task.pipeline))

    class Probabilities(base):
        """The evaluator of the task, but with the scores of all classes instead of the best label."""

        PIPELINE_KWARGS: ClassVar[dict[str, Any]] = {
            **base.PIPELINE_KWARGS,
            **task.modality.pipeline_options,
            "top_k": len(names),
        }

        def prepare_pipeline(self, model_or_pipeline: Any, **_: Any) -> Any:
            return model_or_pipeline  # the original rejects ready pipelines of transformers 5 and accepts no revision

        def predictions_processor(self, predictions: Any, label_mapping: Any) -> dict[str, Any]:
            scores = [{item["label"]: item["score"] for item in row} for row in predictions]
            return {"predictions": [[row[name] for name in names] for row in scores]}

    class Outputs(evaluate.Metric):
        """The outputs themselves."""

        def _info(self) -> evaluate.MetricInfo:
            features = Features({"predictions": List(Value("float64")), "references": Value("int64")})
            return evaluate.MetricInfo(description="", citation="", features=features)

        def _compute(self, predictions: Any, references: Any) -> dict[str, Any]:
            return {"outputs": torch.tensor(predictions, dtype=torch.float64)}

    roles = list(task.modality.columns)
    inputs = [task.modality.inputs.served(x, pipe) for x in inputs]
    rows = [dict(zip(roles, x if isinstance(x, tuple) else (x,), strict=False)) | {"label": 0} for x in inputs]
    columns = {
        f"{key}_column": role for key, role in zip(("input", "second_input"), rows[0], strict=False) if role != "label"
    }

    def look_up(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        return {name: [rows[i][name] for i in numbers] for name, numbers in batch.items()}

    # A table of row numbers: a table of the inputs would encode images again and store arrays as lists.
    data = Dataset.from_dict({name: range(len(rows)) for name in rows[0]}).with_transform(look_up)
    columns["label_column"] = "label"
    return Probabilities(task.pipeline).compute(pipe, data, metric=made(Outputs), **columns)["outputs"]


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference between two outputs `(n, C)`: absolute, but relative where the expected value exceeds 1."""
    return float(((found - expected).abs() / expected.abs().clamp(min=1)).max())


def answers_difference(
    source: str, sample: Sample, task: Task, by_pipeline: bool, revision: str | None = None, **how: Any
) -> float:
    """`difference` between the outputs of a model folder or a repository and the expected ones.

    Args:
        by_pipeline: use a pipeline of plain transformers; otherwise hfft's own predictor.
        how: device and dtype of the pipeline.
    """
    if by_pipeline:
        try:
            return pipeline_difference(load_pipeline(source, task, revision, **how), task, sample)
        except torch.OutOfMemoryError:  # the trained model still occupies the device
            return pipeline_difference(load_pipeline(source, task, revision, **{**how, "device": "cpu"}), task, sample)
    return difference(
        load_predictor(source, revision, device=str(how.get("device", "cpu")))(sample.inputs), sample.expected
    )


def different_tensors(source: str, task: Task, model: nn.Module, revision: str | None = None) -> list[str]:
    """Names of the tensors in a model folder or a repository that are not bit-identical to those of a model."""
    other, own = whole_model(source, task, revision).state_dict(), model.state_dict()
    return [name for name in own if name not in other or not torch.equal(own[name].cpu(), other[name])]


def whole_model(source: str, task: Task, revision: str | None = None) -> PreTrainedModel:
    """The model of a task without labels in a folder or a repository, by its Auto class of plain transformers.

    An edited one is built by hfft's own modules, since no code of a repository is run.
    """
    how: dict[str, Any] = {"revision": revision, "dtype": "auto"}

    def load(again: Any = None) -> Any:
        edited = published_code.stock_config(source, revision)
        if edited is not None:
            return published_code.load(source, edited, task.auto_class_of(edited), **how)
        config = transformers.AutoConfig.from_pretrained(source, revision=revision)
        return getattr(transformers, task.auto_class_of(config)).from_pretrained(source, **how)

    found: PreTrainedModel = load() if Path(source).exists() else arrived("model", source, load)
    return found

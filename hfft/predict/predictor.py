"""Predict with a finished run or a published model: for files, texts, or a whole data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, PretrainedConfig

from hfft import direct
from hfft.backbone import published_code
from hfft.data.modality.base import OnDevice
from hfft.errors import BadInput, DataError
from hfft.hub.client import arrived
from hfft.hub.errors import reading
from hfft.layers import mend_convolutions
from hfft.predict.adapted import is_apart, load_adapted, share
from hfft.predict.classified import MARK, load_classified
from hfft.runs.tasks import run_of
from hfft.strategy import logits_of
from hfft.tasks.modality import Modality
from hfft.tasks.problem import PROBLEMS, Problem, Shown
from hfft.tasks.problem.base import PLAIN
from hfft.tasks.table import TASKS, Task


def own_logits(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """The logits `(B, C)` of a model's own head."""
    return logits_of(model(**batch))


@dataclass(frozen=True)
class Predictor:
    """A model with its processor, ready to predict.

    Attributes:
        hypotheses: texts that every input is paired with, one for each class: the model then gives a logit for a pair.
        outputs: the logits `(B, C)` of a model and a batch of its inputs: those of its own head, or of a classifier.
    """

    model: Any
    processor: Any
    modality: Modality
    hypotheses: tuple[str, ...] = ()
    outputs: Callable[[Any, dict[str, Any]], torch.Tensor] = own_logits

    def logits(self, inputs: Any, batch_size: int = 32) -> torch.Tensor:
        """Outputs `(N, C)` of the model, on the CPU in float32.

        Args:
            inputs: a list of images (PIL), texts (str, or pairs of them) or sounds (dicts of `array` and `sampling_rate`,
                values at the model's rate, or names of files), or a single one, which gives one row.
        """
        if self.modality.inputs.is_one(inputs):
            inputs = [inputs]
        if not len(inputs):
            return torch.empty(0, self.model.config.num_labels)
        if not self.hypotheses:
            return self._logits(inputs, batch_size)
        at_once = max(batch_size * self.modality.inputs.gathered // len(self.hypotheses), 1)
        found = [
            self._logits([(text, hypothesis) for text in some for hypothesis in self.hypotheses], batch_size)
            for some in _batched(inputs, at_once)
        ]
        return torch.cat(found).view(len(inputs), len(self.hypotheses))

    def _logits(self, inputs: Any, batch_size: int) -> torch.Tensor:
        found: list[torch.Tensor] = [torch.empty(0)] * len(inputs)
        for places, logits in self.passes(inputs, batch_size):
            for place, row in zip(places, logits, strict=True):
                found[place] = row
        return torch.stack(found)

    def passes(self, inputs: Sequence[Any], batch_size: int = 32) -> Iterator[tuple[Sequence[int], torch.Tensor]]:
        """(places, outputs `(b, C)`) of each forward pass: each input once, in an efficient order."""
        for places, batch in self.batches(inputs, batch_size):
            with torch.no_grad():
                found = self.outputs(self.model, batch).float().cpu()
            yield places, found

    def batches(self, inputs: Sequence[Any], batch_size: int = 32) -> Iterator[tuple[Sequence[int], dict[str, Any]]]:
        """(places, inputs of the model on its device) of each forward pass, as in `passes`."""
        for places, batch in self.modality.inputs.batches(inputs, batch_size, self.processor, self.on_device):
            yield places, self._placed(batch)

    def _placed(self, batch: dict[str, Any]) -> dict[str, Any]:
        device = self.model.device
        batch = {k: v.to(device, non_blocking=True) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
        if self.on_device is not None:
            batch = self.on_device(batch)
        dtype = getattr(self.model, "dtype", torch.float32)
        if dtype != torch.float32:
            batch = {k: v.to(dtype) if torch.is_tensor(v) and v.is_floating_point() else v for k, v in batch.items()}
        return batch

    @property
    def problem(self) -> Problem:
        """The kind of target that the model answers."""
        config = self.model.config
        alone = "regression" if config.num_labels == 1 else "single_label_classification"  # as in transformers
        return PROBLEMS[config.problem_type or alone]

    @cached_property
    def on_device(self) -> OnDevice | None:
        """The preprocessing that is done for a batch on the device; None if there is none."""
        return self.modality.inputs.on_device(self.processor)

    def __call__(self, inputs: Any, batch_size: int = 32) -> torch.Tensor:
        """Probabilities `(N, C)` of the classes; for regression, the values `(N, D)`. Inputs as for `logits`."""
        return self.problem.probabilities(self.logits(inputs, batch_size))

    def table(
        self, inputs: Iterable[tuple[Any, Any]], batch_size: int = 32, shown: Shown = PLAIN
    ) -> Iterator[dict[str, Any]]:
        """One row per (id, input), in order: `id`, `label`, `probability` (or `value`), `error`.

        An input that is given as a DataError, since it cannot be read, has a row with that error and no label.

        Raises:
            BadInput: the model's predictions have nothing of what is to be shown.
        """
        names = self.model.config.id2label
        self.problem.check_shown(shown, names)
        at_once = batch_size * self.modality.inputs.gathered
        for chunk in _batched(inputs, at_once):
            usable = [x for _, x in chunk if not isinstance(x, DataError)]
            rows = iter(self(usable, batch_size))
            for name, x in chunk:
                row, error = (None, str(x)) if isinstance(x, DataError) else (next(rows), None)
                if row is not None and not row.isfinite().all():
                    row, error = None, f"{name}: the model's outputs are not finite"
                said = self.problem.describe(self._blank if row is None else row, names, shown)
                yield {"id": name, **(_emptied(said) if row is None else said), "error": error}

    @property
    def _blank(self) -> torch.Tensor:
        return torch.zeros(self.model.config.num_labels)


def _emptied(said: Mapping[str, Any]) -> dict[str, Any]:
    """The same keys without values."""
    return {key: dict.fromkeys(value) if isinstance(value, dict) else None for key, value in said.items()}


def _batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def load_predictor(source: str, revision: str | None = None, device: str | None = None) -> Predictor:
    """The predictor for a run folder, a model folder or a hub id; an adapter is loaded onto its backbone.

    Raises:
        BadInput: there is no such model, or it classifies neither images nor texts.
    """
    run_of(source, None)  # refuses a run of several tasks
    folder = Path(source)
    where = str(folder / "model") if (folder / "model").is_dir() else source
    kinds = ("config.json", "adapter_config.json")
    if folder.is_dir() and not any((Path(where) / name).is_file() for name in kinds):
        raise BadInput(f"{source} has no finished model (no {Path(where) / 'config.json'}); finish its training first")
    safe: dict[str, Any] = {"revision": revision, "trust_remote_code": False}

    def fetched(load: Callable[[], Any]) -> Any:
        return load() if Path(where).exists() else arrived("model", where, lambda again: load())

    safe_weights: dict[str, Any] = {"dtype": torch.float32, "use_safetensors": True}
    with reading(f"model {source}", where):
        apart = is_apart(where, revision)
        rebuilt = None if apart else fetched(lambda: published_code.stock_config(where, revision))
        if apart:
            model, config = fetched(lambda: load_adapted(where, revision))
        else:
            config = rebuilt or fetched(lambda: AutoConfig.from_pretrained(where, **safe))
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        if getattr(config, direct.KEY, None):

            def load(auto: str) -> Any:
                how = {**safe, **safe_weights} if auto.startswith("AutoModel") else safe
                return fetched(lambda: getattr(transformers, auto).from_pretrained(where, **how))

            made, of_task = direct.reloaded(where, config, TASKS, load)
            return Predictor(made.model.to(device), made.processor, of_task.modality, made.hypotheses)
        if getattr(config, MARK, None) is not None:
            model, reader, modality, outputs = fetched(lambda: load_classified(where, config, revision))
            return Predictor(model.eval().to(device), reader, modality, outputs=outputs)
        kind = published_code.task_class(config) if rebuilt else (config.architectures or [""])[0]
        task = task_of(config, kind)
        if task is None:
            raise BadInput(f"{source} is a {kind or 'model without a task'}; hfft predicts classes of images and texts")
        how: dict[str, Any] = {**safe_weights, **safe}
        auto = getattr(transformers, task.auto_class)
        if rebuilt:
            model = fetched(lambda: published_code.load(where, config, task.auto_class, **how))
        elif not apart:
            model = fetched(lambda: auto.from_pretrained(where, **how))
            mend_convolutions(model)
        model.eval().to(device)
        return Predictor(
            model, fetched(lambda: task.modality.load_processor(where, config=config, **safe)), task.modality
        )


def task_of(config: PretrainedConfig, kind: str) -> Task | None:
    """The task of a model class: from transformers' mappings, otherwise from its name; None if hfft cannot predict with it."""
    labelled = [task for task in TASKS.values() if task.labelled]
    for task in labelled:
        stock = getattr(transformers, task.auto_class)._model_mapping.get(type(config), None)
        if kind in {cls.__name__ for cls in (stock if isinstance(stock, tuple) else (stock,)) if cls is not None}:
            return task
    named = [task for task in labelled if task.auto_class.removeprefix("AutoModelFor") in kind]
    reads = getattr(published_code.bare_class(config), "main_input_name", None)
    return next((task for task in named if task.modality.input_name == reads), named[0] if named else None)


def load_predictors(sources: Mapping[str, str], device: str | None = None) -> dict[str, Predictor]:
    """One predictor per name, with sources as in `load_predictor`; weights that models share are in memory once.

    To switch between adapters trained on one backbone, use another predictor; predictors never change, so they can be
    called in any order and from several threads.
    """
    pool: dict[tuple[Any, ...], torch.nn.Parameter] = {}
    found = {}
    for name, source in sources.items():
        found[name] = load_predictor(source, device=device)
        share(found[name].model, pool)
    return found

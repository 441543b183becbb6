"""The model that a command names, for features: a model folder or hub id, or a run with edits, an adapter or its own head."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers.utils import find_adapter_config_file

from hfft import backbone, layers
from hfft.backbone import published_code
from hfft.backbone.pooling import Pooling, fitting_pooling, usual_pooling
from hfft.backbone.published_code import bare_class
from hfft.backbone.spec import Backbone
from hfft.data.spec import Data
from hfft.errors import BadInput
from hfft.features.model import FORMAT, FeatureModel, device, noted
from hfft.features.views import View
from hfft.hub.errors import reading
from hfft.predict.predictor import load_predictor, task_of
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.table import TASKS, Task


@dataclass
class Source:
    """A model whose features are exported.

    Attributes:
        model: loads itself when it is needed.
        fitting: the pooling that it was trained with.
    """

    model: Any
    processor: Any
    task: Task
    fitting: Pooling

    def loaded(self) -> nn.Module:
        """The model in eval mode."""
        return self.model.loaded()


def open_source(source: str, pooling: str | None = None) -> Source:
    """The model of a run folder, a model folder or a hub id, with its processor.

    Args:
        pooling: the pooling wanted, if one is named.

    Raises:
        BadInput: there is no such model, or it reads neither images nor texts.
    """
    folder = Path(source)
    where = str(folder / "model") if (folder / "model").is_dir() else backbone.source(source)
    with reading(f"model {source}", where):
        changed = find_adapter_config_file(where) is not None or published_code.stock_config(where) is not None
    if changed:
        trained = TrainedModel(source, where)
        return Source(trained, trained.processor, trained.task, trained.fitting)
    named = backbone.pinned(Backbone(name=source))
    task = _task(source, named)
    fitting = fitting_pooling(named, task)
    processor = backbone.load_processor(named, task)
    recipe = Recipe.model_validate(
        {"name": "features", "task": task.name, "backbone": named, "data": Data(path="none")}
    )
    size = PROBLEMS[task.problem].fewest_outputs
    model = FeatureModel(recipe, processor, Labels(task.problem, size=size), pooling or fitting.pooling)
    model.set_limit()
    return Source(model, processor, task, fitting)


def _task(source: str, named: Backbone) -> Task:
    """The task whose inputs a model reads: that of its head, or by the input of the bare model."""
    config = backbone.load_published_config(named)
    if (found := task_of(config, (config.architectures or [""])[0])) is not None:
        return found
    reads = getattr(bare_class(config), "main_input_name", None)
    for task in TASKS.values():
        if task.labelled and reads in task.modality.input_names:
            return task
    raise BadInput(f"{source} is a {config.model_type}; features are computed of images, texts and sounds")


class TrainedModel:
    """A model that hfft saved with edits, its own head or an adapter, as `hfft predict` loads it."""

    def __init__(self, source: str, where: str):
        self.source, self.where = source, where
        self._predictor = load_predictor(source)
        self._predictor.model.to(device())
        self.processor = self._predictor.processor
        modality = self._predictor.modality
        self.task = next(task for task in TASKS.values() if task.labelled and task.modality is modality)

    @cached_property
    def fitting(self) -> Pooling:
        """The pooling of its own head, or the one that its kind reads."""
        own = getattr(self._predictor.model.config, "own_head", None) or {}
        if own.get("kind") != "attention-pool" and own.get("pooling"):
            return Pooling(own["pooling"], f"as the head of {self.source} reads")
        return Pooling(usual_pooling(self._predictor.model, self.task.modality.tokens), "as models of its kind read")

    def loaded(self) -> nn.Module:
        """The model."""
        return self._predictor.model

    def key(self, view: View) -> str:
        """A digest of everything except the rows that the features of a view depend on."""
        found = hashlib.sha256()
        for name, tensor in self._predictor.model.state_dict().items():
            found.update(f"{name} {layers.digest(tensor)}".encode())
        config = self._predictor.model.config.to_dict()
        what = {
            "features": FORMAT,
            "versions": [torch.__version__, transformers.__version__],
            "device": device().type,
            "weights": found.hexdigest(),
            "model": repr(self._predictor.model),
            "config": {key: value for key, value in config.items() if key != "_name_or_path"},
            "view": [view.pooling, view.layer],
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:32]

    def note(self, view: View) -> str:
        """What a list of the cache says of these features."""
        return noted(self.source, view)

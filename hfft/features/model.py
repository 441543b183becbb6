"""The model whose features a recipe asks for: loaded when it is needed, and known by its weights before."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from hfft import backbone, head, layers
from hfft.backbone import own_head
from hfft.backbone.edit import edit
from hfft.backbone.pooling import trained_pooler
from hfft.errors import ModelError
from hfft.features.views import View
from hfft.head.spec import Head
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from hfft.wording import printable

FORMAT = 1  # format of stored features: a new number ignores everything stored before


class FeatureModel:
    """A recipe's pretrained model, edited and adapted as its run begins with it, without its head.

    Args:
        recipe: with a pinned backbone.
        pooling: `pooler` needs the model's own.

    Raises:
        ModelError: its layers are a new recurrent net.
    """

    def __init__(self, recipe: Recipe, processor: Any, labels: Labels, pooling: str):
        if recipe.backbone.rnn is not None:
            raise ModelError(
                "backbone.rnn: its layers are new, so they have no features yet; train it, and name the run"
            )
        self.recipe, self.processor, self.labels, self.pooling = recipe, processor, labels, pooling
        adapter = recipe.layers.adapter
        self.adapter = layers.pinned_adapter(adapter) if adapter is not None and "from" in adapter else None
        self._model: nn.Module | None = None

    def loaded(self) -> nn.Module:
        """The model in eval mode, on a GPU if there is one."""
        if self._model is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.recipe.seed)
                self._model = self._load().eval().to(device())
        return self._model

    def _head(self) -> Head:
        """The head to load the backbone with: one of ours needs no pooler, which a checkpoint may lack."""
        given, recipe = Head(pooling="mean"), self.recipe
        if self.pooling == "pooler":
            if recipe.the_task.modality.tokens and trained_pooler(recipe.backbone) is False:
                raise ModelError(f"pooling: is pooler, but {recipe.backbone.name} has no trained pooler; use mean")
            return Head()
        if self.adapter is not None:
            return Head(new=recipe.head.new)
        try:
            own_head.wanted(recipe.backbone, given, recipe.the_task, backbone.load_published_config(recipe.backbone))
        except ModelError:  # such as CLIP's, whose bare model reads images and texts
            return Head(new=recipe.head.new)
        return given

    def _load(self) -> nn.Module:
        recipe, task = self.recipe, self.recipe.the_task
        model: Any = backbone.load_model(recipe.backbone, self._head(), task, self.labels, self.processor)
        model, _ = edit.edit(model, recipe.backbone.edit, self.processor, task.modality.inputs.blank)
        if self.adapter is not None:
            names = head.parameter_names(model)
            model = layers.adapt(model, ["head"], self.adapter, layers.depths(model, names), names, [])
        return model

    def set_limit(self) -> None:
        """Make the processor truncate texts as the recipe's run would."""
        recipe, task = self.recipe, self.recipe.the_task
        if recipe.backbone.edit or self.adapter is not None:
            self.loaded()
        model = self._model or backbone.build_meta_model(recipe.backbone, Head(new=recipe.head.new), task)
        model = model or self.loaded()
        taken = layers.virtual_tokens(model)
        task.modality.inputs.set_limit(self.processor, model, recipe.data.max_length, taken)

    def key(self, view: View) -> str:
        """A name for the features of a view: a digest of everything except the rows that they depend on."""
        recipe = self.recipe
        random = recipe.backbone.init == "random" or any("insert" in one for one in recipe.backbone.edit)
        what = {
            "features": FORMAT,
            "versions": [torch.__version__, transformers.__version__],
            "device": device().type,
            "weights": self._weights(),
            "backbone": [getattr(recipe.backbone, name) for name in ("init", "dtype", "edit", "config")],
            "seed": recipe.seed if random else None,
            "adapter": None if self.adapter is None else _adapter_digest(self.adapter),
            "view": [view.pooling, view.layer],
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:32]

    def note(self, view: View) -> str:
        """What a list of the cache says of these features."""
        return noted(self.recipe.backbone.name, view)

    def _weights(self) -> str:
        """The digest of the weights' files, or the commit that has them; without either, of the tensors in memory."""
        where = backbone.source(self.recipe.backbone.name)
        if Path(where).is_dir():
            return folder_digest(Path(where))
        if self.recipe.backbone.revision is not None:
            return f"{where}@{self.recipe.backbone.revision}"
        found = hashlib.sha256()
        for name, tensor in self.loaded().state_dict().items():
            found.update(f"{name} {layers.digest(tensor)}".encode())
        return found.hexdigest()


def device() -> torch.device:
    """Where features are computed: on a GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def noted(name: str, view: View) -> str:
    """What a list of the cache says of features."""
    layer = "last layer" if view.layer == -1 else f"layer {view.layer}"
    return printable(f"features of {name}, {layer}, pooling {view.pooling}")


def _adapter_digest(adapter: dict[str, Any]) -> str:
    where = Path(str(adapter["from"]))
    return folder_digest(where) if where.is_dir() else f"{adapter['from']}@{adapter.get('revision')}"


def folder_digest(where: Path) -> str:
    """A digest of the weights and configs in a model's folder."""
    within = where / "model" if (where / "model").is_dir() else where
    files = sorted([*within.glob("*.safetensors"), *within.glob("*config.json")])
    return hashlib.sha256(repr([(file.name, _file_digest(*_state(file))) for file in files]).encode()).hexdigest()


def _state(file: Path) -> tuple[str, int, int]:
    found = file.stat()
    return str(file), found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=256)
def _file_digest(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

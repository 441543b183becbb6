"""A candidate's model, as features are read off it: timed, and with the classifier that it was published with."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hfft import backbone
from hfft.backbone.load import auto_class
from hfft.backbone.locate import fetched
from hfft.features.model import FeatureModel
from hfft.features.views import View, bare
from hfft.head import output_parameters


class Classified(nn.Module):
    """A published classifier in the form in which features are read off a model: its `base_model` runs the classifier
    whole and returns what the network below it returns, so that one pass gives features and logits.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.base_model = _Whole(model)


class _Whole(nn.Module):
    def __init__(self, model: Any):
        super().__init__()
        self.published, self.config = model, model.config
        self._below: Any = None
        model.base_model.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        self._below = outputs

    def forward(self, **batch: Any) -> Any:
        """What the network below the classifier returns."""
        self.published(**batch)
        return self._below


class RankedModel(FeatureModel):
    """The model of a candidate.

    Attributes:
        clock: the time that its forward passes took.
        logits: the view of its published classifier's logits, if it has one that suits a problem of classes.
    """

    def __init__(self, recipe: Any, processor: Any, labels: Any, pooling: str):
        super().__init__(recipe, processor, labels, pooling)
        self.clock = Clock()
        self._published: Any = None
        self.logits: View | None = None
        if recipe.backbone.init == "pretrained" and self.adapter is None and not recipe.backbone.edit:
            self._find_classifier()

    def _find_classifier(self) -> None:
        config, task = backbone.load_published_config(self.recipe.backbone), self.recipe.the_task
        named = any(name.endswith(task.auto_class.removeprefix("AutoModel")) for name in config.architectures or ())
        if not named or config.num_labels < 2 or config.problem_type in ("regression", "multi_label_classification"):
            return
        auto = auto_class(config, self.recipe.backbone, task)
        model, loaded = fetched(
            self.recipe.backbone.name,
            lambda where: auto.from_pretrained(
                where,
                config=config,
                revision=self.recipe.backbone.revision,
                dtype=getattr(torch, self.recipe.backbone.dtype),
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            ),
        )
        last = output_parameters(model)
        lacking = {*loaded["missing_keys"], *(key for key, *_ in loaded["mismatched_keys"])}
        if model.base_model is model or not last or lacking:
            return
        self._published = model
        path = next(reversed(last)).rpartition(".")[0]
        self.logits = View("last" if self.pooling == "last" else "mean", f"base_model.published.{path}")

    @property
    def classes(self) -> list[str]:
        """The names of the published classifier's classes."""
        config = self._published.config if self._published is not None else None
        return [] if config is None else [str(config.id2label[i]) for i in range(config.num_labels)]

    def _load(self) -> nn.Module:
        model = super()._load() if self._published is None else Classified(self._published)
        self.clock.attach(self.network(model))
        return model

    def network(self, model: nn.Module) -> Any:
        """The part of a model that is run to compute features."""
        return bare(model)

    @property
    def below(self) -> nn.Module:
        """The network without its head."""
        whole = self.network(self.loaded())
        return whole.published.base_model if isinstance(whole, _Whole) else whole

    @property
    def with_head(self) -> Any:
        """The model with a head, whose layers have depths; None inside an adapter."""
        model = self.loaded()
        if hasattr(model, "peft_config"):
            return None
        return self._published if isinstance(model, Classified) else model

    def input_size(self) -> str:
        """The pixels or tokens that the model reads."""
        if self.recipe.the_task.modality.tokens:
            return f"{self.processor.model_max_length} tokens"
        size = getattr(self.processor, "crop_size", None) if getattr(self.processor, "do_center_crop", False) else None
        size = size or getattr(self.processor, "size", None)
        sides = [size[key] for key in ("height", "width", "shortest_edge") if size and key in size]
        return "x".join(str(side) for side in sides) or "–"


class Clock:
    """Seconds and rows of a module's forward passes."""

    def __init__(self) -> None:
        self.seconds, self.rows, self._begun = 0.0, 0, 0.0

    def attach(self, module: nn.Module) -> None:
        """Time this module from now on."""
        module.register_forward_pre_hook(self._begin, with_kwargs=True)
        module.register_forward_hook(self._end, with_kwargs=True)

    def _begin(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        _wait()
        self._begun = time.perf_counter()

    def _end(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        _wait()
        self.seconds += time.perf_counter() - self._begun
        self.rows += next(len(value) for value in (*args, *kwargs.values()) if isinstance(value, Tensor))

    @property
    def milliseconds(self) -> float:
        """Milliseconds per row."""
        return 1000 * self.seconds / self.rows if self.rows else float("nan")


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def size(module: nn.Module) -> tuple[int, int]:
    """The number of parameters of a module, and the bytes of its parameters and buffers."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum(p.numel() for p in module.parameters()), sum(t.numel() * t.element_size() for t in tensors)


def few(rows: int, count: int = 96) -> np.ndarray:
    """Numbers of a few rows, spread over all."""
    return np.unique(np.linspace(0, rows - 1, min(rows, count)).round().astype(int))

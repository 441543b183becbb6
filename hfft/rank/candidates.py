"""The models to rank: each as the recipe that would fine-tune it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from hfft import backbone, layers
from hfft.backbone.spec import UNTRAINED, Backbone
from hfft.errors import BadInput, HfftError, RecipeError
from hfft.recipe import Recipe
from hfft.wording import printable

ADAPTER = "adapter_config.json"
# Entries of a config that do not change what a model computes.
BESIDE = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "id2label", "label2id",
          "num_labels", "problem_type", "finetuning_task", "hfft_head")  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A model to rank.

    Attributes:
        name: as it was given; of random weights, the architecture's first model.
        kind: `pretrained`, `adapter`, or `random` weights.
        recipe: the user's recipe with this model.
        line: the overrides that make the user's recipe this one, as words of a shell.
    """

    name: str
    kind: Literal["pretrained", "adapter", "random"]
    recipe: Recipe
    line: str

    def untrained(self) -> Candidate:
        """The same architecture with random weights."""
        section = {**self.recipe.backbone.plain(), "init": "random"}
        return replace(
            self,
            kind="random",
            recipe=_with(self.recipe, section, {"cache": self.recipe.layers.plain()["cache"]}),
            line=f"{self.line} backbone.init=random",
        )

    def architecture(self) -> str:
        """A digest of the model's config without what only names things, equal for models of one architecture."""
        config = backbone.load_published_config(self.recipe.backbone).to_dict()
        kept = json.dumps({key: config[key] for key in sorted(config) if key not in BESIDE}, default=str)
        return hashlib.sha256(kept.encode()).hexdigest()[:16]


def read_names(path: str) -> list[str]:
    """The names of models in a file, one per line; blank lines and what follows a # are left out.

    Raises:
        BadInput: there is no such file.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadInput(f"--backbones-file {path}: cannot be read ({why})") from None
    return [name for line in lines if (name := line.partition("#")[0].strip())]


def candidate(recipe: Recipe, name: str) -> Candidate:
    """The recipe with another model: a hub id, a folder, a run, or an adapter of one of these.

    Raises:
        BadInput: there is no such model.
    """
    if not name.strip():
        raise BadInput("a model's name is empty")
    if _is_adapter(name):
        found = layers.published(name)
        section: dict[str, Any] = {"name": found.base}
        if found.base_revision is not None:
            section["revision"] = found.base_revision
        line = [*_overrides(recipe.backbone, section), f"layers.adapter={{from: {printable(name)}}}"]
        layered = {**recipe.layers.plain(), "adapter": {"from": name}}
        return Candidate(name, "adapter", _with(recipe, section, layered), shlex.join(line))
    own = name == recipe.backbone.name
    section = {**recipe.backbone.plain(), "init": "pretrained"} if own else {"name": name}
    layered = recipe.layers.plain()
    if "from" in (layered.get("adapter") or {}):  # it fits the recipe's backbone only
        layered["adapter"] = None
    return Candidate(
        name, "pretrained", _with(recipe, section, layered), shlex.join(_overrides(recipe.backbone, section))
    )


def _with(recipe: Recipe, backbone: dict[str, Any], layers: dict[str, Any]) -> Recipe:
    """The recipe with another backbone and other settings of its layers."""
    values = recipe.resolved()
    untrained = UNTRAINED.get(recipe.backbone.name, ())
    new = [module for module in recipe.head.new if module not in untrained]
    values["head"] = {**values["head"], "new": new}
    values["layers"] = layers
    values["backbone"] = {"dtype": recipe.backbone.dtype, **backbone}
    try:
        return Recipe.model_validate(values)
    except ValueError as error:
        raise RecipeError([f"backbone.name={backbone['name']}: {error}"]) from None


def _overrides(given: Backbone, section: dict[str, Any]) -> list[str]:
    """The overrides of a recipe's backbone, which also take back what its other entries say of another model."""
    words = [f"backbone.name={printable(section['name'])}"]
    for key, field in Backbone.model_fields.items():
        value, before = section.get(key, field.get_default()), getattr(given, key)
        if key not in ("name", "dtype", "memory_format") and value != before:
            words.append(f"backbone.{key}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}")
    return words


def _is_adapter(name: str) -> bool:
    """Whether a folder, a run or a repository has an adapter."""
    folder = Path(name)
    if folder.is_dir():
        return (folder / ADAPTER).is_file() or (folder / "model" / ADAPTER).is_file()
    if Path(backbone.source(name)).is_dir():
        return False
    from hfft.predict.trained import published_file

    with contextlib.suppress(HfftError):  # no network: it may be in the cache, and if not, loading it says so
        return published_file(name, ADAPTER) is not None
    return False


def distinct(names: Iterable[str]) -> list[str]:
    """The names without repetitions, in order."""
    return list(dict.fromkeys(names))

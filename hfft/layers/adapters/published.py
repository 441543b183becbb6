"""Published adapters: read them, check them against the recipe's backbone, and continue training them."""

from __future__ import annotations

import functools
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from hfft import head
from hfft.errors import BadInput, ModelError
from hfft.hub.errors import commit_of, reading
from hfft.layers.adapters.add import fitting, wrap
from hfft.layers.adapters.arguments import adapter_problems, merges
from hfft.recipe import yaml_lines
from hfft.wording import listing

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@dataclass(frozen=True)
class Published:
    """An adapter in a folder or on the hub.

    Attributes:
        folder: the local folder of its files.
        kind: PEFT's type, in lower case.
        base, base_revision: the backbone that it was trained on.
        classes: the classes of its head, in order; None if the adapter does not list them.
        task: `ImageClassification` or `SequenceClassification`, if PEFT's config says so.
    """

    folder: Path
    kind: str
    base: str
    base_revision: str | None
    classes: tuple[str, ...] | None
    task: str | None = None

    @property
    def weights(self) -> Path:
        """The file of its tensors."""
        return self.folder / WEIGHTS


def pinned_adapter(adapter: dict[str, Any]) -> dict[str, Any]:
    """The `layers.adapter` with a published adapter pinned to its current commit, so that a run can be repeated."""
    if "from" not in adapter or Path(adapter["from"]).exists():
        return adapter
    commit = commit_of("model", adapter["from"], adapter.get("revision"))
    return {**adapter, "revision": commit} if commit else adapter


def published(where: str, revision: str | None = None) -> Published:
    """The adapter in a run folder, in another folder or under a hub id; only the adapter's own files are downloaded.

    Raises:
        BadInput: there is no adapter there, or its weights are not safetensors.
    """
    root = Path(where) / "model" if (Path(where) / "model" / CONFIG).is_file() else Path(where)
    if not root.is_dir():
        if where.startswith((".", "/", "~")):
            raise BadInput(f"layers.adapter.from: there is no folder {where}; give a run folder or a hub repository")
        return _read(where, _fetched(where, revision))
    for name in (CONFIG, WEIGHTS):
        if not (root / name).is_file():
            raise BadInput(f"{where} has no {name}; give a folder or repository that an adapter was saved to")
    return _read(where, root)


def _read(where: str, root: Path) -> Published:
    with reading(f"adapter {where}"):
        config = json.loads((root / CONFIG).read_text(encoding="utf-8"))
        kind, base = str(config["peft_type"]).lower(), config.get("base_model_name_or_path")
        revision = config.get("revision")
        classes = None
        made_for = (config.get("auto_mapping") or {}).get("base_model_class", "")
        if config.get("task_type") == "SEQ_CLS":
            made_for = "SequenceClassification"
        task = next((t for t in ("ImageClassification", "SequenceClassification") if t in made_for), None)
        if (root / "config.json").is_file():
            names = json.loads((root / "config.json").read_text(encoding="utf-8")).get("id2label") or {}
            classes = tuple(names[key] for key in sorted(names, key=int)) or None
        for recipe in (root.parent / "recipe.yaml", root / "recipe.yaml"):
            # A repository that also contains the backbone names itself as the base; its recipe names the original one.
            if recipe.is_file() and (root.name == "model" or recipe.parent == root):
                said = yaml_lines.parse(recipe.read_text(encoding="utf-8"))[0]["backbone"]
                base, revision = said["name"], said.get("revision")
                break
    if not isinstance(base, str) or not base:
        raise BadInput(f"adapter {where} does not say which model it was trained on (base_model_name_or_path)")
    return Published(root, kind, base, revision if isinstance(revision, str) else None, classes, task)


@functools.cache
def _fetched(where: str, revision: str | None) -> Path:
    """The cache folder that an adapter's own files were downloaded to."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    with reading(f"adapter {where}", where):
        folder = Path(hf_hub_download(where, CONFIG, revision=revision)).parent
        for name in ("config.json", "recipe.yaml"):
            try:
                hf_hub_download(where, name, revision=revision)
            except EntryNotFoundError:
                continue
    try:
        hf_hub_download(where, WEIGHTS, revision=revision)
    except EntryNotFoundError:
        raise BadInput(
            f"adapter {where} has no {WEIGHTS}, and pickled weights can run code when they are loaded; save it with PEFT's "
            f"save_pretrained, which writes it"
        ) from None
    return folder


def check_base(adapter: Published, name: str, where: str, leaves_as: str | None = None) -> None:
    """Raise if an adapter was trained on another model than the recipe's backbone `name`, a hub id or a folder.

    Args:
        leaves_as: `merged` or `adapter`, what the run should produce.

    Raises:
        ModelError: the two differ, or the adapter's type cannot be continued or merged.
    """
    same = adapter.base == name or (Path(name).is_dir() and Path(adapter.base).resolve() == Path(name).resolve())
    # when an adapter is published, the path of its base is cut to the folder's name
    cut = "/" not in adapter.base and Path(name).name == adapter.base
    if not (same or cut):
        raise ModelError(f"layers.adapter.from: {where} was trained on {adapter.base}, the recipe's backbone is {name}")
    if problems := [text for _, text in adapter_problems({"type": adapter.kind})]:
        raise ModelError(f"layers.adapter.from: {where}: {problems[0]}")
    if leaves_as == "merged" and not merges({"type": adapter.kind}):
        raise ModelError(f"publish.as: is merged, which {adapter.kind} cannot be; use publish.as=adapter")
    if adapter.kind == "adalora":
        raise ModelError(
            f"layers.adapter.from: the ranks of {where} (adalora) are final; start a new adapter with type adalora"
        )


def continue_adapter(model: PreTrainedModel, adapter: Published, head_names: set[str]) -> nn.Module:
    """Wrap a model in a published adapter, ready for training; its head is reused if the classes are the same.

    Raises:
        ModelError: the adapter does not fit the model.
    """
    from peft import PeftConfig, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    with fitting(model):
        config = PeftConfig.from_pretrained(str(adapter.folder))
        config.inference_mode = False
        tops = head.top_modules(model, head_names)
        named = [name for name in getattr(config, "modules_to_save", None) or () if name not in tops]
        adapted = wrap(model, config, head_names, [name for name in named if name not in ("classifier", "score")])
        found, fresh = load_file(adapter.weights), get_peft_model_state_dict(adapted, save_embedding_layers=False)
        in_head = {key for key in fresh if key.removeprefix("base_model.").removeprefix("model.") in head_names}
        classes = tuple(model.config.id2label[i] for i in range(model.config.num_labels))
        if adapter.classes != classes:
            found |= {key: fresh[key] for key in in_head}
        other = [key for key in fresh if key not in found or found[key].shape != fresh[key].shape]
        if other:
            raise ValueError(f"the adapter lacks these tensors or has them in another shape: {listing(other, 3)}")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*no-op")  # a meta model stores no values
            set_peft_model_state_dict(adapted, found)
    return adapted

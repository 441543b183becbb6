"""Save an adapter together with all files that plain transformers needs to load it."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hfft.backbone import load_model
from hfft.backbone.spec import Backbone
from hfft.head import parameter_names, top_modules
from hfft.head.spec import Head
from hfft.layers.adapters.arguments import stock_loads
from hfft.publish.card import public
from hfft.tasks.labels import Labels
from hfft.tasks.table import Task

CONFIG = "adapter_config.json"


def save_adapter(
    adapted: Any, backbone: Backbone, head: Head, task: Task, labels: Labels, processor: Any, folder: Path
) -> None:
    """Write an adapter with its head, the config with the classes, the processor, and its backbone.

    transformers 5.23 reads the config and the weights of an adapter's model from one place: from the folder itself if it
    has a config.json, and for a repository from `base_model_name_or_path`. The backbone's own config lacks the classes,
    so `pipeline(task, repository)` returns them only if the repository also holds the backbone. PEFT and hfft download
    only the adapter's files.

    Args:
        backbone: with its commit as its revision.
    """
    config, plain = adapted.peft_config["default"], adapted.get_base_model()
    config.base_model_name_or_path = backbone.name
    config.revision = backbone.revision
    if stands_alone(config):
        whole = load_model(backbone, head, task, labels, processor)
        for path in top_modules(whole, parameter_names(whole, head.new)):
            trained = plain.get_submodule(path).modules_to_save["default"]
            whole.get_submodule(path).load_state_dict(trained.state_dict())
        whole.config.use_cache = True
        whole.save_pretrained(folder)
    else:
        plain.config.architectures = [type(plain).__name__]
        plain.config.save_pretrained(folder)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*invalid shape")  # a layer whose rank AdaLoRA has reduced to 0
        adapted.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty template
    processor.save_pretrained(folder)


def stands_alone(config: Any) -> bool:
    """Whether plain transformers can load an adapter of this config (of PEFT, or a dictionary) onto its model."""
    given = config if isinstance(config, dict) else config.to_dict()
    return stock_loads(str(getattr(given["peft_type"], "value", given["peft_type"])).lower(), given)


def adapter_config(folder: Path) -> dict[str, Any] | None:
    """The adapter's config in a model folder; None if the folder holds a whole model."""
    path = folder / CONFIG
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


@contextlib.contextmanager
def named(folder: Path, repo: str) -> Iterator[None]:
    """While an adapter is pushed, let its config name the repository as its base if that holds the model, and no local path."""
    config = adapter_config(folder)
    if config is None:
        yield
        return
    before = (folder / CONFIG).read_text(encoding="utf-8")
    if (folder / "model.safetensors").is_file() or (folder / "model.safetensors.index.json").is_file():
        changed = {**config, "base_model_name_or_path": repo, "revision": None}
    else:
        changed = {**config, "base_model_name_or_path": public(config["base_model_name_or_path"])}
    try:
        (folder / CONFIG).write_text(json.dumps(changed, indent=2, sort_keys=True), encoding="utf-8")
        yield
    finally:
        (folder / CONFIG).write_text(before, encoding="utf-8")

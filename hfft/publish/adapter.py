"""An adapter as what leaves a run: its own files, and beside them all that plain transformers needs to answer by it."""

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
    """Write an adapter with its head, the config with the classes, the processor, and the backbone it belongs on.

    transformers 5.23 reads config and weights of an adapter's model from one place: for a folder with a config.json
    that folder, for a repository what `base_model_name_or_path` names. The backbone's own config does not know the
    classes, so only a repository that holds the backbone too answers `pipeline(task, repository)` with them. PEFT and
    hfft fetch nothing but the adapter's files.

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
        warnings.filterwarnings("ignore", message=".*invalid shape")  # a layer that AdaLoRA left no rank
        adapted.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's form, not filled in
    processor.save_pretrained(folder)


def stands_alone(config: Any) -> bool:
    """Whether plain transformers puts an adapter of this config, PEFT's or as a dictionary, back onto its model."""
    given = config if isinstance(config, dict) else config.to_dict()
    return stock_loads(str(getattr(given["peft_type"], "value", given["peft_type"])).lower(), given)


def adapter_config(folder: Path) -> dict[str, Any] | None:
    """The adapter's config in a model folder; None where the model is whole."""
    path = folder / CONFIG
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


@contextlib.contextmanager
def named(folder: Path, repo: str) -> Iterator[None]:
    """While it is pushed, an adapter names the repository as its model where that holds one, and no local path."""
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

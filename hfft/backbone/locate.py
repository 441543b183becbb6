"""Where a backbone is, at which commit, and what goes wrong on the way."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from hfft.backbone.word_vectors import build
from hfft.errors import BadInput, ModelError
from hfft.hub.client import arrived
from hfft.hub.errors import commit_of, reading
from hfft.runs.tasks import task_names
from hfft.wording import first_line

if TYPE_CHECKING:
    from hfft.backbone.spec import Backbone

# Remote code stays off, and weights must be safetensors: a pickle can run code when it is loaded.
SAFE = {"trust_remote_code": False}


def source(name: str) -> str:
    """The location of a backbone: the folder of one that hfft ships (such as `nano-vit`), the model of a run folder,
    otherwise the name itself.

    Raises:
        ModelError: the name is a path and there is no such folder, or it is a run folder without a whole model.
    """
    if any(len(part.encode()) > 255 for part in name.split("/")):  # no file system or hub has such names
        raise ModelError(f"backbone.name: {name!r:.80} … is too long to be a model's name or folder")
    if Path(name).is_file():
        raise ModelError(
            f"backbone.name: {name} is a file; to read word vectors from it, add backbone.rnn={{type: lstm}}"
        )
    shipped = Path(__file__).parent / "nano" / name.removeprefix("nano-")
    if name.startswith("nano-") and (shipped / "config.json").is_file():
        return str(shipped)
    if (Path(name).is_absolute() or name.startswith(".") or name.count("/") > 1) and not Path(name).is_dir():
        raise ModelError(f"backbone.name: there is no folder {name}; give a folder with a model, or a hub id")
    return _within(Path(name)) if Path(name).is_dir() else name


def _within(folder: Path) -> str:
    """The folder itself, or that of the finished model in a run folder."""
    model = folder / "model" if (folder / "model").is_dir() else folder
    if (model / "adapter_config.json").is_file():
        base = json.loads((model / "adapter_config.json").read_text(encoding="utf-8")).get("base_model_name_or_path")
        raise ModelError(
            f"backbone.name: {folder} is an adapter; use layers.adapter={{from: {folder}}} with backbone.name={base}"
        )
    if names := task_names(folder):
        raise ModelError(
            f"backbone.name: {folder} has several tasks; name the run of one, such as {folder}/tasks/{names[0]}"
        )
    if not (model / "config.json").is_file() and (folder / "recipe.yaml").is_file():
        raise ModelError(f"backbone.name: the run {folder} has no finished model; finish its training first")
    return str(model)


@contextlib.contextmanager
def loading(name: str) -> Iterator[None]:
    """Turn any error that transformers raises inside the block into one clear error about the model `name`."""
    try:
        with reading(f"model {name}", source(name)):
            yield
    except SafetensorError as error:
        raise ModelError(
            f"the weights of {name} are damaged ({first_line(error)}); save or download them again"
        ) from error
    except BadInput as error:
        said = str(error.__cause__)
        if "trust_remote_code" in said:
            raise ModelError(
                f"{name} needs code from its own repository, which hfft does not run; use another model"
            ) from error
        if "model.safetensors" in said:
            raise ModelError(
                f"{name} has no safetensors weights, and pickled ones can run code when they are loaded; save it once with "
                f"transformers' save_pretrained, which writes model.safetensors"
            ) from error
        raise


def fetched(name: str, load: Callable[[str], Any]) -> Any:
    """The result of `load` on a folder, or on a hub model after its files have been compared with their digests."""
    where = source(name)
    return load(where) if Path(where).exists() else arrived("model", name, lambda again: load(where))


def pinned(backbone: Backbone) -> Backbone:
    """The backbone pinned to its revision's current commit, so that config, processor and weights come from one commit."""
    if build.from_file(backbone):
        return backbone
    name = source(backbone.name)
    commit = None if Path(name).exists() else commit_of("model", name, backbone.revision)
    return backbone.model_copy(update={"revision": commit}) if commit else backbone

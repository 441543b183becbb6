"""Load a pretrained model, its config and its processor through transformers' Auto classes, and check that all weights loaded."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from hfft.backbone import cross_modal, own_head, published_code
from hfft.backbone.published_code import bare_class
from hfft.errors import BadInput, ModelError
from hfft.head import dropout_entry, parameter_names
from hfft.hub.client import arrived
from hfft.hub.errors import commit_of, reading
from hfft.modeling_inputs import Patches
from hfft.runs.tasks import task_names
from hfft.tasks.labels import Labels
from hfft.tasks.table import Task
from hfft.wording import first_line, listing, nearest

if TYPE_CHECKING:
    from hfft.backbone.spec import Backbone
    from hfft.head.spec import Head

# Remote code stays off, and weights must be safetensors: a pickle can run code when it is loaded.
_SAFE = {"trust_remote_code": False}


def source(name: str) -> str:
    """The location of a backbone: the folder of one that hfft ships (`nano-vit`, `nano-bert`), the model of a run folder,
    otherwise the name itself.

    Raises:
        ModelError: the name is a path and there is no such folder, or it is a run folder without a whole model.
    """
    if any(len(part.encode()) > 255 for part in name.split("/")):  # no file system or hub has such names
        raise ModelError(f"backbone.name: {name!r:.80} … is too long to be a model's name or folder")
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
def _loading(name: str) -> Iterator[None]:
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
    name = source(backbone.name)
    commit = None if Path(name).exists() else commit_of("model", name, backbone.revision)
    return backbone.model_copy(update={"revision": commit}) if commit else backbone


def load_tokenizer(backbone: Backbone) -> Any:
    """The tokenizer of a model that reads images and texts.

    Raises:
        BadInput: it has none.
    """
    with reading(f"the tokenizer of {backbone.name}", source(backbone.name)):
        return fetched(
            backbone.name,
            lambda name: transformers.AutoTokenizer.from_pretrained(name, revision=backbone.revision, **_SAFE),
        )


def load_processor(backbone: Backbone, task: Task, max_length: int | None = None) -> Any:
    """The backbone's tokenizer or image processor, ready for batches.

    Raises:
        BadInput: the model is not there, or has no processor for the task.
    """
    with reading(f"the {task.modality.name} processor of {backbone.name}", source(backbone.name)):
        processor = (
            made
            if (made := _make_processor(backbone, task)) is not None
            else fetched(
                backbone.name,
                lambda name: task.modality.load_processor(
                    name, revision=backbone.revision, **backbone.processor, **_SAFE
                ),
            )
        )
    for key in backbone.processor:
        if not hasattr(processor, key):
            known = list(processor.to_dict()) if hasattr(processor, "to_dict") else list(processor.init_kwargs)
            raise ModelError(
                f"backbone.processor.{key}: {type(processor).__name__} has no such entry{nearest(key, known)}"
            )
    task.modality.inputs.ready(processor)
    if max_length is not None:
        processor.model_max_length = max_length
    _forget_code(processor)
    return processor


def _make_processor(backbone: Backbone, task: Task) -> Any:
    """The processor of a model that was published without one for the task; None for others."""
    cross, inputs = backbone.cross_modal, task.modality.inputs
    if not task.modality.processor_made:
        return None if cross is None else cross_modal.make_processor(backbone)
    config = load_published_config(backbone)
    if getattr(config, "own_head", None):  # hfft has saved it with one
        return None
    vars(config).update(backbone.config)
    length, channels = (None, None) if cross is None else (cross.length, cross.channels)
    return inputs.make_processor(config, length, channels, **backbone.processor)


def _forget_code(loaded: Any) -> None:
    """Remove references to the source repository's code, so that saving does not write them."""
    for held in (vars(loaded), getattr(loaded, "init_kwargs", {})):
        held.pop("auto_map", None)


def load_config(backbone: Backbone, head: Head, task: Task, labels: Labels, processor: Any = None) -> PretrainedConfig:
    """The backbone's config with the recipe's overrides and the new task's labels.

    Raises:
        BadInput: the model is not there, or its config has no such entry.
    """
    config = load_published_config(backbone)
    _forget_code(config)
    vars(config).pop("edited_for", None)
    if not keeps_structure(backbone, head, config):
        if getattr(config, "edits", None):
            raise ModelError(
                f"{backbone.name} was edited by hfft, which a new head does not know; add head.keep_known=true, or name the "
                f"backbone that was edited"
            )
        vars(config).pop("own_head", None)
    if backbone.cross_modal is not None:
        cross_modal.set_input(config, backbone, task)
    known = [*config.to_dict(), *config.attribute_map]
    for key, value in backbone.config.items():
        if key not in known:
            raise ModelError(f"backbone.config.{key}: {config.model_type} has no such entry{nearest(key, known)}")
        try:
            setattr(config, key, value)
        except StrictDataclassError as error:
            raise ModelError(f"backbone.config.{key}: {str(error).splitlines()[-1].strip()}") from error
    if head.dropout is not None and not own_head.wanted(backbone, head, task, config):
        setattr(config, dropout_entry(config), head.dropout)
    if task.labelled:
        # transformers' own names for unnamed outputs
        names = labels.names or [f"LABEL_{i}" for i in range(labels.size)]
        config.id2label = dict(enumerate(names))
        config.label2id = {name: i for i, name in enumerate(names)}
        config.problem_type = None if labels.tasks else labels.problem
        if config.num_labels != labels.size:  # PVT keeps a number of its own beside the names
            config.num_labels = labels.size
    if processor is not None:
        task.modality.inputs.fit_config(config, processor)
    return config


def load_model(backbone: Backbone, head: Head, task: Task, labels: Labels, processor: Any = None) -> PreTrainedModel:
    """The backbone with the stock head for the task's labels: every weight except the head's must be the pretrained one.

    With `backbone.init: random`, the same architecture, untrained.

    Raises:
        ModelError: weights outside the head are missing or have another shape; each is listed.
        BadInput: the model is not there, has no safetensors, or has no class for the task.
    """
    config = load_config(backbone, head, task, labels, processor)
    if own_head.wanted(backbone, head, task, config):
        return own_head.put_on(_bare(backbone, head, config), head, task, processor)
    auto: Any = None if keeps_structure(backbone, head, config) else auto_class(config, backbone, task)
    dtype = getattr(torch, backbone.dtype)
    if backbone.init == "random":
        with _loading(backbone.name):
            model = auto.from_config(config, dtype=dtype, **_SAFE)
        check_dropout(model, head.dropout)
        return model
    with _loading(backbone.name):
        options = {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True, **_SAFE}
        model, loaded = fetched(
            backbone.name,
            lambda name: (
                published_code.load(name, config, task.auto_class, revision=backbone.revision, dtype=dtype, **options)
                if auto is None
                else auto.from_pretrained(name, config=config, revision=backbone.revision, dtype=dtype, **options)
            ),
        )
    _check_whole(model, loaded, backbone, head)
    check_dropout(model, head.dropout)
    return model


def keeps_structure(backbone: Backbone, head: Head, config: PretrainedConfig) -> bool:
    """Whether a model keeps the head, and with it the edits, with which hfft saved its checkpoint (`head.keep_known`)."""
    own = getattr(config, "own_head", None) or getattr(config, "edits", None)
    return bool(own) and head.keep_known and backbone.init != "random"


def load_published(backbone: Backbone, auto_class: str) -> tuple[PreTrainedModel, set[str]]:
    """The model as it was published, with the head and the classes that it came with, and the names of tensors that its
    checkpoint lacks.

    Args:
        auto_class: name of the Auto class that loads it.

    Raises:
        BadInput: the model is not there, has no safetensors, or is none of that class.
    """
    auto, dtype = getattr(transformers, auto_class), getattr(torch, backbone.dtype)
    options: dict[str, Any] = {"revision": backbone.revision, "dtype": dtype, "use_safetensors": True, **_SAFE}
    with _loading(backbone.name):
        model, loaded = fetched(
            backbone.name, lambda name: auto.from_pretrained(name, output_loading_info=True, **options)
        )
    _forget_code(model.config)
    return model, {*loaded["missing_keys"], *(key for key, *_ in loaded["mismatched_keys"])}


def auto_class(config: PretrainedConfig, backbone: Backbone, task: Task) -> Any:
    """The Auto class of the task.

    Raises:
        ModelError: transformers has no model of the config's type for the task.
    """
    name = task.auto_class
    auto = getattr(transformers, name)
    if type(config) not in auto._model_mapping:
        raise ModelError(f"{backbone.name} is a {config.model_type}, for which transformers has no {name}")
    return auto


def _bare(backbone: Backbone, head: Head, config: PretrainedConfig) -> PreTrainedModel:
    """The model without a head, with all weights pretrained."""
    dtype = getattr(torch, backbone.dtype)
    cls, kwargs = bare_class(config), own_head.without_pooler(config)
    with _loading(backbone.name):
        if backbone.init == "random":
            return cls._from_config(config, dtype=dtype, **kwargs)
        options: dict[str, Any] = {
            "use_safetensors": True,
            "ignore_mismatched_sizes": True,
            "output_loading_info": True,
            **kwargs,
        }
        options |= {"config": config, "revision": backbone.revision, "dtype": dtype, **_SAFE}
        model, loaded = fetched(backbone.name, lambda where: cls.from_pretrained(where, **options))
    if backbone.cross_modal is not None:  # its input layer is new
        paths = [name for name, module in model.named_modules() if isinstance(module, Patches)]
        head = head.model_copy(update={"new": [*head.new, *paths]})
    _check_whole(model, loaded, backbone, head)
    return model


def check_dropout(model: PreTrainedModel, wanted: float | None) -> None:
    """Raise if the head has no dropout layer with the wanted rate: some configs have an entry that no head uses."""
    backbone = set(model.base_model.modules()) if model.base_model is not model else set()
    rates = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout) and m not in backbone]
    if wanted is not None and wanted not in rates:
        raise ModelError(f"head.dropout: the head of {model.config.model_type} has no dropout of its own; leave it out")


def _check_whole(model: PreTrainedModel, loaded: dict[str, Any], backbone: Backbone, head: Head) -> None:
    """Raise if weights outside the head are not the pretrained ones, so that a model never trains with missing weights."""
    new = parameter_names(model, extra=head.new)
    missing = sorted(set(loaded["missing_keys"]) - new)
    mismatched = {name: shapes for name, *shapes in sorted(loaded["mismatched_keys"]) if name not in new}
    if not missing and not mismatched:
        return
    shown = [f"{n} {tuple(a)} in the checkpoint, {tuple(b)} in the model" for n, (a, b) in mismatched.items()]
    lists = [f"missing: {listing(missing)}"] * bool(missing) + [f"of another shape: {listing(shown)}"] * bool(shown)
    modules = sorted({name.rpartition(".")[0] for name in (*missing, *mismatched)})
    remedy = f"head.new=[{', '.join(modules)}]" if len(modules) <= 3 else "head.new"
    raise ModelError(
        f"{backbone.name} does not have all weights of the backbone; {'; '.join(lists)}; if these should start "
        f"untrained, name their modules: {remedy}"
    )


def load_published_config(backbone: Backbone) -> PretrainedConfig:
    """The published config, with the classes of the pretrained head.

    Raises:
        ModelError: the folder has an adapter, which transformers would put into the model.
    """
    if (Path(source(backbone.name)) / "adapter_config.json").is_file():
        raise ModelError(
            f"backbone.name: {backbone.name} is an adapter; name its backbone here, and continue it with "
            f"layers.adapter={{from: {backbone.name}}}"
        )
    with _loading(backbone.name):
        return fetched(
            backbone.name,
            lambda name: (
                published_code.stock_config(name, backbone.revision)
                or AutoConfig.from_pretrained(name, revision=backbone.revision, **_SAFE)
            ),
        )

"""The classes of edited models: save one so that plain transformers can load it, and load one without running its code.

hfft runs no code that comes with a model: the edits are stored in `config.json` as data and applied again from there.
"""

from __future__ import annotations

import functools
import inspect
import json
from pathlib import Path
from typing import Any

import transformers
from transformers import (
    CONFIG_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from hfft import modeling, modeling_rnn
from hfft.errors import ModelError
from hfft.modeling import Edited, OwnHead, WithHead
from hfft.modeling_inputs import SAVED, ChannelSeries, CrossModal
from hfft.wording import first_line

FILE = "modeling_hfft"
RNN_FILE = "modeling_rnn"  # beside it where a recurrent net is edited, or has a head of hfft's
FILES = (FILE, RNN_FILE)
_PREFIX = "edited_"

# So that transformers' Auto classes load a recurrent net here without running the file that is saved beside it.
AutoConfig.register(modeling_rnn.RnnConfig.model_type, modeling_rnn.RnnConfig, exist_ok=True)
AutoModel.register(modeling_rnn.RnnConfig, modeling_rnn.RnnModel, exist_ok=True)
AutoModelForSequenceClassification.register(
    modeling_rnn.RnnConfig, modeling_rnn.RnnForSequenceClassification, exist_ok=True
)


@functools.cache
def edited(cls: Any) -> Any:
    """The edited variant of a model class; an edited class is returned unchanged."""
    if issubclass(cls, Edited):
        return cls
    return type(f"Edited{cls.__name__}", (Edited, cls), {"__module__": modeling.__name__})


@functools.cache
def with_head(bare: Any, head_class: Any = OwnHead) -> Any:
    """The class of a bare model with an own head (`config.own_head`)."""
    prefix = bare.base_model_prefix or "backbone"
    names = {"__module__": modeling.__name__, "bare": bare, "base_model_prefix": prefix, "head_class": head_class}
    names["main_input_name"] = bare.main_input_name
    return edited(type(f"{bare.__name__}WithHead", (WithHead, _family(bare)), names))


@functools.cache
def _reading(mixin: Any, bare: Any, input_name: str) -> Any:
    """The class of a bare model that reads its input in another way, such as a text transformer that reads images."""
    names = {"__module__": modeling.__name__, "main_input_name": input_name}
    return type(f"{bare.__name__}{mixin.__name__}", (mixin, bare), names)


def _stock(bare: Any) -> Any:
    """transformers' own class of a bare model."""
    return bare.__bases__[1] if issubclass(bare, tuple(SAVED)) else bare


def _family(bare: Any) -> Any:
    """The base class shared by the models of an architecture."""
    return next(c for c in _stock(bare).__mro__[1:] if issubclass(c, PreTrainedModel))


def bare_class(config: PretrainedConfig) -> Any:
    """The class of AutoModel for a config, or its variant that reads another input; None if there is none."""
    found = MODEL_MAPPING.get(type(config), None)
    found = found[0] if isinstance(found, (tuple, list)) else found
    if found is not None and (given := getattr(config, "cross_modal", None)):
        return _reading(CrossModal, found, "pixel_values" if len(given["size"]) == 2 else "past_values")
    if getattr(found, "main_input_name", None) == "past_values":
        return _reading(ChannelSeries, found, "past_values")
    return found


def save(model: PreTrainedModel, folder: Path, auto_class: str) -> None:
    """Save a model; an edited one gets a model type of its own and the file that loads it, a recurrent net the file alone.

    The type prevents transformers from loading it as the stock architecture without the inserted modules.
    """
    model.save_pretrained(folder)
    own_class = type(model.config).__module__ == modeling_rnn.__name__
    if not isinstance(model, Edited):
        if own_class:
            _save_rnn(folder, auto_class)
        return
    if own_class:
        _write_rnn(folder, RNN_FILE)
    stock: PretrainedConfig = model.config
    config, cls = type(stock), type(model).__bases__[1]
    file, name = folder / "config.json", f"Edited{config.__name__}"
    values = json.loads(file.read_text(encoding="utf-8"))
    kind = stock.model_type
    values |= {
        "model_type": _PREFIX + kind,
        "architectures": [type(model).__name__],
        "auto_map": {"AutoConfig": f"{FILE}.{name}", auto_class: f"{FILE}.{type(model).__name__}"},
    }
    file.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if issubclass(cls, WithHead):
        bare, family = _stock(cls.bare), _family(cls.bare)
        needed, bases = [config, bare, family], f"Edited, WithHead, {family.__name__}"
        own = f"    bare = {cls.bare.__name__}\n    base_model_prefix = {cls.base_model_prefix!r}\n"
        own += f"    main_input_name = {cls.bare.main_input_name!r}\n"
        before = _input_source(cls.bare) if cls.bare is not bare else ""
    else:
        needed, bases, own, before = [config, cls], f"Edited, {cls.__name__}", "", ""
    homes = {modeling_rnn.__name__: f".{RNN_FILE}"}
    imports = "".join(
        f"from {homes.get(c.__module__, c.__module__)} import {c.__name__}\n" for c in dict.fromkeys(needed)
    )
    text = inspect.getsource(modeling).rstrip()
    text += f"\n\n\n# --- this model\n\n{imports}{before}\n\nclass {name}({config.__name__}):\n"
    text += f'    """The config of the stock architecture, with the edits."""\n\n    model_type = "{_PREFIX}{kind}"\n'
    text += f'\n\nclass {type(model).__name__}({bases}):\n    """The stock model with the edits of its config."""\n\n'
    text += f"    config_class = {name}\n{own}"
    (folder / f"{FILE}.py").write_text(text, encoding="utf-8")


def _save_rnn(folder: Path, auto_class: str) -> None:
    """Add to a saved recurrent net the file of its classes, and name them in its config."""
    file = folder / "config.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    classes = {"AutoConfig": "RnnConfig", "AutoModel": "RnnModel", auto_class: values["architectures"][0]}
    values["auto_map"] = {auto: f"{FILE}.{cls}" for auto, cls in classes.items()}
    file.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    _write_rnn(folder, FILE)


def _write_rnn(folder: Path, name: str) -> None:
    (folder / f"{name}.py").write_text(inspect.getsource(modeling_rnn), encoding="utf-8")


def _input_source(bare: Any) -> str:
    """The source of a bare class that reads another input."""
    mixin, stock = bare.__bases__
    parts = "".join(f"\n\n{inspect.getsource(cls)}" for cls in SAVED[mixin])
    own = f'    """The bare model, with an input of its own."""\n\n    main_input_name = {bare.main_input_name!r}\n'
    return f"{parts}\n\nclass {bare.__name__}({mixin.__name__}, {stock.__name__}):\n{own}"


def stock_config(where: str, revision: str | None = None) -> PretrainedConfig | None:
    """The config of an edited model in its stock class, with `edits` and `own_head`; None for other models.

    Raises:
        ModelError: the installed transformers does not have the architecture.
    """
    values, _ = PretrainedConfig.get_config_dict(where, revision=revision)
    kind = str(values.get("model_type", ""))
    if not kind.startswith(_PREFIX) or not {"edits", "own_head"} & set(values):
        return None
    values["edited_for"] = next((key for key in values.pop("auto_map", {}) if key != "AutoConfig"), "")
    kind = values["model_type"] = kind.removeprefix(_PREFIX)
    if kind not in CONFIG_MAPPING:
        raise ModelError(
            f"{where} is an edited {kind}, which the installed transformers does not have; update transformers"
        )
    if "id2label" in values:  # JSON sorts its keys as texts: 0, 1, 10, 11, 2
        values["id2label"] = {int(i): values["id2label"][i] for i in sorted(values["id2label"], key=int)}
    return CONFIG_MAPPING[kind].from_dict(values)


def task_class(config: PretrainedConfig) -> str:
    """The transformers Auto class for an edited model's task, as recorded in its `auto_map`."""
    return str(config.edited_for)


def class_of(config: PretrainedConfig, auto_class: str) -> Any:
    """The class of an edited model, from its config."""
    mapping = getattr(transformers, auto_class)._model_mapping
    return with_head(bare_class(config)) if getattr(config, "own_head", None) else edited(mapping[type(config)])


def load(where: str, config: PretrainedConfig, auto_class: str, **how: Any) -> PreTrainedModel:
    """An edited model, built by hfft's own modules from the edits in its config.

    Raises:
        ModelError: the edits cannot be applied.
    """
    try:
        return class_of(config, auto_class).from_pretrained(where, config=config, **how)
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ModelError(
            f"{where}: its edits cannot be applied ({first_line(error)}); was it saved by hfft?"
        ) from error

"""The classes of edited models, and how one is saved so that transformers alone loads it, and loaded without its code.

hfft runs no code that comes with a model: what was edited stands in `config.json` as data, and is done again from there.
"""

from __future__ import annotations

import functools
import inspect
import json
from pathlib import Path
from typing import Any

import transformers
from transformers import CONFIG_MAPPING, MODEL_MAPPING, PretrainedConfig, PreTrainedModel

from hfft import modeling
from hfft.errors import ModelError
from hfft.modeling import Edited, WithHead
from hfft.wording import first_line

FILE = "modeling_hfft"
_PREFIX = "edited_"


@functools.cache
def edited(cls: Any) -> Any:
    """The class of the edited models of a class; of such a class, itself."""
    if issubclass(cls, Edited):
        return cls
    return type(f"Edited{cls.__name__}", (Edited, cls), {"__module__": modeling.__name__})


@functools.cache
def with_head(bare: Any) -> Any:
    """The class of a bare model with an own head (`config.own_head`)."""
    prefix = bare.base_model_prefix or "backbone"
    names = {"__module__": modeling.__name__, "bare": bare, "base_model_prefix": prefix}
    return edited(type(f"{bare.__name__}WithHead", (WithHead, _family(bare)), names))


def _family(bare: type[PreTrainedModel]) -> Any:
    """What the models of an architecture have in common."""
    return next(c for c in bare.__mro__[1:] if issubclass(c, PreTrainedModel))


def bare_class(config: PretrainedConfig) -> Any:
    """The class of AutoModel for a config, or None."""
    found = MODEL_MAPPING.get(type(config), None)
    return found[0] if isinstance(found, (tuple, list)) else found


def save(model: PreTrainedModel, folder: Path, auto_class: str) -> None:
    """Save a model, an edited one with the file that loads it and a type of its own.

    The type keeps transformers from loading it, unasked, as the stock architecture without what was added.
    """
    model.save_pretrained(folder)
    if not isinstance(model, Edited):
        return
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
        family = _family(cls.bare)
        needed, bases = [config, cls.bare, family], f"Edited, WithHead, {family.__name__}"
        own = f"    bare = {cls.bare.__name__}\n    base_model_prefix = {cls.base_model_prefix!r}\n"
    else:
        needed, bases, own = [config, cls], f"Edited, {cls.__name__}", ""
    imports = "".join(f"from {c.__module__} import {c.__name__}\n" for c in dict.fromkeys(needed))
    text = inspect.getsource(modeling).rstrip()
    text += f"\n\n\n# --- this model\n\n{imports}\n\nclass {name}({config.__name__}):\n"
    text += f'    """The config of the stock architecture, with the edits."""\n\n    model_type = "{_PREFIX}{kind}"\n'
    text += f'\n\nclass {type(model).__name__}({bases}):\n    """The stock model with the edits of its config."""\n\n'
    text += f"    config_class = {name}\n{own}"
    (folder / f"{FILE}.py").write_text(text, encoding="utf-8")


def stock_config(where: str, revision: str | None = None) -> PretrainedConfig | None:
    """The config of an edited model as its stock architecture's, `edits` and `own_head` in it; None for other models.

    Raises:
        ModelError: an architecture that transformers has not.
    """
    values, _ = PretrainedConfig.get_config_dict(where, revision=revision)
    kind = str(values.get("model_type", ""))
    if not kind.startswith(_PREFIX) or not {"edits", "own_head"} & set(values):
        return None
    values["edited_for"] = next((key for key in values.pop("auto_map", {}) if key != "AutoConfig"), "")
    kind = values["model_type"] = kind.removeprefix(_PREFIX)
    if kind not in CONFIG_MAPPING:
        raise ModelError(f"{where} is an edited {kind}, which the installed transformers has not; update it")
    return CONFIG_MAPPING[kind].from_dict(values)


def task_class(config: PretrainedConfig) -> str:
    """The class of transformers that stands for the task of an edited model, by what its `auto_map` said."""
    return str(config.edited_for)


def load(where: str, config: PretrainedConfig, auto_class: str, **how: Any) -> PreTrainedModel:
    """An edited model, built from the edits in its config by hfft's own modules.

    Raises:
        ModelError: edits that cannot be done.
    """
    mapping = getattr(transformers, auto_class)._model_mapping
    try:
        cls = with_head(bare_class(config)) if getattr(config, "own_head", None) else edited(mapping[type(config)])
        return cls.from_pretrained(where, config=config, **how)
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ModelError(f"{where}: its edits cannot be done ({first_line(error)}); was it saved by hfft?") from error

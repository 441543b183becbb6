"""The adapters of `layers.adapter`: all types of the installed PEFT with their arguments, read from its source."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hfft.recipe.training_arguments import enum_values, type_problem
from hfft.wording import listing, nearest

# Types that do not work for the classifiers trained here, and what to use instead.
REFUSED = {
    "adaption_prompt": "works only with generative decoders such as LLaMA; use prefix_tuning or lora",
    "cpt": "learns prompts made of examples, for generative decoders; use prompt_tuning",
    "multitask_prompt_tuning": "needs the task of every row; use prompt_tuning, one run per task",
    "poly": "needs the task of every row; use lora, one run per task",
    "shadow": "works only with generative decoders; use lora",
    "trainable_tokens": "trains only rows of the embedding table; use lora with trainable_token_indices",
    "xlora": "mixes existing adapters of generative decoders; use lora",
}
PROMPTS = ("cartridge", "p_tuning", "prefix_tuning", "prompt_tuning")  # learned tokens in front of the input
UNMERGEABLE = (*PROMPTS, "lily")
_ALIASES = {"dora": ("lora", {"use_dora": True})}
_RENAMED = {"bone": "miss", "bitfit": "layers.train=biases", "bat": "miss with init_weights: bat"}
# Initialisations that need a pass over the data first.
_PREPARED = ("eva", "corda", "lora_ga", "loftq")
_OWNED = ("task_type", "peft_type", "base_model_name_or_path", "inference_mode", "auto_mapping", "peft_version")
_COUNTS = ("r", "init_r", "target_r", "num_virtual_tokens")
_PUBLISHED = ("from", "revision")


def types() -> list[str]:
    """The names that `layers.adapter.type` accepts."""
    known = [name.lower() for name in enum_values("peft", "utils/peft_types.py", "PeftType")]
    return sorted([*(name for name in known if name not in REFUSED), *_ALIASES])


def plain(adapter: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """PEFT's own type and arguments for a `layers.adapter` that names a type."""
    given = {key: value for key, value in adapter.items() if key != "type"}
    kind, more = _ALIASES.get(adapter["type"], (adapter["type"], {}))
    return kind, {**given, **more}


def merges(adapter: dict[str, Any]) -> bool | None:
    """Whether an adapter of this type can be merged into the weights; None for a published one, whose type is unknown."""
    return None if "from" in adapter else adapter.get("type") not in UNMERGEABLE


def stock_loads(kind: str, given: Mapping[str, Any]) -> bool:
    """Whether transformers itself loads an adapter of this type; if not, only PEFT does.

    transformers loads no learned tokens and no type whose layers share tensors (PEFT says which), and it does not restore
    DoRA's magnitudes (seen in the outputs of 5.23).
    """
    if kind in PROMPTS or given.get("use_dora"):
        return False
    model = Path(_config(kind)[0]).with_name("model.py")
    return "uses_shared_state" not in model.read_text(encoding="utf-8")


@functools.cache
def _sources() -> dict[str, str]:
    """Text of each of PEFT's files that may define a config class; the files are located, not imported."""
    spec = importlib.util.find_spec("peft")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("peft is not installed; pip install peft")
    root = Path(spec.submodule_search_locations[0])
    files = [root / "config.py", root / "tuners" / "lycoris_utils.py", *root.glob("tuners/*/config.py")]
    return {str(path): path.read_text(encoding="utf-8") for path in files}


@functools.cache
def arguments(kind: str) -> dict[str, str]:
    """Every argument of PEFT's config class for a type, with its annotation as written."""
    return _fields(_config(kind)[1])


def _config(kind: str) -> tuple[str, ast.ClassDef]:
    """The file and the class of PEFT's config for a type."""
    says = re.compile(rf"self\.peft_type = PeftType\.{kind.upper()}\b")
    path, text = next((path, text) for path, text in _sources().items() if says.search(text))
    classes = [node for node in ast.parse(text, path).body if isinstance(node, ast.ClassDef)]
    return path, next(node for node in classes if says.search(ast.unparse(node)))


def _fields(node: ast.ClassDef) -> dict[str, str]:
    """The annotated fields of a dataclass, with those of its base classes first."""
    found: dict[str, str] = {}
    for base in map(ast.unparse, node.bases):
        for text in _sources().values():
            if re.search(rf"^class {base}\b", text, re.MULTILINE):
                inherited = (n for n in ast.parse(text).body if isinstance(n, ast.ClassDef) and n.name == base)
                found |= _fields(next(inherited))
                break
    own = (n for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name))
    return found | {n.target.id: ast.unparse(n.annotation) for n in own if isinstance(n.target, ast.Name)}


def adapter_problems(adapter: dict[str, Any], prompts: bool = True) -> list[tuple[str, str]]:
    """(key, problem) for each mistake in `layers.adapter`, checked against the installed PEFT's own config class.

    Args:
        prompts: whether the task's inputs can be preceded by learned tokens.
    """
    if "from" in adapter:
        problems = [(key, "comes from the published adapter; leave it out") for key in adapter if key not in _PUBLISHED]
        texts = [
            key for key in _PUBLISHED if key in adapter and (not isinstance(adapter[key], str) or not adapter[key])
        ]
        return [*problems, *((key, f"is {adapter[key]!r:.80}; expected a string") for key in texts)]
    kind = adapter.get("type")
    if isinstance(kind, str) and kind in REFUSED:
        return [("type", f"is {kind}, which {REFUSED[kind]}")]
    if kind not in types():
        hint = f"; use {_RENAMED[str(kind)]}" if str(kind) in _RENAMED else nearest(str(kind), types())
        return [("type", f"is {kind!r:.80}; expected a PEFT adapter type{hint} (known: {listing(types(), 60)})")]
    assert isinstance(kind, str)
    if kind in PROMPTS and not prompts:
        return [("type", f"is {kind}, which prepends learned tokens to a text to classify; use lora")]
    kind, given = plain(adapter)
    known = arguments(kind)
    problems = [(key, problem) for key, value in given.items() if (problem := _problem(key, value, known))]
    if kind == "adalora" and not problems and given.get("target_r", 8) >= given.get("init_r", 12):
        problems.append(
            ("target_r", f"is {given.get('target_r', 8)}; expected fewer than init_r ({given.get('init_r', 12)})")
        )
    return problems


def _problem(key: str, value: Any, known: dict[str, str]) -> str | None:
    if key == "total_step":
        return "is set to the number of steps of the run; leave it out"
    if key == "use_asa" and value:
        return "needs state that checkpoints do not save; use type adalora"
    if key in (*_OWNED, "revision"):
        return "is set by hfft; leave it out"
    if key not in known:
        return f"unknown key{nearest(key, known)}"
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if key in _COUNTS and value is not None and not (number and isinstance(value, int) and value >= 1):
        return f"is {value!r}; expected a whole number of at least 1"
    if key.endswith("dropout") and not (number and 0 <= value < 1):
        return f"is {value!r}; expected a number of at least 0 and below 1"
    if problem := type_problem(value, known[key]):
        return problem
    if key == "init_lora_weights" and value in _PREPARED:
        return f"is {value!r}, which needs a pass over the data first; use pissa, olora or the default"
    return None

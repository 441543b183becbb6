"""The uses of a pretrained model, and which sections and keys of a recipe each of them reads. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hfft.recipe.yaml_lines import Path
from hfft.tasks.table import Task
from hfft.wording import listing

Use = Literal["fine-tune", "directly", "classifier"]
DEFAULT: Use = "fine-tune"


@dataclass(frozen=True)
class Keys:
    """The keys of a section that a use reads: the named ones, or with `but` all others."""

    names: frozenset[str] = frozenset()
    but: bool = False

    def __contains__(self, key: str) -> bool:
        return (key in self.names) != self.but


def only(*names: str) -> Keys:
    """These keys."""
    return Keys(frozenset(names))


def all_but(*names: str) -> Keys:
    """All keys except these."""
    return Keys(frozenset(names), but=True)


ALL, NONE = all_but(), only()
# What every use reads.
COMMON = {"name": ALL, "task": ALL, "problem_type": ALL, "use": ALL}
# What says how a checkpoint's own head answers for the classes of the data.
ANSWERS = ("map", "prompts", "hypothesis", "descriptions")
# Keys of `data` that change training rows only, or are read by methods of `strategy`.
TRAINED_ON = (
    *("augment", "imbalance", "label_noise", "mask_patch_size", "mask_ratio", "max_train_samples", "mlm_probability"),
    *("sets", "shots", "shots_seed", "shuffle_buffer"),
)
WITHOUT_TRAINING = only("output_dir", "seed", "per_device_eval_batch_size", "use_cpu", "ddp_timeout")
AS_PUBLISHED = only("name", "revision", "dtype", "processor")

# Use -> section -> the keys that it reads; a section that is not named is not read.
READS: dict[str, dict[str, Keys]] = {
    "fine-tune": {
        **COMMON,
        "tasks": ALL,
        "backbone": ALL,
        "head": all_but(*ANSWERS),
        "layers": ALL,
        "data": ALL,
        "strategy": ALL,
        "training": ALL,
        "score": ALL,
        "report": ALL,
        "publish": ALL,
    },
    "directly": {
        **COMMON,
        "backbone": AS_PUBLISHED,
        "head": only("pooling", *ANSWERS),
        "data": all_but(*TRAINED_ON),
        "training": WITHOUT_TRAINING,
        "score": all_but("from_scratch", "calibrate"),
        "report": ALL,
        "publish": all_but("as"),
    },
    "classifier": {
        **COMMON,
        "backbone": AS_PUBLISHED,
        "head": only("pooling"),
        "classifier": ALL,
        "data": all_but("augment", "mask_patch_size", "mask_ratio", "mlm_probability", "shuffle_buffer"),
        "training": WITHOUT_TRAINING,
        "score": all_but("from_scratch"),
        "report": ALL,
        "publish": all_but("as"),
    },
}


def reads(use: str, section: str, key: str | None = None) -> bool:
    """Whether a use reads a section, or a key of it."""
    keys = READS[use].get(section, NONE)
    return keys != NONE if key is None else key in keys


SECTIONS = frozenset().union(*READS.values())


def unread(values: Mapping[str, Any], reported: Iterable[Path] = ()) -> list[tuple[Path, str]]:
    """Path and message of everything that a recipe says and its use does not read.

    Args:
        values: the recipe's own sections, without defaults.
        reported: paths whose mistakes are known already, such as keys that do not exist.
    """
    use, found = values.get("use", DEFAULT), list[tuple[Path, str]]()
    if not isinstance(use, str) or use not in READS:
        return []
    for section in values:
        if section in SECTIONS and not reads(use, section):
            found.append(((section,), _remedy(use, section)))
        elif section in SECTIONS and isinstance(values[section], Mapping):
            given = [str(key) for key in values[section] if not reads(use, section, str(key))]
            found += [((section, key), _remedy(use, section, key)) for key in given]
    reported = set(reported)
    return [(path, text) for path, text in found if path not in reported]


def needs(use: str, task: Task) -> list[tuple[Path, str]]:
    """Path and message of what a use needs of a task, and the task does not have."""
    if use == DEFAULT or task.labelled:
        return []
    return [(("use",), f"is {use}, which answers with classes, but task {task.name} has none; use {DEFAULT}")]


def _remedy(use: str, section: str, key: str | None = None) -> str:
    others = [f"use={other}" for other in READS if reads(other, section, key)]
    return f"is not read by use={use}; leave it out" + (f", or set {listing(others)}" if others else "")


def kept(values: Mapping[str, Any], use: str) -> dict[str, Any]:
    """A resolved recipe's sections without what its use does not read, so that reading them again refuses nothing."""
    return {
        section: {key: value for key, value in inner.items() if reads(use, section, key)}
        if isinstance(inner, Mapping)
        else inner
        for section, inner in values.items()
        if reads(use, section)
    }

"""What methods claim, and where it is tried: claims x settings x methods.

resnet-cifar8 was pretrained with the labels of eight of CIFAR-10's classes. Wherever labels are few, wrong or rare it is
therefore tried on the other two, cats and dogs, alone: on the eight, what it knows already would win.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.strategy_methods import METHODS, Keys


@dataclass(frozen=True)
class Setting:
    """A model on data, with all that every method of a row of tables shares.

    Attributes:
        base: the entry of BASES that it starts from.
        keys: what it changes of that.
        seconds: what a plain run takes on a core, for the time that is planned.
        values: what a `$` in a method's keys stands for.
        teacher: the setting whose plain run teaches.
    """

    title: str
    base: str
    keys: Keys
    seconds: float
    values: Mapping[str, float] = field(default_factory=dict)
    teacher: str | None = None


@dataclass(frozen=True)
class Claim:
    """A claim, and where it is tried.

    Attributes:
        figures: what is measured, the one that is compared first: `accuracy`, `balanced` (mean recall of the classes), `many`,
            `medium` and `few` (the same of classes with above 100, 20 to 100 and below 20 training rows), `robust` (accuracy
            under PGD-20) and `shifted` (accuracy on inputs with noise).
    """

    title: str
    settings: tuple[str, ...]
    methods: tuple[str, ...]
    figures: tuple[str, ...] = ("accuracy",)


MINILM = "sentence-transformers/all-MiniLM-L6-v2"
TRAINING = {
    "training.warmup_steps": 0.1,
    "training.weight_decay": 0.01,
    "training.eval_strategy": "no",
    "training.save_strategy": "no",
    "training.use_cpu": True,
    "training.per_device_eval_batch_size": 128,
    "data.validation": "none",
    "score.metrics": ["accuracy", "balanced_accuracy"],
}
_TEXT = {
    "task": "text-classification",
    "backbone.name": MINILM,
    "head.new": ["bert.pooler"],  # it was trained with the mean of its tokens, not with its pooler
    "data.max_length": 32,
    "training.per_device_train_batch_size": 32,
    "training.learning_rate": 2e-4,
    "training.num_train_epochs": 3,
}
BASES: dict[str, Keys] = {
    "digits": {
        "task": "image-classification",
        "backbone.name": "nano-vit",
        "data.path": "digits",
        "training.per_device_train_batch_size": 16,
        "training.learning_rate": 5e-4,
        "training.num_train_epochs": 10,
    },
    "cats and dogs": {
        "task": "image-classification",
        "backbone.name": "hfft/resnet-cifar8",
        "data.path": "uoft-cs/cifar10",
        "data.columns": {"image": "img", "label": "label"},
        "data.classes": ["cat", "dog"],
        "data.max_train_samples": 1000,
        "data.max_eval_samples": 400,
        "training.per_device_train_batch_size": 32,
        "training.learning_rate": 5e-4,
        "training.num_train_epochs": 3,
    },
    "TREC": {**_TEXT, "data.path": "CogComp/trec", "data.columns": {"text": "text", "label": "coarse_label"}},
    "SST-2": {
        **_TEXT,
        "data.path": "stanfordnlp/sst2",
        "data.columns": {"text": "sentence", "label": "label"},
        "data.max_eval_samples": 500,
    },
}
# Fine labels of TREC, those that its test split has most rows of last: there the classes that training has few rows of are.
FINE = [
    *("NUM:count", "HUM:gr", "DESC:desc", "ENTY:other", "ENTY:animal"),
    *("LOC:city", "NUM:date", "LOC:other", "HUM:ind", "DESC:def"),
]


def _rows(count: int, epochs: float) -> Keys:
    return {"data.max_train_samples": count, "training.num_train_epochs": epochs}


def _noisy(base: str, share: float, keys: Keys, seconds: float) -> Setting:
    return Setting(
        f"{base}, {share:.0%} wrong labels",
        base,
        {**keys, "data.label_noise": {"symmetric": share}},
        seconds,
        {"noise": share},
    )


SETTINGS: dict[str, Setting] = {
    "digits-20": Setting("digits, 20 rows", "digits", _rows(20, 40), 2),
    "digits-100": Setting("digits, 100 rows", "digits", _rows(100, 15), 3),
    "digits-300": Setting("digits, 300 rows", "digits", _rows(300, 10), 4),
    "cats-300": Setting("cats and dogs, 300 images", "cats and dogs", _rows(300, 5), 6),
    "trec-10": Setting("TREC, 10% of the rows", "TREC", _rows(545, 3), 22),
    "sst2-10": Setting("SST-2, 10% of the rows", "SST-2", _rows(692, 2), 24),
    **{f"digits-noise-{s:.0%}"[:-1]: _noisy("digits", s, _rows(600, 20), 11) for s in (0.2, 0.4, 0.6)},
    # of two classes, 60% of wrong labels would be the other way round
    **{f"cats-noise-{s:.0%}"[:-1]: _noisy("cats and dogs", s, _rows(600, 6), 14) for s in (0.2, 0.4)},
    **{f"trec-noise-{s:.0%}"[:-1]: _noisy("TREC", s, _rows(300, 5), 20) for s in (0.2, 0.4, 0.6)},
    "digits-tail": Setting(
        "digits, 1:100", "digits", {"data.imbalance": 100, "training.num_train_epochs": 20}, 7, {"late": 14}
    ),
    "trec-tail": Setting(
        "ten fine labels of TREC, 1:100",
        "TREC",
        {
            **_rows(1000, 6),
            "data.imbalance": 100,
            "data.columns": {"text": "text", "label": "fine_label"},
            "data.classes": FINE,
        },
        22,
        {"late": 4},
    ),
    "digits-attack": Setting("digits, radius 0.1", "digits", _rows(600, 10), 9, {"radius": 0.1, "step": 0.025}),
    "cats-attack": Setting(
        "cats and dogs, radius 2/255",
        "cats and dogs",
        {**_rows(500, 3), "data.max_eval_samples": 200},
        10,
        {"radius": 2 / 255, "step": 0.5 / 255},
    ),
    "trec-student": Setting(
        "the first two of MiniLM's six blocks on TREC, 10% of the rows; the teacher is MiniLM on the same rows",
        "TREC",
        {**_rows(545, 6), "backbone.edit": [{"remove": "last-4"}]},
        14,
        teacher="trec-10",
    ),
    "cats-student": Setting(
        "a third of resnet-cifar8's width, untrained, on cats and dogs; the teacher is resnet-cifar8 on the same images",
        "cats and dogs",
        {
            "backbone.init": "random",
            "backbone.config": {"hidden_sizes": [16, 32, 64, 128], "embedding_size": 16},
            "training.learning_rate": 2e-3,
            "training.num_train_epochs": 10,
        },
        12,
        teacher="cats-1000",
    ),
    "cats-1000": Setting("cats and dogs, 1,000 images", "cats and dogs", {}, 12),
    # soups and SWAD choose on validation, which is taken from rows that no run trains on
    "digits-average": Setting("digits, 300 rows", "digits", {**_rows(300, 10), "data.validation": 0.2}, 5),
    "cats-average": Setting("cats and dogs, 1,000 images", "cats and dogs", {"data.validation": 0.2}, 13),
    "trec-average": Setting("TREC, 10% of the rows", "TREC", {**_rows(545, 3), "data.validation": 0.08}, 24),
}

CLAIMS: dict[str, Claim] = {
    "little-data": Claim(
        "Little data",
        ("digits-20", "digits-100", "digits-300", "cats-300", "trec-10", "sst2-10"),
        (
            *("L2-SP", "decay to start", "DELTA", "BSS", "Co-Tuning", "R-Drop", "SMART", "mixup", "EMA", "mixout"),
            "drop path",
            *("SAM", "label smoothing", "confidence penalty", "LwF", "StochNorm"),
            *("FreeLB", "FGM", "embedding mixup", "word dropout", "token cutoff"),
        ),
    ),
    "label-noise": Claim(
        "Wrong labels",
        tuple(name for name in SETTINGS if "-noise-" in name),
        (
            "GCE",
            "symmetric CE",
            "ELR",
            "forward, true matrix",
            "forward, anchors",
            "label smoothing",
            "mixup",
            "curriculum",
        ),
    ),
    "imbalance": Claim(
        "Rare classes",
        ("digits-tail", "trec-tail"),
        (
            *("class weights", "effective number", "balanced sampler", "logit adjustment", "balanced softmax"),
            *("LDAM", "LDAM-DRW", "focal", "balanced sampler, deferred", "square-root sampler", "hard examples"),
        ),
        ("balanced", "many", "medium", "few", "accuracy"),
    ),
    "attack": Claim(
        "Under attack", ("digits-attack", "cats-attack"), ("PGD-AT", "fast AT", "TRADES"), ("robust", "accuracy")
    ),
    "student": Claim(
        "A smaller student",
        ("trec-student", "cats-student"),
        ("distillation", "hints", "attention transfer", "self-distillation"),
    ),
    "averaging": Claim(
        "Averages of weights",
        ("digits-average", "cats-average", "trec-average"),
        ("EMA", "SWA", "SWAD", "WiSE-FT", "greedy soup of three rates"),
        ("accuracy", "shifted"),
    ),
    "corruption": Claim(
        "Inputs with noise", ("cats-1000",), ("AugMix", "mixup", "cutmix", "SAM"), ("shifted", "accuracy")
    ),
}


def recipe(setting: str, method: str, seed: int, stretch: float = 1) -> dict[str, Any]:
    """The recipe of a run, with names of the hub and without places of this machine.

    Args:
        stretch: as many times as many epochs, so that a cheaper method takes as long as a dearer one.
    """
    given = SETTINGS[setting]
    keys = {**TRAINING, **BASES[given.base], **given.keys, "training.seed": seed}
    values: dict[str, Any] = {}
    for key, value in {**keys, **METHODS[method]}.items():
        section, _, name = key.partition(".")
        if name:
            values.setdefault(section, {})[name] = filled(value, given)
        else:
            values[section] = value
    if stretch != 1:
        values["training"]["num_train_epochs"] *= stretch
    return copy.deepcopy(values)


def trained(values: dict[str, Any]) -> dict[str, Any]:
    """The part of a run's recipe that `hfft train` takes."""
    return {section: value for section, value in values.items() if section != "soup"}


def filled(value: Any, setting: Setting) -> Any:
    """A value with what a `$` stands for; `$teacher` stays until the places are known."""
    if isinstance(value, dict):
        return {key: filled(inner, setting) for key, inner in value.items()}
    if isinstance(value, str) and value.startswith("$") and value != "$teacher":
        return setting.values[value[1:]]
    return value


def cases(claims: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(setting, method) of every row, plain first."""
    for name in claims:
        for setting in CLAIMS[name].settings:
            for method in ("plain", *CLAIMS[name].methods):
                yield setting, method

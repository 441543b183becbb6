"""Recipes of several valid options drawn together: each is refused in a line before the first step, or runs to its end."""

from __future__ import annotations

import contextlib
import copy
import csv
import itertools
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hfft import load_recipe
from hfft.errors import HfftError
from hfft.recipe import yaml_lines
from tests import stand_ins
from tests.torture.fuzz import BEGUN, attempt

TEXTS = ["red apples are sweet", "a slow train", "rain again", "the sea was calm that day", "nobody came"]
SHORT = {"training.max_steps": 3, "training.per_device_train_batch_size": 8, "training.use_cpu": True}
TRIES = 30  # combinations drawn for one that the grammar takes; what it refuses, `fuzz` looks at
# What a run may be told, whatever it learns: the path of a key -> values of which one is drawn.
ANY: dict[str, list[Any]] = {
    "data.max_train_samples": [30, 17],
    "data.max_eval_samples": [7],
    "data.validation": [0.2, 0.3, "none"],
    "data.test": [0.2, 0.3],
    "data.fold": [{"of": 3, "number": 1}, {"of": 2, "number": 2}],
    "data.seed": [7],
    "data.streaming": [True],
    "data.on_bad_rows": ["skip"],
    "data.columns.domain": ["domain"],
    "data.client": [{"of": 3, "number": 1, "alpha": 1.0}],
    "data.sets": [{"target": {"path": "$rows"}}],
    "head.kind": ["linear", "mlp", "cosine", "attention-pool"],
    "head.pooling": ["mean", "cls", "max"],
    "head.hidden": [8, [8, 6]],
    "head.norm": ["layer", "batch"],
    "head.init": ["zeros"],
    "layers.train": ["head", "last-1", ["head", "norms"], "first-1", "middle-1"],
    "layers.freeze": ["embeddings", "first-1"],
    "layers.schedule": [{"type": "head-then-all", "head_steps": 1}, {"type": "gradual", "every_steps": 1}],
    "layers.layer_decay": [0.7],
    "layers.norms": ["live"],
    "layers.adapter": [{"type": "lora", "r": 2}, {"type": "ia3"}, {"type": "bitfit"}],
    "layers.cache": ["off"],
    "layers.last_block": ["whole"],
    "backbone.init": ["random"],
    "backbone.dtype": ["bfloat16"],
    "backbone.edit": [[{"remove": "last-1"}]],
    "training.gradient_accumulation_steps": [2, 3],
    "training.gradient_checkpointing": [True],
    "training.eval_strategy": ["steps", "epoch", "no"],
    "training.load_best_model_at_end": [True],
    "training.early_stopping": [{"patience": 1}],
    "training.dataloader_drop_last": [True],
    "training.dataloader_num_workers": [1],
    "training.optim": ["sgd", "adafactor"],
    "training.lr_scheduler_type": ["cosine", "constant"],
    "training.max_grad_norm": [0.0],
    "training.bf16": [True],
    "score.scorecard": ["off", "full"],
    "score.outputs": ["off"],
    "score.from_scratch": [True],
    "score.groups": [["domain"]],
    "strategy.l2_sp": [0.1],
    "strategy.decay_to_start": [1.0],
    "strategy.delta": [0.1],
    "strategy.mixout": [0.5],
    "strategy.drop_path": [0.3],
    "strategy.ema": [0.9],
    "strategy.swa": [{"start": 0.3, "every": 1}],
    "strategy.sam": [0.1],
    "strategy.agc": [0.05],
    "strategy.clip_value": [0.1],
    "strategy.non_finite": [{"skip": 2}],
    "strategy.self_distillation": [{"weight": 1.0}, {"teacher": "start"}],
    "strategy.curriculum": [{"over": 0.5}],
    "strategy.hard_examples": [{"share": 0.3}],
    "strategy.smart": [{}],
    "strategy.ewc": [{"weight": 1.0, "rows": 4}],
    "strategy.inverse_decay": [0.1],
}
CLASSES: dict[str, list[Any]] = {
    "data.imbalance": [3],
    "data.label_noise": [{"symmetric": 0.3}, {"pair": 0.3}, {"symmetric": 0.2, "splits": ["train", "test"]}],
    "data.shots": [3],
    "data.labels": ["none"],
    "head.init": ["lda", "centroid", "logistic-regression"],
    "score.calibrate": ["temperature", "vector"],
    "score.metrics": [["balanced_accuracy", "mcc"], ["nll", "accuracy"]],
    "strategy.label_smoothing": [0.1],
    "strategy.focal": [2.0],
    "strategy.gce": [0.7],
    "strategy.symmetric_cross_entropy": [{}],
    "strategy.poly": [1.0],
    "strategy.elr": [1.0],
    "strategy.forward_correction": [{"matrix": "anchors", "after": 1}],
    "strategy.ldam": [0.5],
    "strategy.logit_adjustment": [1.0],
    "strategy.balanced_softmax": [True],
    "strategy.class_weights": ["balanced", {"effective_number": 0.9}],
    "strategy.balanced": [{"by": "class"}, {"by": "domain"}, {"after": 1}],
    "strategy.bss": [0.1],
    "strategy.confidence_penalty": [0.1],
    "strategy.mcc": ["target"],
    "strategy.dann": [{"on": "target", "hidden": 4}],
    "strategy.coral": ["target"],
    "strategy.pseudo_label": ["target"],
    "strategy.entropy": [{"on": "target"}],
    "strategy.group_dro": [0.1],
    "strategy.vrex": [1.0],
    "strategy.domain_coral": [1.0],
    "strategy.prototypes": [{"ways": 2, "shots": 1}],
}
OF_TEXTS: dict[str, list[Any]] = {
    "data.columns.group": ["group"],
    "data.columns.id": ["number"],
    "score.shift": [{"later": {"path": "$rows"}}],
    "score.ood": [{"others": {"path": "$rows"}}],
    "head.dropout": [0.1],
    "head.keep_known": [True],
    "strategy.r_drop": [1.0],
    "strategy.lwf": [1.0],
    "strategy.co_tuning": [1.0],
    "data.max_length": [5],
    "data.augment": [["word_drop"], ["typos", "case"], ["word_swap", {"span_cutoff": {"share": 0.2}}]],
    "strategy.fgm": [0.5],
    "strategy.freelb": [{"steps": 2}],
    "strategy.embedding_mixup": [0.2],
    "strategy.word_dropout": [0.1],
    "strategy.token_cutoff": [0.2],
    "strategy.simcse": [0.1],
    "strategy.contrastive": [{}],
    "training.group_by_length": [True],
}
OF_IMAGES: dict[str, list[Any]] = {
    "backbone.edit": [[{"remove": "last-1"}], [{"expand": "last-1"}]],
    "data.augment": [["rand_augment"], ["horizontal_flip", "random_erasing"], [{"random_resized_crop": {}}]],
    "strategy.mixup": [0.2],
    "strategy.cutmix": [1.0],
    "strategy.augmix": [{}],
    "strategy.pgd": [{"epsilon": 0.05, "steps": 1}],
    "strategy.trades": [{"epsilon": 0.05, "steps": 1}],
    "strategy.fixmatch": ["target"],
    "strategy.simclr": [0.5],
    "backbone.memory_format": ["channels_last"],
}
OF_VALUES: dict[str, list[Any]] = {"strategy.huber": [1.0], "strategy.quantile": [0.8], "score.metrics": [["mae"]]}
OF_LABELS: dict[str, list[Any]] = {
    "strategy.asymmetric_loss": [{}],
    "strategy.positive_weights": ["balanced", 2.0],
    "strategy.focal": [2.0],
    "score.calibrate": ["temperature"],
}
READ = ("data.", "score.", "classifier.")  # what `use: classifier` reads, but:
UNREAD = ("data.sets", "data.labels", "data.streaming", "score.from_scratch")
OF_TASKS: dict[str, list[Any]] = {
    "strategy.mixing": ["equal", "sqrt"],
    "strategy.uncertainty": [True],
    "strategy.grad_norm": [{"rate": 0.1}],
    "strategy.pcgrad": [{"tasks": True}],
    "score.single_task": [True],
}
CLASSIFIER: dict[str, list[Any]] = {
    "classifier.type": ["knn", "lda", "nearest-centroid", "ridge", "linear-svm", "gradient-boosting", "prototype"],
    "classifier.transform": [["standardise"], ["l2"], [{"pca": 3}]],
}


def write_rows(path: Path, count: int = 90) -> None:
    """A table of texts with a class, several labels, a value, and columns that divide the rows."""
    draw = random.Random(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["number", "text", "label", "labels", "value", "domain", "group"])
        for i in range(count):
            text = f"{draw.choice(TEXTS)} {i} {'good' if i % 3 == 0 else 'bad'}"
            labels = "|".join(name for name in "abc" if draw.random() < 0.5)
            lines.writerow([f"r{i}", text, "abc"[i % 3], labels or "a", i / 10, "xyz"[i // 3 % 3], f"g{i // 4}"])


def bases(folder: Path) -> dict[str, tuple[dict[str, Any], dict[str, list[Any]]]]:
    """Name -> a recipe that runs, and what may be drawn beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, model, vectors = folder / "rows.csv", folder / "bert", folder / "glove.zip"
    if not rows.exists():
        write_rows(rows)
        stand_ins.model("glove.840B.300d.zip", vectors)
        stand_ins.teacher("google-bert/bert-base-uncased", "AutoModelForSequenceClassification", ["a", "b", "d"], model)
    read = {"path": str(rows), "columns": {"text": "text", "label": "label"}}
    text: dict[str, Any] = {"task": "text-classification", "backbone": {"name": str(model)}, "data": read}
    images: dict[str, Any] = {
        "task": "image-classification",
        "backbone": {"name": "nano-vit"},
        "data": {"path": "printed_digits", "max_train_samples": 80, "max_eval_samples": 40},
    }
    found: dict[str, tuple[dict[str, Any], dict[str, list[Any]]]] = {
        "texts": (
            text,
            {**ANY, **CLASSES, **OF_TEXTS, "data.classes": [["c", "a"]], "data.train_classes": [["a", "b"]]},
        ),
        "images": (
            images,
            {
                **ANY,
                **CLASSES,
                **OF_IMAGES,
                "data.classes": [["3", "7"], ["1", "2", "5"]],
                "data.held_out_domain": ["bold"],
                "data.sets": [{"target": {"path": "digits", "max_samples": 30}}],
                "score.shift": [{"handwritten": {"path": "digits", "max_samples": 30}}],
                "score.ood": [{"letters": {"path": "digits", "max_samples": 30}}],
            },
        ),
        "values": (
            {**text, "problem_type": "regression", "data": {**read, "columns": {"text": "text", "label": "value"}}},
            {**ANY, **OF_TEXTS, **OF_VALUES},
        ),
        "labels": (
            {
                **text,
                "problem_type": "multi_label_classification",
                "data": {**read, "columns": {"text": "text", "label": "labels"}, "label_sep": "|"},
            },
            {**ANY, **OF_TEXTS, **OF_LABELS},
        ),
        "tasks": (
            {
                **images,
                "data": {"path": "digits", "max_train_samples": 40, "max_eval_samples": 30},
                "tasks": [
                    {"name": "digit"},
                    {"name": "ink", "problem_type": "regression", "data": {"columns": {"label": "ink"}}},
                ],
            },
            {**undivided({**ANY, **OF_IMAGES}), **OF_TASKS},
        ),
        "sounds": (
            {
                "task": "audio-classification",
                "backbone": {"name": "nano-ast"},
                "data": {"path": "tones", "max_train_samples": 30, "max_eval_samples": 16},
            },
            {
                **undivided({**ANY, **CLASSES}),
                "data.sets": [{"target": {"path": "notes", "max_samples": 20}}],
                "data.augment": [["add_noise"], ["gain", "time_mask"]],
                "data.max_length_seconds": [0.3],
                "score.ood": [{"others": {"path": "notes", "max_samples": 20}}],
            },
        ),
        "masked tokens": (
            {
                "task": "fill-mask",
                "backbone": {"name": "nano-bert"},
                "data": {"path": str(rows), "columns": {"text": "text"}},
            },
            {**undivided(ANY), "data.mlm_probability": [0.4], "data.max_length": [5]},
        ),
        "masked images": (
            {**images, "task": "masked-image-modeling", "data": {"path": "digits", "max_train_samples": 40}},
            {**undivided(ANY), "data.mask_ratio": [0.3], "data.augment": OF_IMAGES["data.augment"]},
        ),
        "word vectors": (
            {**text, "backbone": {"name": str(vectors), "rnn": {"type": "gru", "hidden_size": 8}}},
            {**ANY, **CLASSES, **OF_TEXTS},
        ),
        "classifier": (
            {
                **text,
                "backbone": {"name": "nano-bert"},
                "use": "classifier",
                "classifier": {"type": "logistic-regression"},
            },
            {
                key: of
                for key, of in {**ANY, **CLASSES, **CLASSIFIER}.items()
                if key.startswith(READ) and key not in UNREAD
            },
        ),
    }
    return found


def undivided(options: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """The options for rows that have no column of domains."""
    return {key: of for key, of in options.items() if key not in ("data.columns.domain", "data.client", "score.groups")}


def combination(draw: random.Random, options: Mapping[str, list[Any]]) -> dict[str, Any]:
    """`section.key` -> value of three to seven options; what they name stands beside them."""
    chosen = {key: draw.choice(options[key]) for key in draw.sample(sorted(options), draw.randint(3, 7))}
    text = str(chosen)
    if "target" in text and "data.sets" in options:
        chosen.setdefault("data.sets", options["data.sets"][0])
    if "domain" in text and "data.columns.domain" in options:
        chosen.setdefault("data.columns.domain", "domain")
    return chosen


def pairs(chosen: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The pairs of options that a recipe has together."""
    return set(itertools.combinations(sorted(chosen), 2))


def filled(values: Any, rows: Path) -> Any:
    """Values with the path of the rows in place of `$rows`."""
    if isinstance(values, dict):
        return {key: filled(value, rows) for key, value in values.items()}
    return str(rows) if values == "$rows" else values


def combined(base: Mapping[str, Any], chosen: Mapping[str, Any], rows: Path) -> dict[str, Any]:
    """The recipe with these options."""
    found = copy.deepcopy(dict(base))
    for path, value in {**(SHORT if "use" not in base else {}), **chosen}.items():
        *sections, key = path.split(".")
        inner = found
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[key] = filled(value, rows)
    return found


def taken(
    draw: random.Random,
    base: Mapping[str, Any],
    options: Mapping[str, list[Any]],
    rows: Path,
    seen: set[tuple[str, str]],
) -> dict[str, Any]:
    """Of some combinations that with most pairs that were not seen yet and that the grammar takes; its pairs are added."""
    tries = [combination(draw, options) for _ in range(TRIES)]
    for chosen in sorted(tries, key=lambda one: len(pairs(one) - seen), reverse=True):
        with contextlib.suppress(HfftError):
            load_recipe(combined(base, chosen, rows))
            break
    seen |= pairs(chosen)
    return chosen


def combine(folder: Path, count: int, seed: int = 0) -> list[str]:
    """Run that many combinations in this process; a line for each for which the promise does not hold."""
    known, failed, finished = bases(folder), list[str](), 0
    draw, seen = random.Random(seed), {name: set[tuple[str, str]]() for name in known}
    for number in range(count):
        name = list(known)[number % len(known)]
        chosen = taken(draw, *known[name], folder / "rows.csv", seen[name])
        file, run = folder / "combined.yaml", folder / "run"
        file.write_text(yaml_lines.dump(combined(known[name][0], chosen, folder / "rows.csv")), encoding="utf-8")
        shutil.rmtree(run, ignore_errors=True)
        status, said, error, _ = attempt(file, run, steps=None)
        finished += status == 0
        if status not in (0, 2) or (not error and status) or (status == 2 and BEGUN in said) or "Traceback" in error:
            failed.append(f"{number} {name} {chosen}: {status}: {error[-400:]}")
    if not count // 5 < finished:
        failed.append(f"{finished} of {count} ran to their end: the combinations test one side only")
    return failed

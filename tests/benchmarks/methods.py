"""The ways to choose what learns, measured on real models: accuracy, share, seconds and memory, in hfft/layers/figures.md.

python -m tests.benchmarks.methods [--only trec sst2] [--methods head all] [--seeds 1] [--models DIR] [--data DIR]

Each run is the ordinary command in a process of its own. What is measured is kept as a line of results.jsonl and not
measured again until its recipe, the versions or the machine change. Names are those of the hub, or
with --models and --data folders below one that holds them offline: DIR/CogComp/trec.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hfft
from hfft.recipe import yaml_lines
from tests.benchmarks.runs import Kept, cores, machine, source, spread, versions

RUNS = Path("runs/methods")
TABLE = Path(hfft.__file__).parent / "layers" / "figures.md"


Sections = dict[str, dict[str, Any]]


def _bottlenecks(place: str) -> Sections:
    """Small layers inserted behind modules of a frozen model (arXiv:1902.00751)."""
    edit = [{"insert": place, "module": {"type": "bottleneck"}}]
    return {"layers": {"train": "head"}, "backbone": {"edit": edit}}


# What each method adds to a recipe.
METHODS: dict[str, Sections] = {
    "head": {"layers": {"train": "head"}},
    "last-2": {"layers": {"train": "last-2"}},
    "gradual": {"layers": {"schedule": {"type": "gradual", "every": 0.5, "blocks": 2}}},
    "LP-FT": {"layers": {"schedule": {"type": "head-then-all", "head_epochs": 1}}},
    "all": {"layers": {"train": "all"}},
    "LoRA": {"layers": {"adapter": {"type": "lora", "r": 8, "lora_alpha": 16}}},
    "BitFit": {"layers": {"train": "biases"}},
    "bottleneck": _bottlenecks(r"/layer\.\d+\.(attention\.)?output/"),
}


@dataclass(frozen=True)
class Task:
    """A model on a data set, with the rows and epochs that every method gets.

    Attributes:
        scored: the split that the accuracy is of.
        head: the recipe's section of that name.
        rates: peak learning rate of each method; that of `head` is also the head's own in the first phase of LP-FT.
        changes: what a method needs on this model beside what METHODS says.
    """

    title: str
    model: str
    path: str
    task: str
    data: dict[str, Any]
    scored: str
    rates: dict[str, float]
    head: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Sections] = field(default_factory=dict)


TRAINING = {
    "num_train_epochs": 3,
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 128,
    "warmup_steps": 0.1,
    "weight_decay": 0.01,
    "eval_strategy": "no",
    "save_strategy": "no",
    "use_cpu": True,
}
_TEXT_RATES = {
    "head": 5e-3,
    "last-2": 3e-4,
    "gradual": 3e-4,
    "LP-FT": 2e-4,
    "all": 2e-4,
    "LoRA": 2e-3,
    "BitFit": 4e-3,
    "bottleneck": 3e-3,
}
_IMAGE_RATES = {
    "head": 1e-2,
    "last-2": 5e-4,
    "gradual": 5e-4,
    "LP-FT": 3e-4,
    "all": 3e-4,
    "LoRA": 5e-3,
    "BitFit": 1e-2,
    "bottleneck": 5e-3,
}
_NEW_POOLER = {"new": ["bert.pooler"]}  # the model was trained with the mean of its tokens, not with its pooler
_MINILM = "sentence-transformers/all-MiniLM-L6-v2"
TASKS = {
    "trec": Task(
        "six kinds of question",
        _MINILM,
        "CogComp/trec",
        "text-classification",
        {
            "columns": {"text": "text", "label": "coarse_label"},
            "validation": 0.01,
            "max_train_samples": 640,
            "max_length": 64,
        },
        "test",
        _TEXT_RATES,
        _NEW_POOLER,
    ),
    "sst2": Task(
        "sentiment of single sentences",
        _MINILM,
        "stanfordnlp/sst2",
        "text-classification",
        {
            "columns": {"text": "sentence", "label": "label"},
            "validation": "validation",
            "max_train_samples": 640,
            "max_eval_samples": 500,
            "max_length": 64,
        },
        "validation",
        _TEXT_RATES,
        _NEW_POOLER,
    ),
    "cifar10": Task(
        "all ten classes, by a ResNet pretrained on eight of them",
        "hfft/resnet-cifar8",
        "uoft-cs/cifar10",
        "image-classification",
        {
            "columns": {"image": "img", "label": "label"},
            "validation": 0.01,
            "max_train_samples": 1600,
            "max_eval_samples": 1000,
        },
        "test",
        _IMAGE_RATES,
        changes={"bottleneck": _bottlenecks(r"/stages\.\d+\.layers\.\d+$/")},
    ),
}


def recipe(task: Task, method: str, seed: int, folder: Path, models: Path | None, data: Path | None) -> dict[str, Any]:
    """The whole recipe of one run."""
    values: dict[str, Any] = {
        "task": task.task,
        "backbone": {"name": source(models, task.model, "--models")},
        "head": task.head,
        "data": {"path": source(data, task.path, "--data"), **task.data},
        "training": {**TRAINING, "learning_rate": task.rates[method], "seed": seed, "output_dir": str(folder)},
        "score": {"metrics": ["accuracy"]},
    }
    for sections in (METHODS[method], task.changes.get(method, {})):
        for name, section in sections.items():
            values[name] = {**values.get(name, {}), **section}
    schedule = values["layers"].get("schedule", {})
    if schedule.get("type") == "head-then-all":
        values["layers"] = {"schedule": {**schedule, "head_learning_rate": task.rates["head"]}}
    return values


def measure(values: dict[str, Any], task: Task, threads: int) -> dict[str, Any]:
    """Run a recipe in a process of its own, of so many threads, and what it came to."""
    folder = Path(values["training"]["output_dir"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.with_suffix(".yaml")
    file.write_text(yaml_lines.dump(values), encoding="utf-8")
    log = folder.with_suffix(".log")
    with log.open("w") as out:
        command = [sys.executable, "-m", "hfft.run", "--recipe", str(file), "--fresh"]
        own = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=own)
        _, status, usage = os.wait4(process.pid, 0)  # the peak memory of this child, not of all there were
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{file} ended with {process.returncode}; {log} says why")
    figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    rows = json.loads((folder / "layers.json").read_text(encoding="utf-8"))
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return {
        "accuracy": figures[task.scored]["accuracy"],
        "n": figures[task.scored]["n"],
        "train_n": figures["train"]["n"],
        "share": sum(row["learning"] for row in rows) / sum(row["parameters"] for row in rows),
        "seconds": figures["train"]["seconds"],
        "cpu": round(usage.ru_utime + usage.ru_stime, 1),  # of the whole process, whatever else the machine did
        "memory": usage.ru_maxrss * unit,
    }


def settings_of(values: dict[str, Any]) -> dict[str, Any]:
    """A recipe without the places of this machine: what two runs must share to be the same measurement."""
    places = {("backbone", "name"), ("data", "path"), ("training", "output_dir")}
    return {
        name: {key: value for key, value in section.items() if (name, key) not in places}
        for name, section in values.items()
        if isinstance(section, dict)
    }


def page(results: list[dict[str, Any]]) -> str:
    """A table for each task, with what it was measured on and how."""
    parts = [
        "# What the ways to choose layers come to\n",
        "Made by `make methods` (`tests/benchmarks/methods.py`). Accuracy: mean ± sample standard deviation over seeds, which",
        "draw the head, the rows and their order. Seconds: median of training and scoring, without the start of the process.",
        "Memory: median of the peaks of the whole process, the libraries included. Every method of a table has the same rows",
        "and epochs, few on purpose; the learning rates are usual ones for each method, not tuned.\n",
    ]
    for key, task in TASKS.items():
        found = [result for result in results if result["task"] == key and is_current(result)]
        if not found:
            continue
        where = {f"{r['machine']}, {', '.join(f'{k} {v}' for k, v in r['versions'].items())}" for r in found}
        parts += [
            f"## {task.model} on {task.path}: {task.title}\n",
            f"{found[0]['train_n']:,} training rows, {TRAINING['num_train_epochs']} epochs in batches of "
            f"{TRAINING['per_device_train_batch_size']}, AdamW with a linear decline; accuracy on n = {found[0]['n']:,} rows "
            f"({task.scored}). {'; '.join(sorted(where))}.\n",
            "| method | recipe | learning rate | accuracy | seeds | learns | seconds | peak memory, MiB |",
            "|---|---|---|---|---|---|---|---|",
            *(line for method in METHODS if (line := row(method, [r for r in found if r["method"] == method]))),
            "",
        ]
    return "\n".join(parts)


def is_current(result: dict[str, Any]) -> bool:
    """Whether a result is of the recipe as it is written now."""
    task, method = TASKS[result["task"]], result["method"]
    return (
        method in METHODS and settings_of(recipe(task, method, result["seed"], RUNS, None, None)) == result["settings"]
    )


def row(method: str, runs: list[dict[str, Any]]) -> str:
    """The line of a method, or nothing where it was not measured."""
    if not runs:
        return ""
    settings = runs[0]["settings"]
    shown = {name: settings[name] for name in ("layers", "backbone") if settings.get(name)}
    cells = [
        method,
        f"`{json.dumps(shown)[1:-1]}`".replace('"', "").replace("|", "\\|"),
        f"{settings['training']['learning_rate']:g}",
        spread([run["accuracy"] for run in runs]),
        str(len(runs)),
        f"{runs[0]['share']:.2%}",
        f"{statistics.median(run['seconds'] for run in runs):.1f}",
        f"{statistics.median(run['memory'] for run in runs) / 2**20:,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure what is missing and write the table."""
    arguments = argparse.ArgumentParser(
        prog="methods", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    arguments.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS), help="these tasks")
    arguments.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="these methods")
    arguments.add_argument("--seeds", type=int, default=3, help="how many seeds, from 1 on")
    arguments.add_argument("--models", type=Path, default=os.environ.get("HFFT_MODELS"), help="folder of models")
    arguments.add_argument("--data", type=Path, default=os.environ.get("HFFT_DATA"), help="folder of data sets")
    arguments.add_argument("--at-once", type=int, default=1, help="runs at a time, which share the cores")
    arguments.add_argument("--out", type=Path, default=TABLE, help="the page to write")
    given = arguments.parse_args()
    kept = Kept(RUNS / "results.jsonl")
    missing = []
    for key, method, seed in itertools.product(given.only, given.methods, range(1, given.seeds + 1)):
        values = recipe(TASKS[key], method, seed, RUNS / f"{key}-{method}-{seed}", given.models, given.data)
        this = {"task": key, "method": method, "seed": seed}
        under = {"settings": settings_of(values), "versions": versions(), "machine": machine(given.at_once)}
        if not kept.has(this, under):
            missing.append((values, this, under))
    with ThreadPoolExecutor(given.at_once) as pool:
        measured = {
            pool.submit(measure, values, TASKS[this["task"]], max(cores() // given.at_once, 1)): (this, under)
            for values, this, under in missing
        }
        for done in as_completed(measured):
            this, under = measured[done]
            found = {**under, **done.result()}
            kept.add(this, found)
            figures = f"{found['seconds']:.1f} s ({found['cpu']:.0f} s of CPU)  {found['memory'] / 2**20:,.0f} MiB"
            name = f"{this['task']:8} {this['method']:8} seed {this['seed']}"
            print(f"{name}  accuracy {found['accuracy']:.3f}  {figures}", flush=True)
    given.out.write_text(page(kept.results), encoding="utf-8")
    print(f"written: {given.out}")


if __name__ == "__main__":
    main()

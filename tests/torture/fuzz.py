"""Mutants of the shipped recipes, on stand-ins: each is refused in lines and with status 2, or runs to its end."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import transformers

from hfft import cli, load_recipe
from hfft.data import builtin
from hfft.recipe import shipped, yaml_lines
from tests import stand_ins

LIMIT = 3.0  # seconds of computing until a refusal
AWAY = ("Couldn't reach", "couldn't connect", "is not in the cache")  # said of a name that only a hub could know
BEGUN = "parameters learn"  # of the table that is printed before the first step
ODD: list[Any] = [
    None, True, False, "", " ", "no", "none", "auto", "../x", "/regex(/", 0, 1, -1, -0.5, 0.5, 1e-9, 1e300, 10**12, 10**30,
    [], {}, [None], [[]], {"a": 1}, {"": None}, ["head", "all"], "last-3", "last-99", "x" * 5000, "\u0000", "日本",
]  # fmt: skip
LEFT_ALONE = {"max_steps", "output_dir", "num_train_epochs"}  # what keeps a run short


def bases(folder: Path) -> list[dict[str, Any]]:
    """The shipped recipes as plain values, on tiny models and few rows."""
    found = []
    for name in shipped():
        recipe = load_recipe(name)
        values = yaml_lines.parse(shipped()[name].read_text(encoding="utf-8"))[0]
        if not recipe.backbone.name.startswith("nano-"):
            place = folder / "models" / recipe.backbone.name
            values["backbone"]["name"] = str(place if place.exists() else stand_ins.model(recipe.backbone.name, place))
        for task, entry in zip(values.get("tasks", []), recipe.tasks, strict=True):
            task.setdefault("data", {})
            if entry.data.path not in builtin.BUILTIN:
                place = folder / "data" / name / entry.name
                task["data"]["path"] = str(place if place.exists() else stand_ins.rows_of_task(entry, place))
                task["data"]["name"] = None
        if recipe.tasks:
            values["data"] = {**values.get("data", {}), "max_train_samples": 60, "max_eval_samples": 20}
        elif recipe.data.path in builtin.BUILTIN:
            values["data"] |= {"max_train_samples": 100, "max_eval_samples": 40}
        else:
            place = folder / "data" / recipe.data.path
            values["data"]["path"] = str(place if place.exists() else stand_ins.data(recipe.data.path, place))
        values["training"] = {**values.get("training", {}), "per_device_train_batch_size": 8}
        values["training"].pop("gradient_accumulation_steps", None)
        values.pop("publish", None)
        values["name"] = name
        found.append(values)
    return found


def places(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every entry below a value."""
    for key, value in (
        values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    ):
        if key not in LEFT_ALONE:
            yield (*path, key)
            yield from places(value, (*path, key))


def section(values: Any, path: tuple[Any, ...]) -> Any:
    """What a path leads to."""
    for key in path:
        values = values[key]
    return values


def misspelt(draw: random.Random, word: str) -> str:
    """A word with two letters exchanged, one lost, or one more."""
    at = draw.randrange(max(len(word) - 1, 1))
    swapped = word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :]
    return draw.choice([swapped, word[:at] + word[at + 1 :], word[:at] + "x" + word[at:]]) or "x"


def mutant(draw: random.Random, base: dict[str, Any]) -> tuple[str, bytes]:
    """What was done to a recipe, and the recipe."""
    values = copy.deepcopy(base)
    kind = draw.choice(["drop", "typo", "value", "value", "value", "nest", "key", "argument", "argument", "text"])
    path = draw.choice(list(places(values)))
    inside, key = section(values, path[:-1]), path[-1]
    if kind == "drop":
        del inside[key]
    elif kind == "typo" and isinstance(key, str):
        path = (*path[:-1], misspelt(draw, key))
        inside[path[-1]] = inside.pop(key)
    elif kind == "nest":
        inside[key] = draw.choice([{str(key): inside[key]}, [inside[key]]])
    elif kind == "key":
        owner = draw.choice(["backbone", "head", "layers", "data", "strategy", "score"])
        known = yaml_lines.parse(yaml_lines.dump(load_recipe("digits").resolved()))[0][owner]
        path = (owner, draw.choice([*known, "adapter", "classes", "test", "columns", "dropout", "lr"]))
        values[owner] = {**(values.get(owner) or {}), path[1]: draw.choice(ODD)}
    elif kind == "argument":
        fields = [f.name for f in dataclasses.fields(transformers.TrainingArguments) if f.name not in LEFT_ALONE]
        path = ("training", draw.choice(fields))
        values["training"][path[1]] = draw.choice(ODD)
    elif kind != "text":
        inside[key] = draw.choice(ODD)
    text = yaml_lines.dump(values)
    if kind != "text":
        return f"{base['name']}: {kind} {'.'.join(map(str, path))} = {_shown(values, path)}", text.encode(
            "utf-8", "replace"
        )
    lines = text.splitlines()
    line = draw.randrange(len(lines))
    damaged = {
        "line twice": "\n".join([*lines[: line + 1], *lines[line:]]),
        "line lost": "\n".join(lines[:line] + lines[line + 1 :]),
        "tab": "\n".join([*lines[:line], "\t" + lines[line], *lines[line + 1 :]]),
        "indented": "\n".join([*lines[:line], "  " + lines[line], *lines[line + 1 :]]),
        "byte order mark": "\ufeff" + text,
        "empty": "",
        "list": "- a\n- b",
        "long": text + "# " + "x" * 5_000_000,
        "anchors": "a: &a [x,x]\n"
        + "".join(f"{c}: &{c} [*{p},*{p},*{p},*{p}]\n" for p, c in zip("abcdefg", "bcdefgh", strict=True)),
        "object": text + "\nscore: !!python/object/apply:os.system ['touch canary']",
        "cut": text[: draw.randrange(len(text))],
    }
    what = draw.choice([*damaged, "no text"])
    if what == "no text":
        return f"{base['name']}: {what}", text.encode("utf-16")
    return f"{base['name']}: {what} at line {line}", damaged[what].encode()


def _shown(values: Any, path: tuple[Any, ...]) -> str:
    try:
        return repr(section(values, path))[:60]
    except (KeyError, IndexError, TypeError):
        return "gone"


def fuzz(folder: Path, count: int, seed: int = 0) -> list[str]:
    """Run that many mutants in this process; a line for each for which a promise does not hold."""
    folder.mkdir(parents=True, exist_ok=True)
    known, failed, refused = bases(folder), list[str](), 0
    beside = {path.name for path in folder.iterdir()} | {"mutant.yaml", "run"}
    for number in range(count):
        draw = random.Random(f"{seed} {number}")  # each can be drawn again by itself
        what, content = mutant(draw, known[number % len(known)])
        file, run = folder / "mutant.yaml", folder / "run"
        file.write_bytes(content)
        shutil.rmtree(run, ignore_errors=True)
        status, said, error, took = attempt(file, run)
        wrong = None
        if status == 2:
            refused += 1
            left = [str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()]
            if BEGUN in said:
                wrong = f"refused once training had begun: {error[:300]}"
            elif took > LIMIT:
                wrong = f"refused after {took:.1f} s: {error[:200]}"
            elif left:
                wrong = f"refused, and wrote {left[:5]}"
            elif not error or any(len(line) > 1600 for line in error.splitlines()) or "Traceback" in error:
                wrong = f"refused with {error[:500]!r}"
        elif status == 1 and BEGUN not in said and any(words in error for words in AWAY):
            refused += 1
        elif status == 3 and "1e+300" in what:
            pass  # it trained until its numbers were no longer finite, and said so
        elif status != 0:
            wrong = f"{'failed in training' if BEGUN in said else 'failed'} with {status}: {error[-500:]}"
        if odd := {path.name for path in folder.iterdir()} - beside:
            wrong = f"wrote {sorted(odd)} beside the run folder"
            beside |= odd
        if wrong:
            failed.append(f"{number} {what}: {wrong}")
    if not count // 5 < refused < count:
        failed.append(f"{refused} of {count} were refused: the mutants test one side only")
    return failed


def attempt(file: Path, run: Path, steps: int | None = 2) -> tuple[Any, str, str, float]:
    """Train a recipe for so many steps, or its own: status (or the exception that came through), output, error, seconds."""
    output, error, started = io.StringIO(), io.StringIO(), time.process_time()
    short = [f"training.output_dir={run}", *([f"training.max_steps={steps}"] if steps else [])]
    offline = mock.patch("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # a mutant's name may be one of the hub's
    with offline, contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
        try:
            status: Any = cli.main(["train", str(file), *short])
        except BaseException as raised:
            if isinstance(raised, KeyboardInterrupt):
                raise
            status = f"{type(raised).__name__}: {raised}"
    return status, output.getvalue(), error.getvalue().strip(), time.process_time() - started

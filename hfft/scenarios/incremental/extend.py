"""Add classes to a finished model without losing those that it knows, and measure what is forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from hfft import data
from hfft.console import quiet_libraries
from hfft.data.spec import Data
from hfft.errors import BadInput, HfftError
from hfft.evaluate.outputs import Outputs
from hfft.pipeline.finetune import Result, finetune
from hfft.predict import load_predictor
from hfft.predict.trained import recipe_of
from hfft.recipe import Recipe, load_recipe
from hfft.recipe.overrides import apply_override
from hfft.runs import RunFolder
from hfft.scenarios.incremental.answers import Answers, answers
from hfft.scenarios.incremental.memory import MEMORY, RANK, check_capacity, chosen_rows, memory_rows, write_rows
from hfft.scenarios.incremental.new_rows import (
    HELD_OUT,
    LABEL,
    joined,
    new_classes,
    old_rows,
    read_new,
    with_test,
    write_data,
)
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.wording import first_line, listing

DATA = "data"  # in the new run's folder: the rows that it is trained and scored on
FILE = "extended.json"  # what was forgotten
EACH = 20  # rows of each known class that the memory has room for, unless its size is given
DEFAULT_RATE = 5e-5  # of transformers' TrainingArguments
SLOWER = (
    0.5  # factor on the run's learning rate: at the whole rate a TREC model lost 2.4 points of its classes, at half 1.0
)
# Options of a training that need validation rows, which an extension has not: all new rows are trained on or tested.
BY_VALIDATION = ("early_stopping", "load_best_model_at_end", "metric_for_best_model", "eval_strategy", "eval_steps")
Say = Callable[..., None]


@dataclass(frozen=True)
class Old:
    """The rows of the run's own data; without any, the model cannot be scored on the classes that it knows.

    Attributes:
        before: what the finished model answers to the test rows.
    """

    loaded: Any
    labels: Labels
    before: Answers | None


def extend(
    run: str | Path,
    *overrides: str,
    memory: int | None = None,
    output: str | Path | None = None,
    fresh: bool = False,
    say: Say = print,
) -> Result:
    """Train a finished run's model on rows of new classes; a run folder results, with the forgetting in `extended.json`.

    Training rows of the run's own data serve as memory: their labels are learned again in each step (`strategy.replay`, with
    the same influence for each class), and the known classes keep their answers to the new rows (`strategy.lwf`), at half
    the run's learning rate. If these rows cannot be read, the answers are kept alone, and the forgetting is not measured.

    Args:
        run: a finished run folder that classifies, one class for each row.
        overrides: `data.path=new.csv` and other keys of `data`, which describe the new rows; keys of other sections
            change how the run is trained.
        memory: rows of known classes that are learned again; default: as many as there are new training rows, and at least
            20 of each class.
        output: the new run's folder; default `RUN-extended`.
        fresh: start again if the folder already holds a run.

    Raises:
        BadInput: the run is not finished or classifies nothing; the new rows have no new class, or cannot be read; nothing was
            trained.
    """
    quiet_libraries()
    folder = RunFolder(Path(run))
    earlier = checked_run(folder)
    task, target = earlier.the_task, Path(output) if output is not None else Path(f"{str(run).rstrip('/')}-extended")
    if target.resolve() == folder.path.resolve():
        raise BadInput(f"--output {target}: is the run that is extended; name another folder")
    new_data, words = new_section(overrides)
    new_data = new_data.model_copy(update={"render": earlier.data.render})
    metrics = folder.metrics_of_run()
    known, roles = list(metrics["labels"]), dict(metrics["data"]["columns"])
    if memory is not None:
        if memory < 1:
            raise BadInput(
                f"--memory {memory}: expected 1 row or more; without old rows, only the new ones are learned"
            )
        check_capacity(memory, len(known), "herding")
    given = read_new(new_data, task, roles)
    new = new_classes(given, known, str(run))
    old = rows_of_run(folder, earlier, say)
    share = new_data.test if isinstance(new_data.test, float) else HELD_OUT
    parts = with_test(given, share, earlier.seed, earlier.problem)
    again = [name for name in dict.fromkeys(parts["train"][LABEL]) if name in known]
    say(f"{run} knows {len(known)} classes and learns {len(new)} more: {listing(new)}")
    if again:
        say(f"rows of known classes among the new ones are learned as well: {listing(again)}")
    if left := left_out(earlier):
        say(f"options of the run that are left out: {listing(left)}; name those that should count as section.key=value")
    classes = [*known, *new]
    target.mkdir(parents=True, exist_ok=True)
    finished = RunFolder(target).state() == "finished" and not fresh
    if not finished:
        write_data(with_old(parts, old, roles), classes, target / DATA)
        if old is not None:
            most = max(EACH * len(known), len(parts["train"])) if memory is None else memory
            rows, size = write_memory(earlier, folder, old, most, roles, target / MEMORY)
            say(f"memory: {rows} training rows of the known classes, {size / 1e6:.1f} MB in {target / MEMORY}")
    recipe = recipe_for(
        earlier, folder, target, classes, list(dict.fromkeys(parts["train"][LABEL])), old is not None, words
    )
    result = finetune(recipe, fresh=fresh)
    figures = measured(result, known, new, None if old is None else old.before)
    RunFolder(target).write_json(FILE, figures)
    say(*in_words(figures))
    return result


def checked_run(folder: RunFolder) -> Recipe:
    """The recipe of a finished run whose model can get more classes.

    Raises:
        BadInput: it is none.
    """
    if folder.state() != "finished":
        raise BadInput(
            f"{folder.path} is no finished run (recipe.yaml, metrics.json, model/); finish its training first"
        )
    recipe = recipe_of(str(folder.path), [])
    if recipe.use != "fine-tune":
        raise BadInput(
            f"{folder.path} was made with use: {recipe.use}, which trains no head; run its recipe again on all the data"
        )
    if not recipe.the_task.labelled or not PROBLEMS[recipe.problem].classes:
        raise BadInput(f"{folder.path} has {recipe.problem}, but only a model with one class for each row can get more")
    if (folder.model / "adapter_config.json").is_file():
        raise BadInput(
            f"{folder.path} is an adapter apart from its backbone; train it with publish.as=merged to extend it"
        )
    return recipe


def new_section(overrides: Sequence[str]) -> tuple[Data, list[str]]:
    """The new rows as a section `data`, and the overrides of other sections.

    Raises:
        BadInput: no path is given, or a key is unknown.
    """
    values: dict[str, Any] = {}
    words: list[str] = []
    for word in overrides:
        if not word.startswith("data."):
            words.append(word)
            continue
        _, wrong = apply_override(values, word)
        if wrong is not None:
            raise BadInput(wrong)
    section = values.get("data", {})
    if "path" not in section:
        raise BadInput("data.path: is missing; name the rows of the new classes, such as data.path=new_classes.csv")
    allowed = (
        "path",
        "name",
        "data_files",
        "data_dir",
        "revision",
        "train",
        "test",
        "sep",
        "encoding",
        "quoting",
        "missing",
    )
    strange = [key for key in section if key not in (*allowed, "field", "columns")]
    if strange:
        raise BadInput(
            f"data.{strange[0]}: says nothing of how new rows are read; expected one of {listing(allowed, 20)}"
        )
    try:
        return Data.model_validate(section), words
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"data.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def rows_of_run(folder: RunFolder, recipe: Recipe, say: Say) -> Old | None:
    """The run's own rows, and what its model answers to the test rows; None, with the reason, if they cannot be read."""
    try:
        loaded, labels = data.load_splits(recipe.data, recipe.the_task, recipe.seed)
    except HfftError as error:
        say(
            f"the rows of the known classes cannot be read ({first_line(error)}): their answers to the new rows are kept alone, "
            f"and what is forgotten is not measured"
        )
        return None
    before = None
    if loaded.test is not None:
        before = answers(load_predictor(str(folder.path)), loaded.test, loaded.columns)
    else:
        say("the run has no test rows: what is forgotten is not measured")
    return Old(loaded, labels, before)


def with_old(parts: dict[str, Any], old: Old | None, roles: dict[str, str]) -> dict[str, Any]:
    """The new rows, with the run's own test rows before the new ones."""
    if old is None or old.loaded.test is None:
        return parts
    ours = old_rows(old.loaded.test, roles, old.labels)
    return {"train": joined([ours.select([]), parts["train"]]), "test": joined([ours, parts["test"]])}


def write_memory(
    recipe: Recipe, folder: RunFolder, old: Old, capacity: int, roles: dict[str, str], path: Path
) -> tuple[int, int]:
    """Write training rows of the known classes, chosen by herding with the run's model; returns their number and bytes."""
    train = old.loaded.train
    seen = answers(load_predictor(str(folder.path)), train, old.loaded.columns)
    names = [old.labels.names[i] for i in seen.labels]
    _, come, ranks = chosen_rows("herding", capacity, 0, None, seen.features, names, old.labels.names, recipe.seed)
    more = {LABEL: [names[i] for i in come], RANK: ranks, "logits": seen.logits[come].tolist()}
    return len(come), write_rows(memory_rows(train.select(come), roles, more), path)


def recipe_for(
    earlier: Recipe,
    folder: RunFolder,
    target: Path,
    classes: list[str],
    trained: list[str],
    remembered: bool,
    words: Sequence[str],
) -> Recipe:
    """The recipe that trains the run's model further: its own, on the new rows, with a head that keeps its rows.

    Args:
        trained: the classes of the training rows.
        remembered: whether there is a memory.
        words: overrides.
    """
    values = earlier.resolved()
    inputs = {
        role: name for role, name in folder.metrics_of_run()["data"]["columns"].items() if role not in ("label", "id")
    }
    same = ("max_length", "render", "augment", "on_bad_rows", "max_bad_rows", "mlm_probability")
    section: dict[str, Any] = {key: values["data"][key] for key in same if values["data"].get(key) is not None}
    section |= {"path": str(target / DATA), "columns": {**inputs, "label": LABEL}, "classes": classes}
    section |= {"validation": "none", "test": "test"}
    section |= {"train_classes": [name for name in classes if name in trained]}
    strategy: dict[str, Any] = {"lwf": {"classes": classes[: len(folder.metrics_of_run()["labels"])]}}
    if remembered:
        section["sets"] = {MEMORY: {"path": str(target / MEMORY), "labels": "given", "columns": inputs}}
        # a step has as many rows of the memory as new ones: this gives each class the same influence
        strategy["replay"] = {"on": MEMORY, "weight": max(len(classes) - len(trained), 1) / len(trained)}
    kept = {key: values["backbone"][key] for key in ("dtype", "memory_format") if key in values["backbone"]}
    training = {key: value for key, value in values["training"].items() if key not in BY_VALIDATION}
    rate = float(training.get("learning_rate", DEFAULT_RATE)) * SLOWER
    training |= {"output_dir": str(target), "learning_rate": rate}
    made = {
        "name": f"{earlier.name}-extended",
        "task": values["task"],
        "backbone": {"name": str(folder.model), **kept},
        "head": {"keep_known": True},
        "layers": values["layers"],
        "data": section,
        "strategy": strategy,
        "training": training,
        "score": {key: values["score"][key] for key in ("metrics", "scorecard") if key in values["score"]},
    }
    return load_recipe(made, *words)


def left_out(earlier: Recipe) -> list[str]:
    """The options of a run that its extension does not take over: methods, and what needs validation rows."""
    methods = [f"strategy.{name}" for name in earlier.strategy.changed() if name not in ("lwf", "replay")]
    return [*methods, *(f"training.{key}" for key in BY_VALIDATION[:2] if earlier.training.get(key))]


def measured(result: Result, known: list[str], new: list[str], before: Answers | None) -> dict[str, Any]:
    """What was forgotten and what was learned, on the test rows.

    Args:
        before: what the run's model answered to its own test rows, which are the first ones of the new run.
    """
    found = Outputs.read(result.folder / "outputs" / "test.safetensors")
    assert found.logits is not None
    assert found.references is not None
    truth, chosen = np.asarray(found.references), np.asarray(found.logits).argmax(1)
    right, fresh = chosen == truth, np.isin(truth, [found.labels.label2id[name] for name in new])
    taken = np.isin(chosen, [found.labels.label2id[name] for name in new])
    figures: dict[str, Any] = {
        "known": known,
        "new": new,
        "new_classes": {"accuracy": float(right[fresh].mean()), "n": int(fresh.sum())},
    }
    if before is not None:
        n = len(before.labels)
        was = before.logits.argmax(1) == before.labels
        now = right[:n]
        figures["old_classes"] = {
            "before": float(was.mean()),
            "after": float(now.mean()),
            "n": n,
            "lost": int((was & ~now).sum()),
            "won": int((~was & now).sum()),
            "taken_for_new": int(taken[:n].sum()),
        }
    return figures


def in_words(figures: dict[str, Any]) -> list[str]:
    """The lines that say what was forgotten and learned."""
    lines = []
    if (old := figures.get("old_classes")) is not None:
        change = f"{100 * (old['after'] - old['before']):+.1f} points, n={old['n']}"
        lines.append(
            f"known classes: test accuracy {old['before']:.4f} before, {old['after']:.4f} after ({change}): "
            f"{old['lost']} rows lost, {old['won']} won, {old['taken_for_new']} taken for new classes"
        )
    new = figures["new_classes"]
    return [*lines, f"new classes ({listing(figures['new'])}): test accuracy {new['accuracy']:.4f} (n={new['n']})"]

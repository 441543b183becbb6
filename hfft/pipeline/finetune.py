"""From a recipe to a published model: build, train, score, save, publish; other uses than a fine-tune begin here as well."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from hfft import data, publish
from hfft.console import quiet_libraries
from hfft.errors import BadInput, HfftError
from hfft.pipeline import calibrate, rows, task_runs, uses
from hfft.pipeline.conclude import conclude, keep_one_checkpoint, own_code
from hfft.pipeline.fit import Training
from hfft.pipeline.record import collect, opening, summary
from hfft.pipeline.save import prove_saved, save_model
from hfft.processes import by_first_process, say
from hfft.recipe import Recipe, load_recipe
from hfft.recipe.uses import DEFAULT
from hfft.runs import RunFolder
from hfft.runs.data_note import data_of_run
from hfft.runs.folder import State
from hfft.runs.lock import lock_folder_once
from hfft.runs.signals import Stopped
from hfft.train import distributed, training_arguments
from hfft.wording import first_line, listing


@dataclass(frozen=True)
class Result:
    """The result of a fine-tune.

    Attributes:
        folder: the run folder; `folder / "model"` is what transformers loads.
        metrics: split -> metric -> value, as in metrics.json.
        url: where the model was published; None if it was not.
    """

    folder: Path
    metrics: dict[str, Any]
    url: str | None = None

    @property
    def model(self) -> Path:
        """The folder of the finished model."""
        return self.folder / "model"


def finetune(recipe: Recipe | str | Path | Mapping[str, Any], fresh: bool = False, force: bool = False) -> Result:
    """Train, score and, if the recipe asks for it, publish; an unfinished run of the same recipe is resumed.

    A recipe of another use (`use: directly`, `use: classifier`) is run in its way (`hfft.pipeline.uses`).

    Args:
        recipe: a recipe, or what `load_recipe` takes: a name, a file, a dictionary of sections.
        fresh: start again even if the run folder already holds a run.
        force: resume an unfinished run under another recipe, other data or other versions.

    Raises:
        BadInput: the recipe, data, model or folder cannot be used; nothing was trained.
        RunError, HubError: training or publishing failed; finished work is kept.
    """
    quiet_libraries()
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    arguments = training_arguments(recipe)
    with opened(recipe, arguments, fresh, force) as (folder, state):
        if state == "finished":
            return again(recipe, folder, force)
        if recipe.use != DEFAULT:
            metrics = uses.of(recipe.use).run(recipe, arguments, folder) | own_code(folder)
            conclude(recipe, folder, metrics)
            say(*summary(recipe, folder.path, metrics))
            return Result(folder.path, metrics, published(folder, recipe))
        training = Training(recipe, arguments, folder, state, force)  # the five parts, built
        say(*opening(training))
        training.finish()  # trained
        if recipe.tasks:
            return finish_tasks(training, fresh, force)
        with training.run.trainer.scored():
            done = calibrate.calibrate(training)
            metrics = collect(training)  # scored
            metrics |= calibrate.described(done, folder, metrics)
            save_model(training.run, training.model, training.recipe, folder.model)
            prove_saved(training.run, training.model, training.recipe, folder)
        metrics |= own_code(folder) | from_scratch(recipe, fresh, force)
        finish(training, folder, metrics)
        say(*summary(recipe, folder.path, metrics))
        return Result(folder.path, metrics, published(folder, recipe))


@contextlib.contextmanager
def opened(recipe: Recipe, arguments: TrainingArguments, fresh: bool, force: bool) -> Iterator[tuple[RunFolder, State]]:
    """Open and lock the run folder on every host; yields the folder and its state."""
    folder = RunFolder(recipe.output_dir)
    with lock_folder_once(folder.path), contextlib.ExitStack() as held:
        state = folder.open(recipe.resolved(), fresh, force)
        if distributed.own_disks(arguments, folder):
            distributed.begin(arguments, folder, state, fresh, held)
        yield folder, state


def again(recipe: Recipe, folder: RunFolder, force: bool = False) -> Result:
    """Run the same command on a finished run: report its metrics, and publish it if that is outstanding.

    Raises:
        BadInput: the data has changed since, so that these are not its metrics, and `force` is not set.
    """
    for entry in recipe.tasks:
        own = task_runs.folder_of(folder, entry.name)
        again(load_recipe(own.recipe), own, force)
    if not force and not recipe.tasks:
        check_data(recipe, folder)
    metrics = folder.metrics_of_run()  # another host may have another disk
    say(f"{folder.path} is finished; add --fresh to run it again", *summary(recipe, folder.path, metrics))
    repo = None if recipe.tasks else recipe.publish.hub_model_id
    url = None if repo is None else folder.published_at(repo)
    if url is not None:
        say(f"published: {url}")
    elif repo is not None:
        say(f"publishing to {repo}, which is outstanding")
        url = published(folder, recipe)
    return Result(folder.path, metrics, url)


@by_first_process
def check_data(recipe: Recipe, folder: RunFolder) -> None:
    """Raise BadInput if the data is no longer what a finished run was trained and scored on."""
    try:
        note = data_of_run(folder)
        changed = [] if note is None else data.changed_splits(note, recipe.data, recipe.the_task, recipe.seed)
    except HfftError as error:
        say(f"the data has changed since, and cannot be read ({first_line(error)}): these metrics are of what it was")
        return
    if changed:
        raise BadInput(
            f"{folder.path} is finished, but its data has changed since ({listing(changed)}); add --fresh to train on what "
            f"it is now, --force to see the earlier metrics, or use another training.output_dir"
        )


def published(folder: RunFolder, recipe: Recipe) -> str | None:
    """Publish the finished run if its recipe asks for it, and return its URL."""
    if recipe.publish.hub_model_id is None:
        return None
    try:
        url = publish.publish(folder, recipe.publish)
    except Stopped as stop:
        remedy = f"the run is finished but not published; publish it with `hfft publish {folder.path}`"
        raise Stopped(stop.number, remedy) from None
    say(f"published: {url}")
    return url


def finish_tasks(training: Training, fresh: bool, force: bool) -> Result:
    """Save, score and publish each of several tasks, and compare each with its run by itself if the recipe asks for that."""
    recipe, folder = training.recipe, training.folder
    with training.run.trainer.scored():
        training.run.trainer.save_state()
        shared = collect(training)
        tasks = task_runs.finish(training, shared)
    task_runs.link_models(folder, tasks)
    metrics = {**shared, **task_runs.together(tasks)}
    for name, result in single_tasks(recipe, fresh, force).items():
        ours = task_runs.folder_of(folder, name)
        metrics["tasks"][name]["single_task"] = task_runs.beside_single(ours, RunFolder(result.folder), recipe.seed)
    task_runs.conclude_all(training, metrics)
    say(*summary(recipe, folder.path, metrics))
    for name in tasks:
        own = task_runs.folder_of(folder, name)
        published(own, load_recipe(own.recipe))
    return Result(folder.path, metrics)


def single_tasks(recipe: Recipe, fresh: bool, force: bool) -> dict[str, Result]:
    """Task -> the result of training it by itself, for as many epochs, if the recipe asks for that comparison."""
    found = {}
    for name, one in rows.singles(recipe).items() if recipe.score.single_task else ():
        say("", f"{name} by itself:")
        values = one.plain()
        values["training"] = {**values["training"], "output_dir": str(recipe.output_dir / "single_task" / name)}
        found[name] = finetune(Recipe.model_validate(values), fresh=fresh, force=force)
    return found


def from_scratch(recipe: Recipe, fresh: bool, force: bool) -> dict[str, Any]:
    """Train the same recipe from random weights, with all layers learning, if the recipe asks for that comparison."""
    if not recipe.score.from_scratch or recipe.backbone.init != "pretrained":
        return {}
    say("", "the same recipe from random weights:")
    values = recipe.resolved()
    values["backbone"] = {**values["backbone"], "init": "random"}
    values["layers"] = {"train": "all"}
    values["score"] = {**values["score"], "from_scratch": False}
    values["publish"] = {}
    values["training"] = {**values["training"], "output_dir": str(recipe.output_dir / "from_scratch")}
    result = finetune(Recipe.model_validate(values), fresh=fresh, force=force)
    return {"from_scratch": {name: result.metrics[name] for name in ("validation", "test") if name in result.metrics}}


@by_first_process
def finish(training: Training, folder: RunFolder, metrics: dict[str, Any]) -> None:
    """Write the report, the card and, last, metrics.json, which marks the run as finished; earlier checkpoints then go."""
    training.run.trainer.save_state()
    conclude(training.recipe, folder, metrics, (training.run.splits, training.run.labels))
    keep_one_checkpoint(training.run.trainer, training.recipe, folder)

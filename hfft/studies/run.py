"""The engine: run the children that a study plans, one after another or several at once, and write what they say."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hfft import processes
from hfft.errors import BadInput
from hfft.recipe import Recipe
from hfft.runs import RunFolder
from hfft.runs.lock import lock_folder
from hfft.studies.find import STUDIES, load_study, make_study
from hfft.studies.folder import LOG, StudyFolder
from hfft.studies.measure import is_measured, measure
from hfft.studies.page import render_study
from hfft.studies.study import Child, Figures, Study, recipe_of
from hfft.studies.table import Table
from hfft.studies.train_child import train_child
from hfft.wording import listing, nearest

Say = Callable[..., None]
PAUSE = 5.0  # seconds, at least, from one writing of the unfinished table to the next


def run_study(
    study: Study,
    folder: Path | None = None,
    jobs: int = 1,
    fresh: bool = False,
    say: Say = lambda *lines: None,
) -> Table:
    """Run what is left of a study, and return its table; `table.json` and `report.html` are of what is done so far.

    Nothing is kept but the folders, so that the same call goes on after any end. A child that fails is in the table with the
    reason, and is tried again by the next call.

    Args:
        folder: default `studies/<recipe>-<study>`.
        jobs: children that run at once, each in a process with its share of the threads.
        say: prints lines about the progress.

    Raises:
        BadInput: an arm does not fit the recipe, the folder contains another study, or the data of a finished child has
            changed; nothing was trained.
        DiskFull, OSError: the disk is full; what is finished is kept.
        signals.Stopped: a signal stopped it; the same call continues.
    """
    if jobs < 1:
        raise BadInput(f"--jobs {jobs}; expected 1 or more")
    path = Path("studies") / study.title if folder is None else folder
    with lock_folder(path):
        files = StudyFolder(path)
        for child in study.plan({}):
            recipe_of(study, child, files.children)  # all arms are checked before anything is trained or written
        study.check()
        files.open(study, fresh)
        done: dict[str, Figures] = {}
        written = -math.inf
        while todo := [child for child in study.plan(done) if child.name not in done]:
            for child, figures in _ended(study, todo, done, files, jobs):
                done[child.name] = figures
                of = len({*done, *(other.name for other in study.plan(done))})
                say(_line(child, figures, len(done), of))
                if time.monotonic() - written >= PAUSE:  # a table may take longer than a short run
                    _write(study, done, files)
                    written = time.monotonic()
        table = study.table(done)
        for line in study.finish(done, path):
            say(line)
        _write(study, done, files)
    return table


def study(
    name: str | Path,
    recipe: str | Path | Mapping[str, Any] | None = None,
    *overrides: str,
    folder: str | Path | None = None,
    jobs: int = 1,
    fresh: bool = False,
    **options: Any,
) -> Table:
    """Run a study by its name, or that of a YAML file, and return its table.

    Args:
        name: `seeds`, `folds`, `grid`, …, or a file such as `recipes/studies/x.yaml`.
        recipe: the base recipe, as `load_recipe` takes it; None for a file, or for the study's own default.
        overrides: `section.key=value` for the base recipe.
        folder, jobs, fresh: as in `run_study`.
        options: options of the study, such as `seeds=5`.

    Raises:
        BadInput: as in `run_study`; or there is no such study.
    """
    if name in STUDIES:
        asked = make_study(str(name), recipe, overrides, **options)
    elif recipe is None:
        asked = load_study(name, *overrides, **options)
    else:
        raise BadInput(f"study {str(name)!r} is unknown{nearest(str(name), STUDIES)} (studies: {listing(STUDIES, 30)})")
    return run_study(asked, None if folder is None else Path(folder), jobs, fresh, processes.say)


def _ended(
    study: Study, todo: Sequence[Child], done: dict[str, Figures], files: StudyFolder, jobs: int
) -> Iterator[tuple[Child, Figures]]:
    """Each of these children with its figures, when they are there; those that must wait for another one are left out."""
    ready, recipes = list[Child](), list[Recipe]()
    planned = {child.name for child in todo}
    waits = 0
    for child in todo:
        before, folder = child.begins_from, files.children / child.name
        if before is not None and before not in done:
            if before in planned:
                waits += 1
            else:
                yield child, Figures(failed=f"begins from {before}, which is not a child of this study", folder=folder)
            continue
        if before is not None and (why := done[before].failed) is not None:
            yield child, Figures(failed=f"begins from {before}, which failed ({why})", folder=folder)
            continue
        try:
            recipe = recipe_of(study, child, files.children)
        except BadInput as error:
            yield child, Figures(failed=str(error.args[0]), folder=folder)
            continue
        if child.measure is not None:
            why = None if is_measured(child, recipe) else train_child(recipe, partial(measure, child))
            yield child, files.figures(child) if why is None else Figures(failed=why, folder=folder)
        elif _is_finished(recipe):
            yield child, files.figures(child)
        else:
            ready.append(child)
            recipes.append(recipe)
    if waits == len(todo):
        raise BadInput(f"children of the study wait for each other: {', '.join(sorted(planned))}")
    for number, why in _trained(recipes, min(jobs, len(recipes))):
        child = ready[number]
        yield child, files.figures(child) if why is None else Figures(failed=why, folder=files.children / child.name)


def _trained(recipes: Sequence[Recipe], jobs: int) -> Iterator[tuple[int, str | None]]:
    """(number, why it failed or None) of each recipe when its run has ended."""
    if jobs > 1:
        from hfft.studies.workers import run_children

        yield from run_children(recipes, jobs, threads=max(1, _threads() // jobs))
        return
    for number, recipe in enumerate(recipes):
        yield number, train_child(recipe)


def _threads() -> int:
    """The threads that one run would use."""
    import torch

    return torch.get_num_threads()


def _is_finished(recipe: Recipe) -> bool:
    """Whether a child is finished.

    Raises:
        BadInput: its folder is another recipe's, or the data has changed since.
    """
    folder = RunFolder(recipe.output_dir)
    if folder.state() != "finished":
        return False
    from hfft.pipeline.finetune import check_data

    folder.open(recipe.resolved(), fresh=False)
    check_data(recipe, folder)
    return True


def _write(study: Study, done: dict[str, Figures], files: StudyFolder) -> None:
    table = study.table(done)
    left = sum(child.name not in done for child in study.plan(done))
    files.write(study, table, render_study(study, table, left))


def _line(child: Child, figures: Figures, count: int, of: int) -> str:
    """`[3 of 10] scratch, seed 3: test accuracy 0.9592 (n=500), 12.3 s`."""
    head = f"[{count} of {of}] {child.arm}, seed {child.seed}: "
    if figures.failed is not None:
        log = figures.folder / LOG
        return f"{head}failed: {figures.failed}" + (f" ({log})" if os.path.isfile(log) else "")
    parts = [
        f"{split} {figures.main(split)} {figures.value(split):.4f} (n={figures.n(split)})"
        for split in ("test", "validation")
        if figures.value(split) is not None
    ]
    parts += [f"{figures.seconds:.1f} s"] if figures.seconds is not None else []
    return head + (", ".join(parts) or "done")

"""The runs of several tasks within the run folder of all of them."""

from __future__ import annotations

from pathlib import Path

from hfft.errors import BadInput
from hfft.wording import listing

FOLDER = "tasks"


def task_names(source: str | Path) -> list[str]:
    """The tasks of a run folder; none if it is the run of a single task, or no run."""
    folder = Path(source) / FOLDER
    return sorted(path.name for path in folder.iterdir() if (path / "recipe.yaml").is_file()) if folder.is_dir() else []


def run_of(source: str, task: str | None) -> str:
    """The run folder of one task of a run; what is no run of several tasks is itself.

    Raises:
        BadInput: there is no such task, or none is named where there are several.
    """
    names = task_names(source)
    if task is None and not names:
        return source
    if task is None:
        raise BadInput(
            f"{source} has several tasks ({listing(names)}); add --task {names[0]}, or give {source}/tasks/{names[0]}"
        )
    if task not in names:
        known = f"its tasks are {listing(names)}" if names else "it is the model of a single task: leave it out"
        raise BadInput(f"--task {task}: {source} has no such task; {known}")
    return str(Path(source) / FOLDER / task)

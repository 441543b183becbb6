"""`hfft publish`: push a finished run's model to the hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from hfft.errors import BadInput
from hfft.recipe.find import load_recipe
from hfft.run import importing
from hfft.runs.lock import lock_folder
from hfft.runs.tasks import run_of
from hfft.wording import printable

HELP = "push a finished run's model to the hub"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    command.add_argument("source", help="run folder")
    command.add_argument(
        "overrides", nargs="*", metavar="section.key=value", help="such as publish.hub_model_id=me/name"
    )
    command.add_argument("--force", action="store_true", help="also push a model whose training went wrong")


def run(given: argparse.Namespace) -> int:
    """Push the model of a finished run."""
    print(printable(f"published: {publish_run(given.source, given.overrides, given.force)}"))
    return 0


def publish_run(source: str, overrides: list[str], force: bool = False) -> str:
    """Push the model of a finished run; returns its URL.

    Raises:
        BadInput: the run is not finished, the recipe names no repository, or the token has no write permission for it.
        HubError: the push failed; the model stays in the run folder.
    """
    with importing():
        from hfft.console import quiet_libraries
        from hfft.publish.adapter import adapter_config
        from hfft.publish.push import publish
        from hfft.runs.folder import RunFolder

    quiet_libraries()
    folder = RunFolder(Path(run_of(source, None)))
    if folder.state() != "finished":
        raise BadInput(f"{source} is not a finished run; train it to the end first")
    recipe = load_recipe(folder.recipe, *overrides)
    if recipe.publish.hub_model_id is None:
        raise BadInput("publish.hub_model_id is not set; add publish.hub_model_id=your-name/your-model")
    if (adapter_config(folder.model) is None) == (recipe.published_as == "adapter"):
        saved = "merged" if recipe.published_as == "adapter" else "adapter"
        raise BadInput(f"publish.as: the run saved its model as {saved}; train it again with --fresh to change this")
    with lock_folder(folder.path):
        return publish(folder, recipe.publish, force)

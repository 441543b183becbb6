"""`hfft publish`: push a finished run's model to the hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from hfft.errors import BadInput
from hfft.recipe.find import load_recipe
from hfft.run import importing
from hfft.runs.lock import lock_folder


def run(given: argparse.Namespace) -> int:
    """Push the model of a finished run."""
    print(f"published: {publish_run(given.source, given.overrides, given.force)}")
    return 0


def publish_run(source: str, overrides: list[str], force: bool = False) -> str:
    """Push the model of a finished run; returns its address.

    Raises:
        BadInput: the run is not finished, names no repository, or the token may not write there.
        HubError: the push failed; the model is kept.
    """
    with importing():
        from hfft.console import quiet_libraries
        from hfft.publish.adapter import adapter_config
        from hfft.publish.push import publish
        from hfft.runs.folder import RunFolder

    quiet_libraries()
    folder = RunFolder(Path(source))
    if folder.state() != "finished":
        raise BadInput(f"{source} is no finished run; train it to its end first")
    recipe = load_recipe(folder.recipe, *overrides)
    if recipe.publish.hub_model_id is None:
        raise BadInput("publish.hub_model_id is not set; add publish.hub_model_id=your-name/your-model")
    if (adapter_config(folder.model) is None) == (recipe.published_as == "adapter"):
        saved = "merged" if recipe.published_as == "adapter" else "adapter"
        raise BadInput(f"publish.as: the run saved its model as {saved}; train it again with --fresh for the other")
    with lock_folder(folder.path):
        return publish(folder, recipe.publish, force)

"""Write the finished model: what gets published, loadable without hfft, whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from hfft import layers, publish
from hfft.backbone import published_code
from hfft.errors import RunError
from hfft.pipeline.build import Run
from hfft.processes import by_first_process
from hfft.recipe import Recipe
from hfft.runs import checkpoint
from hfft.wording import first_line


@by_first_process
def save_model(run: Run, model: Any, recipe: Recipe, folder: Path) -> None:
    """Write weights, config and processor beside the folder, sync them to the disk, and give them its name.

    Raises:
        RunError: they cannot be written; the last checkpoint is kept.
    """
    temp_dir = folder.with_name(f".{folder.name}")
    for old in (temp_dir, folder):
        shutil.rmtree(old, ignore_errors=True)
    try:
        if recipe.published_as == "adapter":
            revision = run.commit or recipe.backbone.revision
            pinned = recipe.model_copy(update={"backbone": recipe.backbone.model_copy(update={"revision": revision})})
            publish.save_adapter(
                model, pinned.backbone, pinned.head, pinned.the_task, run.labels, run.processor, temp_dir
            )
        else:
            whole = layers.merged(model) if recipe.layers.adapter else model
            whole.config.use_cache = True
            published_code.save(whole, temp_dir, recipe.the_task.auto_class)
            run.processor.save_pretrained(temp_dir)
        for path in temp_dir.iterdir():
            checkpoint.sync(path)
        os.replace(temp_dir, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temp_dir, ignore_errors=True)
        raise RunError(
            f"the model could not be written to {folder}: {first_line(error)}; the last checkpoint is kept, and the same "
            f"command continues from it"
        ) from error

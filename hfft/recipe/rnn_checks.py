"""What `backbone.rnn` cannot be combined with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.recipe.uses import DEFAULT
from hfft.recipe.yaml_lines import Path

if TYPE_CHECKING:
    from hfft.recipe.recipe import Recipe


def rnn_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """Keys that a recurrent net on word vectors has no use for: its layers start untrained, and only texts have words."""
    rnn, task = recipe.backbone.rnn, recipe.the_task
    if rnn is None:
        return []
    here = ("backbone", "rnn")
    found: list[tuple[Path, str]] = []
    if not task.modality.tokens:
        found.append(
            (here, f"reads the words of texts, but task {recipe.task} takes {task.modality.name}s; leave it out")
        )
    elif not task.labelled:
        found.append((here, f"classifies texts, which task {recipe.task} does not; leave it out"))
    if recipe.use != DEFAULT:
        found.append((here, f"has to be trained, but use is {recipe.use}; use fine-tune, or leave it out"))
    if recipe.backbone.edit:
        found.append(
            (("backbone", "edit"), "is for pretrained layers, but those of backbone.rnn are new; leave it out")
        )
    if recipe.layers.adapter is not None:
        found.append(
            (
                ("layers", "adapter"),
                "freezes the layers, but those of backbone.rnn are new and must learn; leave it out",
            )
        )
    elif set(recipe.train_layers) <= {"head", "embeddings"}:
        text = "leaves out the layers of backbone.rnn, which are new; use all, and layers.freeze=embeddings for the vectors"
        found.append((("layers", "train"), text))
    if recipe.head.keep_known:
        found.append(
            (
                ("head", "keep_known"),
                "keeps the head of a whole model, but backbone.rnn takes its vectors alone; leave it out",
            )
        )
    return found

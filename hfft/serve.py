"""What is done with a finished model: score it again, predict with it, publish it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from hfft.access import reading
from hfft.console import quiet_libraries
from hfft.data import load_splits
from hfft.data.load import load_column
from hfft.errors import BadInput, DataError, listing
from hfft.publish import publish
from hfft.publish.adapter import adapter_config
from hfft.recipe import Recipe, load_recipe
from hfft.score.metrics import Metrics
from hfft.score.predict import WINDOW, Predictor, load_predictor, read_inputs
from hfft.tasks import Labels
from hfft.train import RunFolder
from hfft.train.lock import alone
from hfft.wire import arrived

BATCH = 64


def recipe_of(source: str, overrides: list[str]) -> Recipe:
    """The recipe a run was made with, or the one published beside a model.

    Raises:
        BadInput: there is none.
    """
    folder = Path(source)
    if folder.is_dir():
        if not (folder / "recipe.yaml").is_file():
            raise BadInput(f"{source} holds no recipe.yaml; name a run folder, or a model that hfft published")
        return load_recipe(folder / "recipe.yaml", *overrides)
    from huggingface_hub import hf_hub_download

    with reading(f"the recipe of {source}"):
        path = arrived("model", source, lambda again: hf_hub_download(source, "recipe.yaml"))
    return load_recipe(path, *overrides)


def score(source: str, overrides: list[str]) -> Iterator[str]:
    """One line per held-out split of the model's recipe, scored anew in this process.

    Raises:
        BadInput, DataError: no such model, or data whose classes are not the model's.
    """
    quiet_libraries()
    recipe = recipe_of(source, overrides)
    predictor = load_predictor(source)
    splits, labels = load_splits(recipe)
    names = tuple(predictor.model.config.id2label.values()) if labels.names else ()
    unknown = [name for name in labels.names if name not in names]
    if unknown:
        raise DataError(
            f"the data has classes that {source} does not know: {listing(unknown)}; it knows {listing(names)}"
        )
    order = torch.tensor([names.index(name) for name in labels.names]) if names else None
    known = Labels.of(labels.problem, names) if names else labels
    for name, rows in splits.items():
        if name == "train":
            continue
        metrics = Metrics(known, recipe.metrics)
        inputs = raw_inputs(rows, splits.columns)
        at_once = BATCH * (WINDOW if predictor.modality == "text" else 1)
        while batch := [pair for _, pair in zip(range(at_once), inputs, strict=False)]:
            target = torch.tensor([label for _, label in batch])
            if order is not None and known.problem == "single_label_classification":
                target = order[target]
            elif order is not None:
                target = torch.zeros(len(batch), len(names)).index_copy_(1, order, target.float())
            metrics.update(predictor.logits([x for x, _ in batch], BATCH), target)
        figures = metrics.compute()
        shown = " ".join(f"{key} {value:.4f}" for key, value in figures.items() if key != "n")
        yield f"{name} {shown}  (n={figures['n']}, {splits.origin[name]})"


def raw_inputs(rows: Any, columns: dict[str, str]) -> Iterator[tuple[Any, Any]]:
    """(input, encoded label) of each row, the input as a user would pass it."""
    for row in rows:
        if "image" in columns:
            yield row[columns["image"]], row["labels"]
        elif "text_pair" in columns:
            yield (row[columns["text"]], row[columns["text_pair"]]), row["labels"]
        else:
            yield row[columns["text"]], row["labels"]


def predict(
    source: str, inputs: list[str], data: str | None, split: str, column: str | None, batch_size: int
) -> Iterator[dict[str, Any]]:
    """Rows of `id`, `label`, `probability` for files, texts, or a split of a data set (ids are its row numbers)."""
    quiet_libraries()
    predictor: Predictor = load_predictor(source)
    if data is None:
        yield from predictor.table(read_inputs(inputs, predictor.modality), batch_size)
        return
    values = load_column(data, split, column, predictor.modality)
    yield from predictor.table(((str(i), value) for i, value in enumerate(values)), batch_size)


def publish_run(source: str, overrides: list[str], force: bool = False) -> str:
    """Push the model of a finished run; returns its address.

    Raises:
        BadInput: the run is not finished, names no repository, or the token may not write there.
        HubError: the push failed; the model is kept.
    """
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
    with alone(folder.path):
        return publish(folder, recipe.publish, force)

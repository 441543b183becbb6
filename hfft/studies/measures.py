"""What children of several studies measure: a classifier on features, and a model of which only the first blocks are kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from transformers import set_seed

from hfft import backbone, head, layers
from hfft.backbone.pooling import fitting_pooling
from hfft.classifier import ClassifierSpec, Fitted, fit
from hfft.evaluate import Metrics
from hfft.features import Features, layers_of_recipe
from hfft.head.replace_head import reinitialise
from hfft.pipeline.uses.classifier import answers
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from hfft.tasks.measure import metric_names
from hfft.tasks.problem import PROBLEMS, SMALLER_IS_BETTER

PROBE = ClassifierSpec(type="logistic-regression", transform=["standardise"])


def layer_probes(recipe: Recipe, layers: Sequence[int]) -> dict[str, Any]:
    """The score of a logistic regression on the features of each layer, whose strength is chosen on validation rows.

    Args:
        layers: numbers of blocks: 1 the first one, -1 the last one.

    Returns:
        `test`: the best layer's `main_score`; `layers`: number -> the main metric.
    """
    places = {layer: place_of_block(recipe, layer) for layer in layers}
    by_place = layers_of_recipe(recipe, list(places.values()), pooling=_pooling(recipe, places.values()))
    found = {
        layer: main_score(recipe, fit_probe(by_place[place], recipe.seed), by_place[place]["test"])
        for layer, place in places.items()
    }
    (metric,) = metric_names(next(iter(found.values())))
    most = min if metric in SMALLER_IS_BETTER else max
    return {
        "test": most(found.values(), key=lambda score: score[metric]),
        "layers": {str(layer): score[metric] for layer, score in found.items()},
    }


def probe(recipe: Recipe) -> dict[str, Any]:
    """The score of a logistic regression on the features of the last layer."""
    found = layer_probes(recipe, [-1])
    return {"test": found["test"]}


def fit_probe(parts: dict[str, Features], seed: int, spec: ClassifierSpec = PROBE) -> Fitted:
    """A classifier fitted on the features of train, with its argument chosen on those of validation if there are any."""
    train, held = parts["train"], parts.get("validation")
    assert train.labels is not None
    validation = None if held is None or held.labels is None else (held.values, held.labels)
    return fit(spec, train.values, train.labels, validation=validation, seed=seed, names=train.names)


def main_score(recipe: Recipe, fitted: Fitted, rows: Features) -> dict[str, Any]:
    """The recipe's first metric on some rows, which a run of the recipe reports too, and `n`."""
    metrics = Metrics(Labels.of(recipe.problem, rows.names), recipe.metrics)
    for logits, labels in answers(fitted, rows):
        metrics.update(logits, labels)
    values = metrics.compute()
    return {name: values[name] for name in (metric_names(values)[0], "n")}


def keep_first(recipe: Recipe, blocks: int) -> dict[str, Any]:
    """Write a model with the embeddings and first blocks of the recipe's backbone, and the others untrained, drawn by the seed.

    Args:
        blocks: how many are kept, counted from the input; 0 keeps the embeddings alone.
    """
    task = recipe.the_task
    processor = backbone.load_processor(recipe.backbone, task)
    labels = Labels(task.problem, size=PROBLEMS[task.problem].fewest_outputs)  # the head is replaced when it is trained
    model = backbone.load_model(recipe.backbone, recipe.head, task, labels, processor)
    depths = layers.depths(model, head.parameter_names(model, recipe.head.new))
    saved = model.state_dict()  # without what is computed from the config, such as the ids of positions
    tensors = [name for name, _ in [*model.named_parameters(), *model.named_buffers()] if name in saved]
    drawn = {name for name in tensors if depths.of(name) > blocks}
    set_seed(recipe.seed)
    reinitialise(model, drawn)
    model.save_pretrained(recipe.output_dir / "model")
    processor.save_pretrained(recipe.output_dir / "model")
    return {"kept": len(tensors) - len(drawn), "untrained": len(drawn)}


def _pooling(recipe: Recipe, places: Collection[int | str]) -> str | None:
    """The mean where a pooler, which reads the last layer alone, would be the recipe's pooling; None for the recipe's."""
    if set(places) == {-1} or recipe.head.pooling is not None:
        return None
    return "mean" if fitting_pooling(recipe.backbone, recipe.the_task).pooling == "pooler" else None


def place_of_block(recipe: Recipe, block: int) -> int | str:
    """Where the output of a block is found: the number of a hidden state, or a module where states are those of stages."""
    if block == -1:
        return block
    model = _of_any_size(recipe)
    paths = layers.block_paths(model)
    stages = getattr(model.config, "depths", None)
    if not isinstance(stages, list | tuple) or len(stages) == len(paths):
        return block
    return -1 if block == len(paths) else paths[block - 1][0]  # the last one with the final norm


def _of_any_size(recipe: Recipe) -> Any:
    """The recipe's model with the fewest outputs, from its config alone where that is possible."""
    task = recipe.the_task
    model = backbone.build_meta_model(recipe.backbone, recipe.head, task)
    if model is None:
        labels = Labels(task.problem, size=PROBLEMS[task.problem].fewest_outputs)
        model = backbone.load_model(recipe.backbone, recipe.head, task, labels)
    return model


def count_blocks(recipe: Recipe) -> int:
    """The number of blocks of the recipe's backbone."""
    model = _of_any_size(recipe)
    return layers.depths(model, head.parameter_names(model, recipe.head.new)).blocks

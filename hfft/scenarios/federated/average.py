"""One round's average of the clients' models (FedAvg; McMahan et al. 2017, arXiv:1602.05629), scored as the global model.

Norms may stay each client's own (FedBN; Li et al. 2021, arXiv:2102.07623): then every client has a model of its own.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hfft import data, layers
from hfft.console import quiet_libraries
from hfft.errors import BadInput, RunError
from hfft.evaluate.intervals import wilson
from hfft.evaluate.outputs import Outputs, OutputsFile, columns_of, is_right
from hfft.pipeline.save import write_folder
from hfft.pipeline.soup.weights import Weights, average
from hfft.predict import load_predictor
from hfft.predict.held_out import HeldOut
from hfft.recipe import Recipe, yaml_lines
from hfft.runs import RunFolder
from hfft.scenarios.federated.divisions import client_accuracies, read_division
from hfft.tasks.labels import Labels

WHOLE, ADAPTER = "model.safetensors", "adapter_model.safetensors"
OWN = "clients"  # in the folder of an average: the models of clients whose norms are their own
_LEFT_OUT = ("README.md", "recipe.yaml", "metrics.json", "confusion.svg")  # of one run, which an average is not


def averaged(
    recipe: Recipe,
    before: str,
    clients: Mapping[str, str],
    division: str,
    seed: int,
    own_norms: bool = False,
    finished: Sequence[str] = (),
) -> dict[str, Any]:
    """Average the models of a round's clients by their training rows, and score the average; a child of a study.

    Writes `model/` and the outputs of the test rows; with `own_norms` also `clients/<number>`, a model for each client.

    Args:
        before: the child with the models that the clients began with.
        clients: number of each client of the round, from 1 -> the child that it trained.
        division: name of the division of the rows among all clients.
        own_norms: the clients' norms, weights and statistics, are neither sent nor averaged.
        finished: children of earlier rounds whose weights nothing needs any more; they are removed.

    Returns:
        `test`: accuracy with its interval (Wilson), and `n`; `clients`: `accuracy` and `n` of each on the test rows like its own;
        `uplink`: bytes that the round's clients sent, and those of one whole model; `train`: seconds and rows.

    Raises:
        RunError: the models have other tensors.
    """
    started = time.perf_counter()
    quiet_libraries()
    children = recipe.output_dir.parent
    folders = {int(number): children / child / "model" for number, child in clients.items()}
    rows = [int(RunFolder(children / child).metrics_of_run()["train"]["n"]) for child in clients.values()]
    began = {number: started_from(children / before, number, own_norms) for number in folders}
    models = {number: weights_in(folder) for number, folder in folders.items()}
    check_alike(models)
    kept = own_tensors(next(iter(folders.values())), next(iter(models.values()))) if own_norms else set()
    sent = changed(models, {number: weights_in(folder) for number, folder in began.items()}) - kept
    mean = average(list(models.values()), rows)
    first = next(iter(folders.values()))
    write_model(recipe.output_dir / "model", first, mean, recipe)
    found = read_division(children, seed, division)
    names, owner = found["names"], found["owners"]
    own: dict[int, Path] = {}
    for number in range(1, len(names) + 1) if own_norms else ():
        theirs = models.get(number) or weights_in(started_from(children / before, number, True))
        own[number] = recipe.output_dir / OWN / str(number)
        write_model(own[number], first, {**mean, **{name: theirs[name] for name in kept}}, recipe)
    outputs = score(recipe, own, owner)
    right = is_right(outputs)
    accuracies, counts = client_accuracies(right, owner, len(names))
    low, high = wilson(int(right.sum()), len(right))
    tensors = next(iter(models.values()))
    each = sum(tensors[name].nbytes for name in sent)
    for child in finished:
        forget(children / child)
    return {
        "test": {"accuracy": float(right.mean()), "n": len(right), "low": low, "high": high},
        "clients": {"accuracy": accuracies, "n": counts, "rows": dict(zip(map(str, folders), rows, strict=True))},
        "uplink": {"round": each * len(models), "client": each, "model": model_size(recipe, first, tensors)},
        "train": {"seconds": round(time.perf_counter() - started, 3), "n": sum(rows)},
    }


def started_from(before: Path, number: int, own_norms: bool) -> Path:
    """The folder of the model with which a client began a round."""
    own = before / OWN / str(number)
    return own if own_norms and own.is_dir() else before / "model"


def weights_in(folder: Path) -> dict[str, Tensor]:
    """The tensors of a model folder: those of its adapter if it has one.

    Raises:
        RunError: there is no file of weights, or they are in several.
    """
    for name in (ADAPTER, WHOLE):
        if (folder / name).is_file():
            return load_file(folder / name)
    raise RunError(f"{folder} has no {WHOLE}; add --fresh to start the study again")


def check_alike(models: Mapping[int, Weights]) -> None:
    """Raise RunError if the models have tensors of other names or shapes, as adapters of changing rank have."""
    first = next(iter(models.values()))
    for number, model in models.items():
        strange = [name for name in {*first, *model} if name not in first or name not in model]
        strange += [name for name in first if name in model and first[name].shape != model[name].shape]
        if strange:
            raise RunError(
                f"the model of client {number} has another {min(strange)} than the first one's; they have no mean"
            )


def changed(models: Mapping[int, Weights], began: Mapping[int, Weights]) -> set[str]:
    """Names of the tensors that training changed in any client: what has to be sent; the others are known already."""
    return {
        name
        for number, model in models.items()
        for name, tensor in model.items()
        if name not in began[number] or not torch.equal(tensor, began[number][name])
    }


def own_tensors(folder: Path, tensors: Weights) -> set[str]:
    """Names of the tensors of norms: weights, biases and statistics.

    Raises:
        BadInput: the model has none that could stay a client's own.
    """
    model = load_predictor(str(folder), device="cpu").model
    paths = [path for path, _ in layers.norms(model)]
    found = {name for name in tensors if name.rpartition(".")[0] in paths}
    if not found:
        raise BadInput(f"fedbn: {type(model).__name__} has no norms among what is exchanged; leave fedbn out")
    return found


def write_model(folder: Path, like: Path, weights: Weights, recipe: Recipe) -> None:
    """Write a model folder with these weights, the config and processor of another one, and the recipe."""
    name = ADAPTER if (like / ADAPTER).is_file() else WHOLE

    def write(temp_dir: Path) -> None:
        shutil.copytree(like, temp_dir, ignore=shutil.ignore_patterns(name, *_LEFT_OUT))
        (temp_dir / "recipe.yaml").write_text(yaml_lines.dump(recipe.resolved()), encoding="utf-8")
        save_file({key: tensor.contiguous() for key, tensor in weights.items()}, temp_dir / name, {"format": "pt"})

    folder.parent.mkdir(parents=True, exist_ok=True)
    write_folder(folder, write)


def score(recipe: Recipe, own: Mapping[int, Path], owner: Sequence[int]) -> Outputs:
    """The outputs for the test rows, each answered by the model of its client where clients have their own.

    Args:
        own: number of a client, from 1 -> the folder of its model; empty: the average answers all.
        owner: the client of each row, from 0; the average answers for those that no client has.
    """
    loaded, labels = data.load_splits(recipe.data, recipe.the_task, recipe.seed)
    rows: Any = loaded.test
    numbers = np.asarray(owner)
    logits = torch.zeros(len(rows), labels.size)
    groups = [(folder, np.flatnonzero(numbers == number - 1)) for number, folder in own.items()]
    left = np.flatnonzero(numbers < 0) if own else np.arange(len(rows))
    for folder, chosen in [*groups, (recipe.output_dir / "model", left)]:
        if len(chosen):
            held = HeldOut.of(load_predictor(str(folder)), loaded.columns, labels, str(folder))
            order = torch.arange(labels.size) if held.order is None else held.order
            found = torch.cat([some for some, _ in held.answers(rows.select(chosen))])
            logits[torch.from_numpy(chosen)] = found.index_select(1, order)
    return stored(recipe.output_dir / "outputs" / "test.safetensors", logits, rows, labels, loaded.origin["test"])


def stored(path: Path, logits: Tensor, rows: Any, labels: Labels, origin: str) -> Outputs:
    """Write logits `(N, C)` in the data's order of classes as a run stores its outputs."""
    file = OutputsFile(path, "test", origin, labels, np.arange(len(rows)))
    file.add(columns_of(logits, torch.tensor(rows["labels"][:]), labels))
    return file.close()


def model_size(recipe: Recipe, folder: Path, tensors: Weights) -> int:
    """Bytes of all weights of one model: beside an adapter, of the backbone with it."""
    if recipe.layers.adapter is None:
        return sum(tensor.nbytes for tensor in tensors.values())
    model = load_predictor(str(folder), device="cpu").model
    return sum(tensor.nbytes for tensor in model.state_dict().values())


def forget(folder: Path) -> None:
    """Remove the weights in the folder of a child; its figures stay."""
    for path in (folder / "model").glob("*.safetensors"):
        path.unlink()
    shutil.rmtree(folder / OWN, ignore_errors=True)

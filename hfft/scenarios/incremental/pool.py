"""An adapter for each task on one frozen network, chosen for each row by the nearest key: prompts as L2P and S-Prompts have them.

What is as in L2P (Wang et al. 2022, arXiv:2112.08654): the network stays frozen, what a task adds is chosen by the network's own
features of the row, and nobody says which task a row is from. What is otherwise, and as in S-Prompts (Wang, Huang and Hong
2022, arXiv:2207.12819): each task has an adapter and rows of the head of its own, and keys found by k-means over the features of
its training rows. L2P learns keys and prompts together, draws several prompts for a row from a pool that all tasks share, and has
one head, of which the classes of other tasks are masked in training. Here tasks share nothing that learns, so that none is
forgotten: what is lost is lost by the choice.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from hfft import data
from hfft.errors import BadInput
from hfft.features import of_recipe
from hfft.predict import Predictor, load_predictor
from hfft.predict.head_inputs import BATCH
from hfft.recipe import Recipe, load_recipe
from hfft.scenarios.incremental.domains import domains_of_split
from hfft.scenarios.incremental.scored import accuracy, write_outputs
from hfft.tasks.labels import Labels

Keys = int | Literal["classes"]
POOL = "pool"  # the folder of a pool in that of a child
KEYS = "keys.safetensors"
ABOUT = "pool.json"
UNCHOSEN = -30.0  # log-probability of the classes of tasks that were not chosen: finite, and below any that matters


def keys_of(x: np.ndarray, labels: np.ndarray, keys: Keys, seed: int) -> np.ndarray:
    """The keys of a task, `(K, D)`: the mean of each class, or centres by k-means.

    Args:
        x, labels: features and classes of its training rows, `(n, D)` and `(n,)`.
        keys: `classes`, or so many centres, at most one for each row.
        seed: of k-means.
    """
    x = x.astype(np.float64)
    if keys == "classes":
        return np.stack([x[labels == k].mean(0) for k in np.unique(labels)])
    from sklearn.cluster import KMeans

    return KMeans(min(keys, len(np.unique(x, axis=0))), n_init=4, random_state=seed).fit(x).cluster_centers_


def choose(x: np.ndarray, keys: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """The task of the key that is nearest to each row, `(N,)`.

    Args:
        x, keys: features `(N, D)` and keys `(K, D)`.
        owners: the task of each key, `(K,)`.
    """
    x = x.astype(np.float64)
    return owners[(np.square(keys).sum(1) - 2 * x @ keys.T).argmin(1)]


@dataclass(frozen=True)
class Pool:
    """The keys and adapters of the tasks so far.

    Attributes:
        names: all classes so far, in the order of the logits.
        keys, owners: as in `choose`.
        tasks: the classes of each task.
        adapters: the folder of the model of each task; None for a task of one class, which needs none.
    """

    names: Sequence[str]
    keys: np.ndarray
    owners: np.ndarray
    tasks: Sequence[Sequence[str]]
    adapters: Sequence[Path | None]

    def logits(
        self, rows: Any, columns: Mapping[str, str], x: np.ndarray, given: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Logits `(N, C)`, log-probabilities of the chosen task's classes, and the chosen tasks `(N,)`.

        Args:
            rows, columns: a split, and role -> column.
            x: what the frozen network makes of each row, `(N, D)`.
            given: the task of each row, where it is known; else the nearest key chooses.
        """
        chosen = choose(x, self.keys, self.owners) if given is None else given
        found = np.full((len(rows), len(self.names)), UNCHOSEN, np.float32)
        for task in np.unique(chosen):
            places, model = np.flatnonzero(chosen == task), self.adapters[task]
            if model is None:
                found[places, self.names.index(self.tasks[task][0])] = 0.0
                continue
            predictor = load_predictor(str(model))
            own = np.array([self.names.index(name) for _, name in sorted(predictor.model.config.id2label.items())])
            found[np.ix_(places, own)] = log_probabilities(predictor, rows.select(places), columns)
        return found, chosen


def log_probabilities(
    predictor: Predictor, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]
) -> np.ndarray:
    """Log-probabilities of rows, `(N, C)`, read a few batches at a time."""
    reader, rest = predictor.modality.inputs, iter(rows)
    found = []
    while some := list(islice(rest, BATCH * reader.gathered)):
        found.append(torch.log_softmax(predictor.logits([reader.of_row(row, columns) for row in some], BATCH), 1))
    return torch.cat(found).numpy()


def add_task(
    recipe: Recipe,
    tasks: Sequence[Sequence[str]],
    runs: Sequence[str | None],
    keys: Keys,
    domains: Sequence[str] = (),
    before: str | None = None,
    task_incremental: bool = False,
    last: bool = False,
) -> dict[str, Any]:
    """Add the keys of a task, and answer the test rows with all adapters so far; a child of a study.

    Args:
        recipe: of the task, with the pretrained network as its backbone.
        tasks: the classes of each task so far.
        runs: the children that have trained their adapters; None for a task of one class.
        domains: of each task, where tasks are domains.
        before: the child with the keys so far.
        task_incremental: use the adapter of each row's own task, in place of the one that its features choose.
        last: write the adapters beside the keys, so that the pool can be scored again.

    Returns:
        `test`: accuracy and n; `chosen`: the share of rows of which the right task was chosen; `memory`: bytes and numbers.
    """
    started = time.perf_counter()
    children, folder = recipe.output_dir.parent, recipe.output_dir / POOL
    task = len(tasks) - 1
    own = recipe.data
    if len(tasks[task]) > 1:  # the very rows that its adapter has learned, of those that the recipe may draw
        own = own.model_copy(update={"classes": list(tasks[task]), "train_classes": None})
    train = of_recipe(recipe.model_copy(update={"data": own}), ("train",))["train"]
    assert train.labels is not None
    new = keys_of(train.values, train.labels, keys, recipe.seed)
    held = {"keys": new, "owners": np.full(len(new), task)}
    if before is not None:
        path = children / before / POOL / KEYS
        if not path.is_file():
            raise BadInput(f"{before} has no keys, since it failed; a pool grows task by task")
        held = {name: np.concatenate([value, held[name]]) for name, value in load_file(path).items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(held, folder / KEYS)
    models = [None if run is None else children / run / "model" for run in runs]
    names = list(dict.fromkeys(name for group in tasks for name in group))
    size = sum(file.stat().st_size for model in models if model is not None for file in weights(model))
    if last:
        write_pool(folder, recipe, models, {"names": names, "tasks": tasks, "domains": domains})
    found = _answered(recipe, Pool(names, held["keys"], held["owners"], tasks, models), domains, task_incremental)
    return {
        **found,
        "memory": {"rows": 0, "bytes": size + held["keys"].nbytes, "numbers": int(held["keys"].size)},
        "labels": names,
        "train": {"seconds": round(time.perf_counter() - started, 3)},
        "seed": recipe.seed,
    }


def weights(model: Path) -> list[Path]:
    """The files of what a task added: its adapter, or the whole model where nothing is stored apart."""
    return [*model.glob("adapter_model*.safetensors")] or [*model.glob("model*.safetensors")]


def write_pool(folder: Path, recipe: Recipe, models: Sequence[Path | None], about: Mapping[str, Any]) -> None:
    """Write beside the keys what is needed to score a pool again: each task's model, as `task-<t>/`, and the recipe."""
    for t, model in enumerate(models):
        shutil.rmtree(folder / f"task-{t + 1}", ignore_errors=True)
        if model is not None:
            shutil.copytree(model, folder / f"task-{t + 1}", ignore=shutil.ignore_patterns("*.svg", "metrics.json"))
    values = recipe.resolved()
    values["data"] = {**values["data"], "client": None, "train_classes": None}
    text = json.dumps({**about, "recipe": values}, indent=1, default=list, ensure_ascii=False)
    (folder / ABOUT).write_text(text, encoding="utf-8")


def _answered(recipe: Recipe, pool: Pool, domains: Sequence[str], task_incremental: bool) -> dict[str, Any]:
    """The figures of a pool on the test rows of a recipe, whose outputs are written."""
    loaded, _ = data.load_splits(recipe.data, recipe.the_task, recipe.seed)
    test: Any = loaded.test
    read = of_recipe(recipe, ("test",))["test"]
    assert read.labels is not None
    truth = np.array([pool.names.index(read.names[label]) for label in read.labels])
    if domains:
        whose = [
            list(domains).index(name) if name in domains else -1
            for name in domains_of_split(recipe, loaded, "test").tolist()
        ]
    else:
        whose = [next(t for t, group in enumerate(pool.tasks) if pool.names[label] in group) for label in truth]
    of = np.array(whose)
    logits, chosen = pool.logits(test, loaded.columns, read.values, of if task_incremental else None)
    path = recipe.output_dir / "outputs" / "test.safetensors"
    write_outputs(path, logits, truth, Labels.of(recipe.problem, pool.names))
    counted = of >= 0  # rows of domains that are still to come have no adapter yet
    right = float((chosen == of)[counted].mean()) if counted.any() else float("nan")
    return {**accuracy(path), "chosen": {"right": right, "n": int(counted.sum())}}


def load_pool(folder: Path) -> tuple[Pool, dict[str, Any]]:
    """A pool that a study left, and what is written with it: `recipe`, `tasks`, `domains`.

    Raises:
        BadInput: there is none.
    """
    if not (folder / ABOUT).is_file():
        raise BadInput(
            f"{folder} has no {ABOUT}; name the folder {POOL} of the last task's child, such as l2p-pool-5-1"
        )
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    held = load_file(folder / KEYS)
    models = [folder / f"task-{t + 1}" if len(group) > 1 else None for t, group in enumerate(about["tasks"])]
    return Pool(about["names"], held["keys"], held["owners"], about["tasks"], models), about


def score_pool(folder: Path | str, output: Path | str, *overrides: str) -> dict[str, Any]:
    """Score a pool on the test rows of its recipe, or of other data.

    Args:
        folder: of the pool.
        output: where outputs are written.
        overrides: `data.path=…` and others, as on a command line.

    Returns:
        `test`: accuracy and n; `chosen`: as in `add_task`.
    """
    pool, about = load_pool(Path(folder))
    values = about["recipe"]
    values["training"] = {**values["training"], "output_dir": str(output)}
    return _answered(load_recipe(values, *overrides), pool, about["domains"], task_incremental=False)

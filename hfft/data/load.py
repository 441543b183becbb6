"""Find the data and its splits: hub, folder, file or built in; columns checked, labels encoded, held-out rows set aside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import datasets
import numpy as np
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict, SplitDict, SplitInfo

from hfft.access import reading
from hfft.data import builtin, labels
from hfft.errors import DataError, listing, nearest
from hfft.recipe import Recipe
from hfft.tasks import Labels

Rows = Dataset | IterableDataset
_BUILDERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet", ".txt": "text"}
_VALIDATION = ("validation", "valid", "val", "dev")
DEFAULT_VALIDATION = 0.1


@dataclass(frozen=True)
class Splits:
    """The three splits, labels encoded in column `labels`, and where they come from.

    Attributes:
        columns: role (`image`, `text`, …) -> column.
        origin: split -> what it is, such as `0.02 of train, stratified, seed 42`; goes into reports.
        sizes: split -> number of rows; None for a stream that does not state it.
        revision: commit of a hub data set.
    """

    train: Rows
    validation: Rows | None
    test: Rows | None
    columns: dict[str, str]
    origin: dict[str, str]
    sizes: dict[str, int | None]
    revision: str | None = None
    notes: tuple[str, ...] = ()

    def items(self) -> list[tuple[str, Rows]]:
        """(name, rows) of the splits that are there."""
        named = (("train", self.train), ("validation", self.validation), ("test", self.test))
        return [(name, rows) for name, rows in named if rows is not None]


def load_splits(recipe: Recipe) -> tuple[Splits, Labels]:
    """The recipe's data, split and with encoded labels, and what the labels mean.

    Raises:
        DataError: no such split or column, a label that is missing, out of range or unknown in train, an empty split.
        BadInput, HubError: the data is not there or cannot be reached.
    """
    raw, revision = _load_raw(recipe)
    train, validation, test = _choose(raw, recipe)
    held_out = {name: split for name, split in (("validation", validation), ("test", test)) if isinstance(split, str)}
    parts: dict[str, Rows] = {"train": raw[train], **{name: raw[split] for name, split in held_out.items()}}
    origin = {"train": train, **held_out}
    columns = _columns(parts["train"], recipe)
    parts = {name: _images(rows, columns, recipe) for name, rows in parts.items()}
    for name, rows in parts.items():
        _check_columns(rows, columns, name)
    if recipe.data.streaming:
        return _streams(cast(dict[str, IterableDataset], parts), columns, origin, revision, recipe)
    encoded, meaning, notes = labels.encode(cast(dict[str, Dataset], parts), columns, recipe)
    origin = {name: what for name, what in origin.items() if name in encoded}
    for name, share in (("test", test), ("validation", validation)):
        if isinstance(share, float):
            seed = recipe.training.get("seed", 42)
            encoded["train"], encoded[name] = _set_aside(encoded["train"], share, meaning, seed, name)
            stratified = ", stratified" if meaning.problem == "single_label_classification" else ""
            origin[name] = f"{share:.3g} of {train}{stratified}, seed {seed}"
    for name, rows in encoded.items():
        cap = _cap(name, recipe)
        if cap is not None and cap < len(rows):
            encoded[name] = rows.select(_sample(rows, cap, meaning, recipe.training.get("seed", 42)))
            origin[name] += f", {cap} of {len(rows)} rows"
        if not len(encoded[name]):
            raise DataError(f"split {name} of {recipe.data.path} is empty; name another in data.{name}")
    sizes: dict[str, int | None] = {name: len(rows) for name, rows in encoded.items()}
    held = encoded.get("validation"), encoded.get("test")
    splits = Splits(encoded["train"], *held, columns, origin, sizes, revision, tuple(notes))
    labels.check_counts(splits, meaning)
    return splits, meaning


def _cap(split: str, recipe: Recipe) -> int | None:
    return recipe.data.max_train_samples if split == "train" else recipe.data.max_eval_samples


def _streams(
    parts: dict[str, IterableDataset],
    columns: dict[str, str],
    origin: dict[str, str],
    revision: str | None,
    recipe: Recipe,
) -> tuple[Splits, Labels]:
    """The splits of a streamed set. Their sizes are what the set states; a choice of classes makes them unknown."""
    sizes: dict[str, int | None] = {}
    for name, rows in parts.items():
        stated = (rows.info.splits or {}).get(origin[name])
        sizes[name] = stated.num_examples if stated and stated.num_examples and not recipe.data.classes else None
    streamed, meaning = labels.encode_streams(parts, columns, recipe)
    for name, rows in streamed.items():
        cap = _cap(name, recipe)
        if cap is not None:
            streamed[name] = rows.take(cap)
            sizes[name] = min(cap, sizes[name] or cap)
    held = streamed.get("validation"), streamed.get("test")
    return Splits(streamed["train"], *held, columns, origin, sizes, revision), meaning


def _load_raw(recipe: Recipe) -> tuple[DatasetDict | IterableDatasetDict, str | None]:
    data = recipe.data
    if data.path in builtin.BUILTIN:
        raw = builtin.load(data.path)
        if data.streaming:
            for rows in raw.values():
                rows.info.splits = SplitDict({name: SplitInfo(name, num_examples=len(r)) for name, r in raw.items()})
            raw = IterableDatasetDict({name: rows.to_iterable_dataset() for name, rows in raw.items()})
        return raw, None
    arguments = _given(data, ("name", "data_files", "data_dir"))
    path, revision = data.path, data.revision
    file = Path(path)
    if file.suffix in _BUILDERS and (file.is_file() or re.search(r"[*?\[]", path)):
        arguments["data_files"] = arguments.get("data_files") or path
        path = _BUILDERS[file.suffix]
        if file.suffix == ".tsv":
            arguments["sep"] = "\t"
    elif file.suffix in _BUILDERS:
        raise DataError(f"data.path: no file {path!r}; name a file that exists")
    elif not file.exists() and path not in (*_BUILDERS.values(), "imagefolder") and path.startswith((".", "/", "~")):
        raise DataError(f"data.path: no folder {path!r}; name one that exists")
    elif not file.exists() and "/" in path:
        revision = _commit(path, revision) or revision
    with reading(f"data set {data.path}"):
        raw = datasets.load_dataset(path, revision=revision, streaming=data.streaming, **arguments)
    return raw, revision if revision and re.fullmatch(r"[0-9a-f]{40}", revision) else None


def _given(data: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The named fields that are set."""
    return {name: getattr(data, name) for name in names if getattr(data, name) is not None}


def _commit(path: str, revision: str | None) -> str | None:
    """The commit a hub data set stands at, so that the run can be repeated; None where the hub cannot be asked."""
    from huggingface_hub import HfApi

    try:
        with reading(f"data set {path}"):
            return HfApi().dataset_info(path, revision=revision, timeout=10).sha
    except DataError:
        raise
    except Exception:  # offline with a warm cache is fine; a missing data set is reported by the load that follows
        return None


def _choose(raw: Any, recipe: Recipe) -> tuple[str, str | float | None, str | float | None]:
    """Names of the train, validation and test splits, or the share of train that stands in for one."""
    there, data = list(raw), recipe.data
    for role in ("train", "validation", "test"):
        name = getattr(data, role)
        if isinstance(name, str) and name not in there:
            raise DataError(f"data.{role}: no split {name!r}{nearest(name, there)} {data.path} has: {listing(there)}")
    validation, test = data.validation, data.test
    if validation is None:
        found = [name for name in _VALIDATION if name in there and name != data.train]
        validation = found[0] if found else None if data.streaming else DEFAULT_VALIDATION
    if test is None and "test" in there and data.train != "test":
        test = "test"
    return data.train, validation, test


def _columns(rows: Rows, recipe: Recipe) -> dict[str, str]:
    """Role -> column: as the recipe says, by the usual name, or the only column of the right type."""
    features = rows.features or {}
    found: dict[str, str] = {}
    for role, usual in recipe.the_task.columns.items():
        named = getattr(recipe.data.columns, role)
        if named is not None or usual in features:
            found[role] = named or cast(str, usual)
            continue
        if usual is None:
            continue
        fits = [name for name, feature in features.items() if _plays(role, feature)]
        if len(fits) != 1:
            raise DataError(
                f"data.columns.{role}: which column is it? {recipe.data.path} has: {listing(features)}; "
                f"name one, as in data.columns.{role}={fits[0] if fits else 'NAME'}"
            )
        found[role] = fits[0]
    return found


def _plays(role: str, feature: Any) -> bool:
    if role == "image":
        return isinstance(feature, datasets.Image)
    if role == "label":
        return isinstance(feature, datasets.ClassLabel)
    return isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")


def _check_columns(rows: Rows, columns: dict[str, str], split: str) -> None:
    features = rows.features or {}
    for role, column in columns.items():
        if features and column not in features:
            raise DataError(
                f"data.columns.{role}: no column {column!r} in split {split}{nearest(column, features)} "
                f"(it has: {listing(features)})"
            )
        if role == "image" and not isinstance(features.get(column, datasets.Image()), datasets.Image):
            raise DataError(f"data.columns.image: column {column!r} holds {features[column]}, no images; name another")
        if role in ("text", "text_pair") and not _plays("text", features.get(column, datasets.Value("string"))):
            raise DataError(f"data.columns.{role}: column {column!r} holds {features[column]}, no text; name another")


def _images(rows: Rows, columns: dict[str, str], recipe: Recipe) -> Rows:
    """Let a column of paths (a CSV of file names) be images; relative paths start at the file's folder."""
    column = columns.get("image")
    features = rows.features or {}
    if column is None or not _plays("text", features.get(column)):
        return rows
    files = recipe.data.data_files if isinstance(recipe.data.data_files, str) else recipe.data.path
    folder = Path(files).parent if Path(files).suffix else Path(recipe.data.data_dir or files)
    rows = rows.map(lambda path: {column: str(folder / path)}, input_columns=[column])
    return rows.cast_column(column, datasets.Image())


def _strata(rows: Dataset, meaning: Labels) -> np.ndarray | None:
    if meaning.problem != "single_label_classification":
        return None
    return np.asarray(rows.with_format("arrow")[:]["labels"])


def _set_aside(rows: Dataset, share: float, meaning: Labels, seed: int, name: str) -> tuple[Dataset, Dataset]:
    """(kept, set aside): `share` of the rows, in every class alike where there are classes; both in the data's order."""
    rng = np.random.default_rng((seed, {"validation": 1, "test": 2}[name]))
    strata = _strata(rows, meaning)
    groups = [np.arange(len(rows))] if strata is None else [np.flatnonzero(strata == c) for c in range(meaning.size)]
    exact = np.array([share * len(group) for group in groups])
    counts = np.floor(exact).astype(int)
    left = max(1, round(share * len(rows))) - counts.sum()  # rows that rounding down left over: to the largest remainders
    counts[np.lexsort((rng.random(len(groups)), counts - exact))[: max(left, 0)]] += 1
    taken = [rng.permutation(group)[:count] for group, count in zip(groups, counts, strict=True)]
    chosen = np.zeros(len(rows), bool)
    chosen[np.concatenate(taken)] = True
    if not chosen.any() or chosen.all():
        raise DataError(f"data.{name}: {share} of {len(rows)} rows leaves a split empty; name another share or a split")
    return rows.select(np.flatnonzero(~chosen)), rows.select(np.flatnonzero(chosen))


def _sample(rows: Dataset, cap: int, meaning: Labels, seed: int) -> np.ndarray:
    """Indices of `cap` rows, drawn in turn from every class so that few rows still hold all classes."""
    order = np.random.default_rng((seed, 3)).permutation(len(rows))
    strata = _strata(rows, meaning)
    if strata is not None:
        turn = np.empty(len(rows), int)
        for c in range(meaning.size):
            of_class = strata[order] == c
            turn[of_class] = np.arange(of_class.sum())
        order = order[np.argsort(turn, kind="stable")]
    return np.sort(order[:cap])


def load_column(path: str, split: str, column: str | None, modality: str) -> Iterator[Any]:
    """The images or texts of one split of any data set, unlabelled ones included.

    Raises:
        DataError: no such split or column.
    """
    recipe = Recipe.model_validate(
        {
            "name": "predict",
            "task": "image-classification" if modality == "image" else "text-classification",
            "backbone": {"name": "-"},
            "data": {"path": path},
        }
    )
    raw, _ = _load_raw(recipe)
    if split not in raw:
        raise DataError(f"--split: no split {split!r}{nearest(split, raw)} ({path} has: {listing(raw)})")
    rows = raw[split]
    fits = [name for name, feature in rows.features.items() if _plays(modality, feature)]
    usual = [name for name in fits if name == modality] or fits
    if column is None and len(usual) != 1:
        raise DataError(f"--column: which column is it? {path} has: {listing(rows.features)}")
    chosen = column or usual[0]
    _check_columns(rows, {modality: chosen}, split)
    return (row[chosen] for row in rows.select_columns([chosen]))

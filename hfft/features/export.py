"""Features of any split of any data set by any model, slice by slice: memory does not grow with the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Dataset
from datasets.fingerprint import Hasher

from hfft import backbone
from hfft.data.inputs import VERSION
from hfft.data.predicted import Opened, Reading, open_rows
from hfft.data.splits import column
from hfft.errors import BadInput
from hfft.features.cache import Chosen, opened_cache
from hfft.features.extract import check_finite, extract_views
from hfft.features.source import Source, open_source
from hfft.features.views import View
from hfft.predict.trained import label_of, reading_of, stated

SLICE = 4096  # rows that are read, sorted by length and written together


@dataclass(frozen=True)
class Wanted:
    """Which features of which rows.

    Attributes:
        source: a run folder, a model folder or a hub id.
        data: a data set as in `data.path` of a recipe.
        split: its split; default: the only one, or `test`.
        columns: role -> column: `image`, `text`, `text_pair`, `id`, `label`; default: as in the run, or the usual ones.
        pooling, layer: as in `View`; default: the pooling that the model was trained with.
        read: how tables are written, as `encoding=cp1252`.
    """

    source: str
    data: str
    split: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    pooling: str | None = None
    layer: int | str = -1
    batch_size: int = 32
    read: tuple[str, ...] = ()


class Export:
    """Features of one split, ready to be written.

    Attributes:
        rows: number of rows.
        view: the layer and the pooling.
        features: of the columns `id`, `label` (if there are labels) and `features`; without the width, which is not known yet.
    """

    def __init__(self, wanted: Wanted):
        """Open the model and the data.

        Raises:
            BadInput: one of them is not there, or they do not fit.
        """
        if wanted.batch_size < 1:
            raise BadInput(f"--batch-size {wanted.batch_size}: must be at least 1")
        self.wanted = wanted
        self.source: Source = open_source(wanted.source, wanted.pooling)
        self.view = View(wanted.pooling or self.source.fitting.pooling, wanted.layer)
        modality = self.source.task.modality
        chosen = {modality.name if role == "input" else role: name for role, name in wanted.columns.items()}
        label = chosen.pop("label", None)
        if strange := set(chosen) - {*modality.columns, "id"}:
            raise BadInput(f"--pair-column: the model takes {modality.one}, and no {min(strange)}; leave it out")
        reading = replace(reading_of(_location(wanted.source)), chosen=chosen, split=wanted.split)
        reading = replace(reading, options={**reading.options, **stated(wanted.read)})
        self._opened = _with_labels(wanted, modality, reading, label)
        self.rows = len(self._opened.rows)
        self._prepared = self._prepare()

    def line(self) -> str:
        """What is computed, for the user."""
        why = f", {self.source.fitting.why}" if self.wanted.pooling is None else ""
        return f"{self.rows} rows of split {self._opened.split}; pooling: {self.view.pooling}{why}"

    @property
    def split(self) -> str:
        """The split that is read."""
        return self._opened.split

    def _prepare(self) -> Any:
        """The rows as the model's inputs: texts tokenised once, images decoded when read."""
        opened, inputs, processor = self._opened, self.source.task.modality.inputs, self.source.processor
        rows = opened.rows.select_columns(list(dict.fromkeys(opened.columns.values())))
        renamed = {role: name if name not in ("row", "labels") else f"{name}_" for role, name in opened.columns.items()}
        for role, name in opened.columns.items():
            if renamed[role] != name:
                rows = rows.rename_column(name, renamed[role])
        rows = rows.add_column("labels", pa.array(np.zeros(len(rows), np.int64)))
        rows = rows.add_column("row", pa.array(np.arange(len(rows))))
        step = inputs.step(processor, renamed, opened.split, on_device=inputs.on_device(processor))
        return inputs.rows(rows, step, Hasher.hash((VERSION, processor, renamed, "features")))

    def names(self) -> tuple[str, ...]:
        """The classes by number, if labels are numbers of classes with names."""
        kind = self._opened.rows.features.get(self._opened.label)
        return tuple(kind.names) if isinstance(kind, ClassLabel) else ()

    def slices(self, places: np.ndarray | None = None) -> Iterator[dict[str, Any]]:
        """`id` and `label` (Arrow arrays) and `features` `(n, D)` of successive rows; stored ones are not computed again.

        Args:
            places: the rows wanted, `(N,)`; default: all.

        Raises:
            DataError: a row cannot be read, or its features are not finite; the message names it.
        """
        source, wanted, opened = self.source, self.wanted, self._opened

        def computed(rows: Any) -> list[np.ndarray]:
            return extract_views(source.loaded(), source.processor, rows, source.task, [self.view], wanted.batch_size)

        with opened_cache(source.model, [self.view]) as cache:
            wanted_rows = np.arange(self.rows) if places is None else places
            for start in range(0, len(wanted_rows), SLICE):
                numbers = wanted_rows[start : start + SLICE]
                (features,) = cache.features(Chosen(self._prepared, numbers), computed)
                part = opened.rows.select(numbers)
                found = {"id": pa.array(numbers) if opened.id is None else _array(part, opened.id)}
                if opened.label is not None:
                    found["label"] = _array(part, opened.label)
                check_finite(features, found["id"].to_pylist(), f"split {opened.split}")
                yield {**found, "features": features}

    def schema(self, width: int) -> datasets.Features:
        """The columns as `datasets` describes them."""
        kinds = self._opened.rows.features
        ids = datasets.Value("int64") if self._opened.id is None else kinds[self._opened.id]
        label = {} if self._opened.label is None else {"label": kinds[self._opened.label]}
        return datasets.Features(
            {"id": ids, **label, "features": datasets.List(datasets.Value("float32"), length=width)}
        )

    def table(self, part: Mapping[str, Any]) -> pa.Table:
        """A slice as an Arrow table of the schema."""
        width = part["features"].shape[1]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(part["features"].ravel(), pa.float32()), width)
        named = {**{key: value for key, value in part.items() if key != "features"}, "features": vectors}
        return pa.table(named).cast(self.schema(width).arrow_schema)


def _location(source: str) -> str:
    """Where a model's recipe is looked for: a run folder itself, the folder of a backbone of the package."""
    return source if Path(source).is_dir() else backbone.source(source)


def _with_labels(wanted: Wanted, modality: Any, reading: Reading, label: str | None) -> Opened:
    """The rows with their labels: of the named column, that of the run, or the usual one if it is there."""
    named = label or label_of(wanted.source) or "label"
    return open_rows(wanted.data, modality, reading, named, optional=label is None)


def _array(rows: Dataset, name: str) -> pa.Array:
    return column(rows, name).combine_chunks()


def features(
    source: str,
    data: str,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    pooling: str | None = None,
    layer: int | str = -1,
    batch_size: int = 32,
    read: tuple[str, ...] = (),
    format: str = "numpy",
) -> Dataset:
    """The features of a data set: columns `id`, `label` (if there are labels) and `features`, `(N, D)` float32.

    Args:
        source: a run folder, a model folder or a hub id.
        data: as `data.path` of a recipe.
        columns: role -> column, as in `data.columns` of a recipe.
        pooling: `cls`, `mean`, `max`, `last` or `pooler`; default: what the model was trained with.
        layer: number of a hidden state, -1 the last, or the path of a module.
        format: that of the result: `numpy`, `torch` or another of `datasets`.

    Raises:
        BadInput: model, data, layer or pooling cannot be used.
        DataError: a row cannot be read, or its features are not finite.
    """
    export = Export(Wanted(source, data, split, columns or {}, pooling, layer, batch_size, read))
    parts = [export.table(part) for part in export.slices()]
    schema = export.schema(parts[0]["features"].type.list_size)
    return Dataset(pa.concat_tables(parts), datasets.DatasetInfo(features=schema)).with_format(format)

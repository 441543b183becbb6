"""Load metrics by name from this package, or from a user's file. Nothing is downloaded or copied."""

from __future__ import annotations

import importlib
import importlib.util
import numbers
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from hfft.errors import BadInput
from hfft.tasks.measure import Measure, is_file
from hfft.tasks.problem import Problem
from hfft.wording import first_line, listing

if TYPE_CHECKING:
    import evaluate  # imported only where needed: it takes three seconds

HERE = "hfft.evaluate.metrics"


def check_files(names: Iterable[str]) -> None:
    """Load each metric that is a file, so that faults in it are reported before any data is downloaded.

    Raises:
        BadInput: the file does not exist, or defines no metric.
    """
    for name in names:
        if is_file(name):
            sys.modules.pop(_module_name(name), None)  # a notebook may have imported an earlier version
            load_metric(name, {})


def load_metric(name: str, known: Mapping[str, Measure]) -> evaluate.Metric:
    """The metric with a name in `Problem.metrics`, or the one in a file.

    Raises:
        BadInput: the file does not exist, or does not define exactly one metric.
    """
    if not is_file(name):
        measure = known[name]
        (found,) = metrics_in(importlib.import_module(f"{HERE}.{measure.module}"))
        return made(found, measure.config_name)
    found_in_file = metrics_in(module_of(name))
    if len(found_in_file) != 1:
        held = listing(one.__name__ for one in found_in_file) or "none"
        raise BadInput(
            f"score.metrics: {name} must define exactly one subclass of evaluate.Metric, but defines {held}; leave one in it"
        )
    try:
        return made(found_in_file[0])
    except Exception as error:
        raise BadInput(
            f"score.metrics: {name} cannot be instantiated: {first_line(error)}; fix its __init__ or _info"
        ) from error


def module_of(path: str) -> ModuleType:
    """The module of a user's file, imported in place once per process; `evaluate.load` would copy the file.

    Raises:
        BadInput: the file does not exist, or its import fails.
    """
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise BadInput(f"score.metrics: {path} does not exist; name a .py file that defines an evaluate.Metric")
    name = _module_name(path)
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None  # since it ends in .py
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[name])
        except Exception as error:
            del sys.modules[name]
            raise BadInput(f"score.metrics: {path} cannot be imported: {first_line(error)}; fix the file") from error
    return sys.modules[name]


def _module_name(path: str) -> str:
    return f"{HERE}:{Path(path).expanduser().resolve()}"


def metrics_in(module: ModuleType) -> list[type[evaluate.Metric]]:
    """The subclasses of `evaluate.Metric` that a module defines."""
    import evaluate

    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, evaluate.Metric) and value.__module__ == module.__name__
    ]


def made(metric: type[evaluate.Metric], config_name: str | None = None) -> evaluate.Metric:
    """An instance that stores its rows in memory.

    The Trainer passes each process the rows of all processes, so none waits for another. On disk, `evaluate` would lock a
    file in a folder that all runs share, and leave it there if the run is killed.
    """
    with tempfile.TemporaryDirectory() as folder:  # it still creates a folder in its cache, but does not use it
        return metric(config_name=config_name, keep_in_memory=True, cache_dir=folder)


def feed(metric: evaluate.Metric, name: str, columns: Mapping[str, np.ndarray], problem: Problem) -> None:
    """Add rows to a user's metric, with the columns of `Problem.answers` that its features name.

    Raises:
        BadInput: its features name other columns, or other types.
    """
    names = inputs(metric)
    missing = [column for column in names if column not in columns]
    if missing:
        raise BadInput(
            f"score.metrics: {name} needs {listing(missing)}, but {problem.name} has {listing(columns)}; change its features"
        )
    kinds = metric.features if isinstance(metric.features, list) else [metric.features]
    rows = {column: columns[column] for column in names}
    for column, values in rows.items():  # a user's metric may expect the values of a regression as numbers
        if values.ndim == 2 and values.shape[1] == 1 and any(hasattr(kind[column], "dtype") for kind in kinds):
            rows[column] = values[:, 0]
    try:
        metric.add_batch(**rows)
    except Exception as error:
        shapes = listing(f"{column} {values.dtype} {values.shape}" for column, values in rows.items())
        raise BadInput(
            f"score.metrics: {name} does not accept {shapes}: {first_line(error)}; change the features in its _info"
        ) from error


def inputs(metric: evaluate.Metric) -> list[str]:
    """The columns of `Problem.answers` that a metric's features name."""
    kinds = metric.features if isinstance(metric.features, list) else [metric.features]
    return list(kinds[0])


def direct_values(metric: evaluate.Metric, columns: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Compute one of this package's metrics from arrays: name -> value, as `metric.compute` does after `feed`.

    `evaluate` would write the rows to an Arrow table and read them again: 25 ms where the arithmetic takes less than one.
    """
    return metric._compute(**{column: columns[column] for column in inputs(metric)})


def metric_values(metric: evaluate.Metric, name: str) -> dict[str, float]:
    """Compute a user's metric from all rows added: name -> value.

    Raises:
        BadInput: it fails, or returns anything but a dict of numbers.
    """
    try:
        found = metric.compute()
    except Exception as error:
        raise BadInput(f"score.metrics: {name} failed: {first_line(error)}; fix its _compute") from error
    if not isinstance(found, Mapping) or not found:
        raise BadInput(f"score.metrics: {name} returned {type(found).__name__}; _compute must return a dict of numbers")
    for key, value in found.items():
        if not isinstance(key, str) or key in ("loss", "n"):
            raise BadInput(
                f"score.metrics: {name} returned {key!r}, which cannot be the name of a metric; choose another"
            )
        if not _is_number(value):
            raise BadInput(f"score.metrics: {name} returned {value!r:.80} as {key}; return one number")
    return {key: float(value) for key, value in found.items()}


def _is_number(value: Any) -> bool:
    plain = value.item() if isinstance(value, np.ndarray | np.generic) and value.ndim == 0 else value
    return isinstance(plain, numbers.Real)

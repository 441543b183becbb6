"""Metrics made from their names: those of the package, and a user's own from a file. Nothing is fetched or copied."""

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
    import evaluate  # otherwise imported by what needs it: it takes three seconds

HERE = "hfft.evaluate.metrics"


def check_files(names: Iterable[str]) -> None:
    """Load each metric that is a file, so that what is wrong with it is told before any data is fetched.

    Raises:
        BadInput: no such file, or no metric in it.
    """
    for name in names:
        if is_file(name):
            sys.modules.pop(_module_name(name), None)  # as it is now, in a notebook too
            load_metric(name, {})


def load_metric(name: str, known: Mapping[str, Measure]) -> evaluate.Metric:
    """The metric of a name of `Problem.metrics`, or the one in a file.

    Raises:
        BadInput: no such file, or no metric in it.
    """
    if not is_file(name):
        measure = known[name]
        (found,) = metrics_in(importlib.import_module(f"{HERE}.{measure.module}"))
        return made(found, measure.config_name)
    found_in_file = metrics_in(module_of(name))
    if len(found_in_file) != 1:
        held = listing(one.__name__ for one in found_in_file) or "none"
        raise BadInput(
            f"score.metrics: {name} must hold one subclass of evaluate.Metric and holds {held}; leave one in it"
        )
    try:
        return made(found_in_file[0])
    except Exception as error:
        raise BadInput(
            f"score.metrics: {name} cannot be made: {first_line(error)}; mend its __init__ or _info"
        ) from error


def module_of(path: str) -> ModuleType:
    """The module of a user's file; imported from where it lies, once in a process, while `evaluate.load` would copy it.

    Raises:
        BadInput: no such file, or it fails.
    """
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise BadInput(f"score.metrics: {path} is no file; name a .py file that holds an evaluate.Metric")
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
            raise BadInput(f"score.metrics: {path} cannot be imported: {first_line(error)}; mend the file") from error
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
    """An instance that keeps what it is fed in memory.

    Each process is given the rows of all of them by the Trainer, so none waits for another; a row is a few numbers. On disk,
    `evaluate` would lock a file in a folder that all runs share, and leave it there if the run is killed.
    """
    with tempfile.TemporaryDirectory() as folder:  # it makes a folder in its cache even so, and uses it for nothing
        return metric(config_name=config_name, keep_in_memory=True, cache_dir=folder)


def feed(metric: evaluate.Metric, name: str, columns: Mapping[str, np.ndarray], problem: Problem) -> None:
    """Add rows to a metric: of the columns of `Problem.answers` those that its features name.

    Raises:
        BadInput: it asks for others, or for rows of another kind.
    """
    kinds = metric.features if isinstance(metric.features, list) else [metric.features]
    missing = [column for column in kinds[0] if column not in columns]
    if missing:
        raise BadInput(
            f"score.metrics: {name} asks for {listing(missing)}; {problem.name} gives {listing(columns)}: change its features"
        )
    rows = {column: columns[column] for column in kinds[0]}
    if not is_file(name):
        metric.add_batch(**rows)
        return
    for column, values in rows.items():  # a user's metric may take the outputs of a regression as numbers
        if values.ndim == 2 and values.shape[1] == 1 and any(hasattr(kind[column], "dtype") for kind in kinds):
            rows[column] = values[:, 0]
    try:
        metric.add_batch(**rows)
    except Exception as error:
        shapes = listing(f"{column} {values.dtype} {values.shape}" for column, values in rows.items())
        raise BadInput(
            f"score.metrics: {name} refuses {shapes}: {first_line(error)}; change the features of its _info"
        ) from error


def figures_of(metric: evaluate.Metric, name: str) -> dict[str, float]:
    """What a metric computes of all that it was fed, by name.

    Raises:
        BadInput: a user's own fails, or returns anything but a dict of numbers.
    """
    if not is_file(name):
        return metric.compute()
    try:
        found = metric.compute()
    except Exception as error:
        raise BadInput(f"score.metrics: {name} failed: {first_line(error)}; mend its _compute") from error
    if not isinstance(found, Mapping) or not found:
        raise BadInput(f"score.metrics: {name} returned {type(found).__name__}; _compute returns a dict of numbers")
    for key, value in found.items():
        if not isinstance(key, str) or key in ("loss", "n"):
            raise BadInput(f"score.metrics: {name} returned {key!r}, which is no name of a metric; give it another")
        if not _is_number(value):
            raise BadInput(f"score.metrics: {name} returned {value!r:.80} as {key}; a figure is one number")
    return {key: float(value) for key, value in found.items()}


def _is_number(value: Any) -> bool:
    plain = value.item() if isinstance(value, np.ndarray | np.generic) and value.ndim == 0 else value
    return isinstance(plain, numbers.Real)

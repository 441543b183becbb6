"""A fitted classifier in two files, without pickle: arrays in `classifier.safetensors`, the rest in `classifier.json`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from hfft.classifier.boosting import Trees
from hfft.classifier.centroid import Centroids
from hfft.classifier.easytl import EasyTL
from hfft.classifier.files import ARRAYS, REST
from hfft.classifier.fitted import Fitted
from hfft.classifier.knn import Neighbours
from hfft.classifier.linear import Linear
from hfft.classifier.per_target import PerTarget
from hfft.classifier.svm import KernelMachine
from hfft.classifier.transforms.affine import Affine
from hfft.classifier.transforms.l2 import L2
from hfft.errors import BadInput
from hfft.wording import first_line

VERSION = 1
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (Fitted, Linear, Centroids, Neighbours, KernelMachine, Trees, EasyTL, PerTarget, Affine, L2)
}


def save(fitted: Fitted, folder: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write both files into a folder.

    Args:
        about: what else is to be known of it, such as which features it reads; see `about`.
    """
    arrays: dict[str, np.ndarray] = {}
    rest = {"version": VERSION, "about": dict(about or {}), "classifier": _packed(fitted, "", arrays)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / ARRAYS)
    (folder / REST).write_text(json.dumps(rest, indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> Fitted:
    """Read what `save` wrote.

    Raises:
        BadInput: a file is missing, damaged, or of a later version.
    """
    return load_files(folder / REST, folder / ARRAYS)[0]


def load_files(rest_file: Path, arrays_file: Path) -> tuple[Fitted, dict[str, Any]]:
    """The classifier in two files, which in a hub's cache need not be in one folder, and what is to be known of it.

    Raises:
        BadInput: a file is missing, damaged, or of a later version.
    """
    folder = rest_file.parent
    try:
        rest = json.loads(rest_file.read_text(encoding="utf-8"))
        if rest["version"] != VERSION:
            raise BadInput(
                f"{rest_file} is of version {rest['version']}; this hfft reads {VERSION}, install a later one"
            )
        fitted = _unpacked(rest["classifier"], load_file(arrays_file))
        if not isinstance(fitted, Fitted):
            raise TypeError("not a classifier")
        return fitted, rest["about"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BadInput(f"{folder} holds no classifier that can be read: {first_line(error)}; fit it again") from error


def _packed(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        arrays[place] = value
        return {"array": place}
    if isinstance(value, tuple):
        return [_packed(item, f"{place}.{i}", arrays) for i, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner = f"{place}." if place else ""
        fields = {
            field.name: _packed(getattr(value, field.name), f"{inner}{field.name}", arrays)
            for field in dataclasses.fields(value)
        }
        return {"kind": type(value).__name__, **fields}
    return value.item() if isinstance(value, np.generic) else value


def _unpacked(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return tuple(_unpacked(item, arrays) for item in value)
    if isinstance(value, dict) and "array" in value:
        return arrays[value["array"]]
    if isinstance(value, dict) and "kind" in value:
        return _KINDS[value["kind"]](**{key: _unpacked(item, arrays) for key, item in value.items() if key != "kind"})
    return value

"""Docstrings of the Python standard library."""

from __future__ import annotations

import ast
import functools
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hfft.data.builtin.common import SEED, stratified_test
from hfft.errors import DataError
from hfft.wording import listing

# Packages and modules of every CPython since 3.11 with enough docstrings for a class: name -> file or folder.
PACKAGES = {"decimal": "_pydecimal.py", "mailbox": "mailbox.py", "turtle": "turtle.py"}
PACKAGES |= {name: name for name in ("asyncio", "email", "http", "importlib", "logging", "multiprocessing")}
PACKAGES |= {name: name for name in ("unittest", "urllib", "xml")}
PACKAGE_NAME = re.compile("|".join(PACKAGES), re.IGNORECASE)
# Not read: tests, files that are not part of the library, and modules that some versions or installations lack.
LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib-dynload", "__pycache__"}
LEFT_OUT |= {"distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "tkinter", "turtledemo"}
MIN_WORDS = 5  # a shorter docstring ("Return the name.") could be from any package


def load() -> DatasetDict:
    """Docstrings of twelve packages of the running Python's standard library, labelled by package (PSF licence)."""
    names, library = sorted(PACKAGES), Path(sysconfig.get_path("stdlib"))
    label_of: dict[str, int] = {}
    for label, name in enumerate(names):
        for text in read_docstrings(library / PACKAGES[name]):
            label_of.setdefault(text, label)
    texts, labels = np.array(list(label_of), object), np.array(list(label_of.values()))
    missing = [name for label, name in enumerate(names) if label not in labels]
    if missing:
        raise DataError(f"{library} has no docstrings of {listing(missing)}; use a Python installed with its sources")
    features = Features(text=Value("string"), label=ClassLabel(names=names))
    test = stratified_test(labels, share=0.2)
    order = np.random.default_rng(SEED).permutation(len(labels))
    splits = DatasetDict()
    for split, rows in (("train", order[~test[order]]), ("test", order[test[order]])):
        columns = {"text": texts[rows].tolist(), "label": labels[rows].tolist()}
        splits[split] = Dataset.from_dict(columns, features=features)
    return splits


def load_unlabelled() -> DatasetDict:
    """The docstrings of the whole standard library for language modelling, without those that `docstrings` uses for testing."""
    library, tested = Path(sysconfig.get_path("stdlib")), set(load()["test"]["text"])
    found = (text for path in sorted(library.iterdir()) for text in read_docstrings(path))
    texts = np.array([text for text in dict.fromkeys(found) if text not in tested], object)
    texts = texts[np.random.default_rng(SEED).permutation(len(texts))]
    held_out, features = len(texts) // 20, Features(text=Value("string"))
    return DatasetDict(
        train=Dataset.from_dict({"text": texts[held_out:].tolist()}, features=features),
        validation=Dataset.from_dict({"text": texts[:held_out].tolist()}, features=features),
    )


@functools.cache
def read_docstrings(path: Path) -> tuple[str, ...]:
    """The docstrings in a file or in a folder's files, parsed but never imported, without their package's name."""
    files = sorted(path.rglob("*.py")) if path.name not in LEFT_OUT and path.is_dir() else [path]
    files = [file for file in files if file.suffix == ".py" and not LEFT_OUT & set(file.relative_to(path.parent).parts)]
    found = (text for file in files if file.is_file() for text in walk_docstrings(ast.parse(file.read_bytes())))
    cleaned = (" ".join(PACKAGE_NAME.sub("_", text).split()) for text in found)
    return tuple(text for text in cleaned if len(text.split()) >= MIN_WORDS)


def walk_docstrings(node: ast.AST) -> Iterator[str]:
    """The docstrings of a module, its classes and functions, at any depth; expressions are not searched, for speed."""
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        yield ast.get_docstring(node) or ""
    for part in ("body", "orelse", "handlers", "finalbody"):
        for child in getattr(node, part, ()):
            yield from walk_docstrings(child)

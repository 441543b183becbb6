"""Labels written as one text: several classes joined by a separator, or a list as Python, JSON or NumPy print it."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

import datasets

from hfft.data.audit import BadRow
from hfft.data.spec import Data
from hfft.errors import DataError
from hfft.tasks.problem import PROBLEMS

_ITEM = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[Tt]rue|[Ff]alse"""
# each comma or space must separate two items: Python reads 'a' 'b' as one word
_LIST = re.compile(rf"\s*[\[({{]\s*(?:(?:{_ITEM})(?:(?:\s*,\s*|\s+)(?:{_ITEM}))*\s*,?\s*)?[\])}}]\s*")
_WORDS = {"true": True, "false": False}


def parse_list(text: str) -> list[Any] | None:
    """The items of a list of words, numbers, true and false, written in brackets; None if the text is not one.

    The items are found by pattern, and each is read as a Python literal: nothing is evaluated.
    """
    if text.strip() == "set()":  # an empty set
        return []
    if not _LIST.fullmatch(text):
        return None
    return [_item(item) for item in re.findall(_ITEM, text)]


def _item(item: str) -> Any:
    try:
        return _WORDS[item.lower()] if item.lower() in _WORDS else ast.literal_eval(item)
    except (SyntaxError, ValueError):  # such as 007, or an escape that Python does not know
        return item.strip("'\"")


class LabelTexts:
    """Reads a label's text as the list of classes that it names.

    Attributes:
        sep: what separates the classes; None if each text is a list in brackets.
        feature: the type of the lists.
    """

    def __init__(self, sep: str | None, feature: Any):
        self.sep, self.feature = sep, feature

    def __call__(self, value: Any) -> Any:
        """The classes of a row. With a separator an empty cell names none; a value that is no text stays as it is.

        Raises:
            BadRow: the text is not a list.
        """
        if self.sep is not None:
            if isinstance(value, str):
                return [word for part in value.split(self.sep) if (word := part.strip())]
            return [] if _empty(value) else value if isinstance(value, list) else [value]
        if not isinstance(value, str) or not value.strip():
            return value
        found = parse_list(value)
        if found is None:
            raise BadRow("label {} is not a list in brackets, as most of train are", value)
        return found

    def note(self, split: str, values: Sequence[Any]) -> str:
        """What was read, for the user; an empty string if there is nothing to say."""
        if self.sep is None and split != "train":
            return ""
        if self.sep is None:
            example = next((v for v in values if isinstance(v, str) and parse_list(v)), "[]")
            return f"labels of train are lists written as text, such as {example:.60}; they are read as lists"
        empty = sum(map(_empty, values))
        return f"split {split}: {empty} of {len(values)} labels are empty and name no class" if empty else ""


def label_texts(feature: Any, values: Sequence[Any], data: Data, problem: str) -> LabelTexts | None:
    """How to read a label column of texts as lists; None if each text is one label.

    Args:
        values: labels of train; of a stream the first ones.

    Raises:
        DataError: the recipe says how texts are divided, but the labels are none.
    """
    if not PROBLEMS[problem].multi_label:
        return None
    if not isinstance(feature, datasets.Value):
        if data.label_sep is not None:
            raise DataError(f"data.label_sep: divides texts, but the labels have type {feature!r:.80}; leave it out")
        return None
    if data.label_sep is not None:
        return LabelTexts(data.label_sep, datasets.List(datasets.Value("string")))
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    lists = [found for text in texts if (found := parse_list(text)) is not None]
    if 2 * len(lists) <= len(texts):
        return None
    first = next((found[0] for found in lists if found), "")
    kind = "bool" if isinstance(first, bool) else "int64" if isinstance(first, int) else "float64"
    return LabelTexts(None, datasets.List(datasets.Value("string" if isinstance(first, str) else kind)))


def _empty(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def looks_joined(names: Sequence[str]) -> tuple[str, str] | None:
    """The first class name that joins others, such as `a|b` beside `a` and `b`, and what separates them."""
    for sep in ("|", ";", ",", "/", "+", "&"):
        for name in names:
            parts = [part.strip() for part in name.split(sep)]
            if len(parts) > 1 and all(part in names for part in parts):
                return name, sep
    return None


def looks_listed(names: Sequence[str]) -> str | None:
    """The first class name that is a list of several classes, if most names are lists in brackets."""
    lists = [(name, found) for name in names if (found := parse_list(name)) is not None]
    return next((name for name, found in lists if len(found) > 1), None) if 2 * len(lists) > len(names) else None

"""What a model's card says of it: its licence, its date, and its accuracy on the task that it was pretrained on."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.repocard import metadata_load

from hfft import backbone
from hfft.predict.trained import published_file


@dataclass(frozen=True)
class Card:
    """What a card states; None for what it does not.

    Attributes:
        accuracy: from 0 to 1, the first in its model index, and the data that it was measured on.
        date: of its last change, year-month-day.
    """

    licence: str | None = None
    date: str | None = None
    accuracy: float | None = None
    accuracy_on: str | None = None


def read_card(name: str, revision: str | None = None) -> Card:
    """The card of a model; empty if it has none, or none that can be read.

    Args:
        name: a folder, a run or a hub id, of a model or an adapter.
    """
    run = Path(name) / "model"
    where = str(run) if run.is_dir() else name if Path(name).is_dir() else backbone.source(name)
    stated: dict[str, Any] = {}
    with contextlib.suppress(Exception):  # written by anyone, in any form; a rank does not depend on it
        path = published_file(where, "README.md")
        stated = (metadata_load(path) if path is not None else None) or {}
    accuracy, on = _accuracy(stated)
    return Card(_text(stated.get("license")), _text(stated.get("date")) or _changed(where, revision), accuracy, on)


def _accuracy(stated: dict[str, Any]) -> tuple[float | None, str | None]:
    """The first accuracy of a model index, as a share, and its data set."""
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        for model in stated.get("model-index") or ():
            for result in model.get("results") or ():
                for metric in result.get("metrics") or ():
                    if str(metric.get("type", "")).lower() != "accuracy":
                        continue
                    value = float(metric["value"])
                    value = value / 100 if value > 1 else value
                    if 0 <= value <= 1:
                        return value, _text((result.get("dataset") or {}).get("name"))
    return None, None


def _text(value: Any) -> str | None:
    """A word or a date as text; the first of a list."""
    value = value[0] if isinstance(value, list) and value else value
    return str(value)[:60] if value not in (None, "", []) else None


def _changed(where: str, revision: str | None) -> str | None:
    """The date of a repository's last change; of a folder, it is not known."""
    if Path(where).exists():
        return None
    from huggingface_hub import HfApi

    with contextlib.suppress(Exception):  # no network: the model is in the cache
        found = HfApi().model_info(where, revision=revision)
        when = found.last_modified or found.created_at
        return None if when is None else f"{when:%Y-%m-%d}"
    return None

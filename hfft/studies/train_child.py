"""Run one child of a study in this process, with what it prints in its folder."""

from __future__ import annotations

import contextlib
import errno
import traceback
from collections.abc import Callable
from typing import Any

from hfft.errors import HfftError, RunError
from hfft.recipe import Recipe
from hfft.studies.folder import LOG
from hfft.wording import first_line

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_FULL_IN_WORDS = ("No space left on device", "the disk is full")  # as safetensors and checkpoints name it


class DiskFull(RunError):
    """No child can go on: the disk is full or cannot be written."""


def train_child(recipe: Recipe, work: Callable[[Recipe], Any] | None = None) -> str | None:
    """Train and score a child, or continue it; returns why it failed, in one line.

    Args:
        work: what is done with the recipe instead.

    Raises:
        DiskFull: there is no room to write; what is finished is kept.
        signals.Stopped: a signal stopped it; the same call continues.
    """
    from hfft.pipeline.finetune import finetune

    folder = recipe.output_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            open(folder / LOG, "a", encoding="utf-8") as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            try:
                (work or finetune)(recipe)
            except Exception as error:
                _refuse_full(error)
                log.write(str(error) if isinstance(error, HfftError) else traceback.format_exc())
                log.write("\n")
                return first_line(error)
    except OSError as error:
        _refuse_full(error)
        return first_line(error)
    return None


def _refuse_full(error: Exception) -> None:
    """Raise DiskFull if that is what an error comes from: it would meet every other child too."""
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "errno", None) in _FULL or any(words in str(cause) for words in _FULL_IN_WORDS):
            raise DiskFull(f"{first_line(error)}; make room, and the same command goes on with the study") from error
        cause = cause.__cause__ or cause.__context__

"""Run one child of a study in this process, with what it prints in its folder."""

from __future__ import annotations

import contextlib
import errno
import traceback

from hfft.errors import HfftError
from hfft.recipe import Recipe
from hfft.studies.folder import LOG
from hfft.wording import first_line

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class DiskFull(OSError):
    """No child can go on: the disk is full or cannot be written."""


def train_child(recipe: Recipe) -> str | None:
    """Train and score a child, or continue it; returns why it failed, in one line.

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
                finetune(recipe)
            except Exception as error:
                _refuse_full(error)
                log.write(str(error) if isinstance(error, HfftError) else traceback.format_exc())
                log.write("\n")
                return first_line(error)
    except OSError as error:
        _refuse_full(error)
        return first_line(error)
    return None


def _refuse_full(error: BaseException | None) -> None:
    """Raise DiskFull if that is what an error comes from: it would meet every other child too."""
    while error is not None:
        if isinstance(error, DiskFull):
            raise error
        named = getattr(error, "errno", None) in _FULL
        if named or "No space left on device" in str(error):  # safetensors names it in words only
            raise DiskFull(errno.ENOSPC, "No space left on device", getattr(error, "filename", None)) from error
        error = error.__cause__ or error.__context__

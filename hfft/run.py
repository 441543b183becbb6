"""The whole story of a fine-tune, and what `accelerate launch hfft/run.py --recipe NAME` starts."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import errno
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    # A launcher puts this file's folder first on the path, where `data` or `train` would be taken for top-level modules.
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(p for p in sys.path if Path(p or ".").resolve() != here)]

os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its warnings are for authors of training loops

from hfft.errors import BadInput, Diverged, HfftError
from hfft.recipe import load_recipe
from hfft.runs import signals
from hfft.runs.signals import Stopped
from hfft.wording import shortened


def parser() -> argparse.ArgumentParser:
    """The arguments of a training run, here and as `hfft train`."""
    arguments = argparse.ArgumentParser(prog="run.py", description=__doc__)
    add_arguments(arguments)
    return arguments


def add_arguments(arguments: argparse.ArgumentParser, positional: bool = False) -> None:
    """The arguments of `train`, in its two spellings."""
    if positional:
        arguments.add_argument("recipe", help="name of a shipped recipe, or a path")
    else:
        arguments.add_argument("--recipe", required=True, help="name of a shipped recipe, or a path")
    arguments.add_argument("overrides", nargs="*", metavar="section.key=value", help="override a value of the recipe")
    arguments.add_argument("--fresh", action="store_true", help="begin anew where the run folder already holds a run")
    arguments.add_argument(
        "--force", action="store_true", help="continue a run under another recipe, other data or other versions"
    )


def parse(arguments: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """The parsed command line, overrides and inputs allowed before, between and after options."""
    given, rest = arguments.parse_known_args(argv)
    many = "inputs" if hasattr(given, "inputs") else "overrides"
    if not hasattr(given, many) or any(word.startswith("-") for word in rest):
        arguments.error(f"unrecognized arguments: {' '.join(rest)}") if rest else None
    elif rest:
        setattr(given, many, [*getattr(given, many), *rest])
    return given


def train(recipe: str, overrides: list[str], fresh: bool = False, force: bool = False) -> int:
    """Check the recipe, then run it; returns the exit status. SIGTERM and SIGINT end it where it can be continued."""
    checked = load_recipe(recipe, *overrides)  # before torch is imported: a mistake answers at once
    signals.follow_launcher()
    with signals.handled():
        well = False
        try:
            with importing():
                from hfft.pipeline.finetune import finetune
                from hfft.train.distributed import together

            with together():
                finetune(checked, fresh=fresh, force=force)
            well = True
        finally:
            leave_world(well)
    return 0


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Inside, Python does not look for garbage: imports make little, and the search takes a fifth of their time."""
    searching, loaded = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > loaded:
            gc.freeze()  # else all of it would be searched now
        if searching:
            gc.enable()


def leave_world(well: bool = True) -> None:
    """Take leave of the other processes, all at once if all went well: else one that left early makes another abort."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "distributed"):
        return
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        if well:
            torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def leave(status: int) -> None:
    """End the process; one of several without tearing its libraries down, in which Gloo's threads can abort it."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EACCES}  # not to be mended by code


def guarded(action, *args) -> int:  # type: ignore[no-untyped-def]
    """Run a command: our errors are one line and a status, never a traceback; told once, by rank 0."""
    try:
        return action(*args)
    except (HfftError, Stopped) as error:
        if isinstance(error, BadInput | Diverged | Stopped) and int(os.environ.get("RANK", "0")) > 0:
            return error.exit_code
        print("\n".join(shortened(line, 1500) for line in str(error).splitlines()), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command continues from the last checkpoint", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141
    except OSError as error:
        if error.errno not in STORAGE:
            raise
        where = f" ({error.filename})" if error.filename else ""
        print(
            f"{error.strerror}{where}; what was finished is kept: mend it, and the same command continues",
            file=sys.stderr,
        )
        return 1


def main(argv: list[str] | None = None) -> int:
    """Train a recipe."""
    given = parse(parser(), argv)
    return guarded(train, given.recipe, given.overrides, given.fresh, given.force)


if __name__ == "__main__":
    leave(main())

"""A fine-tune from start to end, and the script that `accelerate launch hfft/run.py --recipe NAME` starts."""

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

os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its warnings are meant for authors of training loops

from hfft.errors import BadInput, Diverged, HfftError
from hfft.recipe import load_recipe
from hfft.runs import signals
from hfft.runs.signals import Stopped
from hfft.wording import block, printable, shortened


def parser() -> argparse.ArgumentParser:
    """The arguments of a training run, for this script and for `hfft train`."""
    arguments = argparse.ArgumentParser(prog="run.py", description=__doc__)
    add_arguments(arguments)
    return arguments


def add_arguments(arguments: argparse.ArgumentParser, positional: bool = False) -> None:
    """The arguments of `train`, in both forms."""
    if positional:
        arguments.add_argument("recipe", help="name of a shipped recipe, or a path")
    else:
        arguments.add_argument("--recipe", required=True, help="name of a shipped recipe, or a path")
    arguments.add_argument("overrides", nargs="*", metavar="section.key=value", help="override a value of the recipe")
    arguments.add_argument("--fresh", action="store_true", help="start over if the run folder already contains a run")
    arguments.add_argument(
        "--force", action="store_true", help="continue a run under another recipe, other data or other versions"
    )


def parse(arguments: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """The parsed command line; overrides and inputs may come before, between and after options."""
    given, rest = arguments.parse_known_args(argv)
    many = "inputs" if hasattr(given, "inputs") else "overrides"
    if not hasattr(given, many) or any(word.startswith("-") and word != "-" for word in rest):
        arguments.error(printable(f"unrecognized arguments: {' '.join(rest)}")) if rest else None
    elif rest:
        setattr(given, many, [*getattr(given, many), *rest])
    return given


def train(recipe: str, overrides: list[str], fresh: bool = False, force: bool = False) -> int:
    """Check the recipe, then run it; returns the exit status. SIGTERM and SIGINT stop it where it can be resumed."""
    checked = load_recipe(recipe, *overrides)  # before torch is imported, so that mistakes are reported at once
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
    """Disable garbage collection inside: imports create little garbage, and searching for it takes a fifth of their time."""
    searching, loaded = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > loaded:
            gc.freeze()  # otherwise all of it would be searched now
        if searching:
            gc.enable()


def leave_world(well: bool = True) -> None:
    """Leave the process group, all processes at once if all went well: otherwise one that left early makes another abort."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "distributed"):
        return
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        if well:
            torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def leave(status: int) -> None:
    """End the process; with several processes, without tearing down libraries, where Gloo's threads could abort it."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EACCES}  # not fixable by code


def guarded(action, *args) -> int:  # type: ignore[no-untyped-def]
    """Run a command: our errors are one line and an exit status, never a traceback, and are printed once, by rank 0."""
    try:
        return action(*args)
    except (HfftError, Stopped) as error:
        if isinstance(error, BadInput | Diverged | Stopped) and int(os.environ.get("RANK", "0")) > 0:
            return error.exit_code
        lines = error.args if isinstance(error, HfftError) else [str(error)]
        print(block(shortened(line, 1500) for line in lines), file=sys.stderr)
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
        said = f"{error.strerror}{where}; finished results are saved; fix this and run the same command to continue"
        print(printable(said), file=sys.stderr)
        return 1


def main(argv: list[str] | None = None) -> int:
    """Train a recipe."""
    given = parse(parser(), argv)
    return guarded(train, given.recipe, given.overrides, given.fresh, given.force)


if __name__ == "__main__":
    leave(main())

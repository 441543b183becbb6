"""The commands of `hfft`. Those that need no torch do not import it."""

from __future__ import annotations

import argparse
import sys

from hfft import __version__, run
from hfft.commands import (
    cache,
    check,
    compare,
    extend,
    features,
    gap,
    label_next,
    plan,
    predict,
    publish,
    rank,
    runs,
    score,
    show,
    soup,
    study,
    train,
)
from hfft.commands import list as list_recipes

COMMANDS = {
    "list": list_recipes,
    "show": show,
    "check": check,
    "plan": plan,
    "rank": rank,
    "train": train,
    "extend": extend,
    "score": score,
    "compare": compare,
    "runs": runs,
    "soup": soup,
    "study": study,
    "cache": cache,
    "predict": predict,
    "features": features,
    "gap": gap,
    "label-next": label_next,
    "publish": publish,
}


def parser() -> argparse.ArgumentParser:
    """The command line of hfft."""
    top = argparse.ArgumentParser(prog="hfft", description="Fine-tune pretrained models by recipe.")
    top.add_argument("--version", action="version", version=f"hfft {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(action=module.run)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    given = run.parse(parser(), argv)
    return run.guarded(given.action, given)


if __name__ == "__main__":
    sys.exit(main())

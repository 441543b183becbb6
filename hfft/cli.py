"""The commands: list, show, check, plan, train, score, predict, publish. What needs no torch loads none."""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from hfft import __version__, cache, document, run
from hfft.errors import BadInput
from hfft.recipe import load_recipe, shipped


def parser() -> argparse.ArgumentParser:
    """The command line of hfft."""
    top = argparse.ArgumentParser(prog="hfft", description="Fine-tune pretrained models by recipe.")
    top.add_argument("--version", action="version", version=f"hfft {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, action: Any, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(action=action)
        return command

    def takes_recipe(command: argparse.ArgumentParser) -> None:
        command.add_argument("recipe", help="name of a shipped recipe, or a path")
        command.add_argument("overrides", nargs="*", metavar="section.key=value", help="override a value of the recipe")

    add("list", list_recipes, "list the recipes that come with hfft")
    command = add("show", show_recipe, "print a recipe with all its defaults, and the table of its layers")
    takes_recipe(command)
    command.add_argument("--recipe-only", action="store_true", help="without the layers, for which the model is loaded")
    command = add("check", check_recipe, "check a recipe; with --deep, prove that it will run to its end")
    takes_recipe(command)
    command.add_argument(
        "--deep", action="store_true", help="data, one training and evaluation step, save and reload, hub"
    )
    command = add(
        "plan", plan, "what a recipe will need of memory and time on this machine, and what other choices would change"
    )
    takes_recipe(command)
    command.add_argument("--profile", action="store_true", help="also where the time of one training step goes")
    command = add("train", train, "train, score and, if the recipe says so, publish")
    run.add_arguments(command, positional=True)
    command = add("score", score, "score a finished run or a published model on its recipe's held-out data")
    command.add_argument("source", help="run folder or hub id")
    command.add_argument("overrides", nargs="*", metavar="section.key=value", help="other data, other metrics")
    command = add("cache", show_cache, "what is kept of frozen layers: list it, or clear what no run uses")
    command.add_argument("what", choices=["list", "clear"])
    command.add_argument("--dir", metavar="FOLDER", help="another folder than $HFFT_CACHE")
    command = add("predict", predict, "predict for files, folders or texts, or for a whole data set")
    command.add_argument("source", help="run folder, model folder or hub id")
    command.add_argument(
        "inputs", nargs="*", metavar="FILE_OR_TEXT", help="images, or texts and files of one text a line"
    )
    command.add_argument("--data", metavar="PATH", help="a data set as in data.path of a recipe")
    command.add_argument("--split", default="test", help="its split (default: test)")
    command.add_argument("--column", help="its column of images or texts")
    command.add_argument("--output", metavar="FILE", help="table to write, .csv or .jsonl (default: CSV to the screen)")
    command.add_argument("--batch-size", type=int, default=32)
    command = add("publish", publish, "push a finished run's model to the hub")
    command.add_argument("source", help="run folder")
    command.add_argument(
        "overrides", nargs="*", metavar="section.key=value", help="such as publish.hub_model_id=me/name"
    )
    command.add_argument("--force", action="store_true", help="push a model whose training went wrong, too")
    return top


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    given = run.parse(parser(), argv)
    return run.guarded(given.action, given)


def list_recipes(given: argparse.Namespace) -> int:
    """Each shipped recipe with the first line of its header."""
    width = max(map(len, shipped()))
    for name, path in shipped().items():
        first = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        print(f"{name:<{width}}  {first}")
    return 0


def show_recipe(given: argparse.Namespace) -> int:
    """The resolved recipe, then the table of layers."""
    recipe = load_recipe(given.recipe, *given.overrides)
    print(document.dump(recipe.resolved()), end="")
    if not given.recipe_only:
        with run.importing():
            from hfft.check import show

        print(f"\n{show(recipe)}")
    return 0


def check_recipe(given: argparse.Namespace) -> int:
    """The grammar; with --deep everything that a run will do, once."""
    recipe = load_recipe(given.recipe, *given.overrides)
    if given.deep:
        with run.importing():
            from hfft import check

        for line in check.check(recipe):
            print(line, flush=True)
    print(f"{recipe.name}: good")
    return 0


def plan(given: argparse.Namespace) -> int:
    """Memory and time of a recipe, from a few measured steps."""
    recipe = load_recipe(given.recipe, *given.overrides)
    with run.importing():
        from hfft import plan

    for line in itertools.chain(plan.plan(recipe), plan.profile(recipe) if given.profile else ()):
        print(line, flush=True)
    return 0


def train(given: argparse.Namespace) -> int:
    """Train a recipe in this process."""
    return run.train(given.recipe, given.overrides, given.fresh, given.force)


def score(given: argparse.Namespace) -> int:
    """The figures of a model on its recipe's held-out splits."""
    with run.importing():
        from hfft import serve

    for line in serve.score(given.source, given.overrides):
        print(line, flush=True)
    return 0


def show_cache(given: argparse.Namespace) -> int:
    """What is kept of frozen layers, the last used first; or remove what no run uses."""
    folder = Path(given.dir) if given.dir else cache.root()
    held = cache.entries(folder)
    for entry in held if given.what == "list" else ():
        when = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        print(f"{when}  {cache.human(entry.bytes):>8}  {'in use  ' if entry.in_use else ''}{entry.note}")
    if given.what == "clear":
        removed = [entry for entry in held if cache.remove(entry)]
        print(f"removed {len(removed)} of {len(held)}: {cache.human(sum(entry.bytes for entry in removed))}")
    else:
        print(f"{folder}: {cache.human(sum(entry.bytes for entry in held))}")
    return 0


def predict(given: argparse.Namespace) -> int:
    """A table of ids, labels and probabilities."""
    if bool(given.inputs) == bool(given.data):
        raise BadInput("give either files or texts, or --data; hfft predict --help shows how")
    if given.output and Path(given.output).suffix not in (".csv", ".jsonl"):
        raise BadInput(f"--output {given.output}: expected a file name ending in .csv or .jsonl")
    with run.importing():
        from hfft import serve

    rows = serve.predict(given.source, given.inputs, given.data, given.split, given.column, given.batch_size)
    if given.output is None:
        write_table(rows, sys.stdout, ".csv")
    else:
        with open(given.output, "w", encoding="utf-8", newline="") as file:
            write_table(rows, file, Path(given.output).suffix)
    return 0


def write_table(rows: Iterable[dict[str, Any]], file: Any, suffix: str) -> None:
    """Write rows as CSV or as JSON lines, one by one."""
    writer = None
    for row in rows:
        if suffix == ".jsonl":
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            continue
        if writer is None:
            writer = csv.DictWriter(file, list(row))
            writer.writeheader()
        writer.writerow(row)


def publish(given: argparse.Namespace) -> int:
    """Push the model of a finished run."""
    with run.importing():
        from hfft import serve

    print(f"published: {serve.publish_run(given.source, given.overrides, given.force)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The commands of `hfft`. Those that need no torch do not import it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from hfft import __version__, run
from hfft.commands import (
    cache,
    check,
    features,
    label_next,
    plan,
    predict,
    publish,
    rank,
    score,
    show,
    soup,
    study,
    train,
)
from hfft.commands import list as list_recipes


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

    add("list", list_recipes.run, "list the recipes that come with hfft")
    command = add("show", show.run, "print a recipe with all its defaults, and the table of its layers")
    takes_recipe(command)
    command.add_argument(
        "--recipe-only", action="store_true", help="without the table of layers, so that no model is loaded"
    )
    command = add("check", check.run, "check a recipe; with --deep, test that it will run to the end")
    takes_recipe(command)
    command.add_argument(
        "--deep", action="store_true", help="data, one training and evaluation step, save and reload, hub"
    )
    command = add(
        "plan",
        plan.run,
        "the memory and time that a recipe needs on this machine, and how alternatives would change them",
    )
    takes_recipe(command)
    command.add_argument("--profile", action="store_true", help="also show where the time of one training step goes")
    command = add("rank", rank.run, "which pretrained model, or which of its layers, suits a recipe's data")
    takes_recipe(command)
    command.add_argument("--backbones", nargs="*", metavar="MODEL", help="hub ids, folders, runs or adapters")
    command.add_argument("--backbones-file", metavar="FILE", help="a file with one of them per line")
    command.add_argument("--rows", type=int, default=2000, help="training rows to rank on (default: 2000)")
    command.add_argument("--layers", action="store_true", help="rank the layers of one model")
    command.add_argument("--verify", type=int, default=0, metavar="N", help="fine-tune the best N briefly, and compare")
    command.add_argument(
        "--output", metavar="FOLDER", help="folder of the page and tables (default: runs/<recipe>-rank)"
    )
    command.add_argument("--json", action="store_true", help="print JSON instead of the table")
    command.add_argument("--csv", action="store_true", help="print CSV instead of the table")
    command = add("train", train.run, "train, score and, if the recipe says so, publish")
    run.add_arguments(command, positional=True)
    command = add("score", score.run, "score a finished run or a published model on its recipe's held-out data")
    command.add_argument("source", help="run folder or hub id")
    command.add_argument("overrides", nargs="*", metavar="section.key=value", help="other data, other metrics")
    command.add_argument("--fresh", action="store_true", help="run the model again, even if its outputs are stored")
    command.add_argument(
        "--episodes",
        type=int,
        metavar="N",
        help="instead the accuracy of N-way K-shot episodes on the run's features: 600",
    )
    command.add_argument("--ways", type=int, metavar="N", help="classes in an episode (default: 5)")
    command.add_argument(
        "--shots", type=int, metavar="K", help="rows of each class that make its prototype (default: 5)"
    )
    command.add_argument("--queries", type=int, metavar="Q", help="rows of each class to classify (default: 15)")
    command = add(
        "soup", soup.run, "average the weights of finished runs, or of a run's start and end; a run folder results"
    )
    command.add_argument(
        "inputs", nargs="+", metavar="RUN", help="run folders; also data.key=value and score.key=value for the scoring"
    )
    command.add_argument(
        "--with-start",
        metavar="ALPHAS",
        help="one run between its start (0) and its end (1), such as 0:1:0.1 or 0.3,0.5",
    )
    command.add_argument("--output", metavar="FOLDER", help="the new run's folder (default: beside the first run)")
    command.add_argument("--fresh", action="store_true", help="replace the run in that folder")
    command = add("study", study.run, "several runs and what they say together: seeds, folds, grids, and more")
    command.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="NAME RECIPE ...",
        help="hfft study lists the studies, hfft study NAME --help their options",
    )
    command = add("cache", cache.run, "stored outputs of frozen layers: list them, or clear those that no run uses")
    command.add_argument("what", choices=["list", "clear"])
    command.add_argument("--dir", metavar="FOLDER", help="a folder instead of $HFFT_CACHE")
    command = add("predict", predict.run, "predict for files, folders, tables or texts, or for a whole data set")
    command.add_argument("source", help="run folder, model folder or hub id")
    command.add_argument(
        "inputs",
        nargs="*",
        metavar="FILE_OR_TEXT",
        help="images and folders, tables, texts, files with one text per line, - for standard input",
    )
    command.add_argument("--data", metavar="PATH", help="a data set as in data.path of a recipe")
    command.add_argument("--split", help="its split (default: the only one, or test)")
    command.add_argument("--column", help="the column of images or texts (default: as in the run)")
    command.add_argument("--pair-column", metavar="COLUMN", help="the column of second texts (default: as in the run)")
    command.add_argument("--id", metavar="COLUMN", help="the column of ids (default: as in the run, else row numbers)")
    command.add_argument("--pair", metavar="TEXT", help="the second text for each text, if the model takes pairs")
    command.add_argument(
        "--read",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="how tables are written, as in the data section of a recipe: encoding=cp1252, sep=';'; may be repeated",
    )
    command.add_argument("--probabilities", action="store_true", help="also every class's probability")
    command.add_argument("--top-k", type=int, metavar="K", help="the K most probable classes, best first")
    command.add_argument(
        "--threshold",
        action="append",
        default=[],
        metavar="[CLASS=]NUMBER",
        help="probability from which a multi-label model selects a class (default: 0.5); may be repeated",
    )
    command.add_argument("--output", metavar="FILE", help="table to write, .csv or .jsonl (default: CSV to the screen)")
    command.add_argument("--batch-size", type=int, default=32)
    command = add("features", features.run, "write what a pretrained network computes of each row, to a file")
    command.add_argument("source", help="run folder, model folder or hub id")
    command.add_argument("--data", metavar="PATH", required=True, help="a data set as in data.path of a recipe")
    command.add_argument("--output", metavar="FILE", required=True, help=".parquet, .npz, or a folder of datasets")
    command.add_argument("--split", help="its split (default: the only one, or test)")
    command.add_argument("--column", help="the column of images or texts (default: as in the run)")
    command.add_argument("--pair-column", metavar="COLUMN", help="the column of second texts (default: as in the run)")
    command.add_argument("--id", metavar="COLUMN", help="the column of ids (default: as in the run, else row numbers)")
    command.add_argument("--label", metavar="COLUMN", help="the column of labels (default: as in the run, or label)")
    command.add_argument(
        "--pooling",
        choices=["cls", "mean", "max", "last", "pooler"],
        help="how the states of all positions become one (default: what the model was trained with)",
    )
    command.add_argument(
        "--layer", default="-1", metavar="LAYER", help="number of a hidden state, -1 the last, or a module's path"
    )
    command.add_argument(
        "--read",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="how tables are written, as in the data section of a recipe: encoding=cp1252, sep=';'; may be repeated",
    )
    command.add_argument("--batch-size", type=int, default=32)
    command = add("label-next", label_next.run, "which rows of an unlabelled set to label next, by a finished run")
    command.add_argument("source", help="run folder, model folder or hub id")
    command.add_argument(
        "--data", required=True, metavar="PATH", help="the unlabelled rows, as in data.path of a recipe"
    )
    command.add_argument("--n", type=int, required=True, help="rows to choose")
    command.add_argument(
        "--by",
        choices=["margin", "entropy", "core-set", "badge", "random"],
        default="margin",
        help="the smallest margin between two classes, the largest entropy, the rows farthest from those labelled, "
        "large and different gradients, or at random (default: margin)",
    )
    command.add_argument(
        "--output", required=True, metavar="FILE", help="table to write, .csv or .jsonl, best row first"
    )
    command.add_argument("--split", help="its split (default: the only one, or test)")
    command.add_argument("--column", help="the column of images or texts (default: as in the run)")
    command.add_argument("--pair-column", metavar="COLUMN", help="the column of second texts (default: as in the run)")
    command.add_argument("--id", metavar="COLUMN", help="the column of ids (default: as in the run, else row numbers)")
    command.add_argument(
        "--read", action="append", default=[], metavar="KEY=VALUE", help="how tables are written, see predict"
    )
    command.add_argument("--seed", type=int, default=42, help="of badge and random (default: 42)")
    command.add_argument("--batch-size", type=int, default=64)
    command = add("publish", publish.run, "push a finished run's model to the hub")
    command.add_argument("source", help="run folder")
    command.add_argument(
        "overrides", nargs="*", metavar="section.key=value", help="such as publish.hub_model_id=me/name"
    )
    command.add_argument("--force", action="store_true", help="also push a model whose training went wrong")
    return top


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    given = run.parse(parser(), argv)
    return run.guarded(given.action, given)


if __name__ == "__main__":
    sys.exit(main())

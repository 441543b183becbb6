"""`hfft study`: several runs and what they say together."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hfft.errors import BadInput
from hfft.run import importing, leave_world
from hfft.runs import signals
from hfft.studies.find import STUDIES, load_study, make_study, option_help, shipped, study_class
from hfft.studies.study import Study
from hfft.studies.words import option_values
from hfft.wording import printable


def parser(name: str, kind: type[Study] | None) -> argparse.ArgumentParser:
    """The arguments of one study; of a YAML file's if `kind` is None."""
    about = kind.__doc__.partition("\n")[0] if kind is not None and kind.__doc__ else "The study of a YAML file."
    found = argparse.ArgumentParser(prog=f"hfft study {name}", description=about)
    if kind is not None:
        found.add_argument("recipe", nargs="?", help="name of a shipped recipe, or a path")
    found.add_argument("overrides", nargs="*", metavar="section.key=value", help="override a value of the recipe")
    for option, text in option_help(kind or Study).items():
        flag: dict[str, Any] = {}
        if (kind or Study).model_fields[option].annotation is bool:  # said alone, it is true
            flag = {"nargs": "?", "const": "true"}
        found.add_argument(f"--{option.replace('_', '-')}", metavar="VALUE", help=text.replace("%", "%%"), **flag)
    found.add_argument("--output", metavar="FOLDER", help="the study's folder (default: studies/<recipe>-<study>)")
    found.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="runs at once, each with its share of the threads"
    )
    found.add_argument("--fresh", action="store_true", help="start over if the folder already contains a study")
    return found


HELP = "several runs and what they say together: seeds, folds, grids, and more"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    command.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="NAME RECIPE ...",
        help="hfft study lists the studies, hfft study NAME --help their options",
    )


def run(given: argparse.Namespace) -> int:
    """Run a study, or what is left of it; returns 1 if a child failed."""
    name, *words = given.words or ["--help"]
    if name in ("-h", "--help"):
        _say(
            "usage: hfft study NAME RECIPE [section.key=value ...] [options]",
            "       hfft study FILE.yaml [options]",
            "",
            f"studies: {', '.join(STUDIES)} (hfft study NAME --help)",
            f"files: {', '.join(shipped()) or 'none'}",
        )
        return 0
    study, settings = _asked(name, words)
    signals.follow_launcher()
    with signals.handled():
        well = False
        try:
            with importing():
                from hfft.studies.run import run_study

            table = run_study(study, say=_say, **settings)
            well = True
        finally:
            leave_world(well)
    folder = settings["folder"] or Path("studies") / study.title
    _say("", *table.lines(), "", f"study: {folder} (report.html, table.json)")
    return 1 if table.failed else 0


def _asked(name: str, words: list[str]) -> tuple[Study, dict[str, Any]]:
    """The study and the settings of the engine that a command line asks for."""
    is_file = name.endswith((".yaml", ".yml")) or (name in shipped() and name not in STUDIES)
    kind = None if is_file else study_class(name)
    arguments = parser(name, kind)
    found, rest = arguments.parse_known_args(words)
    if any(word.startswith("-") for word in rest):
        arguments.error(printable(f"unrecognized arguments: {' '.join(rest)}"))
    overrides = [*found.overrides, *rest]
    options = {
        option: option_values(text)
        for option in option_help(kind or Study)
        if (text := getattr(found, option)) is not None
    }
    if kind is None:
        study = load_study(name, *overrides, **options)
        folder = Path("studies") / Path(name).stem
    else:
        recipe = found.recipe
        if recipe is not None and "=" in recipe and not Path(recipe).exists():  # no recipe: the study's own default
            recipe, overrides = None, [recipe, *overrides]
        study, folder = make_study(name, recipe, overrides, **options), None
    if found.jobs < 1:
        raise BadInput(f"--jobs {found.jobs}; expected 1 or more")
    return study, {
        "folder": Path(found.output) if found.output is not None else folder,
        "jobs": found.jobs,
        "fresh": found.fresh,
    }


def _say(*lines: str) -> None:
    for line in lines:
        print(printable(line), flush=True)

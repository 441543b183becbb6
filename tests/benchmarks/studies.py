"""Every study of recipes/studies, one after another; the pages are in studies/.

python -m tests.benchmarks.studies [--only NAME ...] [--at-once 2] [--models DIR] [--data DIR]

A study that is finished is read again, and one that was interrupted goes on. Names are those of the hub, or with --models and
--data folders below one that holds them offline: DIR/CogComp/trec.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hfft.errors import HfftError
from hfft.processes import say
from hfft.recipe import yaml_lines
from hfft.studies.find import load_study, shipped
from hfft.studies.run import run_study


def local(file: Path, models: Path | None, data: Path | None) -> list[str]:
    """Overrides that name folders for what a study's recipe takes from the hub; none for what is not there."""
    recipe = load_study(file).recipe
    found = []
    sets = [(f"data.sets.{name}.path", one.path, data) for name, one in recipe.data.sets.items()]
    for key, name, folder in (
        ("backbone.name", recipe.backbone.name, models),
        ("data.path", recipe.data.path, data),
        *sets,
    ):
        if folder is not None and (folder / name).is_dir():
            found.append(f"{key}={yaml_lines.dump(str(folder / name)).strip()}")
    return found


FOR_A_GPU = ("split_cifar100_slca",)  # run only where they are named


def main(argv: Sequence[str] | None = None) -> int:
    """Run them; 1 if a study or a child failed."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--only", nargs="+", choices=list(shipped()), default=None, metavar="NAME")
    arguments.add_argument("--at-once", type=int, default=1)
    arguments.add_argument("--models", type=Path, default=os.environ.get("HFFT_MODELS"), help="folder of models")
    arguments.add_argument("--data", type=Path, default=os.environ.get("HFFT_DATA"), help="folder of data sets")
    given = arguments.parse_args(argv)
    failed = []
    for name in given.only or [name for name in shipped() if name not in FOR_A_GPU]:
        started = time.monotonic()
        try:
            study = load_study(shipped()[name], *local(shipped()[name], given.models, given.data))
            table = run_study(study, Path("studies") / name, given.at_once, say=say)
            say("", *table.lines(), f"{name}: {time.monotonic() - started:.0f} s", "")
            failed += [name] if table.failed else []
        except HfftError as error:
            say(f"{name}: {error.args[0]}")
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

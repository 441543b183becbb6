"""Every method where it claims to help, beside the plain run, at equal epochs and in equal time: hfft/strategy/figures.md.

python -m tests.benchmarks.strategies [--only CLAIM ...] [--settings NAME ...] [--methods NAME ...] [--seeds 5] [--at-once 2]

Each run is a process of its own with one thread. What it came to is kept as a line of strategies.jsonl, and the page is written
again: an interrupted table goes on where it stood, and a run is measured again only if its recipe, the versions or
the machine change. Names are those of the hub, or with --models and --data folders below one that holds them offline.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hfft
from hfft.errors import BadInput, HfftError
from hfft.recipe import yaml_lines
from hfft.recipe.build import build
from hfft.strategy.build import build_methods
from tests.benchmarks.runs import Kept, digest, machine, source, versions
from tests.benchmarks.strategy_claims import CLAIMS, SETTINGS, cases, recipe, trained
from tests.benchmarks.strategy_methods import METHODS, is_there
from tests.benchmarks.strategy_page import page, stretch_of
from tests.forked import ROOT, Forks

RUNS = Path("runs/strategies")
RESULTS = Path(__file__).with_name("strategies.jsonl")
TABLE = Path(hfft.__file__).parent / "strategy" / "figures.md"
PATIENCE = 3600  # seconds until a run is given up


@dataclass(frozen=True)
class Job:
    """A run: what is trained, and with which seed."""

    setting: str
    method: str
    seed: int
    stretch: float = 1

    @property
    def name(self) -> str:
        """A name for files."""
        return re.sub(r"\W+", "-", f"{self.setting} {self.method} {self.stretch:g} {self.seed}").strip("-")

    def folder(self) -> Path:
        """The run folder."""
        return (RUNS / self.name / "run").absolute()

    def key(self) -> dict[str, Any]:
        """What tells its result from others."""
        return {"setting": self.setting, "method": self.method, "seed": self.seed, "stretch": self.stretch}

    def recipe(self) -> dict[str, Any]:
        """What is trained, without places of this machine."""
        return recipe(self.setting, self.method, self.seed, self.stretch)

    def under(self) -> dict[str, Any]:
        """What its result depends on."""
        return {"recipe": digest(self.recipe()), "versions": versions(), "machine": machine()}

    def teacher(self) -> Job | None:
        """The run that has to be there before this one."""
        taught = "$teacher" in json.dumps(dict(METHODS[self.method]))
        setting = SETTINGS[self.setting].teacher
        return Job(setting, "plain", self.seed) if taught and setting is not None else None

    def seconds(self) -> float:
        """About how long it takes on a core."""
        values = recipe(self.setting, self.method, self.seed)
        methods = build_methods(build(yaml_lines.dump(trained(values)), "x.yaml", "x").strategy)
        passes = max([method.passes for method in methods], default=1) * len(values.get("soup", {}).get("rates", [1]))
        return SETTINGS[self.setting].seconds * passes * self.stretch


Measure = Callable[[Job, dict[str, Any]], dict[str, Any]]


class Failed(Exception):
    """A run that ended without figures; the message says why."""


class Refused(Failed):
    """A run that cannot be: the model or the data has not what the method needs."""


class Runner:
    """Runs jobs as processes of their own, forked from ones that have imported the libraries."""

    def __init__(self, models: Path | None, data: Path | None):
        self.models, self.data, self.own = models, data, threading.local()

    def __call__(self, job: Job, values: dict[str, Any]) -> dict[str, Any]:
        """What a run came to; its folder is removed unless it is a teacher's.

        Raises:
            Refused: the package refused it before training.
            Failed: it ended with another error.
        """
        folder = RUNS / job.name
        values = self.placed(job, values)
        RUNS.mkdir(parents=True, exist_ok=True)
        files = {name: folder.with_suffix(f".{name}").absolute() for name in ("yaml", "json", "spec", "log")}
        files["json"].unlink(missing_ok=True)
        files["yaml"].write_text(yaml_lines.dump(trained(values)), encoding="utf-8")
        figures = [name for claim in CLAIMS.values() if job.setting in claim.settings for name in claim.figures]
        given = SETTINGS[job.setting].values
        spec = {
            "recipe": str(files["yaml"]),
            "result": str(files["json"]),
            "figures": figures,
            "soup": values.get("soup"),
        }
        spec["attack"] = {name: given[name] for name in ("radius", "step") if name in given}
        files["spec"].write_text(json.dumps(spec), encoding="utf-8")
        done = self.forks().run("-m", "tests.benchmarks.strategy_run", str(files["spec"]), folder=ROOT)
        files["log"].write_text(done.stdout + done.stderr, encoding="utf-8")
        teaches = {setting.teacher for setting in SETTINGS.values()}
        if job.setting not in teaches or job.method != "plain" or job.stretch != 1:
            shutil.rmtree(folder, ignore_errors=True)
        if done.returncode or not files["json"].is_file():
            last = (done.stderr.strip() or done.stdout.strip() or "nothing was said").splitlines()[-1]
            if done.returncode == BadInput.exit_code:
                raise Refused(last)
            raise Failed(f"ended with {done.returncode}: {last} ({files['log']})")
        return json.loads(files["json"].read_text(encoding="utf-8"))

    def placed(self, job: Job, values: dict[str, Any]) -> dict[str, Any]:
        """A recipe with the places of this machine."""
        name, path = values["backbone"]["name"], values["data"]["path"]
        if "/" in name:
            values["backbone"]["name"] = source(self.models, name, "--models")
        if "/" in path:
            values["data"]["path"] = source(self.data, path, "--data")
        values["training"]["output_dir"] = str(job.folder())
        if (teacher := job.teacher()) is not None:
            text = json.dumps(values).replace("$teacher", str(teacher.folder()))
            values = json.loads(text)
        return values

    def forks(self) -> Forks:
        """The process that this thread forks from."""
        if not hasattr(self.own, "forks"):
            one = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
            env = {**os.environ, **one, "PYTHONPATH": str(ROOT), "FORKED_PATIENCE": str(PATIENCE)}
            self.own.forks = Forks(env)
        return self.own.forks


def refused(setting: str, method: str) -> str | None:
    """Why a method is not tried in a setting: the package does not have it, or refuses the recipe; None if it is."""
    if not is_there(method):
        return "not in this version"
    if SETTINGS[setting].teacher is None and "$teacher" in json.dumps(dict(METHODS[method])):
        return "the setting has no teacher"
    try:
        build(yaml_lines.dump(trained(recipe(setting, method, 1))), "recipe", "x")
    except HfftError as error:
        return str(error.args[0]).partition("  ")[2] or str(error)
    except KeyError as error:
        return f"the setting has no {error}"
    return None


def missing(jobs: Iterable[Job], kept: Kept) -> list[Job]:
    """Those that are not measured yet, each once."""
    return [job for job in dict.fromkeys(jobs) if not kept.has(job.key(), job.under())]


def teachers(jobs: Iterable[Job], kept: Kept) -> list[Job]:
    """The runs that have to be there before, and are not: their models are not kept for good."""
    needed = dict.fromkeys(teacher for job in jobs if (teacher := job.teacher()) is not None)
    return [job for job in needed if not (job.folder() / "metrics.json").is_file()]


def equal_time(rows: Iterable[tuple[str, str]], seeds: int, kept: Kept) -> Iterator[Job]:
    """The longer plain runs that dearer methods are compared with."""
    for setting, method in rows:
        stretch = stretch_of(kept.results, setting, method)
        if stretch > 1:
            yield from (Job(setting, "plain", seed, stretch) for seed in range(1, seeds + 1))


def measured(
    jobs: list[Job],
    kept: Kept,
    measure: Measure,
    at_once: int,
    landed: Callable[[], None],
    without: set[tuple[str, str]],
) -> list[str]:
    """Run jobs, keep each result as it lands, and return what failed.

    Args:
        without: (setting, method) of what is refused, which is not tried with other seeds; rows are added.
    """
    failures, running, count = list[str](), dict[Future[Any], Job](), 0
    waiting = (job for job in jobs if (job.setting, job.method) not in without)
    with ThreadPoolExecutor(at_once) as pool:
        while True:
            # no more are handed over than run, so that an interrupt ends those alone
            for job in itertools.islice(waiting, at_once - len(running)):
                running[pool.submit(measure, job, job.recipe())] = job
            if not running:
                return failures
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, count = running.pop(future), count + 1
                name = f"{count:4} of {len(jobs)}  {job.setting:16} {job.method:20} x{job.stretch:g} seed {job.seed}"
                try:
                    found = future.result()
                except Refused as error:
                    without.add((job.setting, job.method))
                    print(f"{name}  left out: {error}", flush=True)
                except Failed as error:
                    failures.append(f"{job.setting}, {job.method}, seed {job.seed}: {error}")
                    print(f"{name}  FAILED {error}", flush=True)
                else:
                    # a teacher that runs again: its row keeps the time that other rows are compared with
                    if not kept.has(job.key(), job.under()):
                        kept.add(job.key(), {**job.under(), **found})
                    shown = "  ".join(f"{key} {value:.3f}" for key, value in found["figures"].items())
                    print(f"{name}  {shown}  training {found['train_s']:.1f} s of CPU", flush=True)
                    landed()


def duration(jobs: Iterable[Job], at_once: int) -> str:
    """About how long jobs take, as `2:05 h`."""
    minutes = round(sum(job.seconds() for job in jobs) / at_once / 60)
    return f"{minutes // 60}:{minutes % 60:02} h"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="strategies", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    top.add_argument("--only", nargs="+", choices=CLAIMS, default=list(CLAIMS), help="these claims")
    top.add_argument("--settings", nargs="+", choices=SETTINGS, help="these settings")
    top.add_argument("--methods", nargs="+", choices=METHODS, help="these methods beside plain")
    top.add_argument("--seeds", type=int, default=5, help="how many seeds, from 1 on")
    top.add_argument("--models", type=Path, default=os.environ.get("HFFT_MODELS"), help="folder of models")
    top.add_argument("--data", type=Path, default=os.environ.get("HFFT_DATA"), help="folder of data sets")
    top.add_argument("--at-once", type=int, default=1, help="runs at a time, with a thread each")
    top.add_argument("--out", type=Path, default=TABLE, help="the page to write")
    top.add_argument("--results", type=Path, default=RESULTS, help="what every run came to, a line each")
    top.add_argument("--plan", action="store_true", help="say what would be run and how long, and end")
    return top


def chosen(given: argparse.Namespace) -> tuple[list[tuple[str, str]], dict[tuple[str, str], list[str]]]:
    """(setting, method) of the rows to measure, and (method, why) -> the settings in which it is left out."""
    rows, left_out = dict[tuple[str, str], None](), dict[tuple[str, str], list[str]]()
    for setting, method in cases(given.only):
        if setting not in (given.settings or SETTINGS) or method not in ("plain", *(given.methods or METHODS)):
            continue
        if (why := refused(setting, method)) is None:
            rows[setting, method] = None
        else:
            left_out.setdefault((method, why), []).append(setting)
    return list(rows), left_out


def main(argv: list[str] | None = None, measure: Measure | None = None) -> int:
    """Measure what is missing, write the page, and return 1 where a run failed."""
    given = parser().parse_args(argv)
    kept = Kept(given.results)
    rows, left_out = chosen(given)
    for (method, why), settings in left_out.items():
        print(f"left out: {method} on {', '.join(settings)}: {why}")
    wave = [Job(*row, seed) for seed in range(1, given.seeds + 1) for row in rows]
    todo = missing(wave, kept)
    before = teachers(todo, kept)
    print(
        f"{len(wave)} runs of {len(rows)} rows, {len(todo)} to measure and {len(before)} teachers before: about "
        f"{duration([*before, *todo], given.at_once)} with {given.at_once} at once, then plain runs of equal time",
        flush=True,
    )
    if given.plan:
        return 0
    measure = measure or Runner(given.models, given.data)
    conditions = f"{machine()}, a thread a run; " + ", ".join(
        f"{name} {version}" for name, version in versions().items()
    )

    without, every = set[tuple[str, str]](), chosen(parser().parse_args([]))[0]

    def landed() -> None:
        planned = [row for row in every if row not in without]
        given.out.write_text(page(kept.results, conditions, planned), encoding="utf-8")

    failures: list[str] = []
    for jobs in (before, [job for job in todo if job not in before]):
        failures += measured(jobs, kept, measure, given.at_once, landed, without)
    longer = missing(equal_time(rows, given.seeds, kept), kept)
    print(f"{len(longer)} plain runs of equal time: about {duration(longer, given.at_once)}", flush=True)
    failures += measured(longer, kept, measure, given.at_once, landed, without)
    landed()
    print(*(f"FAILED {line}" for line in failures), f"written: {given.out}", sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

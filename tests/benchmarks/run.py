"""The benchmark: `python -m tests.benchmarks.run` times our recipes and their rivals in turn and writes the table beside this.

Every run is a process of its own; results are kept as they come in, and an interrupted benchmark goes on where it stood.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.cases import CASES, Case
from tests.benchmarks.table import failures, page

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("table.md")
SIDES = ("ours", "tuned", "stock")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m tests.benchmarks.run", description=__doc__)
    top.add_argument("--only", action="append", choices=[case.name for case in CASES], help="this case (repeatable)")
    top.add_argument("--repeats", type=int, default=3, help="rounds of ours, tuned, stock (default: 3)")
    top.add_argument("--rows", type=int, help="rows of each case, in place of its own sample")
    top.add_argument("--full", action="store_true", help="whole data sets and every round of stock: hours")
    top.add_argument("--models", default=os.environ.get("BENCH_MODELS"), help="folder of models named as on the hub")
    top.add_argument("--data", default=os.environ.get("BENCH_DATA"), help="folder of data sets named as on the hub")
    top.add_argument("--work", type=Path, default=ROOT / "runs" / "bench", help="where results are kept")
    top.add_argument("--table", type=Path, default=TABLE, help="the page to write")
    top.add_argument("--fresh", action="store_true", help="measure anew what is already measured at this commit")
    top.add_argument(
        "--any-commit", action="store_true", help="take what was measured at other commits; the table names them"
    )
    return top


def plan(case: Case, given: argparse.Namespace) -> Iterator[tuple[str, str, int, int]]:
    """(side, role, repeat, rows) of every run of a case, the sides in turn.

    A `main` run is timed; `pair` is ours on the rows of `stock`, whose result must agree; `more` is ours on ten times
    the rows, whose memory must not grow.
    """
    rows = given.rows or (case.full if given.full else case.rows)
    few = rows if given.full else min(rows, case.stock_rows)
    if case.what == "stream":
        yield "ours", "main", 0, rows
        return
    for repeat in range(given.repeats):
        for side in SIDES:
            if side != "stock" or given.full or repeat < case.stock_repeats:
                yield side, "main", repeat, few if side == "stock" else rows
        if repeat == 0 and few < rows:
            yield "ours", "pair", repeat, few
    if case.what == "evaluate":
        yield "ours", "more", 0, 10 * rows


def start(module: str, spec: dict[str, Any], environment: dict[str, str]) -> None:
    """Run a module of this folder on a spec, in a process of its own.

    Raises:
        SystemExit: it failed; with the end of what it said.
    """
    path = Path(spec["result"]).with_suffix(".spec.json")
    path.write_text(json.dumps(spec), encoding="utf-8")
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", str(path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command[1:])} ended with {done.returncode}:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")


def environment_of(folder: Path) -> dict[str, str]:
    """The environment of a run: nothing cached by the one before it, no threads that spin while they wait."""
    own = {
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(CORES),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_DATASETS_CACHE": str(folder / "datasets"),
        "HFFT_CACHE": str(folder / "kept"),
    }
    home = os.environ.get("HF_HOME") or str(Path.home() / ".cache" / "huggingface")
    return {**os.environ, "HF_HOME": home, **own}


def measure(case: Case, side: str, repeat: int, rows: int, given: argparse.Namespace) -> dict[str, Any]:
    """One run: its figures, with the wall time of the whole process as `process_s`."""
    inputs = given.work / f"{case.name}-{rows}"
    common = {"case": dataclasses.asdict(case), "column": case.column, "rows": rows}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = folder / "result.json"
        environment = environment_of(folder)
        if not (inputs / "data").is_dir():
            shutil.rmtree(inputs, ignore_errors=True)
            made = {"models": given.models, "data": given.data, "folder": str(inputs), "result": str(result)}
            start("prepare", {**common, **made}, environment)
        spec = {
            **common,
            "side": side,
            "what": case.what,
            "modality": case.modality,
            "label": case.label,
            "train": case.train,
            "epochs": case.epochs,
            "max_steps": {"train": -1, "evaluate": 1, "stream": max(rows // case.batch, 1)}[case.what],
            "batch": case.batch,
            "learning_rate": case.learning_rate,
            "seed": 42 + repeat,
            "workers": 0 if case.modality == "text" else max(CORES - 1, 1),
            "cpu": True,
            "bf16": False,
            "model": str(inputs / "model"),
            "data": str(inputs / "data"),
            "output": str(folder / "run"),
            "result": str(result),
        }
        started = time.perf_counter()
        start("ours" if side == "ours" else "rivals", spec, environment)
        seconds = time.perf_counter() - started
        return {**json.loads(result.read_text(encoding="utf-8")), "process_s": seconds}


def commit() -> str:
    """What the package is at: the commit, marked where files differ from it."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main(arguments: list[str] | None = None) -> int:
    """Measure, write the table, and return 1 where a case ends with another result than its rivals."""
    given = parser().parse_args(arguments)
    given.work.mkdir(parents=True, exist_ok=True)
    kept, at = given.work / "results.jsonl", commit()
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.is_file() and not given.fresh else []
    results = [json.loads(line) for line in lines]
    names = ("case", "side", "role", "repeat", "rows")
    known = {(*(r[n] for n in names), at): r for r in results if given.any_commit or r["commit"] == at}
    found: dict[str, list[dict[str, Any]]] = {}
    chosen = [case for case in CASES if not given.only or case.name in given.only]
    for case in chosen:
        for side, role, repeat, rows in plan(case, given):
            key = case.name, side, role, repeat, rows, at
            if key not in known:
                figures = {**dict(zip((*names, "commit"), key, strict=True)), "date": time.strftime("%Y-%m-%d")}
                figures |= measure(case, side, repeat, rows, given)
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(figures) + "\n")
                known[key] = figures
            figures = known[key]
            found.setdefault(case.name, []).append(figures)
            print(
                f"{case.name} {side} {repeat + 1} ({rows} rows): training {figures['train_s']:.1f} s, evaluation "
                f"{figures['evaluate_s']:.1f} s, process {figures['process_s']:.1f} s, peak {figures['peak_mib']:.0f} "
                f"MiB, accuracy {figures['accuracy']:.3f}",
                flush=True,
            )
    text = page(chosen, found, CORES)
    given.table.write_text(text, encoding="utf-8")
    print("\n" + text)
    return 1 if any(failures(case, found[case.name]) for case in chosen) else 0


if __name__ == "__main__":
    sys.exit(main())

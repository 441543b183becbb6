"""Plant bugs in the package, one at a time, and see whether the tests that mirror the file notice: `make mutants`.

    python -m tests.mutants [--files hfft/recipe hfft/wording.py] [--count 1] [--seed 0] [--jobs 2] [--fast]

Each job works in a copy of the tree. The tests run without a bug first: their time sets the limit (a mutant that runs
three times as long is noticed), and where they fail nothing is said about the file.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.plant import Mutant, mutants

ROOT = Path(__file__).parents[2]
LONGEST = 600  # seconds that the tests of a file may take without a bug
# Files whose tests stand neither at their mirrored path nor in the mirrored folder.
ELSEWHERE = {
    "hfft/__init__.py": ["tests/test_lazy.py"],
    "hfft/console.py": ["tests/test_cli.py"],
    "hfft/modeling.py": ["tests/head/test_kinds.py", "tests/frozen_cache/test_split_point.py", "tests/backbone/edit"],
    "hfft/modeling_inputs.py": ["tests/backbone/test_cross_modal.py", "tests/data/test_series.py"],
    "hfft/feature_extraction_series.py": ["tests/data/test_series.py"],
    "hfft/flower.py": ["tests/scenarios/federated/test_flower.py"],
    "hfft/nano.py": ["tests/data/test_builtin.py"],
    "hfft/processes.py": ["tests/test_cli.py", "tests/runs", "tests/train/test_distributed.py"],
    "hfft/run.py": ["tests/test_cli.py"],
    "hfft/spec.py": ["tests/recipe"],
    "hfft/wording.py": ["tests/test_wording.py", "tests/test_errors.py", "tests/recipe"],
    "hfft/tasks": ["tests/tasks", "tests/evaluate", "tests/data/test_labels.py"],
    "hfft/commands": ["tests/test_cli.py"],
    "hfft/recipe": ["tests/recipe"],
    "hfft/strategy": ["tests/strategy"],
}
# Tests that hold for every file of a folder, besides those of each.
BESIDE = {
    "hfft/pipeline/": "tests/pipeline/test_what_is_told.py",
    "hfft/publish/": "tests/publish/test_how_it_is_verified.py",
    "hfft/strategy/": "tests/strategy/test_options.py",
    "hfft/train/": "tests/train/test_pieces.py",
}


def mirrors(file: str, root: Path = ROOT) -> list[str]:
    """The tests that mirror a file of the package: its own, else those of its folder, else those named above."""
    path = Path(file)
    folder = Path("tests", *path.parent.parts[1:])
    own = folder / f"test_{path.stem}.py"
    if (root / own).is_file():
        return [str(own), *(test for above, test in BESIDE.items() if file.startswith(above))]
    if path.name == "spec.py" and file not in ELSEWHERE:
        named = (folder / "test_spec.py", folder / f"test_{path.parent.name}_spec.py")
        return [*(str(p) for p in named if (root / p).is_file()), "tests/recipe"]
    for above in (file, *map(str, path.parents)):
        if found := [test for test in ELSEWHERE.get(above, []) if (root / test).exists()]:
            return found
    while len(folder.parts) > 1:
        if any((root / folder).glob("test_*.py")):
            return sorted(str(p.relative_to(root)) for p in (root / folder).glob("test_*.py"))
        folder = folder.parent
    return []


@contextlib.contextmanager
def planted(path: Path, mutant: Mutant) -> Iterator[None]:
    """The file with the bug; afterwards as it was."""
    before = path.read_bytes()
    cached = Path(importlib.util.cache_from_source(str(path)))
    try:
        path.write_text(mutant.source, encoding="utf-8")
        cached.unlink(missing_ok=True)  # which may be as old and as long as the new text
        yield
    finally:
        path.write_bytes(before)
        cached.unlink(missing_ok=True)


def run_tests(root: Path, tests: list[str], limit: float, fast: bool = False) -> str:
    """`survived` where the tests pass, `noticed`, or `timeout`."""
    chosen = ["-m", "not slow"] if fast else []
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *chosen, *tests]
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),  # before the working tree, which is installed
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    process = subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return "survived" if process.wait(timeout=limit) == 0 else "noticed"
    except subprocess.TimeoutExpired:
        return "timeout"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def copied(to: Path, root: Path = ROOT) -> Path:
    """The tree as git sees it, what is not committed yet included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)
    return to


def files_below(chosen: list[str]) -> list[str]:
    """The files of the package at or below the given paths."""
    found = set()
    for name in chosen:
        path = ROOT / name
        found |= {path} if path.is_file() else set(path.rglob("*.py"))
    return sorted(str(path.relative_to(ROOT)) for path in found)


def main(given: list[str] | None = None) -> int:
    """Plant, run, say; 1 where fewer than nine of ten are noticed."""
    parser = argparse.ArgumentParser(prog="make mutants", description="Plant bugs and see whether the tests notice.")
    parser.add_argument("--files", nargs="+", default=["hfft"], help="files and folders of the package")
    parser.add_argument("--count", type=int, default=1, help="bugs in each file, at most")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    parser.add_argument("--fast", action="store_true", help="only with the fast tier")
    chosen = parser.parse_args(given)
    work = [
        (file, mutant)
        for file in files_below(chosen.files)
        for mutant in mutants((ROOT / file).read_text(encoding="utf-8"), chosen.count, f"{chosen.seed}:{file}")
    ]
    said: dict[str, int] = {}
    limits: dict[tuple[str, ...], float | None] = {}
    locks: dict[tuple[str, ...], threading.Lock] = {tuple(mirrors(file)): threading.Lock() for file, _ in work}
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees: queue.Queue[Path] = queue.Queue()
        for i in range(chosen.jobs):
            trees.put(copied(Path(folder, str(i))))

        def limit_of(root: Path, tests: tuple[str, ...]) -> float | None:
            """Three times what the tests take without a bug; None where they fail or there are none."""
            with locks[tests]:
                if tests not in limits:
                    began = time.monotonic()
                    passed = tests and run_tests(root, list(tests), LONGEST, chosen.fast) == "survived"
                    limits[tests] = 20 + 3 * (time.monotonic() - began) if passed else None
                return limits[tests]

        def one(job: tuple[str, Mutant]) -> None:
            file, mutant = job
            root, tests, began = trees.get(), tuple(mirrors(file)), time.monotonic()
            try:
                limit = limit_of(root, tests)
                began = time.monotonic()
                if limit is None:
                    found = "no tests"
                else:
                    with planted(root / file, mutant):
                        found = run_tests(root, list(tests), limit, chosen.fast)
            finally:
                trees.put(root)
            said[found] = said.get(found, 0) + 1
            seconds = time.monotonic() - began
            print(f"{found:9} {file}:{mutant.line}  {mutant.before} -> {mutant.after}  ({seconds:.0f} s)", flush=True)

        with ThreadPoolExecutor(chosen.jobs) as pool:
            list(pool.map(one, work))
    noticed = said.get("noticed", 0) + said.get("timeout", 0)
    print(f"{noticed} of {len(work)} noticed ({noticed / max(len(work), 1):.0%}); {said}")
    return int(noticed < 0.9 * len(work))


if __name__ == "__main__":
    sys.exit(main())

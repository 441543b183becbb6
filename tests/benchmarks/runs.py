"""What the tables of measured runs have in common: where models lie, what figures depend on, and results that are kept."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "peft", "datasets")


def source(folder: Path | None, name: str, option: str) -> str:
    """A hub name, or the folder of it where one is given."""
    if folder is None:
        return name
    path = folder / name
    if not path.is_dir():
        sys.exit(f"{option}: {path} is no folder; it should hold {name} as the hub has it")
    return str(path.resolve())


def versions() -> dict[str, str]:
    """What the figures depend on beside the recipes."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def digest(recipe: dict[str, Any]) -> str:
    """A short name of a recipe, other for every other one."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(at_once: int = 1) -> str:
    """The processor, in words, and how many runs share it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    shared = f", {at_once} runs at once" if at_once > 1 else ""
    return f"{name}, {cores()} cores{shared}"


def spread(values: list[float], digits: int = 3) -> str:
    """Mean ± sample standard deviation; of one value the value."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


class Kept:
    """Measured runs, a line each of a file that is written as they land: the same command goes on where it stopped."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self.results: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def has(self, this: dict[str, Any], under: dict[str, Any]) -> bool:
        """Whether a run was measured under these conditions."""
        return any(all(result.get(key) == value for key, value in {**this, **under}.items()) for result in self.results)

    def add(self, this: dict[str, Any], found: dict[str, Any]) -> None:
        """Keep what a run came to, in place of what it came to under other conditions."""
        others = [result for result in self.results if any(result.get(key) != value for key, value in this.items())]
        self.results = [*others, {**this, **found}]
        part = self.path.with_suffix(".part")
        part.write_text("".join(json.dumps(result) + "\n" for result in self.results), encoding="utf-8")
        part.replace(self.path)

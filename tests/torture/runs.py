"""Tiny runs in processes of their own, to be killed, stopped and compared."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

ROOT = Path(__file__).parents[2]
TIMES = ("_runtime", "_per_second", "seconds")  # what of a log or of the figures is a clock's
RECIPE = """
task: image-classification
backbone: {name: nano-vit, config: {hidden_dropout_prob: 0.1}}
data: {path: digits, validation: 0.1, max_train_samples: 64, max_eval_samples: 40, augment: [random_crop]}
strategy: {l2_sp: {weight: 0.01}}
training:
  num_train_epochs: 3
  per_device_train_batch_size: 4
  gradient_accumulation_steps: 2
  learning_rate: 1e-3
  logging_steps: 5
  eval_strategy: steps
  eval_steps: 6
  save_strategy: steps
  save_steps: 3
  use_cpu: true
"""


class Child:
    """A started run: a fork of a process that has the libraries loaded, or, where `real`, a command of its own."""

    _context = multiprocessing.get_context("forkserver")
    _context.set_forkserver_preload(["tests.torture.preload"])

    def __init__(self, arguments: Sequence[object], log: Path, real: bool = False):
        self.log, self.real = log, real
        words = [str(word) for word in arguments]
        if real:
            with log.open("ab") as out:
                command = [sys.executable, "-m", "hfft.cli", *words]
                self.popen = subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT, start_new_session=True)
            self.pid = self.popen.pid
        else:
            self.process = self._context.Process(target=_run, args=(words, str(log)))
            self.process.start()
            self.pid = self.process.pid

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.status() is None:
            os.kill(self.pid, number)

    def status(self) -> int | None:
        """The exit status, None while it runs."""
        return self.popen.poll() if self.real else self.process.exitcode

    def wait(self, timeout: float = 300) -> int:
        """Wait for its end; the exit status, negative where a signal killed it."""
        end = time.monotonic() + timeout
        while self.status() is None:
            if time.monotonic() > end:
                os.kill(self.pid, 9)
                raise TimeoutError(self.log.read_text())
            time.sleep(0.005)
        return int(self.status() or 0)

    def until(self, seen: Callable[[], bool]) -> bool:
        """Wait until something is seen; False where the run ended before."""
        while not seen():
            if self.status() is not None:
                return False
            time.sleep(0.001)
        return True


def _run(words: list[str], log: str) -> None:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(out, stream)
    torch.set_num_threads(1)
    from hfft import cli

    code = cli.main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def write_recipe(folder: Path, text: str = RECIPE) -> Path:
    """The recipe of a tiny run with everything that has a state."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path


def train(recipe: Path, run: Path, *more: str, real: bool = False) -> Child:
    """Start `hfft train`."""
    return Child(["train", recipe, f"training.output_dir={run}", *more], run.with_suffix(".log"), real)


@functools.cache
def whole(recipe: Path, run: Path, real: bool = False) -> float:
    """The uninterrupted run that others are compared with; its seconds, with the libraries loaded."""
    for path in (run.with_name("warm"), run):
        started = time.monotonic()
        child = train(recipe, path, real=real)
        if child.wait() != 0:
            raise RuntimeError(child.log.read_text()[-2000:])
    return time.monotonic() - started


def compare(whole: Path, other: Path) -> list[str]:
    """What differs between two finished runs: weights, optimiser, scheduler, log history, figures; times aside."""
    found = []
    for name in ("model/model.safetensors", "model/adapter_model.safetensors"):
        if (whole / name).exists() and _bytes(whole / name) != _bytes(other / name):
            found.append(name)
    last, again = (max(run.glob("checkpoint-*"), key=lambda p: int(p.name[11:])) for run in (whole, other))
    if last.name != again.name:
        return [*found, f"{last.name}, {again.name}"]
    left, right = (safetensors.torch.load_file(next(f.glob("*.safetensors"))) for f in (last, again))
    found += [name for name in left if not torch.equal(left[name], right[name])]
    for name in ("optimizer.pt", "scheduler.pt"):
        if not equal(*(torch.load(folder / name, weights_only=True) for folder in (last, again))):
            found.append(name)
    for name in ("trainer_state.json", "metrics.json"):
        if timeless(json.loads((whole / name).read_text())) != timeless(json.loads((other / name).read_text())):
            found.append(name)
    return found


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def equal(left: Any, right: Any) -> bool:
    """Whether two nested values with tensors in them are the same to the bit."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)


def timeless(value: Any) -> Any:
    """Figures without what a clock says, and without the paths of a run."""
    if isinstance(value, dict):
        skip = (*TIMES, "best_model_checkpoint")
        return {key: timeless(item) for key, item in value.items() if not key.endswith(skip)}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def moments(seed: int) -> random.Random:
    """Where a torture draws its moments from; its seed is printed with the outcome."""
    return random.Random(seed)

"""Signals where a run does not train, from its first download to its push, under each launcher; and a second signal."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests import stand_ins
from tests.hub_server import Fault, Hub
from tests.torture import runs, world

TOKEN, MODEL, DATA = "hf_canary_write_token", "google-bert/bert-base-uncased", "CogComp/trec"
LIMIT = 8.0  # seconds from the signal to the end of the launcher and of all it started
SOON = 4.0  # from a second signal on, which ends the processes themselves at once
HANG = 30.0  # seconds that the hub is silent
RECIPE = f"""
task: text-classification
backbone: {{name: {MODEL}}}
data: {{path: {DATA}, validation: 0.2}}
training:
  max_steps: 8
  per_device_train_batch_size: 4
  eval_strategy: steps
  eval_steps: 4
  save_strategy: steps
  save_steps: 4
  use_cpu: true
"""
LAUNCHERS = {
    "python": [],
    "torchrun": ["-m", "torch.distributed.run", "--nproc-per-node", "2"],
    "accelerate": ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"],
}
SILENT: dict[str, tuple[str, str]] = {  # what the hub does not answer in a phase
    "fetching the model": ("GET", "^/google-bert/.*/model.safetensors"),
    "fetching the data": ("GET", "^/datasets/.*parquet"),
    "pushing": ("PUT", "^/lfs/"),
}
SEEN: dict[str, Callable[[Path], bool]] = {  # how it is seen that a run is in a phase
    "mapping": lambda run: any((run.parent / "home/datasets").rglob("cache-*")),
    "after an evaluation": lambda run: "epoch" in log(run),
    "saving": lambda run: (run / ".saving").is_dir(),
    "writing the model": lambda run: (run / ".model").is_dir(),
}
CASES = [
    *(("python", phase) for phase in ("fetching the model", "fetching the data", "mapping", "pushing")),
    *(("torchrun", phase) for phase in ("fetching the model", "after an evaluation", "saving", "writing the model")),
    *(("accelerate", phase) for phase in ("fetching the data", "mapping", "after an evaluation", "pushing")),
]
TWICE = list(LAUNCHERS)


def asked(hub: Hub, method: str, path: str) -> bool:
    """Whether the hub was asked for something."""
    return any(m == method and re.search(path, p) for m, p in list(hub.requests))


def log(run: Path) -> str:
    """What a run has said so far."""
    path = run.with_suffix(".log")
    return path.read_text() if path.exists() else ""


def start(launcher: str, environment: dict[str, str], run: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a run under a launcher; it leads a session of its own."""
    port, environment = world.port(), {**world.environment(), **environment}
    flag = {"torchrun": ["--master-port", port], "accelerate": ["--main_process_port", port]}.get(launcher, [])
    command = [sys.executable, *LAUNCHERS[launcher], *flag, "hfft/run.py", *words, f"training.output_dir={run}"]
    with run.with_suffix(".log").open("ab") as out:
        return subprocess.Popen(command, env=environment, cwd=runs.ROOT, stdout=out, stderr=out, start_new_session=True)


def left(run: Path) -> list[int]:
    """The launcher and the processes of a run that have not ended; elastic launchers give each a session of its own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"training.output_dir={run}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def ended(process: subprocess.Popen[bytes], run: Path, sent: float, limit: float) -> tuple[int, float]:
    """Status of a launcher, and the seconds until all that it started had ended; what has not by then is killed."""
    while process.poll() is None or left(run):
        if time.monotonic() - sent > limit + 20:
            for pid in left(run):
                os.kill(pid, signal.SIGKILL)
            process.wait()
            break
        time.sleep(0.02)
    return process.returncode, time.monotonic() - sent


def elsewhere(folder: Path, cases: list[tuple[str, str]]) -> list[str]:
    """Stop a run in each phase, see that nothing is pushed, and let it go on; a line per promise that does not hold."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = runs.write_recipe(folder, RECIPE)
    models, data = stand_ins.model(MODEL, folder / "model"), stand_ins.data(DATA, folder / "data")
    failed = []
    for i, (launcher, phase) in enumerate(cases):
        place, number = folder / f"{i}", (signal.SIGTERM, signal.SIGINT)[i % 2]
        place.mkdir()
        with Hub(place / "store", tokens={TOKEN: "alice"}) as hub:
            hub.add("models", MODEL, models)
            hub.add("datasets", DATA, data)
            method, path = SILENT.get(phase, ("", ""))
            if method:
                hub.faults[:] = [Fault(path, method=method, times=9, hang=HANG)]
            environment, run = hub.env(place / "home", TOKEN), place / "run"
            words = ("--recipe", str(recipe), f"publish.hub_model_id=trial-{i}")
            process = start(launcher, environment, run, *words)
            until, there = time.monotonic() + 120, False
            while not there and process.poll() is None and time.monotonic() < until:
                time.sleep(0.002)
                there = asked(hub, method, path) if method else SEEN[phase](run)
            sent = time.monotonic()
            if process.poll() is None:
                process.send_signal(number)
            status, took = ended(process, run, sent, LIMIT)
            said, what = log(run), f"{launcher}, {phase}, {number.name}"
            pushed = asked(hub, "POST", "/commit/")
            lines = [line for line in said.splitlines() if line.startswith("stopped by ")]
            wanted = {128 + number} if launcher == "python" else set(range(1, 256)) | {-number}
            if not there or status not in wanted or took > LIMIT or pushed or len(lines) != 1:
                failed.append(
                    f"{what}: reached {there}, status {status} after {took:.1f} s, pushed {pushed}, said {lines}: {said[-900:]}"
                )
            hub.faults.clear()
            again = start(launcher, environment, run, *words)
            if again.wait(240) != 0:
                failed.append(f"{what}: did not go on: {log(run)[-900:]}")
                continue
            if not asked(hub, "POST", "/commit/"):  # it was finished, and says how it is pushed
                done = subprocess.run(
                    [sys.executable, "-m", "hfft.cli", "publish", str(run)],
                    env={**os.environ, **environment, "PYTHONPATH": str(runs.ROOT)},
                    capture_output=True,
                    text=True,
                )
                if done.returncode:
                    failed.append(f"{what}: cannot be pushed later: {done.stderr[-500:]}")
            if len(hub.commits("models", f"alice/trial-{i}")) != 2:
                failed.append(f"{what}: {len(hub.commits('models', f'alice/trial-{i}'))} commits")
    return failed


def twice(folder: Path, launchers: list[str]) -> list[str]:
    """A second signal in the middle of a long step ends a run at once, whoever started it."""
    folder.mkdir(parents=True, exist_ok=True)
    long = runs.RECIPE.replace("max_train_samples: 64", "max_train_samples: 1024").replace(
        "gradient_accumulation_steps: 2", "gradient_accumulation_steps: 256"
    )  # a step is an epoch of many small batches
    recipe, failed = runs.write_recipe(folder, long.replace("logging_steps: 5", "logging_steps: 1")), []
    for launcher in launchers:
        run = folder / launcher
        process = start(
            launcher,
            {},
            run,
            "--recipe",
            str(recipe),
            "training.per_device_train_batch_size=1",
            "training.gradient_accumulation_steps=2000",
            "training.num_train_epochs=30",
        )
        while "parameters learn" not in log(run) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(1.0)  # into the first step
        process.send_signal(signal.SIGTERM)
        time.sleep(1.5)
        waited, sent = process.poll() is None, time.monotonic()
        for pid in left(run):
            os.kill(pid, signal.SIGTERM)
        status, took = ended(process, run, sent, LIMIT)
        if status == 0 or took > SOON or any(run.glob("checkpoint-*")) or not waited:
            failed.append(
                f"{launcher}: status {status}, {took:.1f} s after the second, waited {waited}: {log(run)[-700:]}"
            )
    return failed

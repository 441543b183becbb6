"""Two processes: a signal that reaches the launcher, or one of them alone, stops both at the same step."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.torture import runs

TWO = ("training.per_device_train_batch_size=2", "data.max_train_samples=64")  # the global batch is that of one process
LAUNCHERS = {
    "torchrun": ["-m", "torch.distributed.run", "--nproc-per-node", "2"],
    "accelerate": ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"],
}


def port() -> str:
    """A port of the loopback that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def environment() -> dict[str, str]:
    """Of a launch on the loopback, without what another launch left in ours."""
    clean = {
        k: v for k, v in os.environ.items() if not re.match(r"ACCELERATE|MASTER_|RANK|WORLD_SIZE|LOCAL_|TORCHEL", k)
    }
    ours = {
        "PYTHONPATH": str(runs.ROOT),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return {**clean, **ours}


def launch(recipe: Path, run: Path, launcher: str = "torchrun") -> subprocess.Popen[bytes]:
    """Start two processes on the loopback."""
    flag = "--master-port" if launcher == "torchrun" else "--main_process_port"
    words = [*LAUNCHERS[launcher], flag, port(), "hfft/run.py", "--recipe", str(recipe), *TWO]
    command = [sys.executable, *words, f"training.output_dir={run}"]
    with run.with_suffix(".log").open("ab") as out:
        return subprocess.Popen(command, env=environment(), cwd=runs.ROOT, stdout=out, stderr=out)


def children(pid: int) -> list[int]:
    """The processes that a launcher started."""
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def stop_world(folder: Path, cases: list[tuple[str, str]]) -> list[str]:
    """For each (launcher, "launcher" or "one rank"): stop, continue, compare; one line per promise that does not hold."""
    recipe = runs.write_recipe(folder)
    if launch(recipe, folder / "whole").wait(300) != 0:
        return [(folder / "whole.log").read_text()[-2000:]]
    failed = []
    for launcher, target in cases:
        run = folder / f"{launcher}-{target.replace(' ', '-')}"
        log, what = run.with_suffix(".log"), f"{launcher}, {target}"
        process = launch(recipe, run, launcher)
        while not (run / "checkpoint-3").is_dir() and process.poll() is None:
            time.sleep(0.002)
        sent = time.monotonic()
        os.kill(process.pid if target == "launcher" else children(process.pid)[-1], signal.SIGTERM)
        process.wait(120)
        took, text = time.monotonic() - sent, log.read_text()
        said = [line for line in text.splitlines() if line.startswith("stopped by SIGTERM")]
        statuses = re.findall(r"exitcode\s*:\s*(-?\d+)", text)
        if len(said) != 1 or process.returncode == 0 or (target != "launcher" and statuses[-1:] != ["143"]):
            failed.append(f"{what}: {took:.1f} s, said {said}, statuses {statuses}: {text[-1500:]}")
            continue
        if launch(recipe, run, launcher).wait(300) != 0:
            failed.append(f"{what}: did not go on: {log.read_text()[-1500:]}")
        elif different := runs.compare(folder / "whole", run):
            failed.append(f"{what}: differs in {', '.join(different[:5])}")
    return failed

"""Python commands as processes of their own, forked from one that has imported the libraries: seconds less for each.

Nothing of hfft is imported beforehand. What libraries read of the environment as they are imported (`HF_*`) is that of the
first process: a command that needs it otherwise takes an interpreter of its own.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PATIENCE = float(os.environ.get("FORKED_PATIENCE", 240))  # seconds until commands are killed


class Forks:
    """A process that forks one for each command."""

    def __init__(self, env: Mapping[str, str]):
        self.process = subprocess.Popen(
            [sys.executable, "-u", __file__], env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, *command: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `-c CODE`, `-m MODULE` or a script with its arguments in a folder, as `subprocess.run` does."""
        return self.run_all(*command, folder=folder, envs=[env])[0]

    def run_all(
        self, *command: str, folder: Path, envs: list[dict[str, str]]
    ) -> list[subprocess.CompletedProcess[str]]:
        """Run a command several times at once, each with its own environment; if one fails, the others are killed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with tempfile.TemporaryDirectory() as place:
            places = [tempfile.mkdtemp(dir=place) for _ in envs]
            self.process.stdin.write(json.dumps([command, str(folder), list(zip(envs, places, strict=True))]) + "\n")
            self.process.stdin.flush()
            statuses = json.loads(self.process.stdout.readline())
            return [
                subprocess.CompletedProcess(
                    command, status, Path(said, "out").read_text(), Path(said, "err").read_text()
                )
                for status, said in zip(statuses, places, strict=True)
            ]

    def close(self) -> None:
        """End the process."""
        self.process.communicate("")


@functools.cache
def forks() -> Forks:
    """Those of the tests that need no hub: without what a launcher above has set."""
    clean = {k: v for k, v in os.environ.items() if not re.match(r"ACCELERATE|MASTER_|RANK|WORLD_SIZE|LOCAL_", k)}
    ours = {"PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    ours |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    found = Forks({**clean, **ours})
    atexit.register(found.close)
    return found


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def two_processes(script: Path | str, *arguments: object) -> None:
    """Run a script in two processes that know of each other, as torchrun starts them.

    Raises:
        AssertionError: one of them failed; it says what both printed last, as the other's error is a lost connection.
    """
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    envs = [{**shared, "RANK": rank, "LOCAL_RANK": rank} for rank in ("0", "1")]
    both = forks().run_all(str(script), *map(str, arguments), folder=ROOT, envs=envs)
    assert not any(done.returncode for done in both), "\n".join(
        f"process {rank} ended with {done.returncode}: {done.stderr[-3000:]}" for rank, done in enumerate(both)
    )


def serve() -> None:
    """Fork for each line of the input; say the status of each."""
    gc.disable()  # imports make no garbage, and looking for it takes a quarter of their time
    import accelerate  # noqa: F401
    import datasets  # noqa: F401
    import evaluate  # noqa: F401
    import peft  # noqa: F401
    import PIL.Image  # noqa: F401
    from transformers import (  # noqa: F401
        AutoModelForImageClassification,
        AutoModelForSequenceClassification,
        Trainer,
        TrainingArguments,
        ViTForImageClassification,
        pipeline,
    )

    gc.freeze()
    gc.enable()
    for line in sys.stdin:
        command, folder, ways = json.loads(line)
        children = [os.fork() or one(command, folder, *way) for way in ways]
        print(json.dumps(statuses_of(children)), flush=True)


def statuses_of(children: list[int]) -> list[int]:
    """Wait for processes; kill the rest two seconds after one has failed, and all that take too long."""
    found: dict[int, int] = {}
    end = time.monotonic() + PATIENCE
    while len(found) < len(children):
        for child in set(children) - set(found):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                found[child] = os.waitstatus_to_exitcode(status)
                if found[child]:
                    end = min(end, time.monotonic() + 2)
            elif time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return [found[child] for child in children]


def one(command: list[str], folder: str, env: dict[str, str], place: str) -> Any:
    """Be a command, and end."""
    os.chdir(folder)
    os.environ.update(env)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{place}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    status = 0
    try:
        if command[0] == "-c":
            sys.argv, sys.path[0] = ["-c", *command[2:]], ""
            exec(compile(command[1], "<string>", "exec"), {"__name__": "__main__"})
        elif command[0] == "-m":
            sys.argv, sys.path[0] = command[1:], folder
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv, sys.path[0] = command, str(Path(command[0]).parent)
            runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:  # here and below as an interpreter does
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if not isinstance(end.code, int | None):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    serve()

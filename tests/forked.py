"""Python commands as processes of their own, forked from one that has imported the libraries: seconds less for each.

Nothing of hfft is imported beforehand. What libraries read of the environment as they are imported (`HF_*`) is that of the
first process: a command that needs it otherwise takes an interpreter of its own.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Forks:
    """A process that forks one for each command."""

    def __init__(self, env: Mapping[str, str]):
        self.process = subprocess.Popen(
            [sys.executable, "-u", __file__], env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, *command: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `-c CODE`, `-m MODULE` or a script with its arguments in a folder, as `subprocess.run` does."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with tempfile.TemporaryDirectory() as place:
            self.process.stdin.write(json.dumps([command, str(folder), env, place]) + "\n")
            self.process.stdin.flush()
            status = json.loads(self.process.stdout.readline())
            out, err = (Path(place, name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(command, status, out, err)

    def close(self) -> None:
        """End the process."""
        self.process.communicate("")


def serve() -> None:
    """Fork for each line of the input; say the status of each."""
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

    for line in sys.stdin:
        child = os.fork()
        if not child:
            one(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


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
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # as an interpreter does
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    serve()

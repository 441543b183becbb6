"""A GPU that is not there: tensors say `cuda:0`, their numbers lie in the host's memory, and each crossing is seen.

It computes with the CPU's kernels; what it shows is where tensors are and what the host would wait for. An operation on
tensors of both devices fails as on a GPU, what reads a value is noted, and so is a copy that is not `non_blocking`. It
shows neither time nor memory, and no kernel of a GPU runs.

`pretend` must run before torch is imported, in a process of its own: `python -m tests.pretended_gpu`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TORCH = Path(str(importlib.util.find_spec("torch").origin)).parent


def build(folder: Path) -> Path:
    """Compile what torch's core wants to know of the device; needs g++."""
    library = folder / "device.so"
    headers = [f"-I{TORCH / 'include'}", f"-I{TORCH / 'include/torch/csrc/api/include'}"]
    linked = [f"-L{TORCH / 'lib'}", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{TORCH / 'lib'}"]
    flags = ["-std=c++20", "-O0", "-w", "-shared", "-fPIC", *headers]
    subprocess.run(["g++", *flags, str(HERE / "device.cpp"), "-o", str(library), *linked], check=True)
    return library


def pretend(library: Path) -> Any:
    """From now on torch has a GPU; the module that watches it."""
    for name in (TORCH / "lib/libc10.so", TORCH / "lib/libtorch_cpu.so", library):
        ctypes.CDLL(str(name), ctypes.RTLD_GLOBAL)  # torch asks once what there is, when it is imported
    from tests.pretended_gpu import tensors

    tensors.begin()
    return tensors

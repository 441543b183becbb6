"""A GPU that is not there: tensors say `cuda:0`, their numbers lie in the host's memory, and each crossing is seen.

It computes with the CPU's kernels; what it shows is where tensors are and what the host would wait for. An operation on
tensors of both devices fails as on a GPU, what reads a value is noted, and so is a copy that is not `non_blocking`. It
shows neither time nor memory, and no kernel of a GPU runs.

`pretend` must run before torch is imported, in a process of its own: `python -m tests.pretended_gpu`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import subprocess
import traceback
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
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


class Waits:
    """Where the host waited for the GPU, while counting is on."""

    def __init__(self) -> None:
        self.counting, self.found = False, Counter[str]()

    def note(self, what: str) -> None:
        """Count one, by what waits and who asked for it."""
        if self.counting:
            codes = (frame.f_code for frame, _ in traceback.walk_stack(None))
            asking = itertools.islice((code for code in codes if _asks(code.co_filename)), 3)
            who = " < ".join(f"{'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_name}" for code in asking)
            self.found[f"{what}: {who}"] += 1


def _asks(path: str) -> bool:
    return not path.startswith(str(TORCH)) and not path.startswith(str(HERE)) and "<" not in path


def stand_ins(waits: Waits, device: Any, random: Any) -> dict[str, Any]:
    """What stands in `torch.cuda` meanwhile, by name."""

    class Event:
        """A moment on the GPU; whoever waits for one of the running step keeps the GPU without work."""

        def __init__(self, *_: Any, **__: Any):
            self.step = 0

        def record(self, *_: Any) -> None:
            self.step = Event.now

        def synchronize(self) -> None:
            if self.step == Event.now:
                waits.note("event of the running step")

        def query(self) -> bool:
            return True

        now = 0

    class Stream:
        def __init__(self, *_: Any, **__: Any):
            self.device = device

        def synchronize(self) -> None:
            waits.note("stream")

        def wait_stream(self, *_: Any) -> None:
            pass

    facts = SimpleNamespace(name="pretended", total_memory=2**36, major=9, minor=0, multi_processor_count=1)
    answers = {
        **dict.fromkeys(("is_available", "is_initialized", "is_bf16_supported"), True),
        **dict.fromkeys(("manual_seed", "manual_seed_all", "seed_all", "set_device", "empty_cache", "init"), None),
        **dict.fromkeys(("ipc_collect", "reset_peak_memory_stats"), None),
        **dict.fromkeys(("memory_allocated", "memory_reserved", "current_device"), 0),
        **dict.fromkeys(("max_memory_allocated", "max_memory_reserved"), 2**20),
        "_lazy_init": None,
        "device_count": 1,
        "get_device_capability": (9, 0),
        "get_device_name": "pretended",
        "get_device_properties": facts,
        "is_current_stream_capturing": False,
        "mem_get_info": (2**36, 2**36),
        "memory_stats": {},
    }
    return {
        **{name: lambda *_, _answer=answer, **__: _answer for name, answer in answers.items()},
        "synchronize": lambda *_: waits.note("synchronize"),
        "Event": Event,
        "Stream": Stream,
        "current_stream": Stream,
        "default_stream": Stream,
        "stream": lambda *_: nullcontext(),
        "device": lambda *_: nullcontext(),
        "get_rng_state": lambda *_: random.get_rng_state(),
        "get_rng_state_all": lambda: [random.get_rng_state()],
        "set_rng_state": lambda state, *_: random.set_rng_state(state),
        "set_rng_state_all": lambda states: random.set_rng_state(states[0]),
    }

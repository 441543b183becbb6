"""What stands in `torch.cuda` while a GPU is pretended, and where the host waited for it."""

from __future__ import annotations

import itertools
import traceback
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from tests.pretended_gpu import HERE, TORCH

GPU = torch.device("cuda:0")


class Waits:
    """Where the host waited for the GPU, while counting is on; `step` is the one that runs."""

    def __init__(self) -> None:
        self.counting, self.step, self.found = False, 0, Counter[str]()

    def note(self, what: str) -> None:
        """Count one, by what waits and who asked for it."""
        if self.counting:
            codes = (frame.f_code for frame, _ in traceback.walk_stack(None))
            asking = itertools.islice((code for code in codes if _asks(code.co_filename)), 3)
            who = " < ".join(f"{'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_name}" for code in asking)
            self.found[f"{what}: {who}"] += 1


def _asks(path: str) -> bool:
    return not path.startswith(str(TORCH)) and not path.startswith(str(HERE)) and "<" not in path


def stand_ins(waits: Waits) -> dict[str, Any]:
    """What stands in `torch.cuda` meanwhile, by name."""

    class Event:
        """A moment on the GPU; whoever waits for one of the running step keeps the GPU without work."""

        def __init__(self, *_: Any, **__: Any):
            self.step = 0

        def record(self, *_: Any) -> None:
            self.step = waits.step

        def synchronize(self) -> None:
            if self.step == waits.step:
                waits.note("event of the running step")

        def query(self) -> bool:
            return True

    class Stream:
        def __init__(self, *_: Any, **__: Any):
            self.device = GPU

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
        "get_rng_state": lambda *_: torch.get_rng_state(),
        "get_rng_state_all": lambda: [torch.get_rng_state()],
        "set_rng_state": lambda state, *_: torch.set_rng_state(state),
        "set_rng_state_all": lambda states: torch.set_rng_state(states[0]),
    }

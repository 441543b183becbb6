"""Energy that the devices themselves count: a processor's by Linux's powercap (RAPL), an NVIDIA GPU's by its driver.

A counter is of the whole device: what other programs use meanwhile is part of it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

POWERCAP = Path("/sys/class/powercap")
Counter = Callable[[float], float]  # an earlier reading -> joules since, or with 0 the reading itself


class Joules:
    """The energy since this was made, of the current GPU or of the processor.

    Args:
        device: `cuda` or `cpu`.
    """

    def __init__(self, device: str):
        self.counters = [*(_gpu() if device == "cuda" else _processor())]
        self.before = [counter(0.0) for counter in self.counters]

    def so_far(self) -> float | None:
        """Joules; None where no device counts them."""
        if not self.counters:
            return None
        return sum(counter(before) for counter, before in zip(self.counters, self.before, strict=True))


def _processor() -> Iterator[Counter]:
    """A counter for each package of the processor that this user may read; some kernels let the administrator alone."""
    for folder in sorted(POWERCAP.glob("*-rapl:*")):
        if folder.name.count(":") > 1:  # a part of a package, which the package counts too
            continue
        with suppress(OSError, ValueError):
            most = int((folder / "max_energy_range_uj").read_text())
            int((folder / "energy_uj").read_text())

            def counted(before: float, file: Path = folder / "energy_uj", most: int = most) -> float:
                now = int(file.read_text()) / 1e6
                return now - before if now >= before else now - before + most / 1e6  # it begins at 0 again

            yield counted


def _gpu() -> Iterator[Counter]:
    """The counter of the current GPU, through NVIDIA's Python bindings where they are installed."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return
    with suppress(nvml.NVMLError, AttributeError):  # AttributeError: a torch whose devices have no UUID
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties().uuid}")
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)  # in millijoules; older GPUs do not count
        yield lambda before: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3 - before

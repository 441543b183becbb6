"""What it cost, and what it costs to use: size, time of the run and, where the model is run, latency and throughput."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from hfft.scorecard.energy import Joules
from hfft.scorecard.evidence import Evidence
from hfft.wording import human

WARM_UP, TIMED, SECONDS = 2, 50, 2.0  # passes of one row: at most so many, and for at most so long
BATCH = 32


def block(evidence: Evidence) -> dict[str, Any]:
    """Parameters, bytes, seconds; latency of one row (median), rows per second and energy are measured in a full scorecard only.

    A quick one is made at the end of a run, where another copy of the model may not fit into memory.
    """
    train = evidence.metrics.get("train", {})
    found: dict[str, Any] = {
        "parameters": sum(row["parameters"] for row in evidence.layers) or None,
        "trainable": sum(row["learning"] for row in evidence.layers) if evidence.layers else None,
        "bytes": _size(Path(evidence.source) / "model"),
        "steps": train.get("steps"),
        "seconds": train.get("seconds"),
        "peak_mib": _peak_mib(),
        "latency_ms": None,
        "rows_per_second": None,
        "joules_per_1000_rows": None,
    }
    return found | (_timed(evidence) if evidence.full else {})


def _size(folder: Path) -> int | None:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else None


def _peak_mib() -> int | None:
    """Peak memory of this process, or on a GPU of what was allocated there."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20)
    try:
        import resource
    except ImportError:  # on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, KiB elsewhere
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))


def _timed(evidence: Evidence) -> dict[str, Any]:
    """Latency and throughput with the model's processor, as `hfft predict` runs it."""
    rows = evidence.rows(evidence.split)
    inputs = evidence.inputs(rows.select(range(min(len(rows), BATCH))))
    predictor = evidence.predictor

    def seconds(what: list[Any]) -> float:
        began = time.perf_counter()
        predictor.logits(what)  # on the CPU at the end, so that a GPU has finished
        return time.perf_counter() - began

    def measured(what: list[Any]) -> list[float]:
        """Seconds of each pass."""
        taken: list[float] = []
        while len(taken) < TIMED and sum(taken) < SECONDS:
            taken.append(seconds(what))
        return taken

    for what in (inputs[:1], inputs):
        for _ in range(WARM_UP):
            seconds(what)
    one = measured(inputs[:1])
    energy = Joules(predictor.model.device.type)
    whole = measured(inputs)
    joules = energy.so_far()
    return {
        "parameters": sum(p.numel() for p in predictor.model.parameters()),
        "latency_ms": round(1000 * median(one), 3),
        "rows_per_second": round(len(inputs) / median(whole), 1),
        "joules_per_1000_rows": None if joules is None else round(1000 * joules / (len(inputs) * len(whole)), 3),
        "batch": len(inputs),
        "device": torch.cuda.get_device_name()
        if predictor.model.device.type == "cuda"
        else predictor.model.device.type,
    }


def lines(found: dict[str, Any]) -> list[str]:
    """Size, training, use."""
    said = []
    if found["parameters"]:
        learning = f", {found['trainable']:,} learned" if found["trainable"] is not None else ""
        size = f", {human(found['bytes'])} on disk" if found["bytes"] else ""
        said.append(f"{found['parameters']:,} parameters{learning}{size}")
    if found["seconds"]:
        peak = f"; peak memory {found['peak_mib']} MiB" if found["peak_mib"] else ""
        said.append(f"{found['seconds']:.0f} s for {found['steps']} steps{peak}")
    if found["latency_ms"] is not None:
        said.append(
            f"{found['latency_ms']:.1f} ms a row, {found['rows_per_second']:.0f} rows/s in batches of {found['batch']} "
            f"({found['device']}, processor included)"
        )
    if found.get("joules_per_1000_rows") is not None:
        said.append(f"{found['joules_per_1000_rows']:.3g} J for 1,000 rows, of the whole device")
    return said

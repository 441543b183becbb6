"""Whether the confidence is what it says: reliability diagrams before and after the temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfft.report.plot import Picture, columns
from hfft.report.record import Record

BLOCK, TITLE = "calibration", "Calibration"
NAMES = {
    "ece": "expected calibration error, equal width",
    "ece_equal_mass": "expected calibration error, equal mass",
    "classwise_ece": "class-wise calibration error",
    "rms": "root mean square calibration error",
    "nll": "negative log-likelihood",
}


def section(record: Record) -> dict[str, Any] | None:
    """The figures before and after, and a diagram of each."""
    block = record.block(BLOCK)
    if block is None:
        return None
    after = block.get("after")
    names = list({**block["figures"], **(after or {"figures": {}})["figures"]})
    rows = [
        (NAMES.get(name, name.replace("_", " ")), block["figures"].get(name), after and after["figures"].get(name))
        for name in names
    ]
    drawn = [reliability("reliability, as trained", block["bins"], record.split(block["split"]))]
    if after and after.get("bins"):
        title = (
            f"reliability, temperature {after['temperature']:.3g}" if "temperature" in after else "reliability, after"
        )
        drawn.append(reliability(title, after["bins"], record.split(block["split"])))
    chance = [(NAMES.get(name, name), value) for name, value in (block.get("if_calibrated") or {}).items()]
    saved = block.get("saved")
    said = ", ".join(f"{key} {value}" for key, value in saved.items()) if isinstance(saved, Mapping) else str(saved)
    return {
        "title": TITLE,
        "block": block,
        "rows": rows,
        "after": after,
        "drawn": drawn,
        "chance": chance,
        "saved": said,
    }


def reliability(title: str, bins: Sequence[Mapping[str, Any]], rows: str) -> Picture:
    """A reliability diagram: the accuracy of the rows in each bin of confidence; empty bins are not drawn."""
    filled = [found for found in bins if found["n"]]
    over = sum(found["n"] for found in filled if found["confidence"] > found["accuracy"])
    total = sum(found["n"] for found in filled) or 1
    said = f"accuracy over confidence in {len(filled)} bins of {rows}; {over / total:.0%} of the rows are in too confident bins"
    cells = [(found["low"], found["high"], found["accuracy"], found["confidence"]) for found in filled]
    head = ["confidence", "rows", "mean confidence", "accuracy"]
    table = [
        [f"{found['low']:.3f} to {found['high']:.3f}", found["n"], found["confidence"], found["accuracy"]]
        for found in filled
    ]
    return columns(title, said, cells, ("confidence", "accuracy"), (head, table))

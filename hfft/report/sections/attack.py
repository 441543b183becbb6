"""What is left of the accuracy when the inputs are changed on purpose."""

from __future__ import annotations

import re
from typing import Any

from hfft.report.plot import Line, lines
from hfft.report.record import Record

BLOCK, TITLE = "attack", "Attacked inputs"
NAMES = {"fgsm": "FGSM", "apgd_ce": "APGD-CE", "clean": "no attack"}
NAMES |= {"characters": "characters changed", "words": "words changed", "embedding": "embeddings moved"}


def section(record: Record) -> dict[str, Any] | None:
    """The accuracy under each attack, the curve over the strength, and the checks of the attack."""
    block = record.block(BLOCK)
    if block is None:
        return None
    text = block.get("kind") == "text"
    how = "words or characters that may be changed" if text else f"radius of the attack ({block.get('norm', 'norm')})"
    notes = [block["says"]] if "says" in block else []
    notes += [f"rows: {block['rows']}"] if "rows" in block else []
    notes += [f"{name_of(name)} left out: {why}" for name, why in block.get("left_out", {}).items()]
    if not text and block.get("radius") is not None:
        how_much = f"norm {block.get('norm', '?')}, radius {block['radius']:.4g}"
    else:
        how_much = f"budget {block['budget']:g}" if isinstance(block.get("budget"), int | float) else ""
    curve = [(point[0], point[1]) for point in block.get("curve", [])]
    said = f"accuracy of {record.split(block['split'])} over the {how}"
    drawn = lines("accuracy over the strength", said, [Line("accuracy", curve, True)], (how, "accuracy"), y=(0, 1))
    rows = [(name_of(name), found) for name, found in block["figures"].items()]
    return {
        "title": TITLE,
        "block": block,
        "rows": rows,
        "drawn": drawn,
        "notes": [how_much, *notes] if how_much and "says" not in block else notes,
        "checks": block.get("checks", []),
    }


def name_of(attack: str) -> str:
    """An attack in words: `pgd20` is PGD with 20 steps."""
    if steps := re.fullmatch(r"pgd(\d+)", attack):
        return f"PGD, {steps[1]} steps"
    return NAMES.get(attack, attack.replace("_", " "))

"""Run by a launcher: trainings that are killed and resumed in each of two processes; says what differs from the whole ones.

An epoch of 37 rows ends with a batch of five: of its two processes one has four rows of its own, the other one.
"""

import json
import os
import sys
from pathlib import Path

import torch

from hfft.frozen_cache.frozen_cache import FrozenCacheSettings
from tests.torture.runs import equal
from tests.train.test_resume import outcome, resumed, trainer_of

# What is trained, and the steps after which it is killed: five steps an epoch, with accumulation 3 two.
CASES = {
    "texts": ("bert", {}, (7,)),
    "texts, twice": ("bert", {}, (2, 8)),
    "texts, accumulated": ("bert", {"gradient_accumulation_steps": 3}, (3,)),
    "images": ("vit", {}, (7,)),
    "images, accumulated": ("vit", {"gradient_accumulation_steps": 3}, (1,)),
    "images, workers": ("vit", {"dataloader_num_workers": 2}, (7,)),
    "images, dropped": ("vit", {"dataloader_drop_last": True}, (6,)),
    "cached": ("vit", {"train": "last-1", "augmented": False, "keeping": True}, (7,)),
    "a stream": ("vit", {"stream": True}, (7,)),
    "a stream, accumulated": ("vit", {"stream": True, "gradient_accumulation_steps": 3}, (3,)),
    "at an epoch's end": ("vit", {}, (5,)),
}


def differing(name: str, folder: Path) -> list[str]:
    """The parts of the outcome that a kill has changed."""
    model, changes, stops = CASES[name]
    changes = {"count": 37, "save_steps": stops[0], "logging_steps": 1, "save_total_limit": 3, **changes}
    ends = []
    for way in ("whole", "parts"):
        given = dict(changes)
        if given.get("keeping"):
            given["keeping"] = FrozenCacheSettings(folder / way / "cache", 10**9, 0, lambda line: None)
        if way == "whole":
            trainer = trainer_of(folder / way, model, **given)
            trainer.train()
        else:
            trainer = resumed(folder / way, stops, model, **given)
        ends.append(outcome(trainer))
    return [key for key in ends[0] if not equal(ends[0][key], ends[1][key])]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    found = {name: differing(name, target / name.replace(" ", "-")) for name in CASES}
    (target / f"{os.environ['RANK']}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()

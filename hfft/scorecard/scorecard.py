"""Make the scorecard of a finished model: its blocks one after another, each of which may fail alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from hfft.errors import BadInput
from hfft.evaluate.outputs import Outputs
from hfft.recipe import Recipe
from hfft.runs import RunFolder
from hfft.scorecard import blocks
from hfft.scorecard.evidence import Evidence
from hfft.wording import first_line, listing, nearest

FORMAT = 1


def module(name: str) -> ModuleType:
    """The module of a block."""
    return import_module(f"{blocks.__name__}.{name}")


def check_names(names: Iterable[str]) -> None:
    """Raise BadInput for a block that there is none of."""
    for name in names:
        if name not in blocks.FULL:
            raise BadInput(
                f"--blocks: unknown {name!r}{nearest(name, blocks.FULL)} (known: {listing(blocks.FULL, 30)})"
            )


def make(evidence: Evidence, names: Iterable[str], earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The contents of scorecard.json; a block that fails has an `error` instead of figures.

    Args:
        names: the blocks to compute.
        earlier: a scorecard of the same outputs, whose other blocks are kept, and those made in full where this one is quick.
    """
    found = dict((earlier or {}).get("blocks", {}))
    for name in names:
        if found.get(name, {}).get("full") and not evidence.full:
            continue
        began = time.perf_counter()
        try:
            result = module(name).block(evidence)
        except Exception as error:  # whatever it is, the run itself is finished and must be saved
            result = {"error": first_line(error) or type(error).__name__}
        found.pop(name, None)
        if result is not None:
            found[name] = {**result, "full": evidence.full, "score_seconds": round(time.perf_counter() - began, 3)}
    if {"unknown", "ood"} <= found.keys():
        found["unknown"] = module("unknown").with_sets(found["unknown"], found["ood"])
    ordered = {name: found[name] for name in blocks.FULL if name in found}
    return {"format": FORMAT, "seed": evidence.seed, "blocks": ordered}


def lines(card: Mapping[str, Any]) -> list[str]:
    """A scorecard in a terminal: a heading for each block, and its figures."""
    said = []
    for name, found in card["blocks"].items():
        rows = f"  ({found['split']}, n={found['n']}, seed {card['seed']})" if "n" in found else ""
        said.append(f"{name}{rows}")
        said += [f"  {line}" for line in ([found["error"]] if "error" in found else module(name).lines(found))]
    return said


def of_run(folder: RunFolder, recipe: Recipe, metrics: Mapping[str, Any], **more: Any) -> Evidence:
    """The evidence of a run folder; outputs that are not stored are missing in it.

    Args:
        more: `full` and `data` of the evidence.

    Raises:
        BadInput: stored outputs are damaged.
    """
    files = {name: folder.outputs / f"{name}.safetensors" for name in ("validation", "test") if name in metrics}
    outputs = {name: Outputs.read(path) for name, path in files.items() if path.is_file()}
    return Evidence(str(folder.path), recipe, metrics, outputs, folder.layers() or (), **more)


def write(folder: RunFolder, recipe: Recipe, metrics: Mapping[str, Any], data: Any = None) -> dict[str, Any]:
    """Write scorecard.json as the recipe asks for, and return it; empty where nothing is asked for or no outputs are stored.

    Args:
        data: the recipe's rows and their labels, if they are loaded.
    """
    if recipe.score.scorecard == "off":
        return {}
    full = recipe.score.scorecard == "full"
    evidence = of_run(folder, recipe, metrics, full=full, data=data)
    if not evidence.outputs:
        return {}
    return update(folder, evidence, blocks.FULL if full else blocks.QUICK, {})


def update(
    folder: RunFolder, evidence: Evidence, names: Iterable[str], earlier: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Compute blocks and write scorecard.json after each, since some take minutes; returns the whole.

    Args:
        earlier: as for `make`; default: the scorecard in the folder.
    """
    card = dict(read(folder) if earlier is None else earlier)
    for name in names:
        card = make(evidence, [name], card)
        folder.write_json(folder.scorecard.name, card)
    return card


def read(folder: RunFolder) -> dict[str, Any]:
    """The scorecard of a run folder; empty where there is none.

    Raises:
        BadInput: the file is damaged.
    """
    try:
        return json.loads(folder.scorecard.read_text(encoding="utf-8")) if folder.scorecard.is_file() else {}
    except ValueError as error:
        raise BadInput(f"{folder.scorecard} is damaged ({first_line(error)}); delete it, and it is made anew") from None

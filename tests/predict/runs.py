"""Run folders of tiny untrained models, as `hfft predict` reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import transformers

from hfft.recipe import yaml_lines
from tests import stand_ins
from tests.examples import SINGLE, tiny


def a_run(
    folder: Path,
    name: str = "bert",
    problem: str = SINGLE,
    names: tuple[str, ...] = ("a", "b", "c"),
    columns: dict[str, str] | None = None,
    found: dict[str, str] | None = None,
    **data: Any,
) -> str:
    """The run folder of a model with these classes, trained on these columns; those in `found` without its recipe's word."""
    sizes = {"max_position_embeddings": 64} if name == "bert" else {}
    model = tiny(name, labels=len(names), **sizes)
    model.config.problem_type = problem
    model.config.id2label = dict(enumerate(names))
    model.save_pretrained(folder / "model")
    if name == "bert":
        stand_ins.tokenizer().save_pretrained(folder / "model")
    else:
        transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder / "model")
    values = {"data": {"path": "gone.csv", "columns": columns or {}, **data}}
    (folder / "recipe.yaml").write_text(yaml_lines.dump(values), encoding="utf-8")
    (folder / "metrics.json").write_text(json.dumps({"data": {"columns": found or {}}}), encoding="utf-8")
    return str(folder)

"""Our recipe of a case, the way a user runs it, in a process of its own: `python -m tests.benchmarks.ours SPEC`."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hfft import finetune, load_recipe
from hfft.recipe import yaml_lines
from tests.benchmarks import meter, pace


def recipe(spec: dict[str, Any]) -> dict[str, Any]:
    """What a user would write: the case, and no lever beyond the defaults."""
    training: dict[str, Any] = {
        "num_train_epochs": spec["epochs"],
        "max_steps": spec["max_steps"],
        "per_device_train_batch_size": spec["batch"],
        "learning_rate": spec["learning_rate"],
        "seed": spec["seed"],
        "save_strategy": "no",
        "eval_strategy": "no",
        "use_cpu": spec["cpu"],
        "bf16": spec["bf16"],
        "output_dir": spec["output"],
    }
    if spec["modality"] == "image" and spec["workers"] and not spec["cpu"]:
        training["dataloader_num_workers"] = spec["workers"]
    data = {
        "path": spec["data"],
        "columns": {spec["modality"]: spec["column"], "label": spec["label"]},
        "validation": "validation",
        "streaming": spec["what"] == "stream",
    }
    return {
        "task": f"{spec['modality']}-classification",
        "backbone": {"name": spec["model"]},
        "layers": {"train": spec["train"], **spec.get("layers", {})},
        "data": data,
        "training": training,
        "score": {"metrics": ["accuracy"]},
    }


def timed(module: Any, name: str, seconds: dict[str, float], clock: Callable[[], float] = time.perf_counter) -> None:
    """Let a function of a module add up how long it runs by a clock."""
    function: Callable[..., Any] = getattr(module, name)

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        started = clock()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[name] = seconds.get(name, 0.0) + clock() - started

    setattr(module, name, wrapped)


def main(spec: dict[str, Any]) -> None:
    """Fine-tune by recipe and write how long its training and its scoring took."""
    from hfft.pipeline import fit, record

    path = Path(spec["output"] + ".yaml")
    path.write_text(yaml_lines.dump(recipe(spec)), encoding="utf-8")
    seconds: dict[str, float] = {}
    timed(fit, "fit", seconds)  # trainer.train, and nothing else
    timed(record, "score_splits", seconds)
    kept = pace.watch(spec.get("warm", 0))
    with meter.Sampler() as memory:
        result = finetune(load_recipe(path))
    layers = json.loads((result.folder / "layers.json").read_text(encoding="utf-8"))
    scored = result.metrics["validation"]
    meter.report(
        spec,
        train_s=seconds["fit"],
        evaluate_s=seconds["score_splits"],
        accuracy=scored["accuracy"],
        n=scored["n"],
        learning=sum(row["learning"] for row in layers),
        rate=kept.rate,
        gpu_peak_mib=pace.gpu_peak(),
        **memory.growth(),
    )


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

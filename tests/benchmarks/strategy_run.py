"""One run of the table of methods, in a process of its own: `python -m tests.benchmarks.strategy_run SPEC`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hfft import finetune, load_predictor, load_recipe, strategy
from hfft.errors import HfftError
from tests.benchmarks import meter
from tests.benchmarks.ours import timed

MANY, FEW = 100, 20  # training rows of a class, above and below which it counts as one of many and of few
STEPS = 20  # of the attack


def main(spec: dict[str, Any]) -> None:
    """Fine-tune by recipe and write what it came to and what it cost."""
    from hfft.pipeline import fit

    recipe, seconds = load_recipe(spec["recipe"]), dict[str, float]()
    timed(fit, "fit", seconds, time.process_time)  # trainer.train, and nothing else; its CPU, whatever else runs here
    held, begun = meter.resident(), time.perf_counter()
    result = finetune(recipe, fresh=True)
    folder, metrics = result.folder, result.metrics
    if spec.get("soup"):
        folder = souped(spec["recipe"], folder, **spec["soup"])
        metrics = {**metrics, **json.loads((folder / "metrics.json").read_text(encoding="utf-8"))}
    took, most = time.perf_counter() - begun, meter.peak()
    figures = {"accuracy": metrics["test"]["accuracy"], "balanced": metrics["test"]["balanced_accuracy"]}
    figures |= by_size(metrics["classes"]["test"]["classes"], result.metrics["data"]["classes"]["train"])
    extra = set(spec["figures"]) & {"robust", "shifted"}
    if extra:
        inputs, labels = held_out(recipe)
        if "robust" in extra:
            figures["robust"] = robust(folder / "model", inputs, labels, **spec["attack"])
        if "shifted" in extra:
            figures["shifted"] = shifted(folder, inputs, labels)
    meter.report(
        spec,
        figures=figures,
        n=metrics["test"]["n"],
        train_n=result.metrics["train"]["n"],
        steps=result.metrics["train"]["steps"],
        train_s=seconds["fit"],
        seconds=took,
        cpu=time.process_time(),
        memory_mib=most - held,
    )


def souped(recipe: str, run: Path, with_start: str | None = None, rates: Sequence[float] = ()) -> Path:
    """What `hfft soup` makes of a run and its start, or of it and runs of the same recipe at other learning rates."""
    from hfft.pipeline.soup.soup import soup

    others, rate = [], load_recipe(recipe).training["learning_rate"]
    for factor in rates:
        if factor != 1:
            place = run.with_name(f"run-{factor:g}")
            given = (f"training.learning_rate={rate * factor}", f"training.output_dir={place}")
            others.append(finetune(load_recipe(recipe, *given), fresh=True).folder)
    sources = [str(one) for one in (run, *others)]
    return soup(sources, with_start=with_start, output=run.with_name("soup"), fresh=True)


def by_size(rows: Sequence[Mapping[str, Any]], counts: Mapping[str, int]) -> dict[str, float]:
    """Mean recall of the classes with many, medium and few training rows, of those that the test split has."""
    groups: dict[str, list[float]] = {"many": [], "medium": [], "few": []}
    for row in rows:
        count = counts[row["class"]]
        group = "many" if count > MANY else "few" if count < FEW else "medium"
        if row["n"]:
            groups[group].append(row["recall"])
    return {name: sum(found) / len(found) for name, found in groups.items() if found}


def held_out(recipe: Any) -> tuple[list[Any], np.ndarray]:
    """The test rows as a user would pass them, and their labels `(N,)`."""
    from hfft.data import load_splits

    splits, _ = load_splits(recipe.data, recipe.the_task, recipe.seed)
    reader, rows = recipe.the_task.modality.inputs, splits.test
    return [reader.plain(reader.of_row(row, splits.columns)) for row in rows], np.array(rows["labels"])


# --- attack


def robust(model: Path, images: list[Any], labels: np.ndarray, radius: float, step: float) -> float:
    """Accuracy under PGD-20 on images in [0, 1], before normalisation."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    processor = AutoImageProcessor.from_pretrained(model)
    network = AutoModelForImageClassification.from_pretrained(model).eval().requires_grad_(False)
    mean, std = (torch.tensor(getattr(processor, f"image_{name}")).view(-1, 1, 1) for name in ("mean", "std"))
    right = 0
    for begin in range(0, len(images), 100):
        part = images[begin : begin + 100]
        pixels = processor(images=part, return_tensors="pt")["pixel_values"] * std + mean
        classes = torch.from_numpy(labels[begin : begin + 100])

        def logits(x: Tensor) -> Tensor:
            return network(pixel_values=(x - mean) / std).logits

        attacked = strategy.pgd_attack(logits, pixels.clamp(0, 1), classes, radius, step, STEPS)
        right += int((logits(attacked).argmax(1) == classes).sum())
    return right / len(images)


# --- shift


def shifted(run: Path, inputs: list[Any], labels: np.ndarray) -> float:
    """Accuracy on inputs with noise: images with normal noise of 40 levels of 255, texts with one letter in ten replaced."""
    rng = np.random.default_rng(0)
    changed = [typos(one, rng) if isinstance(one, str) else grain(one, rng) for one in inputs]
    return float((load_predictor(str(run), device="cpu")(changed).argmax(1).numpy() == labels).mean())


def grain(image: Any, rng: np.random.Generator) -> Any:
    """The picture with noise."""
    from PIL import Image

    levels = np.asarray(image.convert("RGB"), float)
    return Image.fromarray((levels + rng.normal(0, 40, levels.shape)).clip(0, 255).astype(np.uint8))


def typos(text: str, rng: np.random.Generator) -> str:
    """The text with one letter in ten replaced."""
    hit, other = rng.random(len(text)) < 0.1, rng.integers(0, 26, len(text))
    return "".join(
        chr(97 + new) if wrong and letter.isalpha() else letter
        for letter, wrong, new in zip(text, hit, other, strict=True)
    )


if __name__ == "__main__":
    try:
        main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    except HfftError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

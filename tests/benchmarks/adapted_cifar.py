"""AdaBN and TENT on corrupted images, beside the model as it is: `python -m tests.benchmarks.adapted_cifar MODEL DATA`.

One line of JSON for each corruption and severity: accuracies, and differences with paired intervals of 95 % over the rows.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from hfft.data.load import load_splits
from hfft.data.spec import Data
from hfft.evaluate.corruptions import images
from hfft.evaluate.intervals import paired_difference
from hfft.predict.held_out import HeldOut
from hfft.predict.predictor import load_predictor
from hfft.scenarios.adaptation.test_time import adabn, tent
from hfft.tasks.table import TASKS

CHOSEN = ("gaussian_noise", "impulse_noise", "defocus_blur", "fog", "contrast", "jpeg")


def measured(model: str, path: str, rows: int, severity: int, size: int, seeds: list[int]) -> None:
    """Print the figures of each corruption, and their means."""
    predictor = load_predictor(model)
    classes = list(predictor.model.config.id2label.values())
    data = Data(path=path, classes=classes, validation="none", max_eval_samples=rows, max_train_samples=len(classes))
    splits, labels = load_splits(data, TASKS["image-classification"])
    held = HeldOut.of(predictor, splits.columns, labels, model)
    clean, truth = held.read(splits.test)
    every: dict[str, list[np.ndarray]] = {"none": [], "adabn": [], "tent": []}

    def right(logits: Any) -> np.ndarray:
        return (logits.argmax(1) == truth).numpy()

    for name in ("clean", *CHOSEN):
        inputs = (
            clean if name == "clean" else [images.corrupted(x, name, 0, i)[severity - 1] for i, x in enumerate(clean)]
        )
        found = {"none": right(predictor.logits(inputs, size)).astype(float)}
        found["adabn"] = np.mean(
            [right(adabn(predictor, inputs, size, seed).logits(inputs, size)) for seed in seeds], 0
        )
        found["tent"] = np.mean([right(tent(predictor, inputs, size, seed)[0]) for seed in seeds], 0)
        if name != "clean":
            for way, hits in found.items():
                every[way].append(hits)
        print(json.dumps(line(name, found, severity, len(clean), seeds)), flush=True)
    print(json.dumps(line("mean", {way: np.mean(hits, 0) for way, hits in every.items()}, severity, len(clean), seeds)))


def line(name: str, found: dict[str, np.ndarray], severity: int, n: int, seeds: list[int]) -> dict[str, Any]:
    """The figures of one corruption."""
    values: dict[str, Any] = {"corruption": name, "severity": severity, "n": n, "seeds": seeds}
    values |= {way: round(float(hits.mean()), 4) for way, hits in found.items()}
    for way in ("adabn", "tent"):
        gap = paired_difference(found[way], found["none"], 0)
        values[f"{way} - none"] = [round(gap[key], 4) for key in ("value", "low", "high")]
    return values


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--severity", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    measured(given.model, given.data, given.rows, given.severity, given.batch_size, given.seeds)

"""Finished run folders without a training."""

import json

import numpy as np

from hfft import load_recipe
from hfft.evaluate.outputs import OutputsFile
from hfft.recipe import yaml_lines
from hfft.runs.folder import RunFolder
from hfft.tasks.labels import Labels
from tests.report.runs import history

NAMES = ("cat", "dog", "owl")


def outputs(folder, split, wrong, n=400, seed=0, names=NAMES):
    """Write outputs of a split in which the first `wrong` rows have another class than the true one."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, len(names), n)
    answers = np.where(np.arange(n) < wrong, (true + 1) % len(names), true)
    logits = np.zeros((n, len(names)), np.float32)
    logits[np.arange(n), answers] = 3
    labels = Labels.of("single_label_classification", names)
    file = OutputsFile(folder.outputs / f"{split}.safetensors", split, "given", labels, np.arange(n))
    losses = np.where(answers == true, 0.1, 3.1).astype(np.float32)
    file.add({"losses": losses, "targets": np.ones(n, np.float32), "logits": logits, "references": true})
    file.close()


def made_run(path, *overrides, wrong=40, n=400, rows="0123", names=NAMES):
    """A finished run of the recipe `digits` with `wrong` mistakes on its test split; returns its folder.

    Args:
        rows: the fingerprint of its test rows; None to note none.
    """
    path.mkdir(parents=True)
    folder = RunFolder(path)
    recipe = load_recipe("digits", f"training.output_dir={path}", *overrides)
    folder.recipe.write_text(yaml_lines.dump(recipe.resolved()), encoding="utf-8")
    folder.model.mkdir()
    outputs(folder, "test", wrong, n, names=names)
    metrics = {
        "test": {"loss": 0.1 + 3 * wrong / n, "accuracy": 1 - wrong / n, "n": n},
        "train": {"seconds": 12.5, "steps": 20, "epochs": 2.0},
        "seed": 42,
    }
    folder.write_json("metrics.json", metrics)
    folder.write_json("data.json", {"files": None, "rows": {} if rows is None else {"test": rows}})
    (path / "trainer_state.json").write_text(json.dumps({"log_history": history(20, metric="accuracy")}))
    return path

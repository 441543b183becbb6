"""What must hold of a whole run: files in, `finetune`, plain transformers loads the result and gives the same logits."""

from __future__ import annotations

import contextlib
import csv
import io
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

from hfft import finetune
from hfft.errors import BadInput
from hfft.evaluate.outputs import Outputs
from hfft.strategy import logits_of
from hfft.tasks.table import TASKS
from tests.architectures.case import REFUSED, WITHOUT, Case
from tests.architectures.serving import processor
from tests.architectures.tiny import side_of, tiny

CLASSES = ("blue", "green", "red")  # in the order of their numbers
OTHERS = 5  # classes that the checkpoint was pretrained for
ROWS = 24


def end_to_end(case: Case) -> str | None:
    """A checkpoint of another task and files are fine-tuned in two steps; plain transformers gives the scored logits again."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tiny(case.modality, case.name, OTHERS).model.save_pretrained(root / "start")
        processor(case, ends=True).save_pretrained(root / "start")
        texts(root / "data") if case.modality == "text" else images(root / "data", side_of(case.tiny.model.config))
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                result, one_by_one = fine_tuned(case, root)
        except BadInput as error:
            return f"{REFUSED}{error}".replace(f"{folder}/", "")
        found = different(case, result.model, Outputs.read(root / "run" / "outputs" / "validation.safetensors"), root)
    return found or one_by_one


def fine_tuned(case: Case, root: Path) -> tuple[Any, str | None]:
    """The result of the run, and what spoke against scoring several texts at once."""
    try:
        return finetune(recipe(case, root)), None
    except BadInput as error:
        if "per_device_eval_batch_size" not in str(error):
            raise
        said = str(error).partition(", but ")[2].partition(" (by")[0]
        return finetune(recipe(case, root, per_device_eval_batch_size=1)), f"{WITHOUT}in batches: {said}"


def recipe(case: Case, root: Path, **more: Any) -> dict[str, Any]:
    """The recipe of the run; the learning rate is high, so that two steps move every weight."""
    training = {"max_steps": 2, "per_device_train_batch_size": 4, "learning_rate": 1e-2, "use_cpu": True, **more}
    return {
        "task": f"{case.modality}-classification",
        "backbone": {"name": str(root / "start")},
        "data": {"path": str(root / "data" / ("train.csv" if case.modality == "text" else "")), "validation": 0.25},
        "training": {**training, "disable_tqdm": True, "output_dir": str(root / "run")},
    }


def texts(folder: Path) -> None:
    """A table of texts of several lengths, in the letters of `serving.processor`."""
    folder.mkdir()
    draw = random.Random(0)
    with (folder / "train.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for i in range(ROWS):
            rows.writerow(["".join(draw.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=draw.randint(5, 14))), CLASSES[i % 3]])


def images(folder: Path, side: int) -> None:
    """A folder of images for each class, of the model's size: pixels resized on a device differ by a level or two."""
    draw = np.random.default_rng(0)
    for i in range(ROWS):
        path = folder / CLASSES[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)


def different(case: Case, model: Path, scored: Outputs, root: Path) -> str | None:
    """How the outputs of the saved model, loaded without hfft, differ from the scored ones; None if they do not."""
    task = TASKS[f"{case.modality}-classification"]
    plain = getattr(transformers, task.auto_class).from_pretrained(model).eval()
    prepare = getattr(transformers, task.modality.auto_processor).from_pretrained(model)
    names = tuple(plain.config.id2label[i] for i in range(len(plain.config.id2label)))
    if names != CLASSES:
        return f"the classes are {', '.join(names)}"
    assert scored.logits is not None
    expected = torch.from_numpy(scored.logits.copy())
    if expected.shape[1] != len(CLASSES):
        return f"{expected.shape[1]} outputs for {len(CLASSES)} classes"
    inputs = held_out(case, root)
    with torch.no_grad():
        found = torch.cat([logits_of(plain(**prepare(one, return_tensors="pt"))) for one in inputs])
    off = ((found - expected).abs().max() / expected.abs().max().clamp(min=1)).item()
    return None if off <= 1e-4 else f"reloaded, the logits differ by {off:.1e}"


def held_out(case: Case, root: Path) -> list[Any]:
    """The rows of the validation split, as they are passed to a processor."""
    from hfft import data
    from hfft.data.spec import Data

    task = TASKS[f"{case.modality}-classification"]
    splits, _ = data.load_splits(Data(**recipe(case, root)["data"]), task, 42)
    return [task.modality.inputs.of_row(row, splits.columns) for row in splits.validation]

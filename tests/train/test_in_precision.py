"""Pixels and sounds are given to a model of low precision in its own precision; labels and other columns stay as they are."""

import pytest
import torch

from hfft.cli import main
from hfft.train.in_precision import in_precision
from tests import stand_ins, training
from tests.examples import ALL, REGRESSION, tiny

IMAGES = sorted(name for name, made in ALL.items() if made.modality == "image")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", IMAGES)
def test_the_trainer_gives_a_model_pixels_that_it_takes(name, dtype, tmp_path):
    model, rows = tiny(name).to(dtype), training.examples("image", REGRESSION, 4, size=3)
    trainer = training.finetuner(model, training.labels_of(REGRESSION), rows, training.arguments(tmp_path))
    batch = trainer._prepare_inputs(training.collate(rows))
    assert batch["pixel_values"].dtype == dtype
    assert batch["labels"].dtype == torch.float32
    assert model(pixel_values=batch["pixel_values"]).logits.dtype == dtype


def test_nothing_else_changes():
    batch = {"input_ids": torch.tensor([[1, 2]]), "labels": torch.tensor([0.5]), "logits": torch.tensor([[0.5]])}
    model = tiny("bert")
    assert in_precision(model, batch) == batch
    assert in_precision(model.to(torch.bfloat16), batch) == batch
    pixels = {"pixel_values": torch.zeros(1, 3, 32, 32)}
    assert in_precision(tiny("vit"), pixels)["pixel_values"] is pixels["pixel_values"]


@pytest.mark.slow
@pytest.mark.parametrize("train", ["all", "head"])
@pytest.mark.parametrize("task", ["image", "audio"])
def test_a_run_in_bfloat16_ends(task, train, tmp_path):
    data = {"image": "digits", "audio": "tones"}[task]
    model = {"image": stand_ins.model("microsoft/resnet-50", tmp_path / "resnet"), "audio": "nano-ast"}[task]
    (tmp_path / "r.yaml").write_text(
        f"task: {task}-classification\nbackbone: {{name: {model}, dtype: bfloat16}}\nlayers: {{train: {train}}}\n"
        f"data: {{path: {data}, max_train_samples: 20, max_eval_samples: 10, validation: 0.2}}\n"
        f"training: {{output_dir: {tmp_path / 'run'}, max_steps: 2, per_device_train_batch_size: 4, use_cpu: true}}\n"
    )
    assert main(["train", str(tmp_path / "r.yaml")]) == 0

"""What a run has saved is loaded back by plain transformers and answers as it was scored, or the run fails."""

import re

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file

from hfft.errors import RunError
from hfft.pipeline import finetune as story
from hfft.pipeline import save
from hfft.pipeline.finetune import finetune
from hfft.publish import reload
from hfft.recipe import load_recipe

FEW = ("data.max_train_samples=16", "data.max_eval_samples=40", "training.max_steps=1", "score.from_scratch=false")
TEXTS = ["a tensor", "two arrays, one of them long", "none", "return the index of the first row"] * 10
LABELS = {
    "single": [i % 3 for i in range(40)],
    "multi": [["abc"[i % 3], "d"][: 1 + i % 2] for i in range(40)],
    "regression": [i / 4 for i in range(40)],
}


def written(folder, labels, pairs):
    """A table of texts, in a file."""
    rows = Dataset.from_dict({"text": TEXTS, "label": LABELS[labels]})
    if pairs:
        rows = rows.add_column("other", TEXTS[::-1])
    rows.to_parquet(folder / "rows.parquet")
    columns = "{text: text, text_pair: other, label: label}" if pairs else "{text: text, label: label}"
    more = {
        "single": (),
        "multi": ("problem_type=multi_label_classification", "score.metrics=[f1_macro]"),
        "regression": ("problem_type=regression", "score.metrics=[mse]"),
    }[labels]
    return f"data.path={folder / 'rows.parquet'}", f"data.columns={columns}", "data.test=0.5", *more


@pytest.fixture
def compared(monkeypatch):
    """The differences that a run finds, as it finds them."""
    found, ordinary = [], reload.difference

    def noted(answers, expected):
        found.append((tuple(answers.shape), ordinary(answers, expected)))
        return found[-1][1]

    monkeypatch.setattr(reload, "difference", noted)
    return found


@pytest.mark.slow
@pytest.mark.sampled(4)
@pytest.mark.parametrize("outputs", ["auto", "off"])
@pytest.mark.parametrize(
    ("labels", "pairs"), [("single", False), ("single", True), ("multi", False), ("regression", False)]
)
def test_a_saved_model_answers_by_a_plain_pipeline_as_it_was_scored(labels, pairs, outputs, tmp_path, compared):
    rows = written(tmp_path, labels, pairs)
    finetune(
        load_recipe("docstrings", *FEW, *rows, f"score.outputs={outputs}", f"training.output_dir={tmp_path / 'r'}")
    )
    ((shape, difference),) = compared
    assert shape == (8, {"single": 3, "multi": 4, "regression": 1}[labels])
    assert difference < 1e-5


@pytest.mark.slow
def test_the_saved_model_answers_in_the_precision_that_was_scored(tmp_path, compared):
    """With the head of a fitted classifier, whose large weights tell bfloat16 from float32."""
    more = ("training.bf16=true", "training.use_cpu=true", "head.init=lda", "data.max_train_samples=20")
    run = finetune(
        load_recipe("tones", *FEW, *more, "data.max_eval_samples=16", f"training.output_dir={tmp_path / 'r'}")
    )
    ((shape, difference),) = compared
    assert shape == (8, 8)
    assert difference < 1e-2, run.folder


def spoilt(monkeypatch, tensor):
    """One number of the model is another one in the file."""
    ordinary = save.save_model

    def saving(run, model, recipe, folder):
        ordinary(run, model, recipe, folder)
        weights = load_file(folder / "model.safetensors")
        weights[tensor].view(-1)[0] += 1
        save_file(weights, folder / "model.safetensors", {"format": "pt"})

    monkeypatch.setattr(story, "save_model", saving)


@pytest.mark.slow
@pytest.mark.parametrize("outputs", ["auto", "off"])
def test_a_saved_model_that_answers_otherwise_is_an_error(outputs, tmp_path, monkeypatch):
    spoilt(monkeypatch, "classifier.bias")
    recipe = load_recipe("digits", *FEW, f"score.outputs={outputs}", f"training.output_dir={tmp_path / 'run'}")
    model = re.escape(str(tmp_path / "run" / "model"))
    with pytest.raises(
        RunError, match=rf"^the outputs of {model}, reloaded, differ from those that were scored \(by 0\.\d+\)"
    ):
        finetune(recipe)
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.slow
def test_a_language_model_is_compared_by_its_tensors(tmp_path, monkeypatch):
    recipe = load_recipe("nano_bert", *FEW, f"training.output_dir={tmp_path / 'run'}")
    assert finetune(recipe).metrics["validation"]["n"] == 40
    spoilt(monkeypatch, "bert.embeddings.position_embeddings.weight")
    with pytest.raises(RunError, match=r"\(in 1 tensors, such as bert\.embeddings\.position_embeddings\.weight\)"):
        finetune(recipe, fresh=True)


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_an_error(tmp_path, monkeypatch):
    ordinary = save.save_model

    def saving(run, model, recipe, folder):
        ordinary(run, model, recipe, folder)
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(story, "save_model", saving)
    with pytest.raises(RunError, match=r"was saved but cannot be loaded: .*; the last checkpoint is kept$"):
        finetune(load_recipe("digits", *FEW, f"training.output_dir={tmp_path / 'run'}"))


@pytest.mark.slow
def test_a_model_with_code_of_its_own_answers_through_the_predictor(tmp_path, compared, monkeypatch):
    monkeypatch.setattr(reload, "load_pipeline", None)
    finetune(load_recipe("digits", *FEW, "head.kind=mlp", f"training.output_dir={tmp_path / 'run'}"))
    ((shape, difference),) = compared
    assert shape == (8, 10)
    assert difference < 1e-5


def test_differences_are_absolute_up_to_one_and_relative_above():
    expected = torch.tensor([[0.5, -4.0]])
    assert reload.difference(torch.tensor([[0.75, -4.0]]), expected) == 0.25
    assert reload.difference(torch.tensor([[0.5, -3.0]]), expected) == 0.25


def test_a_gpu_without_room_for_a_second_model_leaves_the_comparison_to_the_cpu(monkeypatch):
    devices = []

    def load(source, task, revision, device, dtype):
        devices.append(device)
        if device == "cuda":
            raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(reload, "load_pipeline", load)
    monkeypatch.setattr(reload, "pipeline_difference", lambda pipe, task, sample: 0.0)
    sample = reload.Sample([np.zeros(3)], torch.zeros(1, 2))
    assert reload.answers_difference("folder", sample, None, True, device="cuda", dtype="auto") == 0.0
    assert devices == ["cuda", "cpu"]

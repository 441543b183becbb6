"""What a run says before it begins, which teachers it takes, and how its model is left: without a training."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hfft import layers, load_recipe
from hfft.errors import BadInput, ModelError, RunError
from hfft.pipeline import build, record, save, teachers
from hfft.pipeline import finetune as module
from hfft.pipeline.dry_build import check_turns
from hfft.processes import say
from hfft.recipe.alternatives import changed
from hfft.tasks.labels import Labels
from hfft.train import training_arguments
from tests import stand_ins
from tests.examples import SINGLE, head_and_depths, tiny
from tests.training import methods_of


def recipe(**sections):
    return changed(load_recipe("digits"), **sections)


# --- before the first step


@pytest.fixture
def run(monkeypatch):
    """A run that was built, as far as it is told of."""
    monkeypatch.setattr(record.layers, "format_table", lambda table: ["TABLE"])
    origin = {"train": "train", "validation": "0.1 of train", "test": "test"}
    sizes = {"train": 90, "validation": 10, "test": None}
    counts = {"train": {"a": 60, "b": 30}, "validation": {"a": 10, "b": 0}}
    splits = SimpleNamespace(sizes=sizes, origin=origin, notes=["a note"], classes=counts)
    edits = [{"edit": "channels 1", "places": 1, "moved": 0.0}, {"edit": "remove last-1", "places": 2, "moved": 0.125}]
    trainer = SimpleNamespace(sets={"target": [1, 2, 3]}, methods=[], model=tiny("vit"))
    return SimpleNamespace(
        splits=splits, labels=Labels.of(SINGLE, "ab"), trainer=trainer, edits=edits, notes=[], layers=[]
    )


def test_a_run_says_what_is_trained_on_what(run):
    given = recipe(layers={"adapter": {"type": "lora"}})
    run.trainer.methods = methods_of(sam=0.05)
    assert record.describe(given, run) == [
        f"{given.name}: {given.backbone.name} on {given.data.path}, 2 classes",
        "train 90 (train), validation 10 (0.1 of train), test ? (test), target 3 (data.sets)",
        "rows of each class: train (a: 60, b: 30); validation (a: 10, b: 0)",
        "a note",
        "edit: channels 1  (1 place, outputs unchanged)",
        "edit: remove last-1  (2 places, outputs moved by 12.5%)",
        "TABLE",
        "saved with its adapter merged",
        "strategy: sam (rho 0.05)",
    ]
    run.trainer.methods = []
    run.labels, run.edits, run.splits.notes, run.splits.classes = Labels("regression", (), 1), [], [], {}
    given = recipe(layers={"train": "all"}, backbone={"name": "nano-vit", "init": "random"})
    assert record.describe(given, run) == [
        f"{given.name}: nano-vit (random weights) on {given.data.path}, regression",
        "train 90 (train), validation 10 (0.1 of train), test ? (test), target 3 (data.sets)",
        "TABLE",
    ]


def test_names_add_no_line_to_what_a_run_says_and_move_no_cursor(run, capsys):
    run.splits.notes[:] = ["classes cat\x1b[31m, dog\nend"]
    given = recipe(data={"path": "a\x1b[2Jb\n.csv"})
    say(*record.describe(given, run), *record.summary(given, Path("run\x07"), {"faults": ["class \u202e"]}))
    said = capsys.readouterr().out
    assert r"classes cat\x1b[31m, dog\nend" in said.splitlines()
    assert r"run folder: run\x07" in said.splitlines()
    assert all(line.isprintable() for line in said.split("\n"))


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (None, "outputs not compared"),
        (0.0, "outputs unchanged"),
        (1e-6, "outputs unchanged"),
        (2e-3, "outputs moved by 0.2%"),
    ],
)
def test_what_an_edit_did_is_told(share, said):
    assert record.moved({"edit": "x", "places": 3, "moved": share}) == f"edit: x  (3 places, {said})"


def test_a_run_is_begun_anew_or_forced_only_where_that_is_asked_for():
    defaults = {p.name: p.default for p in inspect.signature(module.finetune).parameters.values()}
    assert defaults == {"recipe": inspect.Parameter.empty, "fresh": False, "force": False}


# --- whether all that learns comes to its turn


@pytest.mark.parametrize(
    "schedule", ["surgical", {"type": "surgical", "blocks": 4}, {"type": "gradual", "blocks": 9}, None]
)
def test_a_schedule_that_the_model_can_follow_is_taken(schedule):
    model = tiny("bert")
    check_turns(recipe(layers={"train": "all", "schedule": schedule}), model, head_and_depths(model)[1])


@pytest.mark.parametrize(
    ("schedule", "training", "said"),
    [
        ({"type": "surgical", "blocks": 5}, {}, "blocks is 5; expected at most 4"),
        ("gradual", {"num_train_epochs": 3}, "of a run of 3 epochs"),
        ({"type": "gradual", "every_steps": 5}, {"max_steps": 9}, "of a run of 9 steps"),
    ],
)
def test_a_schedule_that_the_model_cannot_follow_is_refused(schedule, training, said):
    model = tiny("bert")
    given = recipe(layers={"train": "all", "schedule": schedule}, training=training)
    with pytest.raises(ModelError, match=said):
        check_turns(given, model, head_and_depths(model)[1])


# --- teachers


def taught(monkeypatch, names, student, processor=None):
    """The answer of a teacher of the classes `names` to a row, as a student sees it."""

    class Model(torch.nn.Module):
        config = SimpleNamespace(id2label=dict(enumerate(names)))

        def forward(self):
            return (torch.arange(float(len(names)))[None],)

    found = SimpleNamespace(model=Model(), processor=processor or stand_ins.tokenizer())
    monkeypatch.setattr(teachers, "load_predictor", lambda name: found)
    return teachers.teachers(student, stand_ins.tokenizer())("t")().tolist()


def test_a_teacher_answers_in_the_order_of_the_students_classes(monkeypatch):
    assert taught(monkeypatch, ["a", "b", "c"], Labels.of(SINGLE, "abc")) == [[0.0, 1.0, 2.0]]
    assert taught(monkeypatch, ["c", "a", "b"], Labels.of(SINGLE, "abc")) == [[1.0, 2.0, 0.0]]
    assert taught(monkeypatch, ["c", "a"], Labels("regression", (), 2)) == [[0.0, 1.0]]


def test_a_teacher_of_other_classes_or_other_inputs_is_refused(monkeypatch):
    with pytest.raises(BadInput, match="t has the classes a, x, not a, b; choose a teacher with the same classes"):
        taught(monkeypatch, ["a", "x"], Labels.of(SINGLE, "ab"))
    with pytest.raises(BadInput, match="t has 2 outputs, not 3; choose a teacher with the same outputs"):
        taught(monkeypatch, ["x", "y"], Labels("regression", (), 3))
    other = stand_ins.tokenizer()
    other.add_tokens(["[X]"])
    with pytest.raises(BadInput, match=r"t preprocesses its inputs in another way than this model \(vocabulary\)"):
        taught(monkeypatch, ["a", "b"], Labels.of(SINGLE, "ab"), other)


# --- the model that is left


def test_a_model_is_left_whole_in_the_place_of_the_one_before(tmp_path):
    model, folder = tiny("gpt2"), tmp_path / "model"
    model.config.use_cache = False  # as it is while gradients are computed again
    folder.mkdir()
    (folder / "old").touch()
    (tmp_path / ".model").mkdir()
    given = changed(load_recipe("bert_trec_lpft"), layers={"train": "all"})
    save.save_model(SimpleNamespace(processor=stand_ins.tokenizer()), model, given, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert not (folder / "old").exists()
    assert json.loads((folder / "config.json").read_text())["use_cache"] is True
    assert (folder / "tokenizer.json").is_file()


def test_a_model_that_cannot_be_written_leaves_nothing_half_written(tmp_path):
    def full(folder):
        raise OSError(28, "No space left on device")

    given = changed(load_recipe("bert_trec_lpft"), layers={"train": "all"})
    with pytest.raises(RunError, match=r"the model could not be written to .*model: .*No space left on device"):
        save.save_model(
            SimpleNamespace(processor=SimpleNamespace(save_pretrained=full)), tiny("bert"), given, tmp_path / "model"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_model_with_an_adapter_is_left_merged(tmp_path):
    model = tiny("bert")
    head_names, depths = head_and_depths(model)
    names = {name for name, _ in model.named_parameters()}
    adapted = layers.adapt(model, "head", {"type": "lora"}, depths, head_names)
    given = changed(load_recipe("bert_trec_lpft"), layers={"adapter": {"type": "lora"}})
    save.save_model(SimpleNamespace(processor=stand_ins.tokenizer()), adapted, given, tmp_path / "model")
    again = type(tiny("bert")).from_pretrained(tmp_path / "model")
    assert {name for name, _ in again.named_parameters()} == names
    assert not (tmp_path / "model" / "adapter_config.json").exists()


@pytest.mark.slow_but("8-1-False")
@pytest.mark.parametrize(("size", "accumulation", "asked"), [("auto", 1, True), ("auto", 2, False), (8, 1, False)])
def test_a_micro_batch_is_looked_for_where_the_recipe_leaves_it_open_and_none_is_settled(
    size, accumulation, asked, tmp_path, monkeypatch
):
    given = load_recipe(
        "digits",
        f"training.per_device_train_batch_size={size}",
        f"training.output_dir={tmp_path}",
        "data.max_train_samples=32",
        "data.max_eval_samples=16",
    )
    found = []
    monkeypatch.setattr(build, "settle", found.append)
    arguments = training_arguments(given, gradient_accumulation_steps=accumulation)
    run = build.build_run(given, arguments)
    assert found == ([run.trainer] if asked else [])

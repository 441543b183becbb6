"""Runs whose layers learn by a schedule: what their folder says, what is refused, and what a continued run keeps."""

from __future__ import annotations

import json

import pytest

from hfft import finetune
from hfft.errors import BadInput, ModelError
from hfft.recipe import load_recipe
from hfft.runs import RunFolder
from tests import stand_ins


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Overrides that name a tiny BERT and a few questions."""
    folder = tmp_path_factory.mktemp("stand-ins")
    model = stand_ins.model("google-bert/bert-base-uncased", folder / "model")
    return [f"backbone.name={model}", f"data.path={stand_ins.data('CogComp/trec', folder / 'data')}"]


def recipe(folder, places, *overrides):
    """The shipped recipe of a schedule, on them."""
    return load_recipe("bert_trec_lpft", *places, f"training.output_dir={folder}", *overrides)


def table_of(folder):
    return json.loads((folder / "layers.json").read_text())


@pytest.mark.slow
def test_the_folder_says_when_each_depth_began_and_that_none_did_before(tmp_path, places, capsys):
    result = finetune(recipe(tmp_path / "run", places, "training.num_train_epochs=2"))
    assert [row["begins"] for row in table_of(result.folder)] == ["epoch 1"] * 3 + ["start"]
    frozen = result.metrics["frozen"]
    assert (frozen["moved"], frozen["early"], frozen["waited"] > 10) == ([], [], True)
    assert "begins" in capsys.readouterr().out
    report = (result.folder / "report.html").read_text()
    assert ">begins<" in report
    assert f"All {frozen['waited']} tensors that had to wait were unchanged until their turn" in report
    log = json.loads((result.folder / "trainer_state.json").read_text())["log_history"]
    assert max(entry.get("learning_rate", 0) for entry in log if entry["epoch"] <= 1) > 5e-5
    assert max(entry.get("learning_rate", 0) for entry in log if entry["epoch"] > 1.1) <= 5e-5


@pytest.mark.slow
def test_a_run_without_a_schedule_says_nothing_of_one(tmp_path, places):
    result = finetune(recipe(tmp_path / "run", places, "layers.schedule=null", "training.max_steps=1"))
    assert set(result.metrics["frozen"]) == {"tensors", "moved"}
    assert not any({"begins", "relative_gradient"} & set(row) for row in table_of(result.folder))


def test_a_schedule_that_outlasts_the_run_is_refused_before_training(tmp_path, places):
    with pytest.raises(ModelError, match="the embeddings would start at epoch 3 of a run of 3 epochs"):
        finetune(recipe(tmp_path / "run", places, "layers.schedule=gradual", "training.num_train_epochs=3"))
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_epochs_of_a_stream_without_a_size_are_refused(tmp_path, places):
    rows = "".join(
        f"{text},{label}\n" for text, label in [("text", "coarse_label"), *[("who", "HUM"), ("where", "LOC")] * 9]
    )
    (tmp_path / "rows.csv").write_text(rows)
    stream = [
        "data.streaming=true",
        "data.validation=null",
        "training.max_steps=5",
        f"data.path={tmp_path / 'rows.csv'}",
    ]
    stream += ["data.classes=[HUM, LOC]"]
    with pytest.raises(BadInput, match="use head_steps or every_steps"):
        finetune(recipe(tmp_path / "run", places, *stream))


def test_more_blocks_than_there_are_cannot_be_chosen(tmp_path, places):
    options = ["layers.schedule={type: surgical, blocks: 2}", "layers.train=last-1"]
    with pytest.raises(ModelError, match="blocks is 2; expected at most 1, the depths below the head"):
        finetune(recipe(tmp_path / "run", places, *options))


@pytest.mark.slow
@pytest.mark.parametrize("options", ["{type: surgical, batches: 2}", "{type: surgical, batches: 2, blocks: 1}"])
def test_surgical_measures_before_the_first_step(options, tmp_path, places):
    result = finetune(recipe(tmp_path / "run", places, f"layers.schedule={options}", "training.max_steps=2"))
    rows = table_of(result.folder)
    measured = [row["relative_gradient"] for row in rows]
    assert all(value > 0 for value in measured[:-1])
    assert measured[-1] is None
    learning = [row["learns"] for row in rows]
    if "blocks" not in options:
        assert learning == [True] * 4
    else:
        assert learning == [value == max(measured[:-1]) for value in measured[:-1]] + [True]
        assert result.metrics["frozen"]["tensors"] > 10


@pytest.mark.slow
def test_a_continued_run_keeps_the_layers_it_chose(tmp_path, places):
    options = "layers.schedule={type: surgical, batches: 2, blocks: 1}"
    made = recipe(tmp_path / "run", places, options, "training.max_steps=2")
    folder = RunFolder(tmp_path / "run")
    folder.open(made.resolved(), fresh=False)
    folder.write_recipe(made.resolved(), None, None)
    assert folder.layers() == []
    other = [{"depth": depth, "relative_gradient": value} for depth, value in enumerate([0.1, 0.2, 0.9, None])]
    folder.write_json("layers.json", other)  # as measured on another device, say
    result = finetune(made)
    assert [row["learns"] for row in table_of(result.folder)] == [False, False, True, True]
    assert [row["relative_gradient"] for row in table_of(result.folder)] == [0.1, 0.2, 0.9, None]

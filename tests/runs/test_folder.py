"""The run folder: what it holds, whose it is, and files that are whole or not there."""

import json
import os

import pytest

from hfft.backbone.spec import Backbone
from hfft.data.spec import Data
from hfft.errors import BadInput
from hfft.recipe import Recipe, load_recipe, yaml_lines
from hfft.recipe.alternatives import changed
from hfft.runs import RunFolder
from hfft.runs.folder import differences, write


def recipe(path, **training) -> Recipe:
    return Recipe(
        name="r",
        task="image-classification",
        backbone=Backbone(name="some/model"),
        data=Data(path="some/data"),
        training={"output_dir": str(path), **training},
    )


def finished(folder: RunFolder, made: Recipe) -> None:
    """What a finished run leaves."""
    folder.open(made.resolved(), fresh=False)
    folder.write_recipe(made.resolved(), None, None)
    folder.model.mkdir()
    (folder.model / "config.json").write_text("{}")
    folder.write_json("metrics.json", {})


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


# --- states


def test_a_folder_is_new_then_unfinished_then_finished(folder):
    made = recipe(folder.path)
    assert folder.state() == "new"
    assert folder.open(made.resolved(), fresh=False) == "new"
    assert folder.open(made.resolved(), fresh=False) == "new", "nothing was written yet"
    folder.write_recipe(made.resolved(), None, None)
    assert folder.open(made.resolved(), fresh=False) == "unfinished"
    folder.model.mkdir()
    assert folder.open(made.resolved(), fresh=False) == "unfinished", "metrics.json is written last"
    folder.write_json("metrics.json", {})
    assert folder.open(made.resolved(), fresh=False) == "finished"


def test_opening_leaves_no_traces(folder):
    folder.open(recipe(folder.path).resolved(), fresh=False)
    assert list(folder.path.iterdir()) == []


def test_fresh_clears_the_run_and_nothing_else(folder):
    made = recipe(folder.path)
    finished(folder, made)
    (folder.path / "checkpoint-3").mkdir()
    (folder.path / "notes.txt").write_text("mine")
    (folder.path / "checkpoint-best").mkdir()
    assert folder.open(made.resolved(), fresh=True) == "new"
    assert {entry.name for entry in folder.path.iterdir()} == {"notes.txt", "checkpoint-best"}


def test_fresh_removes_a_link_and_not_what_it_leads_to(folder, tmp_path):
    made = recipe(folder.path)
    finished(folder, made)
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "precious").write_text("x")
    (folder.path / "checkpoint-3").symlink_to(tmp_path / "far")
    folder.open(made.resolved(), fresh=True)
    assert (tmp_path / "far" / "precious").exists()


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("entry", ["model", "checkpoint-10", "metrics.json"])
def test_what_may_be_anothers_is_neither_continued_nor_cleared(folder, entry, fresh):
    (folder.path / entry).mkdir(parents=True)
    with pytest.raises(BadInput, match=rf"contains {entry} but no recipe.yaml"):
        folder.open(recipe(folder.path).resolved(), fresh)
    assert (folder.path / entry).exists()


def test_other_files_in_a_new_folder_are_let_be(folder):
    folder.path.mkdir()
    (folder.path / "log.txt").write_text("started")
    assert folder.open(recipe(folder.path).resolved(), fresh=False) == "new"


# --- the same recipe, or another


def test_another_recipe_is_refused_with_what_differs(folder):
    finished(folder, recipe(folder.path, seed=1))
    with pytest.raises(BadInput, match=r"another recipe \(training\.seed: 1, now 2\); add --fresh"):
        folder.open(recipe(folder.path, seed=2).resolved(), fresh=False)
    assert folder.open(recipe(folder.path, seed=2).resolved(), fresh=True) == "new"


@pytest.mark.parametrize("said", [None, "main", "v1.0"])
def test_a_pinned_revision_is_still_the_one_the_recipe_said(folder, said):
    made = recipe(folder.path)
    backbone = made.backbone.model_copy(update={"revision": said})
    made = made.model_copy(update={"backbone": backbone})
    folder.open(made.resolved(), fresh=False)
    folder.write_recipe(made.resolved(), "a" * 40, "b" * 40)
    assert folder.open(made.resolved(), fresh=False) == "unfinished"
    written = load_recipe(folder.recipe)
    assert (written.backbone.revision, written.data.revision) == ("a" * 40, "b" * 40)
    assert folder.open(written.resolved(), fresh=False) == "unfinished", "running recipe.yaml again repeats the run"
    other = made.model_copy(update={"backbone": backbone.model_copy(update={"revision": "other"})})
    with pytest.raises(BadInput, match=r"backbone\.revision: a{40}, now other"):
        folder.open(other.resolved(), fresh=False)


@pytest.mark.parametrize("adapter", [{"type": "lora"}, {"from": "me/x"}, {"from": "me/x", "revision": "main"}])
def test_the_revision_of_an_adapter_is_pinned_where_it_is_a_published_one(folder, adapter):
    made = changed(recipe(folder.path), layers={"adapter": adapter})
    folder.open(made.resolved(), fresh=False)
    folder.write_recipe(made.resolved(), None, None, "c" * 40 if "from" in adapter else None)
    assert folder.open(made.resolved(), fresh=False) == "unfinished"
    pinned = {"revision": "c" * 40} if "from" in adapter else {}
    assert folder.pinned(made.resolved())["layers"]["adapter"] == {**adapter, **pinned}
    other = changed(made, layers={"adapter": {**adapter, "type": "vera"} if "type" in adapter else {"from": "me/y"}})
    with pytest.raises(BadInput, match="a run of another recipe"):
        folder.open(other.resolved(), fresh=False)


def test_a_damaged_recipe_is_an_error_with_a_way_on(folder):
    made = recipe(folder.path)
    finished(folder, made)
    for damage in ("a: [", "", "plain text"):
        folder.recipe.write_text(damage)
        with pytest.raises(BadInput, match="add --fresh to start over"):
            folder.open(made.resolved(), fresh=False)
    assert folder.open(made.resolved(), fresh=True) == "new"


def test_differences_name_what_was_added_removed_and_changed():
    old = {"a": 1, "b": {"c": 2, "d": 3}, "e": [1]}
    assert differences(old, old) == []
    assert differences(old, {"a": 1, "b": {"c": 4, "f": None}, "e": [2], "g": 0}) == [
        "b.c: 2, now 4",
        "b.d: 3, now None",
        "e: [1], now [2]",
        "g: None, now 0",
    ]


# --- where nothing can be written


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_in_the_way_is_an_error_with_its_name(tmp_path, place):
    (tmp_path / "file").write_text("here first")
    path = tmp_path / place
    with pytest.raises(BadInput, match=rf"training\.output_dir: {path} cannot be written \(.*\); use another folder"):
        RunFolder(path).open(recipe(path).resolved(), fresh=False)
    assert (tmp_path / "file").read_text() == "here first"


# --- files


@pytest.mark.parametrize("step", ["write_text", "replace"])
def test_a_crash_while_writing_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step):
    file = tmp_path / "metrics.json"
    write(file, "old")

    def crash(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*(("pathlib.Path.write_text", crash) if step == "write_text" else (os, "replace", crash)))
    with pytest.raises(OSError, match="No space"):
        write(file, "new")
    monkeypatch.undo()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_what_a_kill_left_of_a_file_is_cleared(folder):
    made = recipe(folder.path)
    folder.open(made.resolved(), fresh=False)
    folder.write_recipe(made.resolved(), None, None)
    (folder.path / ".metrics.json.4711").write_text("{")
    (folder.path / ".hidden").write_text("mine")
    assert folder.open(made.resolved(), fresh=False) == "unfinished"
    assert {entry.name for entry in folder.path.iterdir()} == {"recipe.yaml", ".hidden"}


def test_json_has_no_nan_and_keeps_letters(folder):
    folder.path.mkdir()
    value = {"a": float("nan"), "b": (float("inf"), 1.5, {"c": -float("inf")}), "d": "é", "e": None, "f": True}
    folder.write_json("metrics.json", value)
    text = folder.metrics.read_text(encoding="utf-8")
    expected = {"a": None, "b": [None, 1.5, {"c": None}], "d": "é", "e": None, "f": True}
    assert json.loads(text, parse_constant=pytest.fail) == expected
    assert "é" in text


def test_the_written_recipe_is_the_recipe(folder):
    made = recipe(folder.path, learning_rate=3e-4, bf16="auto")
    folder.open(made.resolved(), fresh=False)
    folder.write_recipe(made.resolved(), None, None)
    assert load_recipe(folder.recipe).resolved() == made.resolved()


def test_a_run_of_an_earlier_version_that_knew_fewer_keys_is_of_the_same_recipe(folder):
    made = recipe(folder.path)
    folder.open(made.resolved(), fresh=False)
    folder.write_recipe(made.resolved(), None, None)
    values = yaml_lines.parse(folder.recipe.read_text())[0]
    assert values["data"].pop("sets") == {}
    assert values["layers"].pop("last_block") == "auto"
    folder.recipe.write_text(yaml_lines.dump(values))
    assert folder.changed(made.resolved()) == []
    values["layers"]["no_such_key"] = 1
    folder.recipe.write_text(yaml_lines.dump(values))
    assert "layers.no_such_key: 1, now None" in folder.changed(made.resolved())

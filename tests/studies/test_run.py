"""The engine: what it runs, refuses, continues and writes."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

import hfft
from hfft import cli
from hfft.errors import BadInput, RunError
from hfft.runs.signals import Stopped
from hfft.studies import run as engine
from hfft.studies import train_child as training
from hfft.studies.compare import Compare
from hfft.studies.folder import LOG
from hfft.studies.run import run_study
from hfft.studies.seeds import Seeds
from hfft.studies.study import Child, Done, Study, recipe_of
from hfft.studies.table import Table
from hfft.studies.train_child import DiskFull
from tests.studies.fake_runs import finished, tiny
from tests.torture import runs

ARMS = {"a": {}, "b": {"training.learning_rate": 0.01}}


@pytest.fixture
def trained(monkeypatch):
    """Train nothing: a child's accuracy is its learning rate; returns the names of the children that ran."""
    ran = []

    def train(recipe):
        ran.append(recipe.output_dir.name)
        if recipe.training["learning_rate"] > 1:
            return "the loss is not finite"
        finished(recipe, recipe.training["learning_rate"] + recipe.seed / 100)
        return None

    monkeypatch.setattr("hfft.studies.run.train_child", train)
    return ran


def compare(**arms) -> Compare:
    return Compare(recipe=tiny(), seeds=2, arms={**ARMS, **arms})


def test_what_is_done_is_not_run_again_and_the_table_is_the_same(tmp_path, trained):
    table = run_study(compare(), tmp_path)
    assert trained == ["a-1", "b-1", "a-2", "b-2"]
    assert run_study(compare(), tmp_path) == table
    assert len(trained) == 4
    assert table.row("b").cells["minus a"].values == pytest.approx({1: 0.009, 2: 0.009})
    found = json.loads((tmp_path / "table.json").read_text())
    assert (found["study"], found["seeds"], found["answer"]) == ("compare", [1, 2], table.answer)
    page = (tmp_path / "report.html").read_text()
    assert table.answer in page
    assert page.index(table.answer) < page.index("<svg") < page.index("<table")
    assert "Unfinished" not in page


def test_a_child_that_fails_is_a_row_that_says_why_and_is_tried_again(tmp_path, trained):
    said = []
    table = run_study(compare(c={"training.learning_rate": 5.0}), tmp_path, say=said.append)
    assert table.row("c").failed == {1: "the loss is not finite", 2: "the loss is not finite"}
    assert table.row("b").seeds == [1, 2]
    assert "[3 of 6] c, seed 1: failed: the loss is not finite" in said
    assert "c, seed 1: the loss is not finite" in (tmp_path / "report.html").read_text()
    run_study(compare(c={"training.learning_rate": 5.0}), tmp_path)
    assert trained[6:] == ["c-1", "c-2"]


def test_the_page_so_far_says_what_is_left(tmp_path, trained, monkeypatch):
    train = engine.train_child

    def stopped(recipe):
        if recipe.output_dir.name == "a-2":
            raise Stopped(signal.SIGTERM)
        return train(recipe)

    monkeypatch.setattr("hfft.studies.run.train_child", stopped)
    monkeypatch.setattr("hfft.studies.run.PAUSE", 0)
    with pytest.raises(Stopped):
        run_study(compare(), tmp_path)
    assert "Unfinished: 2 runs are left." in (tmp_path / "report.html").read_text()
    assert not (tmp_path / ".lock").exists()


def test_another_study_in_the_folder_is_refused_and_more_seeds_are_not(tmp_path, trained):
    run_study(compare(), tmp_path)
    with pytest.raises(BadInput, match=r"contains another study \(recipe.training.learning_rate: 0.001, now 0.5\)"):
        run_study(Compare(recipe=tiny("training.learning_rate=0.5"), seeds=2, arms=ARMS), tmp_path)
    with pytest.raises(BadInput, match=r"arms\.b\.training\.learning_rate: 0\.01, now 0\.02\); add --fresh"):
        run_study(compare(b={"training.learning_rate": 0.02}), tmp_path)
    with pytest.raises(BadInput, match="study: compare, now seeds"):
        run_study(Seeds(recipe=tiny(), seeds=2), tmp_path)
    assert len(trained) == 4
    run_study(Compare(recipe=tiny(), seeds=3, arms={**ARMS, "d": {}}), tmp_path)
    assert trained[4:] == ["d-1", "d-2", "a-3", "b-3", "d-3"]
    (tmp_path / "children" / "a-1" / "mine.txt").write_text("kept")
    run_study(Seeds(recipe=tiny(), seeds=1), tmp_path, fresh=True)
    assert {path.name for path in (tmp_path / "children").iterdir()} == {"a-1", "recipe-1"}, "others' files stay"


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", ["recipe.yaml", "metrics.json", "report.html", "table.json"])
def test_files_that_are_no_studys_are_not_written_over(tmp_path, trained, name, fresh):
    (tmp_path / name).write_text("mine")
    with pytest.raises(BadInput, match=rf"contains {name} but no study\.yaml; use another --output"):
        run_study(compare(), tmp_path, fresh=fresh)
    assert (tmp_path / name).read_text() == "mine"
    assert not (tmp_path / "children").exists()
    assert trained == []


def test_a_fresh_study_begins_without_the_predictions_of_the_earlier_one(tmp_path, trained):
    run_study(compare(), tmp_path)
    (tmp_path / "out_of_fold-1.csv").write_text("row,label\n")
    run_study(compare(), tmp_path)
    assert (tmp_path / "out_of_fold-1.csv").exists()
    run_study(compare(), tmp_path, fresh=True)
    assert not (tmp_path / "out_of_fold-1.csv").exists()


@pytest.mark.parametrize("text", ["", "[", "study: compare\n", "study: compare\nrecipe: 3\narms: {}\n"])
def test_a_damaged_study_is_refused(tmp_path, trained, text):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(BadInput, match="cannot be read"):
        run_study(compare(), tmp_path)
    assert trained == []


def test_an_arm_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, trained):
    with pytest.raises(BadInput, match=r"child wrong-1: .*layers.trian"):
        run_study(compare(wrong={"layers.trian": "all"}), tmp_path / "study")
    assert trained == []
    assert not (tmp_path / "study").exists()
    with pytest.raises(BadInput, match="--jobs 0"):
        run_study(compare(), tmp_path / "study", jobs=0)


def test_a_childs_folder_of_another_run_is_refused(tmp_path, trained):
    finished(recipe_of(compare(), Child("a", 1, {"training.learning_rate": 0.7}), tmp_path / "children"), 0.5)
    with pytest.raises(
        BadInput, match=r"a-1 contains a run of another recipe \(training.learning_rate: 0.7, now 0.001"
    ):
        run_study(compare(), tmp_path)


class Chain(Study):
    """Three children, each of which begins from the last one; the last is planned once the first is known."""

    name = "chain"

    def plan(self, done: Done) -> list[Child]:
        third = [Child("third", 1, {}, begins_from="second-1")] if "first-1" in done else []
        return [
            Child("second", 1, {"training.learning_rate": self.rate}, begins_from="first-1"),
            Child("first", 1),
            *third,
        ]

    rate: float = 0.1

    def table(self, done: Done) -> Table:
        return Table(f"{len(done)} are done.", (), ())


def test_children_that_begin_from_others_wait_for_them(tmp_path, trained):
    assert run_study(Chain(recipe=tiny()), tmp_path).answer == "3 are done."
    assert trained == ["first-1", "second-1", "third-1"]
    failed = tmp_path / "failed"
    said = []
    run_study(Chain(recipe=tiny(), rate=7.0), failed, say=said.append)
    assert said[-1] == "[3 of 3] third, seed 1: failed: begins from second-1, which failed (the loss is not finite)"


class Circle(Study):
    """Two children that wait for each other."""

    name = "circle"

    def plan(self, done: Done) -> list[Child]:
        return [Child("a", 1, {}, begins_from="b-1"), Child("b", 1, {}, begins_from="a-1")]

    def table(self, done: Done) -> Table:
        return Table("", (), ())


def test_children_that_wait_for_each_other_are_refused(tmp_path, trained):
    with pytest.raises(BadInput, match="wait for each other: a-1, b-1"):
        run_study(Circle(recipe=tiny()), tmp_path)


def test_why_a_child_failed_is_one_line_and_the_rest_is_in_its_log(tmp_path, monkeypatch):
    def fails(recipe):
        print("a line of the run")
        raise RuntimeError("first\nsecond") from ValueError("below")

    monkeypatch.setattr("hfft.pipeline.finetune.finetune", fails)
    recipe = recipe_of(compare(), Child("a", 1), tmp_path)
    assert training.train_child(recipe) == "first"
    log = (tmp_path / "a-1" / LOG).read_text()
    assert log.startswith("a line of the run\nValueError: below\n")
    assert log.endswith("RuntimeError: first\nsecond\n\n")


@pytest.mark.parametrize(
    "why", [OSError(28, "No space left on device"), RuntimeError("x: No space left on device (os error 28)")]
)
def test_a_full_disk_ends_the_study_in_one_line(tmp_path, monkeypatch, why):
    def fails(recipe):
        raise RunError("the checkpoint could not be written") from why

    monkeypatch.setattr("hfft.pipeline.finetune.finetune", fails)
    with pytest.raises(
        DiskFull, match=r"^the checkpoint could not be written; make room, and the same command goes on"
    ):
        run_study(compare(), tmp_path)
    assert not (tmp_path / "table.json").exists()


# --- with trainings


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """An uninterrupted study of two seeds, with the process of its own that a command has."""
    folder = tmp_path_factory.mktemp("studies")
    child = start(folder, folder / "whole")
    assert child.wait() == 0, child.log.read_text()
    return folder / "whole"


def start(folder: Path, output: Path) -> runs.Child:
    recipe = runs.write_recipe(folder)
    words = ["study", "seeds", recipe, "data.max_train_samples=32", "training.save_steps=2", "training.eval_steps=4"]
    return runs.Child([*words, "--seeds", "2", "--output", output], output.with_suffix(".log"))


def table_of(folder: Path) -> dict:
    """The table without times, also in words."""
    found = json.loads((folder / "table.json").read_text())
    found["rows"] = [
        {**row, "cells": {k: v for k, v in row["cells"].items() if k != "seconds"}} for row in found["rows"]
    ]
    return found


@pytest.mark.slow
def test_a_child_is_the_run_of_hfft_train_to_the_bit(whole, tmp_path):
    words = ["data.max_train_samples=32", "training.save_steps=2", "training.eval_steps=4", "training.seed=2"]
    child = runs.train(runs.write_recipe(tmp_path), tmp_path / "alone", *words)
    assert child.wait() == 0, child.log.read_text()
    assert runs.compare(tmp_path / "alone", whole / "children" / "recipe-2") == []
    first, second = (whole / "children" / f"recipe-{seed}" / "model" / "model.safetensors" for seed in (1, 2))
    assert first.read_bytes() != second.read_bytes()


@pytest.mark.slow
def test_killed_and_started_again_a_study_comes_to_the_same(whole, tmp_path):
    child = start(tmp_path, tmp_path / "study")
    assert child.until(lambda: (tmp_path / "study" / "children/recipe-2/checkpoint-4").exists())
    child.signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    again = start(tmp_path, tmp_path / "study")
    assert again.wait() == 0, again.log.read_text()
    assert table_of(tmp_path / "study") == table_of(whole)
    for seed in (1, 2):
        assert runs.compare(*(f / "children" / f"recipe-{seed}" for f in (whole, tmp_path / "study"))) == []


@pytest.mark.slow
def test_several_at_once_come_to_the_same(whole, tmp_path):
    words = ["data.max_train_samples=32", "training.save_steps=2", "training.eval_steps=4"]
    hfft.study("seeds", runs.write_recipe(tmp_path), *words, seeds=2, folder=tmp_path / "study", jobs=2)
    assert table_of(tmp_path / "study") == table_of(whole)
    for seed in (1, 2):
        assert runs.compare(*(f / "children" / f"recipe-{seed}" for f in (whole, tmp_path / "study"))) == []


@pytest.mark.slow
def test_a_disk_that_fills_up_loses_nothing(whole, tmp_path, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("only root may mount a file system")
    try:
        words = [
            "study",
            "seeds",
            str(runs.write_recipe(tmp_path)),
            "data.max_train_samples=32",
            "training.save_steps=2",
        ]
        words += ["training.eval_steps=4", "--seeds", "2", "--output", str(disk / "study")]
        assert cli.main(words) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "the disk is full" in line or "No space left" in line
        subprocess.run(["mount", "-o", "remount,size=99m", disk], check=True)
        assert cli.main(words) == 0
        assert table_of(disk / "study") == table_of(whole)
    finally:
        subprocess.run(["umount", disk], check=True)

"""The runs of a folder: each state, sorted, as a table and as JSON."""

import json

import pytest

from hfft import cli
from hfft.compare.listing import RunLine, runs_of
from hfft.errors import BadInput
from tests.compare.made_runs import made_run


@pytest.fixture
def folder(tmp_path):
    """A folder with runs of every state, and files that are none."""
    made_run(tmp_path / "b", wrong=30)
    made_run(tmp_path / "deeper/a", wrong=50)
    (made_run(tmp_path / "c") / "metrics.json").unlink()
    (made_run(tmp_path / "d") / "metrics.json").write_text("{")
    (tmp_path / "no run").mkdir()
    (tmp_path / "file.txt").write_text("")
    made_run(tmp_path / "b/from_scratch")  # inside a run
    return tmp_path


def test_every_run_has_its_state_and_main_figure(folder):
    found = {run.run: run for run in runs_of(folder)}
    assert list(found) == ["b", "c", "d", "deeper/a"]
    assert found["b"] == RunLine("b", "finished", "nano-vit", "test", "accuracy", 0.925, 400, 12.5)
    assert (found["c"].state, found["c"].model, found["c"].value) == ("unfinished", "nano-vit", None)
    assert found["d"] == RunLine("d", "damaged")


def test_runs_are_sorted_and_those_without_a_value_come_last(folder):
    assert [run.run for run in runs_of(folder, "value")] == ["deeper/a", "b", "c", "d"]
    assert [run.run for run in runs_of(folder, "value", reverse=True)] == ["b", "deeper/a", "c", "d"]


def test_a_run_folder_itself_is_one_run(folder):
    assert [run.run for run in runs_of(folder / "b")] == ["b"]


def test_bad_input_is_told(folder):
    with pytest.raises(BadInput, match="--sort: unknown 'vaule'; did you mean 'value'"):
        runs_of(folder, "vaule")
    with pytest.raises(BadInput, match="is no folder"):
        runs_of(folder / "file.txt")


def test_the_command_prints_a_table_or_json(folder, capsys):
    assert cli.main(["runs", str(folder), "--sort", "value", "--reverse"]) == 0
    head, first, *_ = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "state", "model", "split", "figure", "value", "n", "seconds"]
    assert first.split() == ["b", "finished", "nano-vit", "test", "accuracy", "0.9250", "400", "12.5"]
    assert cli.main(["runs", str(folder), "--json"]) == 0
    assert [run["run"] for run in json.loads(capsys.readouterr().out)] == ["b", "c", "d", "deeper/a"]
    assert cli.main(["runs", str(folder / "no run")]) == 0
    assert capsys.readouterr().out == f"no run in {folder / 'no run'}\n"

"""The command line of studies."""

from __future__ import annotations

import json

import pytest

from hfft import cli
from hfft.commands.study import _asked
from hfft.recipe import yaml_lines
from tests.studies.fake_runs import TINY, finished


@pytest.fixture
def recipe(tmp_path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml_lines.dump(TINY))
    return str(path)


def test_options_of_a_study_are_those_of_its_fields(recipe):
    study, settings = _asked(
        "seeds", [recipe, "--seeds", "3,7", "training.seed=1", "--jobs", "2", "--fresh", "--output", "x"]
    )
    assert study.all_seeds == [3, 7]
    assert study.recipe.seed == 1
    assert (str(settings["folder"]), settings["jobs"], settings["fresh"]) == ("x", 2, True)
    study, settings = _asked("folds", [recipe, "--folds", "4"])
    assert (study.folds, settings["folder"]) == (4, None)


def test_a_file_is_a_study(tmp_path, recipe):
    file = tmp_path / "mine.yaml"
    file.write_text(f"study: folds\nrecipe: {recipe}\nfolds: 3\n")
    study, settings = _asked(str(file), ["layers.train=head", "--seeds", "2"])
    assert (study.name, study.folds, study.all_seeds, study.recipe.train_layers) == ("folds", 3, [1, 2], ["head"])
    assert str(settings["folder"]) == "studies/mine"


def test_the_table_is_printed_and_a_failed_child_is_status_1(tmp_path, recipe, monkeypatch, capsys):
    def train(made):
        if made.seed == 2:
            return "out of memory"
        finished(made, 0.9)

    monkeypatch.setattr("hfft.studies.run.train_child", train)
    words = ["study", "seeds", recipe, "--output", str(tmp_path / "study"), "--seeds"]
    assert cli.main([*words, "2"]) == 1
    out = capsys.readouterr().out
    assert "[2 of 2] recipe, seed 2: failed: out of memory" in out
    assert "tiny: test accuracy 0.9000 (n=100, one seed: no spread)." in out
    assert json.loads((tmp_path / "study" / "table.json").read_text())["rows"][0]["failed"] == {"2": "out of memory"}
    assert cli.main([*words, "1"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sedes", "digits"], "study 'sedes' is unknown; did you mean 'seeds'"),
        (["seeds"], "study seeds: needs a recipe"),
        (["seeds", "digits", "--seeds", "[1"], "not valid YAML"),
        (["seeds", "digits", "--jobs", "0"], "--jobs 0; expected 1 or more"),
        (["grid", "digits", "layers.train=head"], "study grid  axes: missing"),
        (["none.yaml"], "study 'none.yaml' is neither a study nor a file"),
    ],
)
def test_mistakes_are_one_line(words, message, capsys):
    assert cli.main(["study", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_unknown_options_and_help(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["study", "seeds", "digits", "--sed", "2"])
    assert end.value.code == 2
    assert cli.main(["study"]) == 0
    assert "hfft study NAME RECIPE" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        cli.main(["study", "folds", "--help"])
    assert end.value.code == 0
    assert "number of folds" in capsys.readouterr().out

"""The table of figures: every run's recipe is one, what is measured is told, and nothing of the machine's folders is."""

import json
import sys

import pytest

from hfft.recipe import yaml_lines
from hfft.recipe.build import build
from tests.benchmarks import methods


@pytest.mark.parametrize("method", methods.METHODS)
@pytest.mark.parametrize("task", methods.TASKS)
def test_every_run_is_a_recipe(task, method, tmp_path):
    values = methods.recipe(methods.TASKS[task], method, 7, tmp_path, None, None)
    made = build(yaml_lines.dump(values), "x.yaml", "x")
    assert made.training["seed"] == 7
    assert made.training["learning_rate"] == methods.TASKS[task].rates[method]
    if method == "LP-FT":
        assert made.layers.schedule.head_learning_rate == methods.TASKS[task].rates["head"]


def test_folders_stand_in_for_the_hub_and_leave_no_trace(tmp_path):
    task = methods.TASKS["trec"]
    (tmp_path / task.model).mkdir(parents=True)
    (tmp_path / task.path).mkdir(parents=True)
    offline = methods.recipe(task, "all", 1, tmp_path / "run", tmp_path, tmp_path)
    online = methods.recipe(task, "all", 1, methods.RUNS, None, None)
    assert offline["backbone"]["name"] == str(tmp_path / task.model)
    assert methods.settings_of(offline) == methods.settings_of(online)
    assert str(tmp_path) not in json.dumps(methods.settings_of(offline))
    with pytest.raises(SystemExit, match=r"--models: .*missing.* is no folder; it should hold sentence-transformers/"):
        methods.recipe(task, "all", 1, tmp_path, tmp_path / "missing", None)


def measured(method, seed, accuracy):
    values = methods.recipe(methods.TASKS["trec"], method, seed, methods.RUNS, None, None)
    return {
        **{"task": "trec", "method": method, "seed": seed, "settings": methods.settings_of(values)},
        **{"versions": {"torch": "2"}, "machine": "a machine", "accuracy": accuracy, "n": 500, "train_n": 640},
        **{"share": 0.25, "seconds": 10.0 + seed, "memory": 2**30},
    }


def test_the_table_holds_what_was_measured_and_nothing_else():
    former = measured("all", 1, 0.9)
    former["settings"] = {**former["settings"], "layers": {"train": "first-1"}}
    text = methods.page([measured("head", 1, 0.5), measured("head", 2, 0.6), measured("head", 3, 0.7), former])
    (line,) = [line for line in text.splitlines() if line.startswith("| head")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["head", "`layers: {train: head}`", "0.005", "0.600 ± 0.100", "3", "25.00%", "12.0", "1,024"]
    assert "n = 500 rows (test). a machine, torch 2." in text
    assert "sst2" not in text
    assert "| all" not in text


def test_what_is_measured_is_not_measured_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = []

    def measure(values, task, threads):
        asked.append(values["training"]["seed"])
        return {"accuracy": 0.5, "n": 500, "train_n": 640, "share": 1.0, "seconds": 1.0, "cpu": 2.0, "memory": 2**30}

    monkeypatch.setattr(methods, "measure", measure)
    for seeds in ("1", "2", "2"):
        monkeypatch.setattr(
            sys, "argv", ["methods", "--only", "trec", "--methods", "all", "--seeds", seeds, "--out", "figures.md"]
        )
        methods.main()
    assert asked == [1, 2]
    assert "0.500 ± 0.000 | 2 |" in (tmp_path / "figures.md").read_text()
    monkeypatch.setattr(methods, "versions", lambda: {"torch": "another"})
    methods.main()
    assert asked == [1, 2, 1, 2], "another version is another measurement"
    assert len((tmp_path / "runs/methods/results.jsonl").read_text().splitlines()) == 2

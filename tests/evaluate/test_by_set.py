"""The figures of each set of a mix: those of its rows alone, in metrics.json, in the last lines and in the report."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from hfft.evaluate.by_set import by_set, of_groups
from hfft.evaluate.outputs import Outputs, OutputsFile, columns_of
from hfft.pipeline.finetune import finetune
from hfft.pipeline.record import summary
from hfft.recipe import load_recipe
from hfft.report.record import Record
from hfft.report.sections import results
from hfft.tasks.labels import Labels
from tests.studies.fake_runs import TINY

LABELS = Labels.of("single_label_classification", ["a", "b"])


def outputs(folder, logits, truth):
    """Outputs of made-up logits."""
    file = OutputsFile(folder / "test.safetensors", "test", "given", LABELS, np.arange(len(truth)))
    file.add(columns_of(torch.tensor(logits), torch.tensor(truth), LABELS))
    return file.close()


def test_a_sets_figures_are_those_of_its_rows_alone(tmp_path):
    rng = np.random.default_rng(0)
    logits, truth = rng.normal(size=(40, 2)).astype(np.float32), rng.integers(0, 2, 40)
    names = np.array(["left", "right"])[rng.integers(0, 2, 40)]
    whole = outputs(tmp_path, logits, truth)
    found = of_groups(whole, names, ["accuracy", "f1_macro"])
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        alone = outputs(tmp_path / name, logits[names == name], truth[names == name]).score(["accuracy", "f1_macro"])
        assert found[name] == pytest.approx(alone["metrics"])
    assert sum(one["n"] for one in found.values()) == 40
    right = sum(one["n"] * one["accuracy"] for one in found.values())
    assert right == pytest.approx(40 * whole.score(["accuracy"])["metrics"]["accuracy"])


def test_means_over_classes_are_left_out_where_a_class_has_no_row(tmp_path):
    whole = outputs(tmp_path, [[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]], [0, 1, 0])
    found = of_groups(whole, np.array(["both", "both", "one"]), ["accuracy", "f1_macro"])
    assert set(found["both"]) - set(found["one"]) == {"f1_macro"}


def test_without_a_mix_there_are_none(tmp_path):
    assert by_set(load_recipe("digits").data, None, ["test"], tmp_path, ["accuracy"]) == {}


def test_a_split_without_outputs_is_not_scored_apart_and_that_is_said(tmp_path, capsys):
    data = load_recipe("digits", "data.mix.printed.path=printed_digits").data
    assert by_set(data, None, ["test"], tmp_path, ["accuracy"]) == {}
    assert (
        "the sets of test are not scored apart: its outputs are not stored (score.outputs)" in capsys.readouterr().out
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on two sets of digits, of which one names its classes otherwise."""
    folder = tmp_path_factory.mktemp("mix") / "run"
    mix = {"printed": {"path": "printed_digits", "share": 0.1}}
    data = {**TINY["data"], "mix": mix, "validation": 0.2, "max_eval_samples": None, "max_train_samples": 60}
    return finetune(load_recipe({**TINY, "data": data}, f"training.output_dir={folder}", "score.scorecard=off"))


@pytest.mark.slow
def test_a_run_scores_each_set_apart_and_says_so(run):
    metrics = json.loads((run.folder / "metrics.json").read_text())
    found = metrics["by_set"]["test"]
    assert {name: one["n"] for name, one in found.items()} == {"digits": 500, "printed": 500}
    both = sum(one["accuracy"] for one in found.values()) / 2
    assert both == pytest.approx(metrics["test"]["accuracy"])
    whole = Outputs.read(run.folder / "outputs" / "test.safetensors")
    direct = whole.of_rows(np.arange(1000) < 500).score(["accuracy"])["metrics"]["accuracy"]
    assert found["digits"]["accuracy"] == direct
    assert set(metrics["by_set"]) == {"test", "validation"}
    lines = summary(load_recipe(run.folder / "recipe.yaml"), run.folder, metrics)
    assert any(line.startswith("  of printed: accuracy") and line.endswith("(n=500)") for line in lines)


@pytest.mark.slow
def test_the_report_has_a_table_of_sets_and_a_finished_run_is_known(run, capsys):
    page = (run.folder / "report.html").read_text()
    assert "sets: test" in page
    assert ">printed</td><td>500</td>" in page
    again = finetune(load_recipe(run.folder / "recipe.yaml"))
    assert "is finished" in capsys.readouterr().out
    assert again.metrics["by_set"] == json.loads((run.folder / "metrics.json").read_text())["by_set"]
    assert results.by_set(Record(again.metrics), "train") is None

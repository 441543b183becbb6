"""The blocks that load a finished run's model, its start and its data: from the command line, and against their definitions."""

import json
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hfft import cli
from hfft.features import recipe_features
from hfft.features.extract import extract_views
from hfft.features.views import bare
from hfft.recipe import load_recipe
from hfft.runs import RunFolder
from hfft.scorecard import scorecard
from hfft.scorecard.blocks import beside, cost, representation, retention
from hfft.scorecard.start import Start

pytestmark = pytest.mark.slow
WORDS = ["list", "value", "string", "file", "table"]
RECIPE = """
task: text-classification
backbone: {name: nano-bert}
head: {new: [bert.pooler]}
data: {path: x.csv, columns: {text: said, label: kind}, validation: 0.2, test: 0.3, max_length: 16}
training: {max_steps: 6, per_device_train_batch_size: 8, learning_rate: 0.003, output_dir: run, report_to: none}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of a text classifier, and what `hfft score --full` printed of it."""
    folder = tmp_path_factory.mktemp("scored")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
        lines = [f"the {WORDS[i % 5]} number {i},{'odd' if i % 5 < 2 else 'even'}" for i in range(120)]
        Path("x.csv").write_text("\n".join(["said,kind", *lines]) + "\n")
        Path("r.yaml").write_text(RECIPE)
        assert cli.main(["train", "r.yaml"]) == 0
        yield folder / "run"


def evidence(run, full=True):
    folder = RunFolder(run)
    return scorecard.of_run(folder, load_recipe(folder.recipe), folder.metrics_of_run(), full=full)


def test_a_run_ends_with_a_quick_scorecard_of_its_test_split(run):
    card = json.loads((run / "scorecard.json").read_text())
    assert not [found["error"] for found in card["blocks"].values() if "error" in found]
    found, metrics = card["blocks"]["task"], json.loads((run / "metrics.json").read_text())
    assert found["split"] == "test"
    assert found["n"] == metrics["test"]["n"]
    assert found["figures"]["accuracy"]["value"] == pytest.approx(metrics["test"]["accuracy"])


def test_blocks_can_be_asked_for_alone_and_the_report_is_written_again(run, capsys, monkeypatch):
    monkeypatch.chdir(run.parent)
    (run / "report.html").unlink()
    before = json.loads((run / "scorecard.json").read_text())["blocks"]["task"]
    monkeypatch.setattr(cost.Joules, "so_far", lambda self: 64.0)
    assert cli.main(["score", "run", "--blocks", "cost", "--report"]) == 0
    assert "J for 1,000 rows, of the whole device" in capsys.readouterr().out
    after = json.loads((run / "scorecard.json").read_text())["blocks"]
    assert after["task"] == before
    assert after["cost"]["latency_ms"] > 0
    assert after["cost"]["rows_per_second"] > 0
    assert after["cost"]["joules_per_1000_rows"] > 0
    assert "energy for 1,000 rows, of the whole device" in (run / "report.html").read_text()
    assert cli.main(["score", "run", "--blocks", "costs"]) == 2
    assert "unknown 'costs'; did you mean 'cost'?" in capsys.readouterr().err
    assert cli.main(["score", "run", "--full", "--fresh"]) == 2
    assert cli.main(["score", "run", "--full", "data.path=y.csv"]) == 2
    assert cli.main(["score", "run", "--full", "--as-published"]) == 2
    assert cli.main(["score", "run", "--as-published", "--fresh"]) == 2


def test_features_of_the_start_are_computed_once_for_runs_of_other_seeds(run, tmp_path, monkeypatch):
    monkeypatch.chdir(run.parent)
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path))
    monkeypatch.setattr(beside, "MOST_TRAIN", 30)
    computed = []

    def counted(model, processor, rows, task, views):
        computed.append(len(rows))
        return extract_views(model, processor, rows, task, views)

    monkeypatch.setattr(recipe_features, "extract_views", counted)
    first = beside.block(evidence(run))
    assert computed == [30, first["n"]]
    assert beside.block(evidence(run)) == first
    whole, other = evidence(run), evidence(run)
    left = whole.splits.train.select(range(7, len(whole.splits.train)))
    other.data = replace(whole.splits, train=left, content={}), whole.data_labels
    assert beside.block(other)["probe"] is not None
    assert len(computed) == 3, "nothing is computed of what is stored"
    assert 0 < computed[2] < 8, "of the rows that are left, most are drawn again"
    other = evidence(run)
    other.recipe = load_recipe(run / "recipe.yaml", "layers.cache=off")
    assert beside.block(other) == first
    assert computed[3:] == computed[:2]


def test_simple_answers_are_to_the_same_rows_and_a_quick_scorecard_says_what_it_left_out(run):
    found = beside.block(evidence(run))
    counts = json.loads((run / "metrics.json").read_text())["data"]["classes"]
    most = max(counts["train"], key=counts["train"].get)
    assert found["majority_class"] == most
    assert found["majority"]["value"] == pytest.approx(counts["test"][most] / found["n"])
    assert found["knn"]["n"] == found["probe"]["n"] == found["n"]
    accuracy = json.loads((run / "metrics.json").read_text())["test"]["accuracy"]
    for name, gap in found["differences"].items():
        assert gap["value"] == pytest.approx(accuracy - found[name]["value"])
    quick = beside.block(evidence(run, full=False))
    assert quick["majority"] == found["majority"]
    assert quick["knn"] is None
    assert "see `hfft score --full`" in quick["why"]["knn"]
    assert any("1-NN" in line and "forward passes" in line for line in beside.lines(quick))


def test_representation_of_an_untouched_model_is_that_of_its_start(run):
    given = evidence(run)
    found = representation.block(given)
    assert all(0 < row["moved"] < 1 for row in found["rows"])
    assert all(0 <= row["cka"] < 1 for row in found["rows"])
    start = AutoModelForSequenceClassification.from_pretrained(run / "model")
    start.bert.load_state_dict(
        bare(Start.of(given.recipe, given.data_labels).model.loaded()).state_dict(), strict=False
    )
    given.predictor = replace(given.predictor, model=start.eval())
    same = representation.block(given)
    assert [row["moved"] for row in same["rows"]] == [0] * len(same["rows"])
    assert [row["cka"] for row in same["rows"]] == pytest.approx([1] * len(same["rows"]))
    assert same["logme"]["before"] == pytest.approx(same["logme"]["after"])


def test_what_has_no_classifier_of_its_own_has_no_retention(run):
    card = scorecard.make(evidence(run), ["retention"])
    assert "nano-bert has no classifier of its own" in card["blocks"]["retention"]["error"]


def test_retention_is_the_old_heads_accuracy_on_rows_of_the_old_task(run, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    old, new = tmp_path / "old", tmp_path / "new"
    monkeypatch.chdir(run.parent)
    assert cli.main(["train", "r.yaml", f"training.output_dir={old}"]) == 0
    lines = [f"{WORDS[i % 5]} {i},{'long' if i % 3 else 'short'}" for i in range(80)]
    (tmp_path / "z.csv").write_text("\n".join(["said,kind", *lines]) + "\n")
    given = [f"backbone.name={old}/model", "head.new=[]", f"data.path={tmp_path}/z.csv", f"training.output_dir={new}"]
    columns = ["score.old_task.columns.text=said", "score.old_task.columns.label=kind"]
    assert cli.main(["train", "r.yaml", *given, f"score.old_task.path={run.parent}/x.csv", *columns]) == 0
    found = retention.block(evidence(new))
    assert found["old_task"]["n"] == 120
    assert found["lost"]["value"] == pytest.approx(found["after"]["value"] - found["before"]["value"])
    assert 0 <= found["agreement"] <= 1
    plain = AutoModelForSequenceClassification.from_pretrained(old / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(old / "model")
    rows = [line.rsplit(",", 1) for line in (run.parent / "x.csv").read_text().splitlines()[1:]]
    with torch.no_grad():
        answers = plain(**tokenizer([said for said, _ in rows], padding=True, return_tensors="pt")).logits.argmax(1)
    right = np.mean([plain.config.id2label[int(i)] == kind for i, (_, kind) in zip(answers, rows, strict=True)])
    assert found["before"]["value"] == pytest.approx(right)


def test_rows_that_changed_since_are_not_taken_for_those_that_were_scored(run, monkeypatch):
    monkeypatch.chdir(run.parent)
    path = run.parent / "x.csv"
    before = path.read_text()
    try:
        path.write_text(before.replace("table", "chair"))
        found = scorecard.make(evidence(run), ["beside", "representation"])["blocks"]
    finally:
        path.write_text(before)
    assert "the data has changed since the run" in found["beside"]["why"]["knn"]
    assert "the data has changed since the run" in found["representation"]["error"]


def test_a_model_as_published_has_the_figures_of_its_run(run, capsys, monkeypatch):
    monkeypatch.chdir(run.parent)
    metrics = json.loads((run / "metrics.json").read_text())
    assert cli.main(["score", "run", "--as-published"]) == 0
    said = capsys.readouterr().out
    assert f"test loss {metrics['test']['loss']:.4f} accuracy {metrics['test']['accuracy']:.4f}" in said
    assert "as plain transformers loads it" in said
    other = {**metrics, "test": {**metrics["test"], "accuracy": metrics["test"]["accuracy"] - 0.1}}
    (run / "metrics.json").write_text(json.dumps(other))
    try:
        assert cli.main(["score", "run", "--as-published"]) == 1
    finally:
        (run / "metrics.json").write_text(json.dumps(metrics))
    assert "does not score what was published with it on test: accuracy" in capsys.readouterr().err

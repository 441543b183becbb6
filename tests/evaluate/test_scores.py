"""Metrics fed in batches are those of the whole, and agree with their definitions."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from hfft.evaluate import Metrics, scores
from hfft.evaluate.outputs import Outputs
from hfft.tasks.labels import Labels
from tests import forked
from tests.evaluate.cases import HIDDEN, MASKED, METRICS, MULTI, OWN, REGRESSION, ROWS, SINGLE, example, rows_of, scored
from tests.forked import ROOT


@pytest.mark.slow_but("16-single_label_classification", "16-multi_label_classification", "16-regression")
@pytest.mark.parametrize("problem", [SINGLE, MULTI, REGRESSION])
@pytest.mark.parametrize("batch", [1, 16, 203])
def test_batches_of_any_size_give_the_figures_of_the_whole(problem, batch):
    logits, target, labels = example(problem)
    whole, parts = (Metrics(labels, METRICS[problem]) for _ in range(2))
    whole.update(logits, target)
    for i in range(0, len(logits), batch):
        parts.update(logits[i : i + batch], target[i : i + batch])
    expected, found = whole.compute(), parts.compute()
    assert found == pytest.approx(expected, rel=1e-6)
    assert found["n"] == 203
    assert set(METRICS[problem]) < set(found)


def test_loss_and_tables_are_those_of_their_definitions():
    logits, target, labels = example(SINGLE)
    metrics = Metrics(labels, METRICS[SINGLE])
    metrics.update(logits, target)
    found, predicted = metrics.compute(), logits.argmax(1)
    assert found["loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, target).item(), rel=1e-6)
    assert metrics.result["confusion"] == sk.confusion_matrix(target, predicted).tolist()
    assert [row["n"] for row in metrics.result["classes"]] == torch.bincount(target, minlength=7).tolist()


def test_masked_tokens_count_alike_whatever_batch_they_are_in():
    metrics = Metrics(Labels(MASKED), ["perplexity"])
    metrics.update(torch.tensor([[6.0, 3.0], [0.0, 0.0]]), torch.zeros(2))
    metrics.update(torch.tensor([[2.0, 1.0]]), torch.zeros(1))
    assert metrics.compute() == {"loss": 2.0, "perplexity": pytest.approx(np.exp(2.0)), "n": 3}


def test_what_is_kept_does_not_grow_with_the_classes():
    labels = Labels.of(SINGLE, [str(i) for i in range(5000)])
    metrics = Metrics(labels, ["accuracy"])
    metrics.update(torch.randn(8, 5000), torch.zeros(8, dtype=torch.long))
    assert sum(column.nbytes for batch in metrics._waiting for column in batch.values()) <= 8 * 6 * 4


def test_a_split_without_rows_is_an_error_and_figures_start_over_after_each_split():
    logits, target, labels = example(SINGLE)
    metrics = Metrics(labels, ["accuracy"])
    with pytest.raises(ValueError, match="empty"):
        metrics.compute()
    batch = type("Batch", (), {"predictions": logits, "label_ids": target})
    assert metrics(batch, compute_result=False) == {}
    assert metrics(batch, compute_result=True)["n"] == 406
    assert metrics(batch, compute_result=True)["n"] == 203


@pytest.mark.parametrize("problem", [SINGLE, MULTI, REGRESSION])
def test_one_row_and_constant_predictions_give_finite_figures(problem):
    for rows in (1, 5):
        logits, target, labels = example(problem, rows=rows)
        metrics = Metrics(labels, METRICS[problem])
        metrics.update(torch.zeros_like(logits), target)
        assert np.isfinite(list(metrics.compute().values())).all()


def test_what_waits_on_the_device_is_bounded_and_fed_in_between(monkeypatch):
    monkeypatch.setattr(scores, "WAITING", 100)
    logits, target, labels = example(MULTI)
    metrics, whole = Metrics(labels, METRICS[MULTI]), Metrics(labels, METRICS[MULTI])
    for i in range(len(logits)):
        metrics.update(logits[i : i + 1], target[i : i + 1])
        assert sum(column.numel() for batch in metrics._waiting for column in batch.values()) < 100
        assert i < 10 or sum(len(piece["predictions"]) for piece in metrics._columns) > 0
    monkeypatch.undo()
    whole.update(logits, target)
    assert metrics.compute() == pytest.approx(whole.compute(), rel=1e-6)


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores")
    (folder / "wrong.py").write_text(OWN)
    forked.two_processes(ROOT / "tests/evaluate/cases.py", folder)
    return folder, [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("problem", METRICS)
def test_two_processes_score_as_one_does_though_their_last_batch_is_filled_up(problem, two_processes, tmp_path):
    folder, ranks = two_processes
    for batch in (1, ROWS):
        alone = scored(problem, tmp_path, batch, str(folder / "wrong.py"))
        assert alone["metrics"]["n"] == ROWS
        assert set(METRICS[problem]) | ({"wrong", "rows"} if problem == SINGLE else set()) < set(alone["metrics"])
        for rank in ranks:
            for found in (rank[problem], rank[f"kept {problem}"]):
                assert found["metrics"] == pytest.approx(alone["metrics"], rel=1e-6)
                assert found.get("classes") == alone.get("classes")
                assert found.get("confusion") == alone.get("confusion")
    rows, _ = rows_of(problem)
    outputs = Outputs.read(folder / problem / "test.safetensors")
    if problem in HIDDEN:
        asked = [row["labels"] != -100 if problem == MASKED else ~row["labels"][:, 0].isnan() for row in rows]
        assert outputs.targets.tolist() == [float(places.sum()) for places in asked]
        assert (outputs.logits, outputs.references) == (None, None)
    else:
        assert (outputs.logits == torch.stack([row["logits"] for row in rows]).numpy()).all()
        assert (outputs.references == torch.stack([row["labels"] for row in rows]).numpy()).all()


FRESH = """
import gc, json, sys
gc.disable()
import torch
from hfft.evaluate import Metrics, check_files
from hfft.tasks.labels import Labels
import hfft.evaluate.load_metric, hfft.evaluate.scores, hfft.evaluate.splits
metrics = Metrics(Labels.of("single_label_classification", "ab"), ["accuracy"])
check_files(["accuracy"])
facts = {"imported before": sorted({"evaluate", "sklearn"} & set(sys.modules))}
metrics.update(torch.eye(2), torch.arange(2))
facts |= {"accuracy": metrics.compute()["accuracy"], "imported with the first batch": "evaluate" in sys.modules}

import numpy as np
from tests.evaluate.cases import METRICS, SINGLE, example
logits, target, labels = example(SINGLE)
before = torch.get_rng_state(), np.random.get_state()[1]
metrics = Metrics(labels, METRICS[SINGLE])
metrics.update(logits, target)
metrics.compute()
facts["torch as before"] = torch.equal(before[0], torch.get_rng_state())
facts["numpy as before"] = bool((before[1] == np.random.get_state()[1]).all())
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """What scoring does in an interpreter of its own, and the folder of its caches."""
    folder = tmp_path_factory.mktemp("fresh")
    env = {**os.environ, "HF_HOME": str(folder / "cache"), "TMPDIR": str(folder), "HOME": str(folder)}
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, cwd=ROOT, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), folder


@pytest.mark.slow
def test_scoring_draws_no_random_number_and_leaves_nothing_in_the_cache(fresh):
    facts, folder = fresh
    assert facts["torch as before"]
    assert facts["numpy as before"]
    assert [path for path in folder.rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_evaluate_is_imported_with_the_first_batch_that_is_fed(fresh):
    facts, _ = fresh
    assert facts["imported before"] == []
    assert facts["imported with the first batch"]
    assert facts["accuracy"] == 1

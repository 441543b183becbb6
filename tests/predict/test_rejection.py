"""`hfft predict --reject`: thresholds of a run are kept in its model's config, and answers below them are `unknown`."""

import csv
import json
import re

import numpy as np
import pytest
import torch
import transformers
from scipy.special import softmax

from hfft import cli
from hfft.errors import BadInput
from hfft.evaluate.outputs import OutputsFile, columns_of
from hfft.predict import load_predictor, rejection
from hfft.runs import RunFolder
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS, Shown
from tests.examples import MULTI, REGRESSION, SINGLE
from tests.predict.runs import a_run

TEXTS = ["a film was good", "dull , long film", "it is not bad", "who was it", "where"]


def with_outputs(run, logits, problem=SINGLE):
    """The thresholds of a run folder with these validation logits, stored in its model."""
    folder, logits = RunFolder(run), torch.as_tensor(logits, dtype=torch.float32)
    labels = Labels.of(problem, ["a", "b", "c"])
    file = OutputsFile(folder.outputs / "validation.safetensors", "validation", "given", labels, np.arange(len(logits)))
    targets = torch.zeros(len(logits), dtype=torch.long) if problem == SINGLE else torch.zeros(len(logits), 3)
    file.add(columns_of(logits, targets, labels))
    file.close()
    return rejection.store(folder)


@pytest.fixture
def run(tmp_path):
    """A run folder whose validation confidences are those of its model for the texts, and others."""
    folder = tmp_path / "run"
    a_run(folder)
    own = load_predictor(str(folder), device="cpu").logits(TEXTS)
    sure = own.softmax(1).amax(1).sort().values
    confidence = np.append(np.full(50, float(sure[1] + sure[2]) / 2), np.linspace(0.9, 0.99, 49))
    with_outputs(folder, np.log(np.stack([confidence, (1 - confidence) / 2, (1 - confidence) / 2], 1)))
    return folder


def asked(capsys, *arguments, status=0):
    capsys.readouterr()
    assert cli.main(["predict", *map(str, arguments)]) == status
    told = capsys.readouterr()
    return list(csv.DictReader(told.out.splitlines())), told.err.splitlines()


def test_thresholds_are_in_the_config_and_plain_transformers_ignores_them(run):
    config = transformers.AutoConfig.from_pretrained(run / "model")
    assert (config.rejection["fitted_on"], config.rejection["fitted_n"]) == ("validation", 99)
    thresholds = {float(rate): value for rate, value in config.rejection["thresholds"].items()}
    assert min(thresholds) == 0.01, "99 rows tell no lower rate"
    assert list(thresholds) == sorted(thresholds)
    assert list(thresholds.values()) == sorted(thresholds.values())
    answers = transformers.pipeline("text-classification", str(run / "model"))(TEXTS)
    assert all(answer["label"] in "abc" for answer in answers)


def test_the_rate_of_rejected_validation_rows_is_the_one_that_was_asked(tmp_path):
    a_run(tmp_path / "run")
    p = softmax(np.random.default_rng(0).normal(size=(400, 3)), axis=1)
    stored = with_outputs(tmp_path / "run", np.log(p))["rejection"]
    for rate, threshold in stored["thresholds"].items():
        assert float(rate) - 2 / 400 <= (p.max(1) < threshold - 1e-6).mean() <= float(rate)


def test_answers_below_the_threshold_are_unknown_in_every_form(run, capsys, tmp_path):
    plain, _ = asked(capsys, run, *TEXTS)
    rows, told = asked(capsys, run, *TEXTS, "--reject", "0.5")
    stored = json.loads((run / "model" / "config.json").read_text())["rejection"]["thresholds"]["0.5"]
    assert any(row["label"] == "unknown" for row in rows)
    assert any(row["label"] != "unknown" for row in rows)
    for before, row in zip(plain, rows, strict=True):
        unsure = float(before["probability"]) < stored
        assert row == (before | {"label": "unknown"} if unsure else before)
    assert told == [
        f"answers below a probability of {stored:.4f} are unknown, as at most 0.5 of rows like its 99 validation rows"
    ]
    best, _ = asked(capsys, run, *TEXTS, "--reject", "0.5", "--top-k", "2")
    assert [row["label"] == "unknown" for row in best] == [row["label"] == "unknown" for row in rows]
    asked(capsys, run, *TEXTS, "--reject", "0.5", "--probabilities", "--output", tmp_path / "x.jsonl")
    written = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [row["label"] for row in written] == [row["label"] for row in rows]
    assert all(max(row["probabilities"].values()) == row["probability"] for row in written)


def test_a_rate_between_stored_ones_rejects_no_more_than_asked(run):
    predictor = load_predictor(str(run), device="cpu")
    at = {rate: rejection.threshold(predictor, rate, "x")[0] for rate in (0.1, 0.11, 0.12)}
    assert at[0.1] == at[0.11] <= at[0.12]


@pytest.mark.parametrize(
    ("rate", "why"),
    [
        ("0.0001", "--reject 0.0001: the 99 validation rows of .* give rates from 0.01; use that, or more"),
        ("0.9", "--reject 0.9: .* stores rates up to 0.5; use that, or less"),
        ("0", "--reject 0: expected a share between 0 and 1, such as 0.05"),
        ("5", "--reject 5: expected a share between 0 and 1, such as 0.05"),
        ("nan", "--reject nan: expected a share between 0 and 1, such as 0.05"),
    ],
)
def test_a_rate_that_is_not_stored_is_refused(rate, why, run, capsys):
    _, (line,) = asked(capsys, run, "good", "--reject", rate, status=2)
    assert re.fullmatch(why, line), line


def test_models_without_thresholds_are_refused(tmp_path):
    for kind, why in ((MULTI, "one class per row; leave it out"), (REGRESSION, "one class per row; leave it out")):
        names = ("a", "b", "c") if kind == MULTI else ("LABEL_0",)
        with pytest.raises(BadInput, match=rf"--reject 0.05: is for models that give {why}"):
            rejection.threshold(load_predictor(a_run(tmp_path / kind, problem=kind, names=names)), 0.05, "x")
    none = load_predictor(a_run(tmp_path / "none"))
    with pytest.raises(
        BadInput, match=r"x stores no thresholds, which are chosen on validation rows; train it with a val"
    ):
        rejection.threshold(none, 0.05, "x")
    for damaged in (
        {"thresholds": {}},
        3,
        {"thresholds": {"0.05": "high"}, "fitted_n": 3},
        {"thresholds": {"0.05": 7}},
    ):
        none.model.config.rejection = damaged
        with pytest.raises(
            BadInput, match=r"x: the entry rejection of config\.json is damaged .*; restore the file, or"
        ):
            rejection.threshold(none, 0.05, "x")
    called = load_predictor(a_run(tmp_path / "called", names=("a", "unknown")))
    with pytest.raises(
        BadInput, match="the model has a class called 'unknown'; leave it out, and read --probabilities"
    ):
        rejection.threshold(called, 0.05, "x")


def test_thresholds_of_the_model_that_a_run_began_with_are_removed(run):
    (run / "outputs" / "validation.safetensors").unlink()
    assert rejection.store(RunFolder(run)) == {}
    assert "rejection" not in json.loads((run / "model" / "config.json").read_text())


@pytest.mark.parametrize("logits", [np.full((1, 3), np.inf), np.full((30, 3), np.nan)])
def test_outputs_that_tell_no_threshold_store_none(tmp_path, logits):
    a_run(tmp_path / "run")
    assert with_outputs(tmp_path / "run", logits) == {}


def test_labels_of_rows_with_several_store_none(tmp_path):
    a_run(tmp_path / "run", problem=MULTI)
    assert with_outputs(tmp_path / "run", np.zeros((30, 3)), MULTI) == {}


def test_an_answer_as_sure_as_the_threshold_is_given():
    row, names = torch.tensor([0.25, 0.75]), {0: "a", 1: "b"}
    said = [PROBLEMS[SINGLE].describe(row, names, Shown(surest_below=below))["label"] for below in (0.75, 0.750001)]
    assert said == ["b", "unknown"]

"""Cross-validation: its table, and predictions for rows that were not trained on."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

import hfft
from hfft.evaluate.intervals import wilson
from hfft.evaluate.outputs import Outputs
from hfft.studies.folds import ALL, Folds
from hfft.studies.intervals import summarise
from hfft.studies.run import run_study
from tests.studies.fake_runs import figures, finished, tiny


def test_all_folds_together_know_that_their_training_rows_overlap():
    study = Folds(recipe=tiny(), folds=3)
    assert [child.name for child in study.plan({})] == ["fold-1-1", "fold-2-1", "fold-3-1"]
    values = [0.8, 0.9, 0.95]
    done = {f"fold-{i}-1": figures(value, n=20 + i) for i, value in enumerate(values, 1)}
    table = study.table(done)
    whole = table.row(ALL).cells["test accuracy"]
    expected = summarise(values, overlap=1 / 2)
    assert whole.summary() == expected
    low, high = wilson(round(0.8 * 21) + round(0.9 * 22) + round(0.95 * 23), 66)
    assert f"95% interval [{expected.low:.4f}, {expected.high:.4f}] with overlapping" in table.answer
    assert f"59 of 66 rows right, 95% interval [{low:.4f}, {high:.4f}] (n=66)." in table.answer
    assert study.table({}).answer == "tiny: no fold has finished."


def test_repetitions_have_other_folds():
    children = Folds(recipe=tiny(), folds=2, seeds=2).plan({})
    assert [child.overrides["data.fold"]["seed"] for child in children] == [1, 1, 2, 2]
    done = {child.name: figures(0.5 + i / 10) for i, child in enumerate(children)}
    table = Folds(recipe=tiny(), folds=2, seeds=2).table(done)
    assert len(table.row(ALL).cells["test accuracy"].values) == 4
    assert table.row("fold-1").cells["test accuracy"].values == pytest.approx({1: 0.5, 2: 0.7})


def test_a_stream_cannot_be_divided():
    with pytest.raises(ValueError, match="need all rows at once"):
        Folds(recipe=tiny("data.streaming=true", "data.validation=none", "data.max_train_samples=null"))


def test_predictions_that_are_not_written_are_told(tmp_path, monkeypatch):
    said = []

    def train(recipe):
        if recipe.seed == 2 and recipe.data.fold.number == 1:
            return "out of memory"
        finished(recipe, 0.5)

    monkeypatch.setattr("hfft.studies.run.train_child", train)
    run_study(Folds(recipe=tiny(), folds=2, seeds=2), tmp_path / "study", say=lambda *lines: said.extend(lines))
    assert said[-2:] == [
        "out_of_fold-1.csv is not written: fold-1 has no stored outputs of its rows (score.outputs)",
        "out_of_fold-2.csv is not written: fold-1 failed",
    ]


@pytest.mark.slow
def test_every_row_is_predicted_by_the_model_that_did_not_see_it(tmp_path):
    made = [tmp_path / "rows.csv"]
    made[0].write_text(
        "name,text,label\n" + "".join(f"r{i},{'good' if i % 2 else 'bad'} {i},{i % 2}\n" for i in range(18))
    )
    recipe = {
        "task": "text-classification",
        "backbone": {"name": "nano-bert"},
        "data": {"path": str(made[0]), "validation": 0.2, "columns": {"id": "name", "text": "text", "label": "label"}},
        "training": {"num_train_epochs": 1, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "use_cpu": True},
    }
    table = hfft.study("folds", recipe, folds=2, folder=tmp_path / "study")
    assert table.failed == []
    whole = Outputs.read(tmp_path / "study" / "out_of_fold-1.safetensors")
    lines = list(csv.DictReader((tmp_path / "study" / "out_of_fold-1.csv").open()))
    assert [int(line["row"]) for line in lines] == list(range(18))
    assert [line["id"] for line in lines] == [f"r{i}" for i in range(18)]
    assert [line["label"] for line in lines] == [str(i % 2) for i in range(18)]
    assert whole.references.tolist() == [i % 2 for i in range(18)]
    answers = torch.softmax(torch.from_numpy(np.array(whole.logits)), 1)
    for name, column in zip(("0", "1"), answers.T, strict=True):
        assert [float(line[f"probability_{name}"]) for line in lines] == pytest.approx(column.tolist(), rel=1e-4)
    for number in (1, 2):
        mine = [i for i, line in enumerate(lines) if line["fold"] == str(number)]
        assert len(mine) == 9
        own = Outputs.read(tmp_path / "study" / "children" / f"fold-{number}-1" / "outputs" / "test.safetensors")
        assert np.array_equal(whole.logits[mine], own.logits)
    accuracy = (answers.argmax(1).numpy() == np.array(whole.references)).mean()
    assert table.row(ALL).cells["test accuracy"].summary().mean == pytest.approx(accuracy)

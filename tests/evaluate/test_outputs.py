"""Outputs that are written batch by batch in any order are those of the split, row by row, and give its figures."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from hfft.errors import BadInput
from hfft.evaluate import Metrics, score_splits
from hfft.evaluate.outputs import Outputs, OutputsFile, columns_of
from hfft.evaluate.spec import Score
from hfft.train.answers import answers
from tests.evaluate.cases import HIDDEN, METRICS, ROWS, SINGLE, example, scored
from tests.train.test_by_length import rows_of, trainer_of


def written(folder, problem, batch=16, rows=203):
    """The outputs of `example`, added in a random order."""
    logits, labels, meaning = example(problem, rows)
    order = np.random.default_rng(0).permutation(rows)
    file = OutputsFile(folder / "test.safetensors", "test", "given", meaning, order)
    for begin in range(0, rows, batch):
        places = order[begin : begin + batch]
        file.add(columns_of(logits[places], labels[places], meaning))
    return file.close()


@pytest.mark.parametrize("problem", METRICS)
def test_the_file_holds_each_row_in_its_place_and_scores_as_the_stream_of_batches_does(problem, tmp_path):
    logits, labels, meaning = example(problem)
    outputs, plain = written(tmp_path, problem), load_file(tmp_path / "test.safetensors")
    assert (outputs.split, outputs.origin, outputs.labels, len(outputs)) == ("test", "given", meaning, 203)
    streamed = Metrics(meaning, METRICS[problem])
    streamed.update(logits, labels)
    expected = streamed.compute()
    assert outputs.score(METRICS[problem]) == {**streamed.result, "metrics": pytest.approx(expected, rel=1e-12)}
    if problem in HIDDEN:
        assert set(plain) == {"losses", "targets"}
        assert (plain["losses"] == logits[:, 0].numpy()).all()
    else:
        assert (plain["logits"] == logits.numpy()).all()
        assert (plain["references"] == labels.numpy()).all()
        assert (outputs.logits == plain["logits"]).all()
    assert [path.name for path in tmp_path.iterdir()] == ["test.safetensors"]


def test_batches_of_any_size_read_the_same_rows(tmp_path):
    outputs = written(tmp_path, SINGLE)
    for size in (1, 64, 1000):
        logits, labels = map(torch.cat, zip(*outputs.batches(size), strict=True))
        assert (logits.numpy() == outputs.logits).all()
        assert (labels.numpy() == outputs.references).all()


def test_a_row_too_few_or_too_many_is_an_error(tmp_path):
    logits, labels, meaning = example(SINGLE, 5)
    file = OutputsFile(tmp_path / "test.safetensors", "test", "given", meaning, np.arange(6))
    file.add(columns_of(logits, labels, meaning))
    with pytest.raises(RuntimeError, match="5 rows were scored, but the split has 6"):
        file.close()
    with pytest.raises(RuntimeError, match="10 rows were scored, but the split has 6"):
        file.add(columns_of(logits, labels, meaning))
    assert not (tmp_path / "test.safetensors").exists()


@pytest.mark.parametrize("damage", [b"", b"short", b"\xff" * 64])
def test_a_damaged_file_is_told_in_one_line(damage, tmp_path):
    written(tmp_path, SINGLE)
    path = tmp_path / "test.safetensors"
    path.write_bytes(damage)
    with pytest.raises(BadInput, match=r"test\.safetensors cannot be read: .*; delete it"):
        Outputs.read(path)


def test_a_file_that_was_cut_short_is_told(tmp_path):
    written(tmp_path, SINGLE)
    path = tmp_path / "test.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadInput, match="cannot be read"):
        Outputs.read(path)


@pytest.mark.parametrize("problem", METRICS)
def test_a_trainer_s_figures_are_the_same_with_outputs_and_without(problem, tmp_path):
    without, kept = (scored(problem, tmp_path, 4, "", limit) for limit in (0, 10**6))
    assert kept == {**without, "metrics": pytest.approx(without["metrics"], rel=1e-12)}
    assert len(Outputs.read(tmp_path / problem / "test.safetensors")) == ROWS


def test_outputs_above_the_limit_are_not_kept_and_this_is_told(tmp_path, capsys):
    exactly = ROWS * (7 * 4 + 8 + 4 + 4)
    without = scored(SINGLE, tmp_path, 4, "", 0)
    assert scored(SINGLE, tmp_path, 4, "", exactly - 1) == without
    assert capsys.readouterr().out == "outputs of test are not stored: they take 572 B, score.outputs allows 571 B\n"
    assert not (tmp_path / SINGLE).exists()
    scored(SINGLE, tmp_path, 4, "", exactly)
    assert capsys.readouterr().out == ""
    assert (tmp_path / SINGLE / "test.safetensors").is_file()


def test_on_a_full_disk_the_split_is_scored_all_the_same(tmp_path, capsys, monkeypatch):
    without = scored(SINGLE, tmp_path, 4, "", 0)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    assert scored(SINGLE, tmp_path, 4, "", 10**6) == without
    assert "outputs of test are not stored: [Errno 28] No space left on device" in capsys.readouterr().out
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_texts_are_scored_longest_first_and_kept_in_the_order_of_the_data(tmp_path):
    rows = rows_of(22)
    trainer = trainer_of(tmp_path, rows, per_device_eval_batch_size=5)
    found = score_splits(
        trainer, {"test": rows}, trainer.compute_metrics, {"test": "given"}, tmp_path / "outputs", 10**6
    )
    outputs, expected = Outputs.read(tmp_path / "outputs/test.safetensors"), answers(trainer, trainer.model, rows)
    assert np.allclose(outputs.logits, expected.logits, atol=1e-6)
    assert outputs.references.tolist() == [i % 3 for i in range(22)]
    assert found["test"]["metrics"]["n"] == 22


def test_a_recipe_says_how_much_is_kept():
    assert Score().outputs_limit == 2 * 10**9
    assert Score(outputs="off").outputs_limit == 0
    assert Score(outputs={"limit": "5MB"}).outputs_limit == 5 * 10**6
    with pytest.raises(ValueError, match="expected a size such as 20GB"):
        Score(outputs={"limit": "much"})

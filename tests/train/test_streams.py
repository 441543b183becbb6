"""Streams: each row counts once, whoever reads it; the same gradients and figures for one process and two."""

from collections import Counter

import pytest
import torch

from tests import forked, training
from tests.forked import ROOT
from tests.train import stream_cases

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    forked.two_processes(ROOT / "tests/train/stream_cases.py", folder)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("name", stream_cases.CASES)
def test_two_processes_train_on_a_stream_as_one_does(name, two_processes, tmp_path):
    alone, shared = stream_cases.run(name, tmp_path, batch=8), [rank[name] for rank in two_processes]
    assert len(alone["gradients"]) == len(shared[0]["gradients"]) == (7 if name == "of unknown size" else 6)
    for one, two in zip(alone["gradients"], shared[0]["gradients"], strict=True):
        assert training.difference(one, two) < 1e-12
    assert training.difference(alone["weights"], shared[0]["weights"]) < 1e-12
    assert all(torch.equal(shared[0]["weights"][key], shared[1]["weights"][key]) for key in alone["weights"])


@pytest.mark.parametrize("name", stream_cases.CASES)
def test_a_stream_that_is_scored_counts_each_row_once(name, two_processes, tmp_path):
    alone = stream_cases.run(name, tmp_path, batch=8)["scores"]
    for rank in two_processes:
        assert rank[name]["scores"]["eval_n"] == alone["eval_n"] == stream_cases.HELD_OUT
        for key in ("eval_loss", "eval_accuracy"):
            assert rank[name]["scores"][key] == pytest.approx(alone[key], rel=1e-6)


@pytest.mark.parametrize("name", ["sized", "of unknown size", "accumulated"])
def test_each_process_makes_the_rows_of_its_own_batches_alone(name, two_processes):
    made = [Counter(rank[name]["made"]) for rank in two_processes]
    both = sum(made, Counter())
    for number in (0, 1):
        rows = [row for epoch, _, row in both if epoch == number]
        assert sorted(rows) == list(range(stream_cases.COUNT))
    filled = sum(both.values()) - len(both)
    # of 22 rows in eights, two are filled up; the loader is a batch ahead where it has no end
    assert filled == (0 if name == "of unknown size" else 2 * 2)
    assert all(len(rows) < len(both) * 0.6 for rows in made)


@pytest.mark.parametrize("name", stream_cases.CASES)
def test_the_first_process_reads_for_all(name, two_processes, tmp_path):
    first, second = [rank[name]["read"] for rank in two_processes]
    assert first == stream_cases.run(name, tmp_path, batch=8)["read"] >= 2 * stream_cases.COUNT
    assert second == 0


@pytest.mark.parametrize("settings", [{"num_train_epochs": 2}, {"max_steps": 50}])
def test_a_resumed_run_neither_makes_nor_reads_what_was_seen(settings, tmp_path):
    def trainer(resume=None):
        rows = stream_cases.stream(100, 100 if "num_train_epochs" in settings else None, buffer=5)
        read = []
        rows.rows = rows.rows.map(lambda row: read.append(row["i"]) or row)
        given = {"per_device_train_batch_size": 4, "save_strategy": "steps", "save_steps": 43, **settings}
        made = stream_cases.trainer_of(tmp_path, rows, **given)
        made.train(resume)
        return made.model.state_dict(), len(read), len(rows.make.made)

    whole, read, made = trainer()
    assert read >= made >= 200
    again, read, made = trainer(str(tmp_path / "checkpoint-43"))
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert 28 <= made <= 32, "seven batches, and the one that the loader is ahead"
    assert 28 <= read <= 45, "and the block"

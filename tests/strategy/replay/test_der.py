"""DER++ is its paper's loss over the classes that were known, with the logits of the rows that it reads."""

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.random_numbers import rows_in_turn
from hfft.strategy.replay.der import AGAIN, der, table
from tests.examples import SINGLE, tiny
from tests.strategy.cases import CASES, trainer_of
from tests.training import arguments, examples, finetuner, labels_of, methods_of


def test_it_is_the_mean_squared_distance_over_the_known_classes():
    draws = np.random.default_rng(0)
    logits, stored = draws.normal(size=(2, 4)), [draws.normal(size=2).tolist(), draws.normal(size=4).tolist()]
    expected = [np.square(logits[i, : len(row)] - row).mean() for i, row in enumerate(stored)]
    found = der(torch.from_numpy(logits), table(stored, 4).double())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_classes_that_were_not_known_have_no_gradient():
    logits = torch.zeros(1, 3, requires_grad=True)
    der(logits, table([[1.0, 2.0]], 3)).sum().backward()
    assert logits.grad.tolist() == [[-1.0, -2.0, 0.0]]


def test_its_two_draws_are_apart_and_each_reads_all_rows_in_turn():
    [method] = methods_of(der="memory")
    method.size = 7
    found = method.companions(np.arange(14), 2, 3)
    answers, labels = found["memory/answers"].rows, found["memory/labels"].rows
    assert np.bincount(answers).tolist() == np.bincount(labels).tolist() == [2] * 7
    assert (answers != labels).any()
    assert np.array_equal(labels, rows_in_turn(np.arange(14), 7, 2, 3, salt=AGAIN))


@pytest.mark.parametrize("options", [{"alpha": 0.0}, {"beta": 0.0}])
def test_a_factor_of_zero_reads_nothing(options):
    [method] = methods_of(der={"on": "memory", **options})
    method.size = 7
    assert len(method.companions(np.arange(3), 0, 0)) == method.passes - 1 == 1


def test_the_stored_logits_are_those_of_the_rows_that_are_read(tmp_path):
    trainer = trainer_of(CASES["der"], tmp_path, num_train_epochs=1)
    [method], memory, seen = trainer.methods, trainer.sets["memory"], []
    batch_hook = method.batch

    def watched(batch):
        batch_hook(batch)
        rows = batch.part("memory/answers")["input_ids"]
        for ids, stored in zip(rows, batch.notes["der"], strict=True):
            [i] = [i for i, row in enumerate(memory) if row["input_ids"].tolist() == ids[ids != 0].tolist()]
            assert stored[~stored.isnan()].tolist() == pytest.approx(memory.stored_logits[i])
            seen.append(i)
        labels = {i: row["labels"] for i, row in enumerate(memory)}
        assert set(batch.targets[1].labels.tolist()) <= set(labels.values())

    method.batch = watched
    trainer.train()
    assert set(seen) == set(range(len(memory)))


def test_a_memory_without_logits_is_refused(tmp_path):
    rows = examples("text", SINGLE, 8)
    trainer = finetuner(
        tiny("bert"), labels_of(SINGLE), rows, arguments(tmp_path), methods=[], sets={"memory": rows}, class_ids=None
    )
    [method] = methods_of(der="memory")
    with pytest.raises(BadInput, match=r"no column logits, which strategy.der compares with; use strategy.replay"):
        method.start(trainer.setting)

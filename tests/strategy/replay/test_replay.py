"""Replay adds the task loss of the memory's rows."""

import numpy as np
import pytest
from torch.nn import functional as F

from hfft.strategy.needs import Situation, refusals
from tests.examples import SINGLE
from tests.strategy.cases import CASES, trainer_of
from tests.training import methods_of


def test_each_row_of_the_memory_is_read_in_turn():
    [method] = methods_of(replay="memory")
    method.size = 5
    found = method.companions(np.arange(10), 0, 0)["memory"]
    assert found.of == "memory"
    assert np.bincount(found.rows).tolist() == [2] * 5


def test_the_loss_of_the_memory_is_added_times_its_weight(tmp_path):
    trainer = trainer_of(CASES["replay"], tmp_path, max_steps=1)
    found = []
    loss = trainer.steps.loss

    def watched(model, batch, targets, **more):
        value, outputs = loss(model, batch, targets, **more)
        logits, size = outputs["logits"], len(batch.labels)
        expected = F.cross_entropy(logits[:size], batch.labels)
        expected = expected + 2.0 * F.cross_entropy(logits[size:], batch.part_labels["memory"])
        found.append((value.item(), expected.item()))
        return value, outputs

    trainer.steps.loss = watched
    trainer.train()
    [(value, expected)] = found
    assert value == pytest.approx(expected, rel=1e-9)


def test_a_memory_without_labels_is_refused():
    methods = methods_of(replay="memory")
    [(key, why)] = refusals(methods, Situation(SINGLE, sets=("memory",)))
    assert (key, why) == (
        "replay",
        "learns the classes of data.sets.memory, which are not read; set data.sets.memory.labels=given",
    )
    assert refusals(methods, Situation(SINGLE, sets=("memory",), labelled_sets=("memory",))) == []

"""Reservoir and herding choose as their papers say; a memory is a set that a run reads."""

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image

from hfft.data import load_sets
from hfft.data.spec import DataSet
from hfft.errors import BadInput
from hfft.scenarios.incremental.memory import (
    LABEL,
    RANK,
    check_capacity,
    chosen_rows,
    herding,
    memory_rows,
    reservoir,
    write_rows,
)
from hfft.tasks.labels import Labels
from hfft.tasks.table import TASKS
from tests.examples import SINGLE


def test_every_row_seen_has_the_same_chance_to_be_held():
    held = np.zeros(30)
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        _, first = reservoir(0, 0, 10, 6, rng)
        stay, second = reservoir(6, 10, 20, 6, rng)
        assert len(stay) + len(second) == 6
        rows = [first[i] for i in stay] + [10 + i for i in second]
        assert len(set(rows)) == 6
        held[rows] += 1
    expected = 2000 * 6 / 30
    assert np.abs(held - expected).max() < 5 * np.sqrt(expected)


def test_a_memory_with_room_holds_all():
    assert reservoir(2, 2, 3, 9, np.random.default_rng(0)) == ([0, 1], [0, 1, 2])


def test_herding_follows_the_mean_better_than_random_rows():
    draws = np.random.default_rng(0)
    x = draws.normal(size=(50, 6)) + 2
    chosen = herding(x, 5)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    mean = unit.mean(0)
    greedy = [int(np.linalg.norm(unit - mean, axis=1).argmin())]
    for _ in range(4):  # by hand: the row that brings the mean of the chosen nearest
        rest = [i for i in range(50) if i not in greedy]
        greedy.append(min(rest, key=lambda i: np.linalg.norm(mean - unit[[*greedy, i]].mean(0))))
    assert chosen == greedy
    random = [np.linalg.norm(unit[draws.permutation(50)[:5]].mean(0) - mean) for _ in range(200)]
    assert np.linalg.norm(unit[chosen].mean(0) - mean) < np.mean(random) / 1.5
    assert len(herding(x[:3], 5)) == 3


def test_herding_keeps_the_best_rows_of_each_class_as_classes_come():
    x = np.random.default_rng(1).normal(size=(20, 4))
    names = ["a"] * 10 + ["b"] * 10
    _, come, ranks = chosen_rows("herding", 8, 0, None, x, names, ["a", "b"], 0)
    assert ranks == [0, 1, 2, 3] * 2
    held = Dataset.from_dict({LABEL: [names[i] for i in come], RANK: ranks})
    stay, more, _ = chosen_rows("herding", 8, 20, held, x[:5], ["c"] * 5, ["a", "b", "c"], 0)
    assert [held[i][RANK] for i in stay] == [0, 1, 0, 1]
    assert len(more) == 2


def test_a_memory_that_cannot_hold_a_row_of_each_class_is_refused():
    with pytest.raises(
        BadInput, match=r"memory: 3 rows cannot hold one of each of 4 classes, as herding does; raise it"
    ):
        check_capacity(3, 4, "herding")
    check_capacity(3, 4, "reservoir")


def test_images_are_written_with_their_files_and_read_as_a_set(tmp_path):
    files = []
    for i in range(3):
        Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / f"{i}.png")
        files.append(str(tmp_path / f"{i}.png"))
    from datasets import Image as Feature

    rows = Dataset.from_dict({"picture": files, "labels": [0, 1, 1]}).cast_column("picture", Feature())
    columns = {"image": "picture", "label": "labels"}
    kept = memory_rows(rows, columns, {LABEL: ["a", "b", "b"], RANK: [0, 0, 1], "logits": [[1.0, 0.0]] * 3})
    size = write_rows(kept, tmp_path / "memory")
    assert size > 0
    for file in files:  # the memory has the images themselves
        open(file, "w").close()
    from transformers import ViTImageProcessorPil

    spec = DataSet.model_validate(
        {"path": str(tmp_path / "memory"), "labels": "given", "columns": {"image": "picture"}}
    )
    processor = ViTImageProcessorPil(size={"height": 8, "width": 8})
    labels = Labels.of(SINGLE, ["b", "a"])
    found = load_sets({"memory": spec}, TASKS["image-classification"], labels, processor, (), 0)["memory"]
    assert [found[i]["labels"] for i in range(3)] == [1, 0, 0]
    assert found.stored_logits == [[1.0, 0.0]] * 3

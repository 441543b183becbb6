"""Keys choose the adapter of a row from its features alone; a pool is scored again, and killed and continued, to the bit."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageClassification

from hfft.errors import BadInput
from hfft.evaluate.outputs import Outputs
from hfft.predict import load_predictor
from hfft.scenarios.incremental import pool as pools
from hfft.scenarios.incremental.pool import Pool, choose, keys_of, load_pool, score_pool
from hfft.studies.find import make_study
from hfft.studies.run import run_study
from tests.scenarios.incremental.two_pens import pens
from tests.studies.fake_runs import TINY

FEW = ("data.max_train_samples=null", "data.max_eval_samples=null", "score.scorecard=off", "data.validation=none")


@pytest.fixture
def rows():
    """Features `(40, 6)` of four classes."""
    draws = np.random.default_rng(3)
    y = np.repeat(range(4), 10)
    return (draws.normal(size=(40, 6)) + 3 * draws.normal(size=(4, 6))[y]).astype(np.float32), y


def test_the_keys_of_classes_are_their_means(rows):
    x, y = rows
    expected = np.stack([x[y == k].astype(float).mean(0) for k in range(4)])
    np.testing.assert_allclose(keys_of(x, y, "classes", 0), expected, rtol=1e-12)
    np.testing.assert_allclose(keys_of(x[y > 1], y[y > 1], "classes", 0), expected[2:], rtol=1e-12)


def test_the_keys_of_k_means_are_the_means_of_the_rows_that_are_nearest_to_them(rows):
    x, y = rows
    keys = keys_of(x, y, 5, 1)
    nearest = np.square(x.astype(float)[:, None] - keys).sum(2).argmin(1)
    assert sorted(set(nearest)) == list(range(5))
    np.testing.assert_allclose(keys, np.stack([x[nearest == k].astype(float).mean(0) for k in range(5)]), rtol=1e-6)
    assert np.array_equal(keys, keys_of(x, y, 5, 1))
    assert len(keys_of(np.repeat(x[:2], 3, 0), y[:6], 5, 1)) == 2  # two different rows have two keys


def test_the_task_is_that_of_the_nearest_key(rows):
    x, _ = rows
    keys, owners = np.random.default_rng(0).normal(size=(7, 6)) * 3, np.array([0, 0, 1, 1, 2, 2, 2])
    expected = [owners[np.linalg.norm(row.astype(float) - keys, axis=1).argmin()] for row in x]
    assert choose(x, keys, owners).tolist() == expected
    assert len(set(expected)) > 1


def test_a_task_of_one_class_answers_it_without_an_adapter():
    keys = np.eye(2)
    found, chosen = Pool(["a", "b"], keys, np.array([0, 1]), [["a"], ["b"]], [None, None]).logits(
        [0, 0, 0], {}, np.array([[2.0, 0], [0, 2.0], [0.1, 0.2]])
    )
    assert chosen.tolist() == [0, 1, 1]
    assert found.argmax(1).tolist() == [0, 1, 1]
    told, _ = Pool(["a", "b"], keys, np.array([0, 1]), [["a"], ["b"]], [None, None]).logits(
        [0], {}, np.array([[2.0, 0]]), np.array([1])
    )
    assert told.argmax(1).tolist() == [1]


# --- pools of a study, by domain: two pens, whose test rows name theirs


def asked(data, **options):
    """A study of L2P alone on it."""
    words = [f"data.path={data}", "data.columns.domain=pen", *FEW]
    return make_study(
        "incremental", TINY, words, tasks={"domains": ["ink", "chalk"]}, seeds=1, methods=["l2p"], keys=2, **options
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The data, and the folder of the study on it."""
    folder = tmp_path_factory.mktemp("pool")
    data = pens(folder / "data")
    table = run_study(asked(data), folder / "study")
    assert table.failed == []
    return data, folder / "study", table


@pytest.mark.slow
def test_the_share_of_right_choices_is_told_and_is_that_of_the_keys(made):
    _, study, table = made
    figures = json.loads((study / "children/l2p-pool-2-1/metrics.json").read_text())
    assert figures["chosen"]["n"] == 12
    assert table.row("l2p").cells["right task"].values[1] == pytest.approx(figures["chosen"]["right"])
    assert figures["memory"]["rows"] == 0
    pool, about = load_pool(study / "children/l2p-pool-2-1/pool")
    assert (about["domains"], pool.names) == (["ink", "chalk"], ["a", "b", "c"])
    assert pool.keys.shape[0] == 4
    assert pool.owners.tolist() == [0, 0, 1, 1]
    assert figures["memory"]["bytes"] > pool.keys.nbytes


@pytest.mark.slow
def test_a_pool_is_scored_again_and_never_reads_the_task_of_a_test_row(made, tmp_path):
    _, study, _ = made
    folder = study / "children/l2p-pool-2-1"
    figures = json.loads((folder / "metrics.json").read_text())
    moved = shutil.copytree(folder / "pool", tmp_path / "pool")
    again = score_pool(moved, tmp_path / "again")
    assert again["test"] == figures["test"]
    assert again["chosen"] == figures["chosen"]
    other = pens(tmp_path / "other", ["chalk"] * 5 + ["ink"] * 7)
    hidden = score_pool(moved, tmp_path / "hidden", f"data.path={other}")
    assert hidden["test"] == figures["test"]  # what the test rows say of their task changes no answer
    before = Outputs.read(folder / "outputs/test.safetensors").logits
    for name in ("again", "hidden"):
        assert np.array_equal(before, Outputs.read(tmp_path / name / "outputs/test.safetensors").logits)
    with pytest.raises(BadInput, match=r"has no pool.json; name the folder pool of the last task's child"):
        load_pool(study / "children/l2p-pool-1-1/pool")


@pytest.mark.slow
def test_plain_transformers_loads_the_model_of_a_task(made):
    folder = made[1] / "children/l2p-pool-2-1/pool/task-1"
    plain = AutoModelForImageClassification.from_pretrained(folder).eval()
    ours = load_predictor(str(folder)).model
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    x = x[:, : plain.config.num_channels, : plain.config.image_size, : plain.config.image_size]
    with torch.no_grad():
        torch.testing.assert_close(plain(pixel_values=x).logits, ours(pixel_values=x).logits)


@pytest.mark.slow
def test_a_study_that_was_killed_between_keys_and_answers_ends_with_the_same_bits(made, tmp_path, monkeypatch):
    data, whole, _ = made
    written, kills = pools.write_outputs, ["l2p-pool-1-1", "l2p-pool-2-1"]

    def killed(path, *rest):
        if kills and kills[0] in str(path):
            kills.pop(0)
            raise KeyboardInterrupt
        written(path, *rest)

    monkeypatch.setattr(pools, "write_outputs", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_study(asked(data), tmp_path / "study")
    table = run_study(asked(data), tmp_path / "study")
    assert table.failed == []

    def digests(folder):
        files = sorted((folder / "children").glob("l2p-*/**/*.safetensors"))
        return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}

    assert digests(tmp_path / "study") == digests(whole)
    assert len(digests(whole)) >= 10


@pytest.mark.slow
def test_a_row_whose_task_is_told_is_answered_by_its_own_adapter_and_a_class_alone_has_none(tmp_path):
    words = [f"data.path={pens(tmp_path / 'data')}", *FEW]
    options = {"tasks": [["a", "b"], ["c"]], "seeds": 1, "methods": ["l2p"], "task_incremental": True}
    table = run_study(make_study("incremental", TINY, words, **options), tmp_path / "study")
    assert table.failed == []
    assert "right task" not in table.columns
    assert not (tmp_path / "study/children/l2p-2-1").exists()
    assert json.loads((tmp_path / "study/children/l2p-pool-2-1/metrics.json").read_text())["chosen"]["right"] == 1.0
    outputs = Outputs.read(tmp_path / "study/children/l2p-pool-2-1/outputs/test.safetensors")
    assert (outputs.logits[outputs.references == 2].argmax(1) == 2).all()
    assert (outputs.logits[outputs.references < 2].argmax(1) < 2).all()

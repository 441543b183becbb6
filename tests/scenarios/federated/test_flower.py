"""A client of Flower: a round is a run that continues the weights of the server, and arrays that do not fit are refused."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from safetensors.torch import load_file

import hfft.flower
from hfft.errors import BadInput
from hfft.pipeline.finetune import finetune
from hfft.scenarios.federated.flower import RecipeClient, arrays_of
from tests.studies.fake_runs import tiny

WORDS = ["data.max_train_samples=24", "data.max_eval_samples=20", "data.validation=none", "score.scorecard=off"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A client after one round, its folder, and what the round returned."""
    folder = tmp_path_factory.mktemp("flower")
    client = RecipeClient(tiny(*WORDS), folder)
    return client, folder, client.train(client.weights())


@pytest.mark.slow
def test_a_round_is_a_run_that_continues_the_weights_of_the_server(trained):
    client, folder, (weights, rows, figures) = trained
    assert rows == 24
    assert figures["loss"] > 0
    words = ["data.test=none", "data.seed=42", "training.seed=43", "training.lr_scheduler_type=constant"]
    words += ["training.warmup_steps=0", "training.eval_strategy=no", "training.save_strategy=no"]
    plain = tiny(
        *WORDS,
        *words,
        f"backbone.name={folder / 'start' / 'model'}",
        "head.keep_known=true",
        f"training.output_dir={folder / 'plain'}",
    )
    expected = load_file(finetune(plain).model / "model.safetensors")
    assert all((ours == expected[name].numpy()).all() for ours, name in zip(weights, sorted(expected), strict=True))
    assert any((ours != start).any() for ours, start in zip(weights, client.weights(), strict=True))


@pytest.mark.slow
def test_the_scores_are_those_of_the_weights_that_were_sent(trained):
    client, _, (weights, _, _) = trained
    before, after = client.score(client.weights()), client.score(weights)
    assert before[1] == after[1] == 20
    assert after[0] < before[0]
    assert set(after[2]) == {"accuracy", "f1_macro"}


@pytest.mark.slow
def test_weights_of_another_model_are_refused(trained):
    client, _, _ = trained
    with pytest.raises(BadInput, match=r"the server sent 1 arrays that do not fit"):
        client.train([np.zeros(3)])


def test_without_flwr_the_remedy_is_named(monkeypatch):
    def imported(name, *rest):
        if name.startswith("flwr"):
            raise ImportError(name)
        return real(name, *rest)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", imported)
    with pytest.raises(BadInput, match=r"needs flwr, which is not installed; pip install 'hfft\[flower\]'"):
        hfft.flower.client("digits")


@pytest.mark.slow
def test_flowers_own_average_of_two_clients_is_a_model_that_both_read(tmp_path):
    common = pytest.importorskip("flwr.common")
    strategy = pytest.importorskip("flwr.server.strategy")
    clients = [
        hfft.flower.client(tiny(*WORDS, f"data.client={{of: 2, number: {k}, alpha: 5}}"), tmp_path / str(k))
        for k in (1, 2)
    ]
    start = clients[0].get_parameters({})
    found = [client.fit(start, {"local_epochs": 1}) for client in clients]
    assert sum(count for _, count, _ in found) == 24
    status = common.Status(common.Code.OK, "")
    results = [
        (None, common.FitRes(status, common.ndarrays_to_parameters(arrays), count, figures))
        for arrays, count, figures in found
    ]
    mean, _ = strategy.FedAvg().aggregate_fit(1, results, [])
    arrays = common.parameters_to_ndarrays(mean)
    expected = [sum(part[i] * count for part, count, _ in found) / 24 for i in range(len(start))]
    assert all(np.allclose(ours, theirs, atol=1e-6) for ours, theirs in zip(arrays, expected, strict=True))
    for client in clients:
        loss, rows, figures = client.evaluate(arrays, {})
        assert rows == 20
        assert loss > 0
        assert "accuracy" in figures
    assert len(arrays_of(tmp_path / "1" / "round-1" / "model")) == len(start)

"""The average of clients' models: by rows, what is sent, norms of their own, and the same update as on all rows together."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hfft.errors import RunError
from hfft.pipeline.finetune import finetune
from hfft.pipeline.soup.weights import average
from hfft.runs import RunFolder
from hfft.scenarios.federated.average import ADAPTER, changed, check_alike, own_tensors, write_model
from hfft.scenarios.federated.divisions import client_accuracies, describe
from hfft.studies.find import make_study
from hfft.studies.run import run_study
from hfft.studies.study import recipe_of
from tests import stand_ins
from tests.studies.fake_runs import TINY, tiny

# Plain steps on all of a client's rows at once: the weighted mean of such steps is the step on all rows together.
PLAIN = ["training.optim=sgd", "training.learning_rate=0.1", "training.max_grad_norm=0", "training.weight_decay=0"]
PLAIN += ["training.per_device_train_batch_size=64", "data.validation=none", "score.scorecard=off"]


def tensors(value, count=3, counter=7):
    return {
        "weight": torch.full((2, 2), value),
        "num_batches_tracked": torch.tensor(counter),
        "bias": torch.ones(count),
    }


def test_models_count_by_their_rows_and_counters_are_the_first_ones():
    mean = average([tensors(1.0), tensors(4.0, counter=9)], [30, 10])
    assert mean["weight"].tolist() == [[1.75, 1.75], [1.75, 1.75]]
    assert mean["num_batches_tracked"].item() == 7
    assert mean["num_batches_tracked"].dtype == torch.int64
    assert mean["bias"].tolist() == [1.0, 1.0, 1.0]


def test_the_mean_of_one_model_and_of_equal_ones_is_that_model_to_the_bit():
    draws = {"w": torch.randn(50, generator=torch.Generator().manual_seed(0)) * 1e-3}
    assert torch.equal(average([draws], [17])["w"], draws["w"])
    assert torch.equal(average([draws] * 3, [1, 5, 7])["w"], draws["w"])


def test_equal_rows_give_the_uniform_mean():
    models = [tensors(1.0), tensors(2.0), tensors(6.0)]
    uniform, weighted = average(models), average(models, [5, 5, 5])
    assert all(torch.equal(uniform[name], weighted[name]) for name in uniform)


def test_what_no_client_changed_need_not_be_sent():
    began = {1: tensors(1.0), 2: tensors(1.0)}
    assert changed({1: tensors(2.0), 2: tensors(1.0)}, began) == {"weight"}
    assert changed(began, began) == set()
    assert changed({1: tensors(1.0, counter=8)}, began) == {"num_batches_tracked"}


def test_models_of_other_shapes_have_no_mean():
    with pytest.raises(RunError, match="the model of client 2 has another bias than the first one's"):
        check_alike({1: tensors(1.0), 2: tensors(1.0, count=4)})


def test_accuracy_by_client_leaves_out_those_without_test_rows():
    right = np.array([True, False, True, True])
    assert client_accuracies(right, [0, 0, 2, -1], 3) == ([0.5, None, 1.0], [2, 0, 1])


def test_a_division_in_words():
    assert (
        describe("alpha 1", {"names": ["1", "2"], "rows": [30, 1200]})
        == "alpha 1: 2 clients with 30 to 1,200 training rows"
    )
    assert "(ann, bob)" in describe("by writer", {"names": ["ann", "bob"], "rows": [3, 4]})


# --- with trainings


@pytest.fixture(scope="module")
def one_step(tmp_path_factory):
    """The folder of a study of one round of one plain step at each of three unequal clients."""
    folder = tmp_path_factory.mktemp("federated") / "study"
    options = {"clients": 3, "alpha": [1.0], "min_rows": 4, "rounds": 1, "local_steps": 1, "alone": False}
    asked = make_study("federated", TINY, PLAIN, **options)
    table = run_study(asked, folder)
    assert table.failed == []
    return folder


@pytest.mark.slow
def test_one_plain_step_at_each_client_is_one_step_on_all_rows(one_step):
    after, pooled, start = (
        load_file(one_step / "children" / name / "model" / "model.safetensors")
        for name in ("fedavg-alpha-1-round-1-1", "pooled-1", "start-1")
    )
    moved = max(float((pooled[name] - start[name]).abs().max()) for name in pooled)
    apart = max(float((pooled[name] - after[name]).abs().max()) for name in pooled)
    assert moved > 1e-3
    assert apart < 1e-6
    rows = json.loads((one_step / "children/clients-1/metrics.json").read_text())["divisions"]["alpha 1"]["rows"]
    assert sum(rows) == 40
    assert len(set(rows)) > 1


@pytest.mark.slow
def test_the_average_is_a_model_that_a_run_reads_and_says_what_was_sent(one_step, tmp_path):
    figures = RunFolder(one_step / "children/fedavg-alpha-1-round-1-1").metrics_of_run()
    assert figures["uplink"]["round"] == 3 * figures["uplink"]["client"]
    assert figures["uplink"]["client"] <= figures["uplink"]["model"]
    assert figures["test"]["n"] == 40
    assert figures["test"]["low"] < figures["test"]["accuracy"] < figures["test"]["high"]
    model = one_step / "children/fedavg-alpha-1-round-1-1/model"
    again = finetune(
        tiny(
            f"backbone.name={model}",
            "head.keep_known=true",
            "training.num_train_epochs=0",
            "data.seed=1",  # which rows are scored
            f"training.output_dir={tmp_path}/a",
            *PLAIN,
        )
    )
    assert again.metrics["test"]["accuracy"] == figures["test"]["accuracy"]


@pytest.mark.slow
def test_rounds_of_one_client_are_runs_that_continue_one_another(tmp_path):
    words = ["score.scorecard=off", "data.max_eval_samples=10"]
    asked = make_study("federated", TINY, words, clients=1, rounds=2, alone=False)
    assert run_study(asked, tmp_path / "study").failed == []
    children = tmp_path / "study" / "children"
    plan = {child.name: child for child in asked.plan(_done(children))}
    before = children / "start-1" / "model"
    for round_ in (1, 2):
        recipe = recipe_of(asked, plan[f"fedavg-alpha-0.5-round-{round_}-client-1-1"], children)
        values = recipe.resolved()
        values["data"] = {key: value for key, value in values["data"].items() if key != "client"}  # all rows
        values["backbone"]["name"] = str(before)
        values["training"]["output_dir"] = str(tmp_path / f"plain-{round_}")
        finetune(values)
        before = tmp_path / f"plain-{round_}" / "model"
    ours = load_file(children / "fedavg-alpha-0.5-round-2-1" / "model" / "model.safetensors")
    plain = load_file(before / "model.safetensors")
    assert all(torch.equal(ours[name], plain[name]) for name in plain)


def _done(children):
    from hfft.studies.study import Figures

    return {
        folder.name: Figures(json.loads((folder / "metrics.json").read_text()), folder=folder)
        for folder in children.iterdir()
    }


@pytest.mark.slow
def test_norms_of_their_own_are_neither_sent_nor_averaged(tmp_path):
    backbone = stand_ins.model("microsoft/resnet-50", tmp_path / "resnet")
    recipe = {
        **TINY,
        "backbone": {"name": str(backbone), "processor": {"crop_pct": 1.0, "size": {"shortest_edge": 32}}},
        "data": {**TINY["data"], "validation": "none"},
    }
    asked = make_study(
        "federated", recipe, ["score.scorecard=off"], clients=2, alpha=[5.0], rounds=2, methods=["fedbn"], alone=False
    )
    table = run_study(asked, tmp_path / "study")
    assert table.failed == []
    last = tmp_path / "study/children/fedbn-alpha-5-round-2-1"
    first, second = (load_file(last / "clients" / str(k) / "model.safetensors") for k in (1, 2))
    norms = own_tensors(last / "model", first)
    assert any(name.endswith("running_mean") for name in norms)
    for name in first:
        assert torch.equal(first[name], second[name]) == (name not in norms or "num_batches" in name), name
    trained = load_file(last.parent / "fedbn-alpha-5-round-2-client-2-1" / "model" / "model.safetensors")
    assert all(torch.equal(second[name], trained[name]) for name in norms)
    figures = RunFolder(last).metrics_of_run()
    sizes = {name: tensor.nbytes for name, tensor in first.items()}
    assert figures["uplink"]["client"] == sum(size for name, size in sizes.items() if name not in norms)
    assert not (last.parent / "fedbn-alpha-5-round-1-client-1-1" / "model" / "model.safetensors").exists()


@pytest.mark.slow
def test_beside_an_adapter_the_adapter_and_the_head_are_sent_alone(tmp_path):
    words = ["layers.adapter={type: lora, r: 2}", "score.scorecard=off", "data.validation=none"]
    options = {"clients": 2, "alpha": [5.0], "rounds": 2, "methods": ["fedavg", "fedprox"], "mu": 0, "alone": False}
    asked = make_study("federated", TINY, words, **options)
    table = run_study(asked, tmp_path / "study")
    assert table.failed == []
    children = tmp_path / "study/children"
    both = [load_file(children / f"{way}-alpha-5-round-2-1" / "model" / ADAPTER) for way in ("fedavg", "fedprox")]
    assert all(torch.equal(both[0][name], both[1][name]) for name in both[0])  # a pull of weight 0 is none
    uplink = RunFolder(children / "fedavg-alpha-5-round-2-1").metrics_of_run()["uplink"]
    assert uplink["client"] == sum(tensor.nbytes for tensor in both[0].values())
    assert uplink["client"] < uplink["model"] / 5


def test_a_model_is_written_whole_with_its_config(tmp_path):
    like = tmp_path / "like"
    like.mkdir()
    for name in ("config.json", "README.md", "model.safetensors"):
        (like / name).write_text("{}")
    write_model(tmp_path / "a" / "model", like, {"w": torch.ones(2)}, tiny())
    assert {path.name for path in (tmp_path / "a" / "model").iterdir()} == {
        "config.json",
        "model.safetensors",
        "recipe.yaml",
    }
    assert load_file(tmp_path / "a/model/model.safetensors")["w"].tolist() == [1.0, 1.0]

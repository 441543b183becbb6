"""Federated rounds: which runs follow which, what they are told apart by, and what the figures say together."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hfft.commands.study import _asked
from hfft.errors import BadInput, RecipeError
from hfft.scenarios.incremental.scored import write_outputs
from hfft.studies import run as engine
from hfft.studies.find import make_study
from hfft.studies.page import render_study
from hfft.studies.run import run_study
from hfft.studies.study import Figures, recipe_of
from hfft.tasks.labels import Labels
from tests.studies.fake_runs import TINY, figures
from tests.studies.test_run import table_of

FEW = ["score.scorecard=off", "data.max_train_samples=24", "data.max_eval_samples=20", "data.validation=none"]


def study(*words, **options):
    """A study of three clients and two rounds."""
    return make_study("federated", TINY, words, **{"clients": 3, "rounds": 2, **options})


def divisions(names=("1", "2", "3"), division="alpha 0.5", owners=()):
    """The figures of the child that divides the rows."""
    found = {"names": list(names), "rows": [10 + k for k in range(len(names))], "classes": [], "owners": list(owners)}
    return Figures({"divisions": {division: found}})


def by_name(children):
    return {child.name: child for child in children}


def test_the_rows_are_divided_first_and_rounds_follow_the_models_that_are_there():
    asked = study()
    [first] = asked.plan({})
    assert (first.name, first.measure) == ("clients-1", "hfft.scenarios.federated.divisions:clients_of")
    done = {"clients-1": divisions()}
    names = set(by_name(asked.plan(done)))
    assert names == {"clients-1", "start-1", "pooled-1", *(f"alone-alpha-0.5-client-{k}-1" for k in (1, 2, 3))}
    done["start-1"] = figures(0.1)
    clients = [f"fedavg-alpha-0.5-round-1-client-{k}-1" for k in (1, 2, 3)]
    assert set(by_name(asked.plan(done))) - names == set(clients)
    done |= dict.fromkeys(clients[:2], figures(None))
    assert "fedavg-alpha-0.5-round-1-1" not in by_name(asked.plan(done))
    done[clients[2]] = figures(None)
    average = by_name(asked.plan(done))["fedavg-alpha-0.5-round-1-1"]
    assert average.options["clients"] == {str(k): name for k, name in enumerate(clients, 1)}
    assert average.options["before"] == "start-1"
    done[average.name] = figures(0.5)
    assert "fedavg-alpha-0.5-round-2-client-3-1" in by_name(asked.plan(done))
    done["fedavg-alpha-0.5-round-2-client-1-1"] = Figures(failed="no room")
    assert "fedavg-alpha-0.5-round-2-1" not in by_name(asked.plan(done))


def begun(asked, rounds=0, way="fedavg"):
    """What is done after so many rounds, with made-up figures."""
    done = {"clients-1": divisions(), "start-1": figures(0.1)}
    for k in range(1, rounds + 1):
        done |= {f"{way}-alpha-0.5-round-{k}-client-{c}-1": figures(None) for c in (1, 2, 3)}
        done[f"{way}-alpha-0.5-round-{k}-1"] = figures(0.5)
    return done


def test_a_client_is_an_ordinary_run_on_its_rows_from_the_global_model(tmp_path):
    asked = study("training.seed=1", methods=["fedavg", "fedprox"], mu=0.3)
    children = by_name(asked.plan(begun(asked, 1)))
    made = recipe_of(asked, children["fedavg-alpha-0.5-round-2-client-3-1"], tmp_path)
    assert made.backbone.name == str(tmp_path / "fedavg-alpha-0.5-round-1-1" / "model")
    assert made.data.client.plain() == {"of": 3, "number": 3, "alpha": 0.5, "seed": 1}
    assert (made.data.test, made.data.validation, made.data.seed) == ("none", 0.1, 1)
    assert made.head.keep_known
    assert made.training["num_train_epochs"] == 1.0
    assert (made.training["lr_scheduler_type"], made.training["save_strategy"]) == ("constant", "no")
    prox = recipe_of(asked, children["fedprox-alpha-0.5-round-1-client-1-1"], tmp_path)
    assert prox.strategy.l2_sp.plain() == {"weight": 0.3, "whole": True}
    assert prox.backbone.name == str(tmp_path / "start-1" / "model")


def test_a_head_of_hffts_own_is_part_of_the_model_from_the_first_round_on(tmp_path):
    asked = study("head={kind: mlp, hidden: 8, init: zeros}")
    children = by_name(asked.plan(begun(asked)))
    made = recipe_of(asked, children["fedavg-alpha-0.5-round-1-client-1-1"], tmp_path)
    assert (made.head.kind, made.head.hidden, made.head.init, made.head.keep_known) == (None, None, "default", True)
    assert recipe_of(asked, children["start-1"], tmp_path).head.kind == "mlp"


def test_the_clients_of_a_round_draw_other_orders_and_methods_the_same_ones(tmp_path):
    asked = study(methods=["fedavg", "fedprox"])
    children = by_name(asked.plan(begun(asked, 1)))
    seeds = {
        name: recipe_of(asked, child, tmp_path).seed
        for name, child in children.items()
        if "-client-" in name and "alone" not in name
    }
    ours = {name: seed for name, seed in seeds.items() if name.startswith("fedavg")}
    assert len(set(ours.values())) == len(ours) == 6
    assert seeds["fedprox-alpha-0.5-round-1-client-2-1"] == seeds["fedavg-alpha-0.5-round-1-client-2-1"]


def test_runs_beside_have_the_length_of_all_rounds(tmp_path):
    children = by_name(study(local_epochs=2).plan(begun(None)))
    for name, client in (("pooled-1", None), ("alone-alpha-0.5-client-2-1", 2)):
        made = recipe_of(study(), children[name], tmp_path)
        assert made.training["num_train_epochs"] == 4.0
        assert (None if made.data.client is None else made.data.client.number) == client
        assert made.backbone.name == "nano-vit"
    by_steps = by_name(study(local_steps=5).plan(begun(None)))
    assert recipe_of(study(), by_steps["pooled-1"], tmp_path).training["max_steps"] == 10
    assert recipe_of(study(), by_steps["start-1"], tmp_path).training["num_train_epochs"] == 0


def test_norms_of_their_own_begin_with_each_clients_model(tmp_path):
    children = by_name(study(methods=["fedbn"]).plan(begun(None, 1, "fedbn")))
    made = recipe_of(study(), children["fedbn-alpha-0.5-round-2-client-2-1"], tmp_path)
    assert made.backbone.name == str(tmp_path / "fedbn-alpha-0.5-round-1-1" / "clients" / "2")
    assert by_name(study(methods=["fedbn"]).plan(begun(None, 1, "fedbn")))["fedbn-alpha-0.5-round-1-1"].options[
        "own_norms"
    ]


def test_an_adapter_is_continued_and_the_backbone_stays(tmp_path):
    asked = study("layers.adapter={type: lora, r: 2}")
    children = by_name(asked.plan(begun(None, 1)))
    assert children["start-1"].overrides["publish.as"] == "adapter"
    overrides = children["fedavg-alpha-0.5-round-2-client-1-1"].overrides
    assert overrides["layers.adapter"] == {"from": "{children}/fedavg-alpha-0.5-round-1-1/model"}
    assert "backbone.name" not in overrides


def test_clients_by_a_column_have_the_names_of_its_values(tmp_path):
    asked = study(clients=None, by="domain")
    done = {"clients-1": divisions(("fine", "bold"), "by domain"), "start-1": figures(0.1)}
    made = recipe_of(asked, by_name(asked.plan(done))["fedavg-by-domain-round-1-client-2-1"], tmp_path)
    assert made.data.client.plain() == {"alpha": 0.5, "seed": 0, "domain": "bold"}
    assert made.data.columns.domain == "domain"


def test_a_share_of_the_clients_takes_part_and_each_gets_a_turn():
    asked = study(clients=10, participation=0.3)
    rounds = [asked.taking_part(1, k, 10) for k in range(1, 40)]
    assert {len(one) for one in rounds} == {3}
    assert {number for one in rounds for number in one} == set(range(1, 11))
    assert asked.taking_part(1, 5, 10) == asked.taking_part(1, 5, 10)
    assert study(participation=0.01).taking_part(1, 1, 3) != []


# --- the table, from outputs that are written by hand


def scored(folder, right, owners):
    """The figures of a model that answers so many test rows rightly."""
    truth = np.zeros(len(owners), int)
    logits = np.eye(2)[np.where(np.arange(len(owners)) < right, 0, 1)]
    (folder / "outputs").mkdir(parents=True)
    labels = Labels.of("single_label_classification", ["a", "b"])
    write_outputs(folder / "outputs" / "test.safetensors", logits, truth, labels)
    share = right / len(owners)
    more = {"uplink": {"round": 3000, "client": 1000, "model": 5000}}
    test = {"accuracy": share, "n": len(owners), "low": share - 0.1, "high": share + 0.1}
    return Figures({"test": test, "train": {"seconds": 2.0}, **more}, folder=folder)


@pytest.fixture
def done(tmp_path):
    """Two rounds of three clients with four test rows each."""
    owners = [0] * 4 + [1] * 4 + [2] * 4
    found = {"clients-1": divisions(owners=owners), "start-1": scored(tmp_path / "start", 1, owners)}
    for name, right in (("pooled-1", 12), ("fedavg-alpha-0.5-round-1-1", 6), ("fedavg-alpha-0.5-round-2-1", 9)):
        found[name] = scored(tmp_path / name, right, owners)
    for k in (1, 2, 3):
        found[f"alone-alpha-0.5-client-{k}-1"] = scored(tmp_path / f"alone-{k}", 3 * k, owners)
    return found


def test_the_table_compares_the_last_model_with_all_rows_and_clients_alone(done):
    table = study().table(done)
    ours, alone = table.row("fedavg, alpha 0.5").cells, table.row("alone, alpha 0.5").cells
    assert ours["test accuracy"].values == {1: 0.75}
    assert ours["minus pooled"].values == {1: -0.25}
    assert (ours["mean client"].values[1], ours["worst client"].values[1]) == (pytest.approx(0.75), 0.25)
    assert (str(ours["sent a round"]), str(ours["sent in all"])) == ("3 KB", "6 KB")
    assert alone["test accuracy"].values[1] == pytest.approx(0.5)
    assert alone["mean client"].values[1] == pytest.approx((3 / 4 + 2 / 4 + 1 / 4) / 3)
    assert (
        "all rows pooled 1.000; alpha 0.5: fedavg 0.750 (-25.0 points), clients alone 0.500 (n=12, one seed"
        in table.answer
    )
    rounds, clients = table.matrices
    assert [str(cell) for cell in rounds.cells[0]] == ["0.5000", "0.7500"]
    assert [str(cell) for cell in clients.cells[0]] == ["1.0000", "1.0000", "0.2500"]
    line = table.plots[0].lines[0]
    assert line.points[1] == pytest.approx((2.0, 0.75, 0.65, 0.85))
    assert any("a client sends 1 KB a round; the whole model has 5 KB" in note for note in table.notes)


def test_the_page_has_the_table_and_a_child_that_failed_is_named(done):
    asked = study()
    table = asked.table(done)
    assert table.answer in render_study(asked, table)
    assert json.loads(json.dumps(table.plain()))["matrices"][0]["cells"][0][1]["mean"] == 0.75
    failed = {**done, "fedavg-alpha-0.5-round-2-client-1-1": Figures(failed="no room")}
    failed.pop("fedavg-alpha-0.5-round-2-1")
    table = asked.table(failed)
    assert table.row("fedavg, alpha 0.5").failed == {1: "fedavg-alpha-0.5-round-2-client-1-1: no room"}
    assert "no sequence of rounds has finished" in table.answer


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        ([], {"clients": 3, "by": "domain"}, "has by=domain, whose values are the clients, and clients"),
        ([], {"methods": ["fedavg", "fedavg"]}, "name each method once"),
        ([], {"alpha": [0.5, 0.5]}, "expected different numbers"),
        (["data.client={of: 2, number: 1}"], {}, "data.client should be left out"),
        (["data.fold={of: 2, number: 1}"], {}, "data.fold should be left out"),
        (["problem_type=multi_label_classification"], {}, "needs a fine-tune with one class for each row"),
        (["training.early_stopping=2"], {}, "set training.early_stopping=null"),
    ],
)
def test_what_cannot_be_federated_is_refused(words, options, message):
    with pytest.raises(RecipeError, match=message):
        study(*words, **options)


def test_a_client_without_rows_stops_the_study_before_anything_is_trained(tmp_path):
    asked = study(*FEW, clients=40, alpha=[0.01])
    with pytest.raises(
        BadInput, match=r"data\.client: client .* of 40 has no rows with alpha 0\.01 and seed 1; raise alpha"
    ):
        run_study(asked, tmp_path / "study")
    assert not (tmp_path / "study" / "study.yaml").exists()


def test_the_command_line_takes_one_alpha_or_several():
    asked, _ = _asked("federated", ["digits", "--clients", "4", "--alpha", "0.5", "--rounds", "3"])
    assert (asked.clients, asked.alpha, asked.rounds) == (4, [0.5], 3)
    asked, _ = _asked("federated", ["digits", "--alpha", "100,0.1", "--methods", "fedavg,fedbn", "--mu", "1"])
    assert (asked.alpha, asked.methods, asked.mu, asked.clients) == ([0.1, 100.0], ["fedavg", "fedbn"], 1.0, None)


@pytest.mark.slow
def test_stopped_in_a_round_and_called_again_a_study_comes_to_the_same(tmp_path, monkeypatch):
    options = {"clients": 2, "alpha": [1.0], "min_rows": 4, "alone": False}
    whole = run_study(study(*FEW, **options), tmp_path / "whole")
    assert whole.failed == []
    train, left = engine.train_child, [5, 2, 1]

    def stopped(recipe, work=None):
        if left and not left[0]:
            left.pop(0)
            raise KeyboardInterrupt
        if left:
            left[0] -= 1
        return train(recipe, work)

    monkeypatch.setattr("hfft.studies.run.train_child", stopped)
    while left:
        with pytest.raises(KeyboardInterrupt):
            run_study(study(*FEW, **options), tmp_path / "again")
    run_study(study(*FEW, **options), tmp_path / "again")
    assert table_of(tmp_path / "again") == table_of(tmp_path / "whole")
    last = "children/fedavg-alpha-1-round-2-1/model/model.safetensors"
    assert (tmp_path / "again" / last).read_bytes() == (tmp_path / "whole" / last).read_bytes()

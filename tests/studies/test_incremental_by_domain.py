"""Domains one after another: which runs follow which, what is left out, and what the table says of each domain."""

import json

import numpy as np
import pytest

from hfft.errors import BadInput, RecipeError
from hfft.scenarios.incremental.domains import TEST
from hfft.scenarios.incremental.scored import write_outputs
from hfft.studies.find import make_study
from hfft.studies.run import run_study
from hfft.studies.study import Figures, recipe_of
from hfft.tasks.labels import Labels
from tests.examples import SINGLE
from tests.scenarios.incremental.two_pens import pens
from tests.studies.fake_runs import TINY, figures

WORDS = ("data.path=printed_digits", "data.columns.domain=domain")
NAMES = ["a", "b"]


def study(*words, **options):
    """A study of domains in an order that each seed draws."""
    return make_study(
        "incremental", TINY, (*WORDS, *words), **{"tasks": "domains", "seeds": 2, "memory": 12, **options}
    )


def looked(order, folder=None):
    """What the child that looks at the data has found."""
    return Figures({"tasks": [NAMES] * len(order), "domains": order}, **({} if folder is None else {"folder": folder}))


def test_each_seed_asks_the_data_for_its_order():
    asked = study()
    first = asked.plan({})
    assert [child.name for child in first] == ["tasks-1", "tasks-2"]
    assert first[0].options == {"wanted": None}
    done = {"tasks-1": looked(["ink", "chalk", "pen"]), "tasks-2": looked(["pen", "ink", "chalk"])}
    children = {child.name: child for child in asked.plan(done)}
    for seed, order in ((1, ["ink", "chalk", "pen"]), (2, ["pen", "ink", "chalk"])):
        for way in ("plain", "lwf", "ewc", "replay", "der"):
            for t in (2, 3):
                overrides = children[f"{way}-{t}-{seed}"].overrides
                assert overrides["data.client"] == {"domain": order[t - 1]}
                assert overrides["data.classes"] == NAMES
        assert children[f"first-{seed}"].overrides["data.client"] == {"domain": order[0]}
        assert children[f"frozen-{seed}"].options == {"tasks": [NAMES] * 3, "domains": order}
        assert children[f"l2p-pool-3-{seed}"].options["domains"] == order
    assert study(tasks={"domains": ["ink", "chalk"]}).plan({})[0].options == {"wanted": ["ink", "chalk"]}


def test_every_run_has_all_classes_and_the_rows_of_its_domain(tmp_path):
    asked = study(tasks={"domains": ["bold", "fine"]}, seeds=1)
    done = {"tasks-1": Figures({"tasks": [["0", "1"]] * 2, "domains": ["bold", "fine"]})}
    made = {child.name: recipe_of(asked, child, tmp_path) for child in asked.plan(done)}
    for name, recipe in made.items():
        if name == "tasks-1":
            continue
        assert recipe.data.classes == ["0", "1"]
        assert recipe.data.train_classes is None
        assert recipe.data.validation == "none"
        assert recipe.data.max_train_samples == 40  # a domain has its rows of those drawn for all
    assert made["joint-1"].data.client is None
    assert made["plain-2-1"].data.client.domain == "fine"
    assert made["plain-2-1"].head.keep_known
    assert made["lwf-2-1"].strategy.lwf.classes == ["0", "1"]
    assert made["replay-memory-1-1"].data.client.domain == "bold"
    assert made["l2p-2-1"].backbone.name == made["l2p-pool-2-1"].backbone.name == "nano-vit"


def test_methods_of_classes_are_left_out_with_a_line_or_refused_by_name():
    asked = study(seeds=1)
    assert asked.ways == ["lwf", "ewc", "replay", "der", "l2p", "ncm", "lda"]
    table = asked.table({"tasks-1": looked(["ink", "chalk"])})
    assert "icarl is left out: it shares its memory among classes that each come once" in table.notes
    assert any(line.startswith("slca is left out: ") for line in table.notes)
    with pytest.raises(
        RecipeError, match="has icarl in methods, but tasks by domain: it shares its memory among classes"
    ):
        study(methods=["icarl", "ncm"])


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (
            ("data.columns.domain=null",),
            {},
            "has tasks by domain; name the column of each row's domain in data.columns.domain",
        ),
        (
            (),
            {"task_incremental": True},
            "has task_incremental, but tasks by domain, which have the same classes; leave it",
        ),
        ((), {"tasks": {"domains": ["fine"]}}, "expected two different domains or more"),
        ((), {"tasks": {"domains": ["fine", "fine"]}}, "expected two different domains or more"),
        ((), {"tasks": {"pens": ["fine", "bold"]}}, r"expected \{domains: \[a, b, c\]\}"),
    ],
)
def test_options_that_do_not_fit_are_told_in_one_line(words, options, message):
    with pytest.raises(RecipeError, match=message):
        study(*words, **options)


def test_a_domain_that_the_data_does_not_have_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(
        BadInput, match=r"tasks: no domain 'bald' in column 'domain'; did you mean 'bold'\? \(it has: bold,"
    ):
        run_study(study(tasks={"domains": ["fine", "bald"]}), tmp_path / "study")
    assert not (tmp_path / "study" / "children").exists()


def finished(folder, right):
    """A child with the outputs of ten rows of each of two domains, of which so many are right."""
    truth = np.tile([0, 1], 10)
    wrong = np.concatenate([np.arange(10) >= n for n in right])
    logits = np.eye(2)[np.where(wrong, 1 - truth, truth)]
    write_outputs(folder / "outputs" / "test.safetensors", logits, truth, Labels.of(SINGLE, NAMES))
    return Figures(dict(figures(0.5).metrics), folder=folder)


def test_each_domain_is_scored_on_its_own_rows_and_one_to_come_is_not(tmp_path):
    asked = study(seeds=1, methods=["ncm"], tasks={"domains": ["ink", "chalk"]})
    (tmp_path / "tasks-1").mkdir()
    np.save(tmp_path / "tasks-1" / TEST, np.repeat([1, 0], 10))  # chalk's rows come first in the data
    done = {
        "tasks-1": looked(["ink", "chalk"], tmp_path / "tasks-1"),
        "joint-1": finished(tmp_path / "joint-1", (9, 9)),
        "first-1": finished(tmp_path / "first-1", (3, 8)),
        "plain-2-1": finished(tmp_path / "plain-2-1", (10, 5)),
    }
    table = asked.table(done)
    plain = table.row("plain").cells
    assert plain["last accuracy"].values[1] == pytest.approx(0.75)
    assert plain["average accuracy"].values[1] == pytest.approx((0.8 + 0.75) / 2)
    assert plain["forgetting"].values[1] == pytest.approx(0.3)
    assert [[str(cell) for cell in row] for row in table.matrices[0].cells] == [["0.800", "–"], ["0.500", "1.000"]]
    assert table.row("joint").cells["last accuracy"].values[1] == pytest.approx(0.9)
    assert "2 domains with 2 classes: plain keeps most" in table.answer
    assert table.notes[:2] == ("task 1: ink", "task 2: chalk")
    drawn = study(methods=["ncm"]).table({"tasks-1": looked(["ink", "chalk"]), "tasks-2": looked(["chalk", "ink"])})
    assert drawn.notes == ("seed 1: ink, chalk", "seed 2: chalk, ink")


@pytest.mark.slow
def test_a_whole_sequence_of_domains_runs_and_a_second_call_changes_nothing(tmp_path):
    words = [f"data.path={pens(tmp_path / 'data')}", "data.columns.domain=pen", "data.max_train_samples=null"]
    asked = study(*words, "score.scorecard=off", seeds=1, methods=["lwf", "replay", "lda"])
    table = run_study(asked, tmp_path / "study")
    assert table.failed == []
    assert [row.arm for row in table.rows if row.seeds] == ["joint", "plain", *asked.ways]
    memory = json.loads((tmp_path / "study/children/replay-memory-1-1/metrics.json").read_text())
    assert (memory["memory"]["rows"], memory["seen"]) == (12, 18)
    assert run_study(asked, tmp_path / "study").plain() == table.plain()

"""Every domain is left out in turn: what is run, and what the table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfft.studies.leave_one_domain_out import ERM, LeaveOneDomainOut, child_arm
from hfft.studies.run import run_study
from hfft.studies.study import Figures, recipe_of
from tests.studies.fake_runs import figures, tiny

PENS = ["fine", "bold", "art painting"]


def study(**options):
    recipe = tiny("data.path=printed_digits", "data.columns.domain=domain")
    return LeaveOneDomainOut(recipe=recipe, domains=PENS, seeds=2, **options)


def test_plain_training_and_each_arm_run_without_each_domain():
    found = study(arms={"coral": {"strategy.domain_coral": 1.0}})
    children = found.plan({})
    assert len(children) == 2 * 2 * 3
    assert children[2].name == "erm-without-art_painting-1"
    first, last = (recipe_of(found, child, Path("children")) for child in (children[0], children[5]))
    assert (first.data.held_out_domain, first.strategy.domain_coral) == ("fine", None)
    assert (last.data.held_out_domain, last.strategy.domain_coral.weight) == ("art painting", 1.0)


def test_the_table_has_the_mean_and_its_difference_seed_by_seed():
    found = study(arms={"coral": {}})
    done = {}
    for seed in (1, 2):
        for i, pen in enumerate(PENS):
            done[f"{child_arm(ERM, pen)}-{seed}"] = figures(0.5 + i / 10 + seed / 100)
            done[f"{child_arm('coral', pen)}-{seed}"] = figures(0.6 + i / 10 + seed / 100)
    table = found.table(done)
    assert table.row(ERM).cells["mean"].values == pytest.approx({1: 0.61, 2: 0.62})
    assert table.row("coral").cells["minus erm"].values == pytest.approx({1: 0.1, 2: 0.1})
    assert "coral +10.0 ± 0.0 points (3 domains, 2 seeds)." in table.answer
    assert "no row of the domain left out took part" in table.notes[0]


def test_a_seed_without_all_domains_has_no_mean_and_a_failure_is_told():
    found = study()
    done = {f"{child_arm(ERM, pen)}-1": figures(0.5) for pen in PENS}
    done |= {f"{child_arm(ERM, PENS[0])}-2": figures(0.7), f"{child_arm(ERM, PENS[1])}-2": Figures(failed="no memory")}
    table = found.table(done)
    assert table.row(ERM).cells["mean"].values == {1: 0.5}
    assert table.failed == ["erm, seed 2: erm-without-bold: no memory"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.columns.domain=null"], "name the column in data.columns.domain"),
        (["data.validation=none", "training.eval_strategy=no"], "expected a share"),
        (["data.validation=test", "data.test=none"], "expected a share"),
    ],
)
def test_what_it_needs_is_told(words, message):
    recipe = tiny("data.path=printed_digits", "data.columns.domain=domain", *words)
    with pytest.raises(ValueError, match=message):
        LeaveOneDomainOut(recipe=recipe, domains=PENS)


def test_domains_are_at_least_two_different_ones():
    for domains in (["fine"], ["a b", "a_b"]):
        with pytest.raises(ValueError, match="domains"):
            LeaveOneDomainOut(recipe=tiny("data.columns.domain=domain"), domains=domains)


def test_votes_begin_from_plain_training_and_are_rows_of_the_table():
    found = study(votes=True)
    children = found.plan({})
    assert [child.name for child in children[3:6]] == [
        f"heads-without-{pen}-1" for pen in ("fine", "bold", "art_painting")
    ]
    assert children[3].begins_from == "erm-without-fine-1"
    done = {}
    for seed in (1, 2):
        for i, pen in enumerate(PENS):
            done[f"{child_arm(ERM, pen)}-{seed}"] = figures(0.5 + i / 10 + seed / 100)
            ways = {"one classifier": 0.4, "a vote each": 0.3 + i / 10, "votes by likeness": 0.6 + i / 10 + seed / 100}
            done[f"heads-without-{pen.replace(' ', '_')}-{seed}"] = figures(0.9, votes=ways)
    table = found.table(done)
    assert [row.arm for row in table.rows] == [ERM, "one classifier", "a vote each", "votes by likeness"]
    assert table.row("a vote each").cells["mean"].values == pytest.approx({1: 0.4, 2: 0.4})
    assert table.row("votes by likeness").cells["minus erm"].values == pytest.approx({1: 0.1, 2: 0.1})


def test_votes_are_of_classes_and_their_name_is_theirs():
    with pytest.raises(ValueError, match=r"arms names 'heads'.*choose another name"):
        study(arms={"heads": {}}, votes=True)
    recipe = tiny("data.path=printed_digits", "data.columns.domain=domain", "problem_type=regression")
    with pytest.raises(ValueError, match="votes are of classes, but the problem is regression; leave votes out"):
        LeaveOneDomainOut(recipe=recipe, domains=PENS, votes=True)


@pytest.mark.slow
def test_votes_of_a_run(tmp_path):
    recipe = tiny("data.path=printed_digits", "data.columns.domain=domain", "data.max_train_samples=200")
    found = LeaveOneDomainOut(recipe=recipe, domains=["fine", "bold"], seeds=1, votes=True)
    table = run_study(found, tmp_path / "study")
    for way in ("one classifier", "a vote each", "votes by likeness"):
        assert set(table.row(way).cells) == {"fine", "bold", "mean", "minus erm"}
        assert 0 < table.row(way).cells["mean"].values[1] < 1
    assert not table.failed

"""Robustness: which runs are planned, and what made-up figures come to."""

import numpy as np
import pytest
from pydantic import ValidationError

from hfft.studies.robustness import STARTS, Robustness, drawn_rows, noisy
from hfft.studies.run import run_study
from hfft.studies.study import Figures
from tests.studies.fake_runs import figures, tiny


def study(**options):
    return Robustness(recipe=tiny(), **{"noise": [0, 0.5], "factors": [10], "rows": 40, "seeds": 2, **options})


def measured(msp=0.9, ece=0.1, after=0.05, pgd=0.4):
    blocks = {
        "ood": {"sets": {name: {"scores": {"msp": {"auroc": {"value": msp}}}} for name in ("noise", "blobs")}},
        "calibration": {"figures": {"ece": {"value": ece}}, "after": {"figures": {"ece": {"value": after}}}},
        "attack": {"figures": {"pgd20": {"value": pgd}}},
    }
    return Figures({"blocks": blocks, "test": {"n": 100}})


def finished(study, worth):
    """All children done; `worth` is what each start adds to every figure."""
    done = {}
    for _ in range(3):
        for child in study.plan(done):
            gain = worth[next(start for start in reversed(STARTS) if child.arm.startswith(start))] + child.seed / 1000
            if child.measure:
                done[child.name] = measured(0.5 + gain, 0.5 - gain, 0.4 - gain, 0.3 + gain)
            else:
                found = figures(0.5 + gain, labels=[str(i) for i in range(10)])
                found.metrics["test"]["balanced_accuracy"] = 0.4 + gain
                done[child.name] = found
    return done


def test_what_needs_a_finished_run_is_planned_when_it_is_there():
    asked = study()
    first = {child.arm for child in asked.plan({})}
    expected = {*STARTS, *(noisy(s, 0.5) for s in STARTS), *(f"{s}-adversarial" for s in STARTS)}
    assert first == expected
    done = {"pretrained-1": figures(0.9, labels=["a", "b", "c"])}
    later = [child for child in asked.plan(done) if child.arm not in expected]
    assert {child.arm for child in later} == {*(f"{s}-imbalance-10" for s in STARTS), "pretrained-scored"}
    (scored,) = [child for child in later if child.measure]
    assert scored.options == {"child": "pretrained-1", "blocks": ["calibration", "ood", "attack"]}
    assert not [c for c in asked.plan({"pretrained-1": Figures(failed="no disk")}) if c.measure]


def test_starts_differ_in_weights_and_epochs_alone():
    children = {child.arm: child.overrides for child in study().plan({}) if child.seed == 1}
    assert children["random"]["backbone.init"] == children["random-longer"]["backbone.init"] == "random"
    assert children["random-longer"]["training.num_train_epochs"] == 3
    assert "backbone.init" not in children["pretrained"]
    assert children["pretrained-noise-0.5"]["data.label_noise"] == {"symmetric": 0.5}
    assert children["pretrained-adversarial"]["strategy.pgd"] == {}


@pytest.mark.parametrize("factor", [2, 10, 100])
@pytest.mark.parametrize("classes", [2, 10])
def test_the_total_of_rows_is_held_fixed(factor, classes):
    drawn = drawn_rows(250, factor, classes)
    per_class = [drawn / classes * factor ** (-i / (classes - 1)) for i in range(classes)]
    assert sum(per_class) == pytest.approx(250, abs=classes)
    assert per_class[0] / per_class[-1] == pytest.approx(factor)


def test_gains_have_the_direction_of_their_figure_and_the_answer_counts_them():
    asked = study()
    table = asked.table(finished(asked, {"pretrained": 0.3, "random": 0.0, "random-longer": 0.1}))
    assert len(table.rows) == 7
    for row in table.rows:
        assert row.cells["gain"].summary().mean == pytest.approx(0.3)
        assert row.cells["gain over longer"].summary().mean == pytest.approx(0.2)
    noise = table.rows[0].cells["pretrained"]
    assert noise.summary().mean == pytest.approx(1 - np.mean([0.8015, 0.8015]))
    assert "helps in 7 of 7 figures" in table.answer
    assert [plot.title.split()[0] for plot in table.plots] == ["Test", "Balanced"]


def test_what_does_not_hold_is_named():
    asked = study()
    table = asked.table(finished(asked, {"pretrained": 0.1, "random": 0.0, "random-longer": 0.2}))
    assert "helps in 0 of 7 figures with an interval above 0 (none); not for: label noise" in table.answer
    assert "nothing to compare yet" in asked.table({}).answer


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"noise": [0.1, 0.2]}, "expected 0 among the shares"),
        ({"factors": [1]}, "greater than 1"),
        ({"noise": [0, 1.5]}, "less than or equal to 1"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, why):
    with pytest.raises(ValidationError, match=why):
        study(**options)


def test_a_block_that_does_not_suit_leaves_the_others_and_is_told():
    asked = study()
    done = finished(asked, {"pretrained": 0.3, "random": 0.0, "random-longer": 0.1})
    for name in [name for name in done if name.startswith("random-scored")]:
        done[name].metrics["blocks"].pop("attack")
        done[name].metrics["left_out"] = {"attack": "does not apply: attacks change pixels"}
    table = asked.table(done)
    assert "attack is not measured: does not apply: attacks change pixels" in table.notes
    assert all(
        row.cells["random"].values for row in table.rows if "attack" not in row.arm or "adversarially" in row.arm
    )


@pytest.mark.slow
def test_real_runs_on_a_part_of_the_rows_are_scored_as_they_were_trained(tmp_path):
    asked = Robustness(
        recipe=tiny("data.max_train_samples=null", "score.attack={rows: 8, steps: 2}"),
        **{"noise": [0, 0.5], "factors": [10], "rows": 40, "longer": 2, "adversarial": {}, "seeds": 1},
    )
    table = run_study(asked, tmp_path / "study")
    assert table.failed == []
    assert [row.arm for row in table.rows if row.cells["pretrained"].summary() is None] == []
    shown = [
        row.cells[start].summary() for row in table.rows for start in ("pretrained", "random", "random, 2 x the epochs")
    ]
    assert all(summary is not None and 0 <= summary.mean <= 1 for summary in shown)
    assert len(shown) == 3 * 6

"""The study of checkpoints of one pretraining: its arms, and a table computed by hand."""

from pathlib import Path

import pytest

from hfft.studies.find import make_study
from hfft.studies.run import run_study
from hfft.studies.study import Figures
from tests.studies.figures import seeds_of


def study(*overrides, **options):
    return make_study("upstream", "digits", overrides, **{"seeds": 2, **options})


def pretrained(kind, values):
    """A finished pretraining with a checkpoint every ten steps."""
    points = [{"step": 10 * (i + 1), "value": value} for i, value in enumerate(values)]
    return {
        f"pretraining-{kind}-1": Figures({"checkpoints": points, "metric": "accuracy"}, folder=Path("s/children/p"))
    }


def test_transfers_are_known_once_a_pretraining_is_done():
    begun = study().plan({})
    assert [child.name for child in begun] == ["pretraining-plain-1", "pretraining-smoothed-1"]
    assert begun[1].options["overrides"] == {"training.label_smoothing_factor": 0.1}
    known = {child.name: child for child in study().plan(pretrained("plain", [0.5, 0.9]))}
    assert len(known) == 2 + 2 * 2 * 2
    assert known["fine-tune-plain-20-2"].overrides == {
        "backbone.name": "s/children/p/checkpoints/20",
        "backbone.init": "pretrained",
    }
    assert known["probe-plain-10-1"].measure == "hfft.studies.measures:probe"
    assert [child.arm for child in study(smoothing=0.0).plan({})] == ["pretraining-plain"]


def test_the_rank_correlation_is_that_of_the_means():
    done = pretrained("plain", [0.5, 0.7, 0.9]) | pretrained("smoothed", [0.5, 0.7, 0.9])
    done |= seeds_of({"probe-plain-10": [0.4, 0.6], "probe-plain-20": [0.7, 0.7], "probe-plain-30": [0.6, 0.8]})
    done |= seeds_of(
        {"fine-tune-plain-10": [0.9, 0.9], "fine-tune-plain-20": [0.7, 0.7], "fine-tune-plain-30": [0.8, 0.8]}
    )
    done |= seeds_of({"probe-smoothed-30": [0.5, 0.7], "fine-tune-smoothed-30": [0.8, 0.8]})
    table = study().table(done)
    # probe: 0.5, 0.7, 0.7 has ranks 1, 2.5, 2.5; fine-tune: ranks 3, 1, 2
    assert "rank correlation of +0.87 with the probe, -0.50 with the fine-tune" in table.answer
    said = "probe -10.0 ± 0.0 points, fine-tune +0.0 ± 0.0 points"
    assert table.notes == (f"label smoothing of 0.1 in the pretraining, last checkpoint: {said}",)


def test_what_does_not_reproduce_is_said():
    done = pretrained("plain", [0.5]) | pretrained("smoothed", [0.5])
    done |= seeds_of(
        {f"{what}-{kind}-10": [0.5, 0.6] for what in ("probe", "fine-tune") for kind in ("plain", "smoothed")}
    )
    assert "does not reproduce here" in study().table(done).notes[0]


def test_nothing_done_and_a_failed_pretraining_are_tables_too():
    assert study().table({}).answer == "digits: nothing to compare yet."
    table = study().table({"pretraining-plain-1": Figures(failed="no room")})
    assert table.failed == ["pretraining, plain, seed 1: no room"]


@pytest.mark.slow
def test_a_small_one_runs_to_its_page(tmp_path, monkeypatch):
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "cache"))
    few = ("data.max_train_samples=20", "data.max_eval_samples=20", "training.num_train_epochs=1")
    changes = {"data.max_train_samples": 64, "data.max_eval_samples": 20, "training.num_train_epochs": 1}
    small = study(*few, upstream="digits", changes=changes, checkpoints=2, smoothing=0.0, seeds=1)
    table = run_study(small, tmp_path / "study")
    assert not table.failed
    assert [row.arm for row in table.rows] == ["plain, step 2", "plain, step 4"]
    assert all(row.cells[name].values for row in table.rows for name in ("its own task", "probe", "fine-tune"))

"""Children that are measured instead of trained: figures are kept, found again, and never those of something else."""

import json
from pathlib import Path
from typing import ClassVar

import pytest

from hfft.errors import BadInput
from hfft.recipe import load_recipe
from hfft.studies.run import run_study
from hfft.studies.study import Child, Study
from hfft.studies.table import Cell, Row, Table

CALLS = []


def double(recipe, value=1):
    """Twice a value, of any recipe."""
    CALLS.append((recipe.seed, value))
    if value < 0:
        raise BadInput(f"value: {value} is negative; use another")
    (recipe.output_dir / "model").mkdir(exist_ok=True)
    return {"test": {"accuracy": 2 * value, "n": 10}}


class Doubles(Study):
    """Twice some values."""

    name: ClassVar[str] = "doubles"
    value: float = 1.0

    def plan(self, done):
        """A child for each seed."""
        given = {"value": self.value}
        return [Child("double", seed, {}, None, "test_measure:double", given) for seed in self.all_seeds]

    def table(self, done):
        """Their values."""
        found = {
            seed: f.value() for seed in self.all_seeds if (f := done.get(f"double-{seed}")) and f.value() is not None
        }
        failed = {seed: f.failed for seed in self.all_seeds if (f := done.get(f"double-{seed}")) and f.failed}
        return Table("Twice.", ("value",), (Row("double", {"value": Cell(found)}, failed),))


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import test_measure

    test_measure.CALLS.clear()
    return test_measure.CALLS


def doubles(**options):
    return Doubles(recipe=load_recipe("digits"), **{"seeds": 2, **options})


def test_figures_are_kept_and_only_what_is_missing_is_measured(tmp_path, calls):
    table = run_study(doubles(), tmp_path)
    assert table.row("double").cells["value"].values == {1: 2.0, 2: 2.0}
    assert calls == [(1, 1.0), (2, 1.0)]
    run_study(doubles(seeds=3), tmp_path)
    assert calls[2:] == [(3, 1.0)]
    noted = json.loads((tmp_path / "children" / "double-1" / "measured.json").read_text())
    assert (noted["measure"], noted["options"]) == ("test_measure:double", {"value": 1.0})
    assert "output_dir" not in noted["recipe"]["training"]


def test_a_measurement_that_was_stopped_is_made_again(tmp_path, calls):
    run_study(doubles(), tmp_path)
    (tmp_path / "children" / "double-2" / "metrics.json").unlink()  # written last
    run_study(doubles(), tmp_path)
    assert calls[2:] == [(2, 1.0)]


def test_figures_of_other_options_are_refused_and_measured_afresh(tmp_path, calls):
    run_study(doubles(), tmp_path)
    with pytest.raises(BadInput, match=r"has figures of another recipe \(options.value: 1.0, now 3.0\); add --fresh"):
        run_study(doubles(value=3.0), tmp_path)
    assert run_study(doubles(value=3.0), tmp_path, fresh=True).row("double").cells["value"].values == {1: 6.0, 2: 6.0}


def test_one_that_fails_is_a_row_that_says_why_and_is_tried_again(tmp_path, calls):
    for _ in range(2):
        table = run_study(doubles(value=-1.0, seeds=1), tmp_path)
        assert table.failed == ["double, seed 1: value: -1.0 is negative; use another"]
    assert len(calls) == 2

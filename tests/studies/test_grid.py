"""The product of values, chosen on validation and reported on test."""

from __future__ import annotations

import pytest

from hfft.studies.find import make_study
from hfft.studies.grid import Grid, choose
from hfft.studies.study import Figures
from hfft.studies.table import Cell, Row
from tests.studies.fake_runs import TINY, figures, tiny


def test_words_with_several_values_are_axes_and_others_are_of_the_base():
    words = ["training.learning_rate=1e-5,3e-5", "layers.train=[norms,biases],all", "training.weight_decay=0.1"]
    study = make_study("grid", TINY, words, seeds=1)
    assert study.recipe.training["weight_decay"] == 0.1
    assert list(study.arms) == [
        "learning_rate=1e-05,train=norms-biases",
        "learning_rate=1e-05,train=all",
        "learning_rate=3e-05,train=norms-biases",
        "learning_rate=3e-05,train=all",
    ]
    assert next(iter(study.arms.values())) == {"training.learning_rate": 1e-05, "layers.train": ["norms", "biases"]}
    assert [child.seed for child in study.plan({})] == [1] * 4


def test_values_that_would_have_one_name_get_two():
    study = Grid(recipe=tiny(), axes={"layers.train": ["/a b/", "/a-b/"]})
    assert list(study.arms) == ["train=a-b", "train=a-b+"]


@pytest.mark.parametrize("values", [[], [1, 1]])
def test_values_are_different(values):
    with pytest.raises(ValueError, match="one or more different values"):
        Grid(recipe=tiny(), axes={"training.seed": values})


def test_validation_chooses_and_test_is_reported():
    study = Grid(recipe=tiny(), axes={"layers.train": ["head", "last-1", "all"]}, seeds=2)
    done = {
        "train=head-1": figures(0.99, 0.7),
        "train=head-2": figures(0.97, 0.8),
        "train=last-1-1": figures(0.8, 0.9),
        "train=last-1-2": figures(0.9, 0.9),
        "train=all-1": figures(0.9, 0.99),
        "train=all-2": Figures(failed="x"),
    }
    table = study.table(done)
    assert table.answer == (
        "tiny: of 3 arms, train=last-1 is best on validation, which chose it (accuracy (n=100): 0.9000 ± 0.0000); on test, "
        "which did not, it comes to accuracy (n=100): 0.8500 ± 0.0707; 2 seeds."
    ), "neither the best on test, nor one that has fewer seeds than others"
    assert table.row("train=head").cells["minus chosen"].values == pytest.approx({1: 0.19, 2: 0.07})
    assert "minus chosen" not in table.row("train=last-1").cells
    assert table.columns[:2] == ("test accuracy (n=100)", "minus chosen")


def test_without_validation_nothing_is_chosen_and_without_test_the_figure_is_called_too_good():
    study = Grid(recipe=tiny(), axes={"layers.train": ["head", "all"]}, seeds=1)
    only_test = study.table({"train=head-1": figures(0.5), "train=all-1": figures(0.6)})
    assert "nothing was chosen" in only_test.answer
    only_validation = study.table({"train=head-1": figures(None, 0.5), "train=all-1": figures(None, 0.6)})
    assert "train=all is best on validation" in only_validation.answer
    assert "so that this figure is too good" in only_validation.answer
    assert study.table({}).answer == "tiny: no run has finished."


def test_a_smaller_loss_is_better_and_the_first_of_equals_is_chosen():
    def row(name: str, value: float) -> Row:
        return Row(name, {"validation mse (n=3)": Cell({1: value}), "validation accuracy (n=3)": Cell({1: value})})

    found = [row("a", 0.5), row("b", 0.2), row("c", 0.2), Row("d")]
    assert choose(found, "validation mse (n=3)", 1).arm == "b"
    assert choose(found, "validation accuracy (n=3)", 1).arm == "a"
    assert choose([Row("d")], "validation mse (n=3)", 1) is None

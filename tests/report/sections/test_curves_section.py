"""The learning curves of a run."""

import pytest

from hfft.report.sections import curves
from tests.report.runs import Reader, history, metrics, section


def test_each_quantity_that_was_logged_has_a_chart():
    html = section("curves", history=history(25))
    titles = [line.split("</b>")[0] for line in html.split("<figcaption><b>")[1:]]
    assert titles == ["loss (nats)", "f1 macro", "learning rate of the head", "gradient norm before clipping"]
    text = Reader(html).text
    assert "An epoch is 10 steps. Long curves are drawn" in text
    assert "train, n 640, seed 97: last" in text
    assert "validation, n 1,234, seed 97: last" in text


def test_terms_and_weights_of_methods_have_charts_and_figures_of_splits_have_none():
    logged = [{**row, "l2_sp": 0.1 * row["step"], "l2_sp_weight": 0.01} if "loss" in row else row for row in history(5)]
    end = [{"step": 50, "train_loss": 0.2, "train_runtime": 1.0}, {"step": 50, "test_accuracy": 0.9, "test_loss": 0.3}]
    html = section("curves", history=[*logged, *end])
    titles = [line.split("</b>")[0] for line in html.split("<figcaption><b>")[1:]]
    assert titles[4:] == ["l2 sp", "l2 sp weight"]


def test_what_falls_by_orders_of_magnitude_is_drawn_by_its_logarithm(monkeypatch):
    drawn = {}
    monkeypatch.setattr(curves, "curve", lambda title, series, log=False: drawn.update({title: log}))
    section("curves", history=history(5))
    assert drawn == {
        "loss (nats)": True,
        "f1 macro": False,
        "learning rate of the head": False,
        "gradient norm before clipping": True,
    }


def test_the_loss_of_a_regression_is_a_squared_error():
    assert "loss (squared error)" in section("curves", metrics("regression"), history=history(5))


@pytest.mark.parametrize("epochs", [0, None])
def test_without_an_epoch_its_steps_are_not_counted(epochs):
    found = metrics()
    found["train"]["epochs"] = epochs
    html = section("curves", found, history=history(5))
    assert "An epoch" not in html
    assert "Long curves" in html

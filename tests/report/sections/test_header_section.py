"""What was trained on what."""

import pytest

from tests.report.runs import facts, metrics, section


def header(*kind, **changes):
    """The facts in the header of a run."""
    return facts(section("header", metrics(*kind, **changes)))


def test_model_and_data_stand_with_their_revision():
    assert header(data={"path": "some/data", "revision": "fedc"}) == {
        "backbone": "some/backbone at 0123abcd, pretrained weights",
        "data": "some/data at fedc",
        "task": "text-classification, single label classification, 2 classes",
        "seed": "97",
    }
    backbone = {"name": "some/backbone", "revision": None, "init": "random"}
    assert header(backbone=backbone)["backbone"] == "some/backbone (no revision), random weights"


@pytest.mark.parametrize("problem", ["regression", "masked_language_modelling"])
def test_where_there_are_no_classes_none_are_counted(problem):
    assert header(problem)["task"].endswith(f", {problem.replace('_', ' ')}")


def test_an_edit_says_how_far_the_outputs_moved():
    found = section("header", metrics(edits=[{"edit": "<e>", "moved": None}, {"edit": "f", "moved": 0.25}]))
    assert "<dt>&lt;e&gt;</dt><dd>–</dd>" in found
    assert "<dt>f</dt><dd>relative change of the outputs 0.2500</dd>" in found

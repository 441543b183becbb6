"""The model beside its teacher."""

from tests.report.runs import Reader, metrics, section

COST = {"parameters": 1234567, "bytes": 3 * 2**20, "milliseconds": 4.25}
FOUND = {"split": "test", "n": 2000, "divergence": 0.0625, "agreement": 0.975, "model": COST}


def test_a_run_without_a_teacher_has_no_such_section():
    assert section("compared", metrics()) == ""


def test_both_models_are_shown_with_their_distance():
    larger = {"parameters": 7654321, "bytes": 30 * 2**20, "milliseconds": 40.0}
    found = {"distillation": {**FOUND, "reference": larger}}
    page = Reader(section("compared", metrics(compared=found)))
    for words in ("distillation , on test (n=2,000)", "97.50% of the rows", "mean divergence 0.0625"):
        assert words.replace(" ,", ",") in page.text
    assert "teacher7,654,32130.040.0 this model1,234,5673.04.2" in page.text


def test_values_have_a_divergence_only():
    without = {name: value for name, value in FOUND.items() if name != "agreement"}
    page = Reader(section("compared", metrics(compared={"distillation": {**without, "reference": COST}})))
    assert "decision" not in page.text

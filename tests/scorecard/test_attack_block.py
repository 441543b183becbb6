"""The block of attacks: figures, curves and checks of images and texts, and models that cannot be attacked."""

import functools
import json
from dataclasses import replace

import pytest
import torch

from hfft.errors import BadInput
from hfft.evaluate.attacks import apgd
from hfft.scorecard import attacked_images
from hfft.scorecard.attacked_images import under_pgd
from hfft.scorecard.blocks import attack as block
from hfft.scorecard.scored_rows import first_rows
from tests.scorecard.model_runs import evidence, of_digits


def falling(curve):
    values = [value for _, value in curve]
    return values == sorted(values, reverse=True)


@pytest.fixture
def few_steps(monkeypatch):
    """APGD in six steps: that it works is tested elsewhere."""
    monkeypatch.setattr(attacked_images, "apgd", functools.partial(apgd, count=6))


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "radius"), [("linf", 8 / 255), ("l2", 0.5)])
def test_images(tmp_path, few_steps, norm, radius):
    given = of_digits(tmp_path, f"score.attack={{norm: {norm}, steps: 3, rows: 40}}")
    before = {name: value.clone() for name, value in given.predictor.model.state_dict().items()}
    found = block.block(given)
    assert {"split": "test", "n": 40, "norm": norm, "radius": radius, "steps": 3}.items() <= found.items()
    assert list(found["figures"]) == ["clean", "fgsm", "pgd3", "apgd_ce"]
    assert [at for at, _ in found["curve"]] == pytest.approx([0, *(radius * share for share in (0.25, 0.5, 1, 2, 4))])
    assert falling(found["curve"])
    assert found["curve"][0][1] == found["figures"]["clean"]["value"]
    assert [set(check) for check in found["checks"]] == [{"check", "passed"}] * 3
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    alone = under_pgd(given)["figures"]
    assert alone == {name: found["figures"][name] for name in ("clean", "pgd3")}
    model = given.predictor.model
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    said = block.lines(found)
    assert sum(line.startswith("check ") for line in said) == 3
    assert "rows: the first 40 of 500" in said[0]


@pytest.mark.slow
def test_pixels_are_attacked_before_normalisation_and_the_clean_figure_is_the_predictors(tmp_path):
    given = of_digits(tmp_path, "score.attack.rows=30")
    rows = first_rows(given, 30)
    x, logits = attacked_images.as_pixels(given.predictor, rows.inputs)
    assert x.min() >= 0
    assert x.max() <= 1
    assert tuple(x.shape) == (30, 3, 32, 32)
    torch.testing.assert_close(logits(x), given.predictor.logits(rows.inputs), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_answers_without_a_gradient_are_refused_in_one_line(tmp_path):
    given = of_digits(tmp_path, "score.attack.rows=8")
    own = given.predictor.outputs
    for outputs in (
        lambda model, batch: torch.from_numpy(own(model, batch).numpy()),  # raises where gradients are recorded
        lambda model, batch: own(model, batch).detach(),
    ):
        given.__dict__["predictor"] = replace(given.predictor, outputs=outputs)
        given.__dict__.pop("held", None)
        with pytest.raises(BadInput, match="no gradient with respect to its pixels"):
            block.block(given)


@pytest.mark.slow
def test_a_processor_that_does_more_is_refused(tmp_path):
    given = of_digits(tmp_path, "score.attack.rows=8")
    given.predictor.__dict__["on_device"] = None
    with pytest.raises(BadInput, match="does more than resize, crop and normalise"):
        block.block(given)


@pytest.mark.slow
def test_texts(tmp_path):
    given = evidence(tmp_path, "score.attack={steps: 2, radius: 0.2}")
    found = block.block(given)
    assert {"split": "test", "n": 45, "kind": "text", "radius": 0.2, "rows": "all"}.items() <= found.items()
    assert set(found["figures"]) == {"clean", "characters", "words", "embedding"}
    assert all(falling(curve) for curve in [found["curve"], *found["curves"].values()])
    assert [at for at, _ in found["curve"]] == [0, 1, 2, 3]
    for name, figure in found["figures"].items():
        assert figure["value"] <= found["figures"]["clean"]["value"], name
    assert found["curve"][-1][1] <= min(found["figures"][name]["value"] for name in ("characters", "words"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert "accuracy by words changed" in "\n".join(block.lines(found))


@pytest.mark.slow
def test_texts_of_a_model_without_a_gradient_have_the_black_box_attacks_and_the_reason(tmp_path):
    given = evidence(tmp_path, "score.attack.rows=9")
    own = given.predictor.outputs
    given.__dict__["predictor"] = replace(given.predictor, outputs=lambda model, batch: own(model, batch).detach())
    found = block.block(given)
    table = given.predictor.model.get_input_embeddings().weight.detach()
    assert found["radius"] == pytest.approx(float(table.pow(2).sum(1).sqrt().mean()) / 10, rel=1e-5)
    assert set(found["figures"]) == {"clean", "characters", "words"}
    assert "no gradient" in found["left_out"]["embedding"]
    assert any(line.startswith("embedding left out") for line in block.lines(found))


def test_rows_that_are_sorted_by_class_are_drawn(tmp_path):
    given = evidence(tmp_path)
    assert first_rows(given, 12).numbers.tolist() == list(range(12))
    ordered = given.splits.test.sort("labels")
    given.data = (replace(given.splits, test=ordered), given.data_labels)
    given.__dict__.pop("_data", None)
    drawn = first_rows(given, 12)
    assert drawn.rule == "12 of 45, drawn by the seed"
    assert len(set(drawn.labels.tolist())) == 3

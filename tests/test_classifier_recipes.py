"""Every shipped recipe of `use: classifier` is walked on a tiny model and a few rows of its kind."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

from hfft import finetune, load_recipe
from hfft.predict import load_predictor
from hfft.recipe import shipped
from tests import stand_ins

NAMES = [name for name in shipped() if load_recipe(name).use == "classifier"]


def minilm(folder):
    """A tiny sentence encoder, with the pooling that it was trained with."""
    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig(**stand_ins.small())).save_pretrained(folder)
    stand_ins.tokenizer().save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))


MODELS = {"sentence-transformers/all-MiniLM-L6-v2": minilm, "facebook/dinov2-small": stand_ins.dinov2}


def test_both_are_shipped():
    assert NAMES == ["dinov2_knn", "minilm_logistic_regression"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_runs_to_its_end(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "cache"))
    as_shipped = load_recipe(name)
    MODELS[as_shipped.backbone.name](tmp_path / "model")
    overrides = [
        f"training.output_dir={tmp_path / 'run'}",
        f"backbone.name={tmp_path / 'model'}",
        "data.validation=0.2",
    ]
    overrides.append(f"data.path={stand_ins.data(as_shipped.data.path, tmp_path / 'data')}")
    result = finetune(load_recipe(name, *overrides))
    assert result.metrics["test"]["n"] > 0
    assert set(as_shipped.metrics) <= set(result.metrics["test"])
    linear = name == "minilm_logistic_regression"
    assert result.metrics["classifier"]["stored"] == ("head" if linear else "beside")
    assert result.metrics["classifier"]["pooling"] == ("mean" if linear else "cls")
    model = load_predictor(str(result.folder)).model
    assert set(model.config.id2label.values()) == set(result.metrics["labels"])
    assert not [path for path in result.model.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".pkl")]

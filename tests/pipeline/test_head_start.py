"""A run begins with the pooling that its checkpoint was trained with, and with a fitted head if its recipe says so."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid

import hfft
from hfft import backbone
from hfft.backbone.pooling import sentence_pooling, trained_pooler
from hfft.backbone.spec import Backbone
from hfft.errors import ModelError
from hfft.pipeline.build import build_run
from hfft.pipeline.head_start import head_inputs, with_pooling
from hfft.recipe import load_recipe
from hfft.train import FineTuner, training_arguments
from tests import forked
from tests.forked import ROOT


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """A BERT without a pooler, and without the name that the package knows."""
    folder = tmp_path_factory.mktemp("masked") / "bert"
    shutil.copytree(backbone.source("nano-bert"), folder)
    return folder


@pytest.fixture(scope="module")
def pooled(masked, tmp_path_factory):
    """The same with a pooler."""
    folder = tmp_path_factory.mktemp("pooled") / "bert"
    shutil.copytree(masked, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors |= {"bert.pooler.dense.weight": torch.eye(128), "bert.pooler.dense.bias": torch.zeros(128)}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def sentence(folder, path, **modes):
    """A copy of a model as a sentence encoder's repository has it."""
    shutil.copytree(folder, path)
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 128, **modes}))
    return path


def texts(folder, where, *overrides):
    rows = where / "rows.csv"
    if not rows.exists():
        rows.write_text("text,label\n" + "".join(f"{'a text of words' * (i % 3)} {i},{i % 2}\n" for i in range(24)))
    sections = {
        "task": "text-classification",
        "backbone": {"name": str(folder)},
        "data": {"path": str(rows)},
        "training": {"output_dir": str(where / "run"), "num_train_epochs": 1, "use_cpu": True},
    }
    return load_recipe(sections, *overrides)


@pytest.mark.parametrize(
    ("modes", "pooling", "why"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean", "was trained"),
        ({"pooling_mode_cls_token": True}, "cls", "was trained"),
        ({"pooling_mode_max_tokens": True}, "max", "was trained"),
        ({"pooling_mode_lasttoken": True}, "last", "was trained"),
        (
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            "cls",
            "was trained, without mean, which it concatenates",
        ),
        ({"pooling_mode": "lasttoken"}, "last", "was trained"),
        ({"pooling_mode": ["mean", "max"]}, "mean", "was trained, without max, which it concatenates"),
    ],
)
def test_a_sentence_encoder_states_its_pooling(modes, pooling, why, pooled, tmp_path):
    folder = sentence(pooled, tmp_path / "encoder", **modes)
    recipe, line = with_pooling(texts(folder, tmp_path))
    assert recipe.head.pooling == pooling
    assert line == f"pooling: {pooling}, as {folder} {why}"
    assert with_pooling(recipe) == (recipe, None)
    assert with_pooling(texts(folder, tmp_path, "head.kind=mlp"))[0].head.pooling == pooling


@pytest.mark.parametrize("content", ["{", "[]", '{"pooling_mode_mean_tokens": false}', '{"pooling_mode": "median"}'])
def test_a_pooling_that_is_not_known_is_one_line(content, masked, tmp_path):
    folder = sentence(masked, tmp_path / "encoder")
    (folder / "1_Pooling" / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"1_Pooling/config\.json .*; set pooling"):
        sentence_pooling(Backbone(name=str(folder)))


def test_a_pooler_decides_whether_the_architectures_head_stays(masked, pooled, tmp_path):
    assert (trained_pooler(Backbone(name=str(masked))), trained_pooler(Backbone(name=str(pooled)))) == (False, True)
    kept = texts(pooled, tmp_path)
    assert with_pooling(kept) == (kept, None)
    recipe, line = with_pooling(texts(masked, tmp_path))
    assert recipe.head.pooling == "mean"
    assert line == f"pooling: mean, since {masked} has no trained pooler"


@pytest.mark.parametrize(
    "overrides",
    [
        ["head.new=[bert.pooler]"],
        ["head.kind=attention-pool"],
        ["head.pooling=max"],
        ["layers.adapter={type: lora}", "publish.as=adapter"],
        ["layers.adapter={type: prompt_tuning}"],
        ["layers.train=[/pooler/]"],
        ["backbone.name=nano-bert"],
    ],
)
def test_a_recipe_that_says_what_its_head_is_keeps_it(overrides, pooled, tmp_path):
    folder = sentence(pooled, tmp_path / "encoder", pooling_mode_mean_tokens=True)
    recipe = texts(folder, tmp_path, *overrides)
    assert with_pooling(recipe) == (recipe, None)


def test_a_trained_classifier_and_images_keep_their_heads(pooled, tmp_path):
    config = json.loads((pooled / "config.json").read_text())
    folder = sentence(pooled, tmp_path / "encoder", pooling_mode_mean_tokens=True)
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertForSequenceClassification"]}))
    recipe = texts(folder, tmp_path)
    assert with_pooling(recipe) == (recipe, None)
    digits = load_recipe("digits")
    assert with_pooling(digits) == (digits, None)


@pytest.mark.slow
def test_a_recipe_of_five_lines_learns_with_the_mean_of_a_sentence_encoder(pooled, tmp_path, capsys):
    folder = sentence(pooled, tmp_path / "encoder", pooling_mode_mean_tokens=True)
    recipe = texts(folder, tmp_path, "training.max_steps=2", "layers.train=head")
    result = hfft.finetune(recipe)
    assert f"pooling: mean, as {folder} was trained" in capsys.readouterr().out
    config = json.loads((result.model / "config.json").read_text())
    assert config["own_head"]["pooling"] == "mean"
    assert hfft.load_predictor(str(result.folder))(["a text"]).shape == (1, 2)
    features = hfft.features(str(result.folder), str(tmp_path / "rows.csv"))["features"][:]
    plain = hfft.features(str(folder), str(tmp_path / "rows.csv"))["features"][:]
    np.testing.assert_allclose(features, plain, atol=1e-5)  # the frozen backbone, pooled as before


def built(recipe):
    return build_run(recipe, training_arguments(recipe))


@pytest.mark.parametrize("init", ["lda", "centroid"])
def test_a_fitted_head_predicts_as_scikit_learn_on_what_it_reads(init, tmp_path):
    recipe = load_recipe(
        "digits",
        *(f"head.init={init}", "layers.train=head", "data.max_eval_samples=60", "training.use_cpu=true"),
        f"training.output_dir={tmp_path / 'run'}",
    )
    run = built(recipe)
    model = run.trainer.model.eval()
    x, y = head_inputs(model, recipe, run.splits, run.labels, run.processor)
    oracle = {"lda": LinearDiscriminantAnalysis, "centroid": NearestCentroid}[init]().fit(x, y)
    held = run.trainer.predict(run.prepared.test)
    of_test = model.base_model(**_pixels(run)).last_hidden_state[:, 0]
    np.testing.assert_array_equal(held.predictions.argmax(1), oracle.predict(of_test.detach().numpy()))


def _pixels(run):
    rows = run.prepared.test
    batch = run.prepared.collate(rows.__getitems__(list(range(len(rows)))))
    batch.pop("labels")
    return run.prepared.on_device(batch) if run.prepared.on_device else batch


@pytest.mark.slow_but("mlp")
@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", ["mlp", "lora", "edited", "augmented"])
def test_untrained_layers_before_the_last_one_and_adapters_are_read_as_they_are(kind, tmp_path):
    more = {
        "mlp": ["head.kind=mlp"],
        "lora": ["layers.adapter={type: lora, init_lora_weights: false}"],
        "edited": ["backbone.edit=[{remove: last-1}]"],
        "augmented": ["data.augment=[random_crop]"],
    }[kind]
    recipe = load_recipe(
        "digits",
        *("head.init=lda", "data.max_train_samples=200", "data.max_eval_samples=60", "training.use_cpu=true"),
        *(f"training.output_dir={tmp_path / 'run'}", *more),
    )
    first, again = built(recipe), built(recipe)
    model = first.trainer.model.eval()
    x, y = head_inputs(model, recipe, first.splits, first.labels, first.processor)
    oracle = LinearDiscriminantAnalysis().fit(x, y)
    plain = recipe.model_copy(update={"data": recipe.data.model_copy(update={"augment": []})})
    rows = built(plain).prepared.train
    held = first.trainer.predict(rows)
    np.testing.assert_array_equal(held.predictions.argmax(1), oracle.predict(x))
    for name, tensor in first.trainer.model.state_dict().items():
        assert torch.equal(tensor, again.trainer.model.state_dict()[name]), name


def fitted(folder, *overrides):
    """A recipe whose head is fitted."""
    few = ("head.init=lda", "data.max_train_samples=100", "data.max_eval_samples=20", "training.use_cpu=true")
    return load_recipe("digits", *few, f"training.output_dir={folder}", *overrides)


def begun(folder):
    """The head that a run begins with."""
    return built(fitted(folder / "run")).trainer.model.classifier.state_dict()


@pytest.mark.slow
def test_all_processes_begin_with_the_same_head(tmp_path):
    forked.two_processes(ROOT / "tests/pipeline/head_start_processes.py", tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    alone = begun(tmp_path / "alone")
    for name, tensor in alone.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], tensor)


@pytest.mark.slow
def test_a_run_that_is_stopped_ends_as_one_that_was_not(tmp_path, monkeypatch):
    steps = (
        "training.max_steps=4",
        "training.save_strategy=steps",
        "training.save_steps=2",
        "training.eval_strategy=no",
    )
    whole = hfft.finetune(fitted(tmp_path / "whole", *steps))
    step = FineTuner.training_step

    def stopped(trainer, *args, **kwargs):
        if trainer.state.global_step == 3:
            raise RuntimeError("stopped")
        return step(trainer, *args, **kwargs)

    monkeypatch.setattr(FineTuner, "training_step", stopped)
    with pytest.raises(RuntimeError, match="stopped"):
        hfft.finetune(fitted(tmp_path / "parts", *steps))
    monkeypatch.setattr(FineTuner, "training_step", step)
    parts = hfft.finetune(fitted(tmp_path / "parts", *steps))
    assert (parts.model / "model.safetensors").read_bytes() == (whole.model / "model.safetensors").read_bytes()

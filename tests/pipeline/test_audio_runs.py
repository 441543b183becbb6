"""Whole runs on sounds: scored as a pipeline of plain transformers scores, predicted, split, cached and resumed alike."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import transformers
import yaml
from safetensors.torch import load_file

from hfft import features, finetune, load_predictor
from hfft.commands.predict import predict
from hfft.recipe import Recipe
from tests import sounds

MODELS = {
    "Wav2Vec2": lambda folder: sounds.wave_model(folder),
    "Wav2Vec2 with a mask": lambda folder: sounds.wave_model(folder, norm="layer"),
    "Hubert": lambda folder: sounds.wave_model(folder, "Hubert"),
    "AST": sounds.ast,
    "Whisper": sounds.whisper,
}


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Each test in a folder of its own, caches included."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "frozen"))
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


def recipe(backbone, run, data=None, layers=None, strategy=None, **training):
    given = {"max_steps": 3, "per_device_train_batch_size": 4, "output_dir": str(run), **training}
    parts = {"data": {"path": "sounds", "validation": "none", **(data or {})}, "layers": layers or {}}
    parts |= {"strategy": strategy or {}, "score": {"scorecard": "off"}, "training": given}
    backbone = backbone if isinstance(backbone, dict) else {"name": str(backbone)}
    return Recipe.model_validate({"name": "r", "task": "audio-classification", "backbone": backbone, **parts})


def weights(result):
    return load_file(result.folder / "model" / "model.safetensors")


def assert_close(left, right, tolerance=1e-5):
    assert left.keys() == right.keys()
    for name in left:
        assert torch.allclose(left[name], right[name], atol=tolerance), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_a_run_is_scored_and_predicted_as_a_pipeline_does(kind, tmp_path):
    sounds.folder(Path("sounds"))
    result = finetune(recipe(MODELS[kind](tmp_path / "model"), "run"))
    assert result.metrics["test"]["n"] == 8
    run, files = str(result.folder), sorted(map(str, Path("sounds/test").rglob("*.wav")))

    predictor = load_predictor(run)
    together, alone = predictor(files), torch.cat([predictor(file) for file in files])
    assert torch.allclose(together, alone, atol=1e-6), "a sound's answer does not depend on its batch"

    pipe = transformers.pipeline("audio-classification", f"{run}/model", device="cpu")
    rate = pipe.feature_extractor.sampling_rate
    for file, row in zip(files, together, strict=True):
        wave = predictor.modality.inputs.served(file, pipe)["array"]
        scores = {one["label"]: one["score"] for one in pipe({"array": wave, "sampling_rate": rate})}
        assert scores == pytest.approx({"high": row[0].item(), "low": row[1].item()}, abs=1e-5)

    rows = list(predict(run, ["sounds/test"], None, None, None, 3))
    assert [row["id"] for row in rows] == files
    assert all(row["error"] is None for row in rows)
    right = np.mean([row["label"] == Path(row["id"]).parent.name for row in rows])
    assert right == pytest.approx(result.metrics["test"]["accuracy"])


def equal_sounds():
    sounds.folder(Path("sounds"), varied=False)


PLAIN = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "feat_proj_dropout": 0.0}
PLAIN |= {"layerdrop": 0.0, "apply_spec_augment": False, "final_dropout": 0.0}
AUGMENT = {
    "augment": ["gain", {"time_shift": {"share": 0.2}}, {"add_noise": {"snr": [5, 20]}}],
    "max_length_seconds": 0.25,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Wav2Vec2", "Wav2Vec2 with a mask", "AST"])
def test_features_of_a_sound_do_not_depend_on_its_batch(kind, tmp_path):
    sounds.folder(Path("sounds"))
    found = [features(str(MODELS[kind](tmp_path / "model")), "sounds", batch_size=size) for size in (1, 5)]
    columns = [np.stack(one["features"]) for one in found]
    assert columns[0].shape[1] == 16
    assert np.allclose(*columns, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Wav2Vec2", "AST"])
def test_eight_rows_at_once_are_four_times_two(kind, tmp_path):
    equal_sounds()
    backbone = {"name": str(MODELS[kind](tmp_path / "model")), "config": PLAIN if kind == "Wav2Vec2" else {}}
    ends = [
        weights(finetune(recipe(backbone, f"run {size}", AUGMENT, per_device_train_batch_size=size, **more)))
        for size, more in ((8, {}), (2, {"gradient_accumulation_steps": 4}))
    ]
    assert_close(*ends)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Wav2Vec2", "AST", "Whisper"])
def test_a_cached_run_ends_as_one_without(kind, tmp_path, capsys):
    equal_sounds()
    backbone = {"name": str(MODELS[kind](tmp_path / "model")), "config": PLAIN if kind == "Wav2Vec2" else {}}
    ends = []
    for cache in ("off", "auto"):
        layers = {"train": "head", "cache": cache}
        given = {"layers": layers, "max_steps": 12, "learning_rate": 1e-2}
        ends.append(weights(finetune(recipe(backbone, f"run {len(ends)}", **given))))
    assert_close(*ends)
    assert "cache: everything before the head runs once" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {"head": {"kind": "mlp"}},
        {"use": "classifier", "classifier": {"type": "logistic-regression"}},
        {"layers": {"adapter": {"type": "lora", "r": 2}}},
    ],
)
def test_own_heads_classifiers_and_adapters_are_for_sounds_too(given, tmp_path):
    sounds.folder(Path("sounds"))
    plain = recipe(sounds.wave_model(tmp_path / "model"), "run").plain()
    result = finetune(Recipe.model_validate({**plain, "task": "audio-classification", "name": "r", **given}))
    assert result.metrics["test"]["n"] == 8


@pytest.mark.slow
def test_sounds_of_different_lengths_are_not_cached_and_the_run_goes_on(tmp_path, capsys):
    sounds.folder(Path("sounds"))
    finetune(recipe(MODELS["Wav2Vec2"](tmp_path / "model"), "run", layers={"train": "head"}, max_steps=12))
    assert "cache: off, sounds of different lengths are padded to their batch" in capsys.readouterr().out


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_not(tmp_path):
    sounds.folder(Path("sounds"))
    backbone = {"name": str(MODELS["Wav2Vec2"](tmp_path / "model"))}  # masks by numpy's generator, drops by torch's
    steps = {"max_steps": 40, "save_strategy": "steps", "save_steps": 4}
    whole = finetune(recipe(backbone, "whole", AUGMENT, **steps))
    Path("r.yaml").write_text(yaml.safe_dump(recipe(backbone, "killed", AUGMENT, **steps).plain()))
    with subprocess.Popen([sys.executable, "-m", "hfft.cli", "train", "r.yaml"]) as process:
        while process.poll() is None and not list(Path("killed").glob("checkpoint-*/trainer_state.json")):
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    resumed = finetune(recipe(backbone, "killed", AUGMENT, **steps))
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mixup", "fixmatch", "ema", "r_drop"])
def test_methods_work_on_sounds(method, tmp_path):
    sounds.folder(Path("sounds"))
    given = {"sets": {"unlabelled": {"path": "sounds"}}} if method == "fixmatch" else {}
    strategy = {method: {"on": "unlabelled"} if method == "fixmatch" else {}}
    result = finetune(recipe(MODELS["Wav2Vec2"](tmp_path / "model"), "run", given, strategy=strategy))
    assert np.isfinite(result.metrics["test"]["loss"])

"""`use: directly`: a pretrained model scored as it is, in a run folder like any other."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from hfft import finetune
from hfft.cli import main
from hfft.commands.score import score
from hfft.errors import BadInput, ModelError
from hfft.evaluate.outputs import Outputs
from hfft.pipeline import deep_check
from hfft.pipeline.uses import directly
from hfft.predict import load_predictor
from hfft.recipe import Recipe
from hfft.recipe.build import build
from hfft.runs import RunFolder
from tests import stand_ins
from tests.direct import tiny_models

FILES = {"recipe.yaml", "metrics.json", "report.html", "model", "outputs", "data.json", "scorecard.json", "rows.json"}
MAP = "{cat: [tabby, Persian cat], dog: [/terrier/, beagle]}"


@pytest.fixture(scope="module")
def animals(tmp_path_factory) -> Path:
    """Images of cats and dogs."""
    folder = tmp_path_factory.mktemp("data") / "animals"
    rows = {
        name: stand_ins.images(count, "image", "label", ["cat", "dog"], i) for i, (name, count) in enumerate(SPLITS)
    }
    return stand_ins.save_splits(folder, **rows)


@pytest.fixture(scope="module")
def sentences(tmp_path_factory) -> Path:
    """Sentences of three classes."""
    folder = tmp_path_factory.mktemp("data") / "sentences"
    names = ["good_film", "long", "bad"]
    rows = {name: stand_ins.texts(count, "text", "label", names, i) for i, (name, count) in enumerate(SPLITS)}
    return stand_ins.save_splits(folder, **rows)


SPLITS = (("train", 12), ("test", 36))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory) -> str:
    """A convolutional net of five classes, four of them cats and dogs."""
    return tiny_models.resnet(tmp_path_factory.mktemp("models") / "resnet").name


def recipe(folder: Path, model: str, data: Path, head: str = "{}", *overrides: str, task: str = "image") -> Recipe:
    text = f"""
        task: {task}-classification
        use: directly
        backbone: {{name: {model}}}
        head: {head}
        data: {{path: {data}, validation: none}}
        training: {{output_dir: {folder}, use_cpu: true, per_device_eval_batch_size: 8}}
    """
    return build(text, "test.yaml", "test", overrides)


def test_a_run_is_a_folder_like_any_other_and_says_that_nothing_was_trained(tmp_path, animals, resnet, capsys):
    result = finetune(recipe(tmp_path / "run", resnet, animals, f"{{map: {MAP}}}"))
    assert {path.name for path in result.folder.iterdir()} == FILES
    lines = capsys.readouterr().out.splitlines()
    assert "nothing is trained: the model answers with its own head, 4 of its 5 classes summed into 2" in lines
    assert "cat: sum of tabby, tabby cat, Persian cat" in lines
    assert "1 of the model's 5 classes are none of the data's: truck" in lines
    figures = json.loads((result.folder / "metrics.json").read_text())
    assert figures["train"]["steps"] == figures["train"]["epochs"] == 0
    assert figures["test"]["n"] == 36
    outputs = Outputs.read(result.folder / "outputs" / "test.safetensors")
    right = float((outputs.logits.argmax(1) == outputs.references).mean())
    assert figures["test"]["accuracy"] == pytest.approx(right)
    card = (result.model / "README.md").read_text()
    assert "No network was trained; the model answers with its own head" in card
    assert "| cat | tabby, tabby cat; Persian cat |" in card
    assert "`hfft predict path/to/test`" in card
    assert "fine-tuned" not in card
    report = (result.folder / "report.html").read_text()
    assert "No network was trained" in report
    assert "Learning curves" not in report


@pytest.mark.slow
def test_score_and_predict_give_the_classes_of_the_data(tmp_path, animals, resnet, capsys):
    folder = finetune(recipe(tmp_path / "run", resnet, animals, f"{{map: {MAP}}}")).folder
    accuracy = json.loads((folder / "metrics.json").read_text())["test"]["accuracy"]
    for fresh in (False, True):
        first, *rest = score(str(folder), [], fresh)
        assert f"accuracy {accuracy:.4f}" in first
        assert not [line for line in rest if "trained" in line], "no row can have been trained on"
    capsys.readouterr()
    assert main(["predict", str(folder), "--data", str(animals), "--split", "test", "--probabilities"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    expected = torch.from_numpy(Outputs.read(folder / "outputs" / "test.safetensors").logits.copy()).softmax(1)
    found = np.array([[float(row[f"probability_{name}"]) for name in ("cat", "dog")] for row in rows])
    assert np.abs(found - expected.numpy()).max() < 1e-5


@pytest.mark.slow
def test_a_narrowed_model_is_served_by_plain_transformers_with_the_answers_that_were_scored(tmp_path, animals, resnet):
    result = finetune(recipe(tmp_path / "run", resnet, animals, "{map: {dog: beagle, cat: tabby}}"))
    assert result.metrics["use"]["plain"]
    pipe = transformers.pipeline("image-classification", str(result.model), top_k=2)
    rows = stand_ins.images(36, "image", "label", ["cat", "dog"], 1)
    found = [{item["label"]: item["score"] for item in row} for row in pipe([row["image"] for row in rows])]
    logits = torch.from_numpy(Outputs.read(result.folder / "outputs" / "test.safetensors").logits.copy())
    scores = torch.tensor([[row["cat"], row["dog"]] for row in found])
    assert torch.allclose(scores, logits.softmax(1), atol=1e-4)
    assert 'pipeline("image-classification"' in (result.model / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["inference", "encoder"])
def test_texts_are_scored_zero_shot_and_the_saved_run_answers_so(kind, tmp_path, sentences):
    model = getattr(tiny_models, kind)(tmp_path / "model").name
    result = finetune(recipe(tmp_path / "run", model, sentences, "{descriptions: {bad: dull}}", task="text"))
    assert result.metrics["test"]["n"] == 36
    assert result.metrics["use"]["classes"]["bad"] == ["This example is dull." if kind == "inference" else "dull"]
    logits = torch.from_numpy(Outputs.read(result.folder / "outputs" / "test.safetensors").logits.copy())
    texts = stand_ins.texts(36, "text", "label", ["good_film", "long", "bad"], 1)["text"]
    assert torch.allclose(load_predictor(str(result.folder), device="cpu").logits(list(texts)), logits, atol=1e-4)


@pytest.mark.slow
def test_images_are_scored_zero_shot(tmp_path, animals):
    model = tiny_models.clip(tmp_path / "model").name
    result = finetune(recipe(tmp_path / "run", model, animals, "{prompts: ['a {}', '{} film']}"))
    assert result.metrics["use"]["classes"] == {"cat": ["a cat", "cat film"], "dog": ["a dog", "dog film"]}
    again, *_ = score(str(result.folder), [], fresh=True)
    assert f"accuracy {result.metrics['test']['accuracy']:.4f}" in again


def test_a_finished_run_is_told_a_changed_one_refused_and_fresh_starts_over(tmp_path, animals, resnet, capsys):
    plain = recipe(tmp_path / "run", resnet, animals, f"{{map: {MAP}}}")
    finetune(plain)
    capsys.readouterr()
    finetune(plain)
    assert "is finished; add --fresh to run it again" in capsys.readouterr().out
    other = recipe(tmp_path / "run", resnet, animals, "{map: {cat: tabby, dog: beagle}}")
    with pytest.raises(BadInput, match=r"contains a run of another recipe .*head.map.cat"):
        finetune(other)
    assert finetune(other, fresh=True).metrics["use"]["plain"]


@pytest.mark.parametrize("at", ["begin", "score", "save"])
def test_a_run_that_was_killed_is_completed_by_the_same_command(at, tmp_path, animals, resnet, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    same = recipe(tmp_path / "run", resnet, animals, f"{{map: {MAP}}}")
    with monkeypatch.context() as patched:
        patched.setattr(directly.common, at, killed)
        with pytest.raises(KeyboardInterrupt):
            finetune(same)
    assert RunFolder(tmp_path / "run").state() in ("new", "unfinished")
    assert finetune(same).metrics["test"]["n"] == 36
    assert RunFolder(tmp_path / "run").state() == "finished"


def test_rows_that_are_also_in_train_flatter_nobody(tmp_path, resnet, capsys):
    rows = stand_ins.images(36, "image", "label", ["cat", "dog"])
    data = stand_ins.save_splits(tmp_path / "data", train=rows, test=rows)
    result = finetune(recipe(tmp_path / "run", resnet, data, f"{{map: {MAP}}}"))
    assert "too optimistic" not in capsys.readouterr().out
    assert result.metrics["data"]["leaked"] == {}
    assert not [line for line in score(str(result.folder), []) if "optimistic" in line]


def test_what_cannot_be_scored_is_refused_and_leaves_no_run(tmp_path, animals, resnet):
    with pytest.raises(ModelError, match=r"has no classes cat, dog .*fine-tune"):
        finetune(recipe(tmp_path / "run", resnet, animals))
    assert not (tmp_path / "run").exists()


def test_check_and_show_say_what_would_be_scored_and_plan_that_there_is_nothing_to_plan(
    tmp_path, animals, resnet, capsys
):
    plain = recipe(tmp_path / "run", resnet, animals, f"{{map: {MAP}}}")
    shown, checked = deep_check.show(plain), list(deep_check.check(plain))
    assert shown == checked[1:]
    assert shown[-1] == "test: the first 8 rows answered, 2 outputs each"
    assert not (tmp_path / "run").exists()
    file = tmp_path / "r.yaml"
    file.write_text(
        f"task: image-classification\nuse: directly\nbackbone: {{name: {resnet}}}\ndata: {{path: {animals}}}\n"
    )
    assert main(["plan", str(file)]) == 2
    assert "use: is directly, which trains no network" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["resnet", "clip"])
def test_half_precision_scores_as_full_up_to_its_rounding(kind, tmp_path, animals):
    model, head = getattr(tiny_models, kind)(tmp_path / "model").name, f"{{map: {MAP}}}" if kind == "resnet" else "{}"
    both = [
        finetune(recipe(tmp_path / dtype, model, animals, head, f"backbone.dtype={dtype}")).folder / "outputs"
        for dtype in ("float32", "bfloat16")
    ]
    full, half = (Outputs.read(folder / "test.safetensors").logits for folder in both)
    assert 0 < np.abs(full - half).max() < 0.1 * np.abs(full).max()


def test_a_stream_is_scored_without_stored_outputs(tmp_path, animals, resnet):
    stored = finetune(recipe(tmp_path / "a", resnet, animals, f"{{map: {MAP}}}")).metrics["test"]
    result = finetune(recipe(tmp_path / "b", resnet, animals, f"{{map: {MAP}}}", "data.streaming=true"))
    assert result.metrics["test"] == pytest.approx(stored)
    assert not (result.folder / "outputs").exists()


def test_pairs_of_texts_have_no_sentence_about_a_class(tmp_path):
    model = tiny_models.inference(tmp_path / "model").name
    rows = stand_ins.texts(12, "text", "label", ["long", "bad"]).map(lambda row: {"other": row["text"]})
    data = stand_ins.save_splits(tmp_path / "data", train=rows, test=rows)
    with pytest.raises(BadInput, match=r"data.columns.text_pair: .* compares one text with a sentence"):
        finetune(recipe(tmp_path / "run", model, data, "{}", "data.columns.text_pair=other", task="text"))


def test_runs_in_which_nothing_was_trained_are_not_averaged(tmp_path, animals, resnet, capsys):
    folder = finetune(recipe(tmp_path / "run", resnet, animals, f"{{map: {MAP}}}")).folder
    assert main(["soup", str(folder), str(folder.parent / "run2")]) == 2
    assert "only fine-tunes can be averaged" in capsys.readouterr().err

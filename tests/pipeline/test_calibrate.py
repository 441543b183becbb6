"""A calibrated run: the saved model answers as one without, but for a temperature, and everything says the same."""

import json
import textwrap

import numpy as np
import pytest
import torch
import transformers
from datasets import ClassLabel, Dataset, Features, List, Value
from torch import nn

from hfft import finetune
from hfft.errors import BadInput, RecipeError
from hfft.evaluate.outputs import Outputs
from hfft.evaluate.scaling import Scaling
from hfft.modeling import OwnHead
from hfft.pipeline import calibrate
from hfft.predict import load_predictor
from hfft.recipe.build import build
from tests import stand_ins

BERT, NAMES = "google-bert/bert-base-uncased", ["a", "b", "c", "d"]
MORE = ("training.learning_rate=0.03", "training.num_train_epochs=6")
CASES = {
    "stock": (),
    "pooled": ("head.pooling=mean",),
    "mlp": ("head.kind=mlp",),
    "cosine": ("head.kind=cosine",),
    "ema": ("strategy.ema=0.5",),
    "fitted": ("strategy.prototypes={ways: 4, shots: 1}", "head.kind=linear"),
    "frozen": ("layers.train=head", "head.pooling=max", *MORE),
    "merged": ("layers.adapter={type: lora, r: 8}", *MORE),
    "adapter": ("layers.adapter={type: lora, r: 8}", "publish.as=adapter", *MORE),
    "unstored": ("score.outputs=off",),
}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A tiny BERT."""
    return stand_ins.model(BERT, tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory):
    """Texts whose first word tells the class three times of four."""
    made = {}
    for seed, (name, rows) in enumerate({"train": 96, "validation": 80, "test": 40}.items()):
        rng = np.random.default_rng(seed)
        plain = stand_ins.texts(rows, "text", "label", NAMES, seed)
        labels = [int(rng.integers(0, 4)) if rng.random() < 0.3 else y for y in plain["label"]]
        features = Features({"text": Value("string"), "label": ClassLabel(names=NAMES)})
        made[name] = Dataset.from_dict({"text": plain["text"], "label": labels}, features=features)
    return stand_ins.save_splits(tmp_path_factory.mktemp("data") / "doubtful", **made)


def recipe(folder, model, data, *overrides):
    text = textwrap.dedent(f"""
        task: text-classification
        backbone: {{name: {model}}}
        data: {{path: {data}}}
        training: {{output_dir: {folder}, num_train_epochs: 4, learning_rate: 3.0e-3, use_cpu: true}}
    """)
    return build(text, "test.yaml", "test", overrides)


def logits_of(run, texts):
    return load_predictor(str(run.folder), device="cpu").logits(texts)


@pytest.mark.slow
@pytest.mark.sampled(2)
@pytest.mark.parametrize("case", CASES)
def test_a_temperature_is_all_that_a_calibrated_model_differs_by(case, tmp_path, bert, doubtful, capsys):
    plain = finetune(recipe(tmp_path / "plain", bert, doubtful, *CASES[case]))
    run = finetune(recipe(tmp_path / "run", bert, doubtful, *CASES[case], "score.calibrate=temperature"))
    said = run.metrics["calibrated"]
    assert "refused" not in said, said
    texts = Dataset.from_parquet(str(doubtful / "test-00000-of-00001.parquet"))["text"][:]
    before, after = logits_of(plain, texts), logits_of(run, texts)
    torch.testing.assert_close(after * said["temperature"], before, atol=2e-5, rtol=2e-4)
    assert (after.argmax(1) == before.argmax(1)).all()
    assert run.metrics["test"]["accuracy"] == plain.metrics["test"]["accuracy"]
    assert run.metrics["validation"]["loss"] < plain.metrics["validation"]["loss"]
    assert (said["by"], said["fitted_on"], said["fitted_n"]) == ("temperature", "validation", 80)
    if case == "unstored":
        assert said["splits"] == {}
        return
    assert said["changed"] == 0
    for split, rows in (("validation", 80), ("test", 40)):
        one = said["splits"][split]
        assert one["n"] == rows
        assert one["after"]["nll"] == pytest.approx(run.metrics[split]["loss"], abs=1e-5)
        assert one["before"]["nll"] == pytest.approx(plain.metrics[split]["loss"], abs=1e-4)
    stored = torch.from_numpy(np.array(Outputs.read(run.folder / "outputs" / "test.safetensors").logits))
    torch.testing.assert_close(stored, after, atol=1e-5, rtol=1e-4)
    assert "calibrated: temperature" in capsys.readouterr().out
    card = (run.model / "README.md").read_text()
    assert f"temperature {said['temperature']:.3f}" in card
    assert f"| test | 40 | {one['before']['ece']:.4f} | {one['after']['ece']:.4f} |" in card


@pytest.mark.slow
@pytest.mark.parametrize("way", ["temperature", "vector"])
def test_a_pipeline_of_plain_transformers_answers_with_the_new_probabilities(way, tmp_path, bert, doubtful):
    run = finetune(recipe(tmp_path / "run", bert, doubtful, f"score.calibrate={way}"))
    stored = Outputs.read(run.folder / "outputs" / "test.safetensors")
    wanted = torch.from_numpy(np.array(stored.logits)).softmax(1)
    texts = Dataset.from_parquet(str(doubtful / "test-00000-of-00001.parquet"))["text"][:]
    answers = transformers.pipeline("text-classification", str(run.model), top_k=None)(texts)
    found = torch.tensor([[{x["label"]: x["score"] for x in row}[name] for name in NAMES] for row in answers])
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)
    said = run.metrics["calibrated"]
    assert said["splits"]["validation"]["after"]["nll"] < said["splits"]["validation"]["before"]["nll"]
    assert ("scale" in said) == (way == "vector")
    block = json.loads((run.folder / "scorecard.json").read_text())["blocks"]["calibration"]
    assert block["after"]["temperature"] == pytest.approx(1, abs=2e-2), "it is part of the model already"
    assert block["saved"] == said


@pytest.mark.slow
def test_rows_of_several_labels_are_calibrated_too(tmp_path, bert):
    rng = np.random.default_rng(0)
    features = Features({"text": Value("string"), "label": List(ClassLabel(names=NAMES))})
    made = {}
    for name, rows in {"train": 64, "validation": 60, "test": 30}.items():
        labels = [[k for k in range(4) if rng.random() < 0.4] for _ in range(rows)]
        texts = [
            " ".join(stand_ins.WORDS[k] for k in range(4) if (k in y) ^ (rng.random() < 0.2)) or "it" for y in labels
        ]
        made[name] = Dataset.from_dict({"text": texts, "label": labels}, features=features)
    data = stand_ins.save_splits(tmp_path / "data", **made)
    several = ("problem_type=multi_label_classification", "score.calibrate=temperature")
    said = finetune(recipe(tmp_path / "run", bert, data, *several)).metrics["calibrated"]
    assert "refused" not in said, said
    assert said["changed"] == 0
    assert said["splits"]["validation"]["after"]["nll"] <= said["splits"]["validation"]["before"]["nll"]


@pytest.mark.slow
def test_a_resumed_and_a_finished_run_have_the_calibrated_model(tmp_path, bert, doubtful, monkeypatch):
    whole = finetune(recipe(tmp_path / "whole", bert, doubtful, "score.calibrate=temperature"))
    parts = recipe(tmp_path / "parts", bert, doubtful, "score.calibrate=temperature")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("hfft.pipeline.finetune.save_model", killed)
    with pytest.raises(KeyboardInterrupt):
        finetune(parts)
    monkeypatch.undo()
    resumed = finetune(parts)
    assert (resumed.model / "model.safetensors").read_bytes() == (whole.model / "model.safetensors").read_bytes()
    assert finetune(parts).metrics["calibrated"] == resumed.metrics["calibrated"]
    with pytest.raises(BadInput, match=r"score\.calibrate: temperature, now none"):
        finetune(recipe(tmp_path / "parts", bert, doubtful))


@pytest.mark.slow
def test_rows_without_a_mistake_leave_the_model_as_it_was(tmp_path, bert, capsys):
    data = stand_ins.data("CogComp/trec", tmp_path / "trec")
    clear = ("training.num_train_epochs=10", "data.validation=0.2", "score.calibrate=temperature")
    run = finetune(recipe(tmp_path / "run", bert, data, *clear))
    assert run.metrics["validation"]["accuracy"] == 1
    assert run.metrics["calibrated"]["refused"].startswith("none of 24 validation rows is wrong")
    assert "not calibrated: " in capsys.readouterr().out
    assert "not calibrated" in (run.model / "README.md").read_text()


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (
            ("problem_type=regression", "score.metrics=[mse]"),
            "scales the probabilities of classes, but regression has none",
        ),
        (
            ("data.validation=none",),
            r"fitted on validation rows, but data\.validation is none; name a split or a share",
        ),
        (("data.streaming=true", "training.max_steps=1"), r"stored validation rows; use data\.streaming=false"),
        (("head.kind=cosine", "score.calibrate=vector"), "the head of kind cosine has no bias; use temperature"),
        (("use=directly",), r"is not read by use=directly; leave it out, or set use=fine-tune, use=classifier"),
    ],
)
def test_a_recipe_that_cannot_be_calibrated_is_refused(overrides, why, bert, doubtful):
    with pytest.raises(RecipeError, match=rf"score\.calibrate.*{why}"):
        recipe("run", bert, doubtful, "score.calibrate=temperature", *overrides)


def test_a_class_without_validation_rows_is_refused_before_training(tmp_path, bert, doubtful):
    rows = Dataset.from_parquet(str(doubtful / "train-00000-of-00001.parquet"))
    few = rows.filter(lambda row: row["label"] != 2, load_from_cache_file=False)
    data = stand_ins.save_splits(tmp_path / "data", train=rows, validation=few)
    with pytest.raises(BadInput, match=r"score\.calibrate: is vector, but 'c' has no validation row; use temperature"):
        finetune(recipe(tmp_path / "run", bert, data, "score.calibrate=vector"))


def test_a_head_that_does_not_end_with_one_linear_layer_is_refused():
    model = transformers.AutoModelForSequenceClassification.from_config(
        transformers.GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=11, num_labels=3, pad_token_id=0)
    )
    assert isinstance(calibrate.last_scaled(model, "temperature"), nn.Linear)
    with pytest.raises(BadInput, match=r"the last layer of gpt2 has no bias to shift a class by; use temperature"):
        calibrate.last_scaled(model, "vector")
    two = transformers.DeiTForImageClassificationWithTeacher(
        transformers.DeiTConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, num_labels=3
        )
    )
    with pytest.raises(
        BadInput, match=r"the head of deit does not end with one \(Linear\); use none, or head\.kind=linear"
    ):
        calibrate.last_scaled(two, "temperature")


def test_folding_scales_and_shifts_what_a_layer_answers():
    torch.manual_seed(0)
    x, layer = torch.randn(5, 6), nn.Linear(6, 3)
    before = layer(x)
    scaling = Scaling("vector", np.array([0.5, 2.0, 1.0]), np.array([1.0, 0.0, -3.0]))
    calibrate.fold(layer, scaling)
    torch.testing.assert_close(layer(x), torch.from_numpy(scaling.apply(before.detach().double().numpy())).float())
    cosine = OwnHead(3, 6, "cosine", "mean")
    before = cosine(x)
    calibrate.fold(cosine, Scaling("temperature", np.full(3, 0.25), np.zeros(3)))
    torch.testing.assert_close(cosine(x), before / 4)


@pytest.mark.slow
def test_a_scale_and_a_shift_need_no_stored_outputs(tmp_path, bert, doubtful):
    run = finetune(recipe(tmp_path / "run", bert, doubtful, "score.calibrate=vector", "score.outputs=off", *MORE))
    assert "splits" in run.metrics["calibrated"]
    card = (run.folder / "model" / "README.md").read_text()
    assert "Its logits have a scale and a shift per class; this is part of the last layer" in " ".join(card.split())


def test_what_was_done_is_said_in_lines():
    both = {"before": {"ece": 0.2, "nll": 1.0}, "after": {"ece": 0.1, "nll": 0.5}}
    found = {
        "by": "vector",
        "fitted_on": "validation",
        "fitted_n": 130,
        "temperature": 0.5,
        "at_limit": True,
        "changed": 3,
    }
    first, second = calibrate.in_words({**found, "splits": {"test": {"n": 500, **both}}})
    assert first.startswith(
        "calibrated: a scale and a shift per class, the limit of the search, fitted on validation (n=130)"
    )
    assert first.endswith("; it changes 3 of these answers")
    assert second == "test ece 0.2000 before, 0.1000 after; nll 1.0000 before, 0.5000 after  (n=500)"
    assert calibrate.in_words({"refused": "why"}) == ["not calibrated: why"]

"""Whole runs on word vectors: a file's vocabulary, plain transformers at the end, and a teacher with another tokenizer."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file

from hfft import finetune, load_recipe
from hfft.backbone.word_vectors import build
from hfft.commands.predict import predict
from hfft.data import Splits
from hfft.errors import BadInput
from hfft.pipeline.build import build_run
from hfft.pipeline.soup.soup import soup
from hfft.pipeline.vocabulary import with_vocabulary
from hfft.predict.predictor import load_predictor
from hfft.train import training_arguments
from tests import stand_ins

TEXT = "Who was the GOOD film about?"
ALONE = """
import sys
sys.modules["hfft"] = None  # importing it fails
import json
import transformers
piped = transformers.pipeline("text-classification", sys.argv[1], trust_remote_code=True)
answer = piped(sys.argv[2], top_k=None)
print(json.dumps({one["label"]: one["score"] for one in answer}))
"""


def vectors(path, words=stand_ins.WORDS, width=8):
    """A file of GloVe's format: a vector for each word."""
    rng = np.random.default_rng(0)
    lines = [f"{word} {' '.join(f'{x:.4f}' for x in rng.normal(0, 0.5, width))}" for word in words]
    path.write_text("\n".join(lines) + "\n")
    return path


def recipe(folder, *overrides, words=stand_ins.WORDS):
    """A tiny net on a file of vectors, on questions."""
    if not (folder / "data").exists():
        stand_ins.data("CogComp/trec", folder / "data")
        vectors(folder / "v.txt", words)
    text = (
        f"task: text-classification\nbackbone: {{name: {folder / 'v.txt'}, rnn: {{hidden_size: 8}}}}\n"
        f"data: {{path: {folder / 'data'}, columns: {{text: text, label: coarse_label}}, validation: 0.2}}\n"
        f"training: {{max_steps: 6, per_device_train_batch_size: 8, use_cpu: true, save_strategy: steps, save_steps: 3, "
        f"learning_rate: 0.01}}\nscore: {{scorecard: off}}\n"
    )
    (folder / "r.yaml").write_text(text)
    return load_recipe(folder / "r.yaml", f"training.output_dir={folder / 'run'}", *overrides)


def built(given, folder):
    """The run of a recipe, before training."""
    return build_run(given, training_arguments(given, output_dir=str(folder), report_to="none"))


def splits(texts, size=3):
    """Splits of these training texts."""
    rows = Dataset.from_dict({"text": texts, "labels": [0] * len(texts)})
    return Splits(rows, None, None, {"text": "text"}, {}, {"train": size})


def test_the_words_of_the_training_texts_are_counted(tmp_path):
    given = recipe(tmp_path, words=["the", "film", "good"])
    found, [line] = with_vocabulary(given, splits(["The film", "a GOOD film", "of the unknown"]))
    assert line == "3 of 6 words of the training texts have no vector and share one; the vocabulary has 3 words"
    assert found.backbone.words == ("GOOD", "The", "a", "film", "of", "the", "unknown")
    assert found.resolved() == given.resolved()
    same, none = with_vocabulary(load_recipe("bert_sst2"), splits(["the"]))
    assert same.backbone.words == ()
    assert none == []


def test_streamed_texts_are_not_read_for_their_words(tmp_path):
    given = recipe(tmp_path)
    found, [line] = with_vocabulary(given, splits(["the"], size=None))
    assert found.backbone.words == ()
    assert line.startswith(f"vocabulary: the first {len(stand_ins.WORDS)} words of ")


def without_hfft(model, folder):
    """What plain transformers answers to a text, with the file beside a model and without the package."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_MODULES_CACHE": str(folder / "modules"), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", ALONE, str(model), TEXT], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


def with_hfft(run):
    """What the package answers."""
    found = load_predictor(str(run), device="cpu")
    probabilities = found([TEXT])[0].tolist()
    return {found.model.config.id2label[i]: p for i, p in enumerate(probabilities)}


@pytest.mark.slow
def test_a_run_ends_with_a_model_that_plain_transformers_loads_and_is_resumed_to_the_same_bits(tmp_path, capsys):
    more = ["backbone.rnn.max_words=3", "training.save_total_limit=2"]
    whole = finetune(recipe(tmp_path, *more, words=stand_ins.WORDS[:-4]))
    said = capsys.readouterr().out
    assert f"r: a new LSTM on the word vectors of {tmp_path / 'v.txt'}, on {tmp_path / 'data'}, 6 classes" in said
    assert "words of the training texts have no vector and share one" in said
    answer = without_hfft(whole.model, tmp_path)
    assert with_hfft(whole.folder) == pytest.approx(answer, abs=1e-5)
    [row] = predict(str(whole.folder), [TEXT], None, "test", None, 4)
    assert row["label"] == max(answer, key=answer.get)
    card = (whole.model / "README.md").read_text()
    assert "modeling_hfft.py" in card
    assert "A new LSTM on the word vectors of `v.txt`, trained on `data` for text-classification." in card
    assert str(tmp_path) not in card
    assert "pretrained word vectors, a new LSTM</dd>" in (whole.folder / "report.html").read_text()
    # From the checkpoint in the middle, to the same end bit for bit.
    before = load_file(whole.model / "model.safetensors")
    (whole.folder / "metrics.json").unlink()
    (whole.folder / "checkpoint-6" / "trainer_state.json").unlink()
    again = finetune(load_recipe(whole.folder / "recipe.yaml"))
    after = load_file(again.model / "model.safetensors")
    assert "continuing from" in capsys.readouterr().out
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert again.metrics["test"] == whole.metrics["test"]


@pytest.mark.slow
def test_a_run_is_averaged_with_its_start_whose_vocabulary_is_that_of_the_training_texts(tmp_path):
    whole = finetune(recipe(tmp_path, "backbone.rnn.max_words=3"))
    found = soup([str(whole.folder)], with_start="0.5", output=tmp_path / "soup", say=lambda *lines: None)
    folders = (whole.model, found / "model")
    end, mixed = (load_file(folder / "model.safetensors")["model.embeddings.weight"] for folder in folders)
    start = build.table_of_file(load_recipe(whole.folder / "recipe.yaml").backbone.with_words(tuple(stand_ins.WORDS)))
    torch.testing.assert_close(mixed, (start + end) / 2)


@pytest.mark.slow
def test_a_finished_net_is_a_backbone_whose_frozen_layers_run_once(tmp_path, capsys):
    whole = finetune(recipe(tmp_path, "backbone.rnn.max_words=3"))
    more = [f"backbone={{name: {whole.folder}}}", "layers.train=head", "head.kind=mlp", "training.max_steps=30"]
    capsys.readouterr()
    places = f"training.output_dir={tmp_path / 'cached'}", f"training.output_dir={tmp_path / 'off'}"
    cached = finetune(recipe(tmp_path, *more, places[0], f"layers.cache={{dir: {tmp_path / 'cache'}}}"))
    assert "cache: everything before the head runs once" in capsys.readouterr().out
    off = finetune(recipe(tmp_path, *more, places[1], "layers.cache=off"))
    left, right = (load_file(run.model / "model.safetensors") for run in (cached, off))
    assert left.keys() == right.keys()
    assert all(torch.allclose(left[key], right[key], atol=1e-6) for key in left)
    assert (cached.model / "modeling_rnn.py").is_file()
    assert with_hfft(cached.folder) == pytest.approx(without_hfft(cached.model, tmp_path), abs=1e-5)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A folder with a teacher that reads other tokens than the student, its classes in another order."""
    folder = tmp_path_factory.mktemp("taught")
    classes = stand_ins.TREC[::-1]
    auto = "AutoModelForSequenceClassification"
    stand_ins.teacher("google-bert/bert-base-uncased", auto, classes, folder / "teacher")
    return folder


@pytest.mark.parametrize("augment", ["[]", "[word_swap]"])  # it answers for the rows as they are stored
def test_a_teacher_with_another_tokenizer_reads_each_row_in_its_own_way(augment, taught):
    given = recipe(taught, f"strategy.distillation.teacher={taught / 'teacher'}", f"data.augment={augment}")
    run = built(given, taught / "run")
    [method] = run.trainer.methods
    found = method.outputs.kept[torch.arange(len(run.splits.train))]
    predictor = load_predictor(str(taught / "teacher"), device="cpu")
    expected = predictor.logits(run.splits.train["text"])
    order = [list(predictor.model.config.id2label.values()).index(name) for name in run.labels.names]
    torch.testing.assert_close(found, expected[:, order], atol=1e-5, rtol=1e-4)
    assert method.outputs.model is None


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            "strategy.hints.teacher={}",
            r"strategy\.hints\.teacher: .* has another tokenizer than this model .* same tokens",
        ),
        (
            "strategy={{distillation: {{teacher: {}}}, fgm: 0.1}}",
            r"strategy\.distillation\.teacher: .* another tokenizer .* but strategy\.fgm changes the inputs in every step",
        ),
    ],
)
def test_what_needs_the_same_tokens_refuses_such_a_teacher(taught, overrides, said):
    with pytest.raises(BadInput, match=said):
        built(recipe(taught, overrides.format(taught / "teacher")), taught / "run")


@pytest.mark.slow
def test_a_run_with_such_a_teacher_compares_both_on_their_own_inputs(taught, capsys):
    output = f"training.output_dir={taught / 'distilled'}"
    result = finetune(recipe(taught, f"strategy.distillation.teacher={taught / 'teacher'}", output))
    found = result.metrics["compared"]["distillation"]
    texts = Dataset.from_parquet(str(taught / "data" / "test-00000-of-00001.parquet"))["text"]
    left, right = (load_predictor(str(folder), device="cpu") for folder in (result.folder, taught / "teacher"))
    names = [[model.model.config.id2label[i] for i in model(texts).argmax(1).tolist()] for model in (left, right)]
    agreement = np.mean([a == b for a, b in zip(*names, strict=True)])
    assert found["agreement"] == pytest.approx(agreement)
    assert found["reference"]["parameters"] > found["model"]["parameters"]

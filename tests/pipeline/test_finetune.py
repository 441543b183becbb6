"""A whole run: every problem, continuing, finishing, refusing, predicting, checking."""

from __future__ import annotations

import json
import math
import textwrap
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import transformers
from datasets import ClassLabel, Dataset, Features, Sequence, Value
from safetensors.torch import load_file

from hfft import cli, finetune
from hfft.errors import BadInput, DataError, ModelError
from hfft.predict import load_predictor
from hfft.recipe import Recipe, load_recipe
from hfft.recipe.build import build
from tests import stand_ins

BERT = "google-bert/bert-base-uncased"


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    """A tiny BERT."""
    return stand_ins.model(BERT, tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def trec(tmp_path_factory) -> Path:
    """Six classes of sentences."""
    return stand_ins.data("CogComp/trec", tmp_path_factory.mktemp("data") / "trec")


def recipe(folder: Path, model: Path, data: Path, more: str = "", *overrides: str, **training: object) -> Recipe:
    """A text recipe of two epochs over a tiny model."""
    settings = {"num_train_epochs": 2, "per_device_train_batch_size": 16, "learning_rate": 3e-3, "use_cpu": True}
    lines = "".join(f"  {key}: {value!r}\n" for key, value in {**settings, **training}.items())
    text = textwrap.dedent(f"""
        task: text-classification
        backbone: {{name: {model}}}
        data: {{path: {data}, validation: 0.2}}
        training:
          output_dir: {folder}
    """)
    return build(text + lines.replace("True", "true") + textwrap.dedent(more), "test.yaml", "test", overrides)


@pytest.mark.slow
def test_a_run_leaves_its_folder_and_a_model_that_plain_transformers_loads(tmp_path, bert, trec, capsys):
    result = finetune(recipe(tmp_path / "run", bert, trec, num_train_epochs=8))
    assert result.metrics["test"]["accuracy"] > 0.9, "the first word tells the class"
    kept = {path.name.partition("-")[0] for path in result.folder.iterdir()}
    assert kept == {
        "recipe.yaml",
        "metrics.json",
        "layers.json",
        "report.html",
        "trainer_state.json",
        "checkpoint",
        "model",
        "outputs",
        "data.json",
        "trained_rows.safetensors",
        "scorecard.json",
        "rows.json",
    }
    classify = transformers.pipeline("text-classification", model=str(result.model))
    assert classify("who is it")[0]["label"] in {"ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"}
    config = classify.model.config
    assert config.id2label == dict(enumerate(["ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"]))
    assert config.label2id == {name: i for i, name in config.id2label.items()}
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("epoch ") for line in lines) == 8, "one clear line per epoch"
    assert "(n=24, seed 42)" in next(line for line in lines if line.startswith("test "))
    assert lines[-2].startswith("test (n=24): so few rows say little; an accuracy of ")
    assert lines[-1].startswith("run folder: ")


FEW = ("data.max_train_samples=37", "data.max_eval_samples=37", "score.from_scratch=false", "training.max_steps=2")
DROP = "training.dataloader_drop_last=true"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "docstrings"])
@pytest.mark.parametrize("batch", [8, 64])
def test_dropping_the_last_batch_leaves_every_held_out_row_scored(name, batch, tmp_path):
    place = f"training.output_dir={tmp_path / 'run'}"
    sizes = ("training.per_device_train_batch_size=8", f"training.per_device_eval_batch_size={batch}")
    found = finetune(load_recipe(name, *FEW, DROP, place, *sizes)).metrics
    assert found["test"]["n"] == found["validation"]["n"] == 37


def test_a_training_without_one_full_batch_is_refused(tmp_path):
    place = f"training.output_dir={tmp_path / 'run'}"
    with pytest.raises(
        BadInput, match=r"dataloader_drop_last: no batch of 64 rows is full with 37 training rows; lower "
    ):
        finetune(load_recipe("digits", *FEW, DROP, place, "training.per_device_train_batch_size=64"))


@pytest.mark.slow
@pytest.mark.sampled(1)
@pytest.mark.parametrize("learns", ["layers.train=last-1", "layers.train=all", "layers.adapter={type: lora, r: 2}"])
def test_checkpointing_reentrant_or_not_changes_no_weight(learns, tmp_path):
    still = "backbone.config={hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0, classifier_dropout: 0.0}"
    found = {}
    for kind in ("off", "false", "true"):
        given = f"training.gradient_checkpointing_kwargs={{use_reentrant: {kind}}}"
        on = () if kind == "off" else ("training.gradient_checkpointing=true", given)
        on = (*on, "training.optim=sgd", "training.learning_rate=0.1")  # AdamW makes whole steps of rounding
        run = finetune(load_recipe("docstrings", *FEW, still, learns, *on, f"training.output_dir={tmp_path / kind}"))
        found[kind] = load_file(run.model / "model.safetensors")
    for kind in ("false", "true"):
        for name, tensor in found["off"].items():
            torch.testing.assert_close(found[kind][name], tensor, rtol=1e-4, atol=1e-6, msg=f"{kind} {name}")


@pytest.mark.slow
def test_the_same_command_says_that_a_run_is_finished_and_its_recipe_repeats_it(tmp_path, bert, trec, capsys):
    first = finetune(recipe(tmp_path / "run", bert, trec))
    weights = (first.model / "model.safetensors").read_bytes()
    again = finetune(recipe(tmp_path / "run", bert, trec))
    assert "is finished" in capsys.readouterr().out
    assert again.metrics == json.loads((first.folder / "metrics.json").read_text())
    assert cli.main(["train", str(first.folder / "recipe.yaml"), "--fresh"]) == 0
    assert (first.model / "model.safetensors").read_bytes() == weights, "running recipe.yaml again repeats the run"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({}, ["last"]),
        ({"save_total_limit": 2}, ["first", "last"]),
        # at rate zero no later epoch is better than the first
        ({"load_best_model_at_end": True, "metric_for_best_model": "accuracy", "learning_rate": 0.0}, ["first"]),
    ],
)
def test_a_finished_run_keeps_the_checkpoint_of_its_model(settings, left, tmp_path, bert, trec):
    folder = finetune(recipe(tmp_path / "run", bert, trec, **settings)).folder
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    steps = [int(path.name.split("-")[1]) for path in found]
    total = json.loads((folder / "trainer_state.json").read_text())["global_step"]
    assert steps == [{"first": total // 2, "last": total}[name] for name in left]


@pytest.mark.slow
def test_a_name_or_a_dictionary_is_a_recipe_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = {"num_train_epochs": 1, "max_steps": 1, "output_dir": "mine"}
    data = {"path": "digits", "max_train_samples": 16, "max_eval_samples": 10}
    sections = {"task": "image-classification", "backbone": {"name": "nano-vit"}, "data": data, "training": few}
    assert finetune(sections).folder == Path("mine")
    with pytest.raises(BadInput, match="recipe 'digit' is neither a shipped recipe nor a file; did you mean 'digits'"):
        finetune("digit")


@pytest.mark.slow
def test_another_recipe_in_the_same_folder_is_refused_with_the_difference(tmp_path, bert, trec):
    finetune(recipe(tmp_path / "run", bert, trec))
    with pytest.raises(BadInput, match=r"training\.learning_rate: 0\.003, now 0\.02"):
        finetune(recipe(tmp_path / "run", bert, trec, learning_rate=0.02))


@pytest.mark.parametrize("change", ["layers.train=last-30", "data.columns.text=nothing"])
def test_a_refused_run_leaves_no_folder(tmp_path, bert, trec, change):
    with pytest.raises(BadInput):
        finetune(recipe(tmp_path / "run", bert, trec, "", change))
    assert not (tmp_path / "run").exists()


TOKENS = "backbone.edit=[{tokens: [film, '<user>']}]"  # the first has a row already


@pytest.mark.slow
@pytest.mark.parametrize("changes", [(), (TOKENS, "layers.adapter={type: lora, r: 2}")], ids=["all", "new-tokens"])
def test_a_run_that_broke_off_continues_and_ends_with_the_same_weights(changes, tmp_path, bert, trec):
    whole = finetune(recipe(tmp_path / "whole", bert, trec, "", *changes, num_train_epochs=3))
    parts = recipe(tmp_path / "parts", bert, trec, "", *changes, num_train_epochs=3)

    class Broken(transformers.TrainerCallback):
        def on_epoch_begin(self, args, state, control, **kwargs):
            if state.global_step >= 6:
                raise KeyboardInterrupt

    import hfft.pipeline.build

    ordinary = hfft.pipeline.build.FineTuner
    try:
        hfft.pipeline.build.FineTuner = lambda *a, callbacks, **k: ordinary(*a, callbacks=[*callbacks, Broken()], **k)
        with pytest.raises(KeyboardInterrupt):
            finetune(parts)
    finally:
        hfft.pipeline.build.FineTuner = ordinary
    assert not (tmp_path / "parts" / "model").exists(), "nothing half-written"
    resumed = finetune(parts)
    assert (resumed.model / "model.safetensors").read_bytes() == (whole.model / "model.safetensors").read_bytes()


def multi_label(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    labels = [sorted({i % 3, (i // 3) % 3}) for i in range(60)]
    words = [
        " ".join([stand_ins.WORDS[10 + j] for j in ys] + list(rng.choice(stand_ins.WORDS[:8], 3))) for ys in labels
    ]
    features = Features({"text": Value("string"), "label": Sequence(ClassLabel(names=["red", "green", "blue"]))})
    rows = Dataset.from_dict({"text": words, "label": labels}, features=features)
    return stand_ins.save_splits(folder, train=rows, test=rows.select(range(20)))


def regression(folder: Path) -> Path:
    words = [" ".join(["good"] * (i % 6) + ["film"] * (5 - i % 6)) for i in range(60)]
    rows = Dataset.from_dict({"text": words, "label": [float(i % 6) for i in range(60)]})
    return stand_ins.save_splits(folder, train=rows, test=rows.select(range(20)))


def pairs(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    first = [str(rng.choice(stand_ins.WORDS)) for _ in range(80)]
    label = [i % 2 for i in range(80)]
    second = [
        w if y else str(rng.choice([v for v in stand_ins.WORDS if v != w])) for w, y in zip(first, label, strict=True)
    ]
    rows = Dataset.from_dict({"text": first, "other": second, "label": label})
    return stand_ins.save_splits(folder, train=rows, test=rows.select(range(20)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "make", "more", "metric", "at_least"),
    [
        ("multi_label_classification", multi_label, "problem_type: multi_label_classification", "f1_micro", 0.75),
        ("regression", regression, "problem_type: regression", "spearman", 0.8),
        ("single_label_classification", pairs, "", "accuracy", 0.4),
    ],
)
def test_every_problem_learns_and_the_pipeline_gives_the_probabilities_of_predict(
    tmp_path, bert, problem, make, more, metric, at_least
):
    data = make(tmp_path / "data")
    columns = ["data.columns.text_pair=other"] if make is pairs else []
    result = finetune(recipe(tmp_path / "run", bert, data, more, *columns, num_train_epochs=15))
    assert result.metrics["test"][metric] >= at_least
    config = transformers.AutoConfig.from_pretrained(result.model)
    assert config.problem_type == problem
    predictor = load_predictor(str(result.folder), device="cpu")
    texts = [("who", "when"), ("a", "a")] if make is pairs else ["good good film", "who where"]
    ours = predictor(texts)
    plain = transformers.pipeline("text-classification", model=str(result.model), device="cpu")
    asked = [{"text": a, "text_pair": b} for a, b in texts] if make is pairs else texts
    for row, expected in zip(asked, ours, strict=True):
        answer = {item["label"]: item["score"] for item in plain(row, top_k=len(config.id2label))}
        assert [answer[config.id2label[i]] for i in range(len(answer))] == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.slow
def test_lora_learns_little_and_is_merged_into_a_model_that_needs_no_peft(tmp_path, bert, trec):
    made = recipe(
        tmp_path / "run", bert, trec, "layers: {adapter: {type: lora, r: 4, lora_alpha: 8}}", num_train_epochs=4
    )
    result = finetune(made)
    layers = json.loads((result.folder / "layers.json").read_text())
    assert {row["layer"]: row["learns"] for row in layers}["embeddings"] is False
    assert {row["layer"]: row["learns"] for row in layers}["head"] is True
    names = list(transformers.AutoModelForSequenceClassification.from_pretrained(result.model).state_dict())
    assert not [name for name in names if "lora" in name]
    again = [row["accuracy"] for row in [result.metrics["test"]]]
    scored = score_again(result.folder)
    assert scored == pytest.approx(again[0], abs=5e-5), "merged scores as unmerged did"


def score_again(folder: Path) -> float:
    from hfft.commands.score import score

    line = next(line for line in score(str(folder), [], fresh=True) if line.startswith("test"))
    return float(line.split("accuracy ")[1].split()[0])


@pytest.mark.slow
def test_score_gives_the_figures_of_the_run_with_and_without_its_model(tmp_path, bert, trec):
    from hfft.commands.score import score

    result = finetune(recipe(tmp_path / "run", bert, trec))
    assert score_again(result.folder) == pytest.approx(result.metrics["test"]["accuracy"], abs=5e-5)
    again = list(score(str(result.folder), [], fresh=True))
    (result.model / "config.json").rename(tmp_path / "config.json")
    assert list(score(str(result.folder), [])) == [
        *again,
        f"from the stored outputs in {result.folder / 'outputs'}; add --fresh to run the model again",
    ]
    shown = next(iter(score(str(result.folder), ["score.metrics=[matthews_correlation]"])))
    assert shown.startswith("validation loss ")
    assert " matthews_correlation " in shown
    (result.folder / "outputs/validation.safetensors").unlink()
    with pytest.raises(BadInput, match="has no finished model"):
        list(score(str(result.folder), []))


@pytest.mark.slow
def test_only_the_layers_asked_for_move(tmp_path, bert, trec):
    result = finetune(recipe(tmp_path / "run", bert, trec, "layers: {train: last-1}"))
    before = transformers.AutoModel.from_pretrained(bert).state_dict()
    after = transformers.AutoModelForSequenceClassification.from_pretrained(result.model).state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[f"bert.{name}"])}
    assert moved
    assert all(name.startswith(("encoder.layer.1.", "pooler.")) for name in moved)
    frozen = [name for name in before if not name.startswith(("encoder.layer.1.", "pooler."))]
    assert result.metrics["frozen"]["tensors"] >= len(frozen), "buffers are compared, too"
    assert result.metrics["frozen"]["moved"] == []
    assert "bit-identical to their loaded values" in (result.folder / "report.html").read_text()


@pytest.mark.slow
def test_layers_are_chosen_by_lists_of_kinds_and_patterns_with_rates_of_their_own(tmp_path, bert, trec):
    choice = 'layers: {train: [norms, /pooler/], freeze: [head], lr: {"/pooler/": 0.0}}'
    result = finetune(recipe(tmp_path / "run", bert, trec, choice))
    before = transformers.AutoModel.from_pretrained(bert).state_dict()
    after = transformers.AutoModelForSequenceClassification.from_pretrained(result.model).state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[f"bert.{name}"])}
    assert moved == {name for name in before if "LayerNorm" in name}, "what learns at rate 0 stays where it is"


@pytest.mark.slow
def test_keep_known_starts_with_the_rows_of_the_shared_classes(tmp_path, bert, trec):
    known = finetune(recipe(tmp_path / "known", bert, trec, num_train_epochs=8))
    changes = ["data.classes=[NUM, ABBR]", "training.max_steps=1", "training.learning_rate=0.0"]
    head = "head: {keep_known: true}"
    result = finetune(recipe(tmp_path / "run", known.model, trec, head, *changes))
    old = transformers.AutoModelForSequenceClassification.from_pretrained(known.model).classifier.weight
    new = transformers.AutoModelForSequenceClassification.from_pretrained(result.model).classifier.weight
    assert torch.equal(new, old[[5, 0]])
    assert result.metrics["test"]["accuracy"] > 0.9, "without a step of training"


@pytest.mark.slow
def test_zeros_begin_at_a_uniform_guess(tmp_path, bert, trec):
    made = recipe(tmp_path / "run", bert, trec, "head: {init: zeros}", max_steps=1, learning_rate=0.0)
    assert finetune(made).metrics["test"]["loss"] == pytest.approx(math.log(6), abs=1e-6)


@pytest.mark.slow
def test_from_scratch_stands_beside_the_pretrained(tmp_path, bert, trec, capsys):
    result = finetune(recipe(tmp_path / "run", bert, trec, "score: {from_scratch: true}"))
    assert set(result.metrics["from_scratch"]) == {"validation", "test"}
    assert "from random weights (n=24, seed 42)" in capsys.readouterr().out
    assert "from random weights" in (result.model / "README.md").read_text()


@pytest.mark.slow
def test_a_stream_trains_as_many_epochs_as_asked_for(tmp_path, bert, trec, capsys):
    made = recipe(
        tmp_path / "run", bert, trec, "", "data.streaming=true", "data.validation=test", "data.max_train_samples=48"
    )
    result = finetune(made)
    assert result.metrics["train"]["steps"] == 6, "48 rows in batches of 16, twice"
    assert result.metrics["test"]["n"] == 24
    assert sum(line.startswith("epoch ") for line in capsys.readouterr().out.splitlines()) == 2


@pytest.mark.slow
def test_class_weights_and_l2_sp_are_part_of_the_loss(tmp_path, bert, trec):
    plain = finetune(recipe(tmp_path / "plain", bert, trec))
    same = finetune(recipe(tmp_path / "zero", bert, trec, "strategy: {l2_sp: {weight: 0.0}}"))
    pulled = finetune(
        recipe(tmp_path / "pulled", bert, trec, "strategy: {l2_sp: {weight: 1.0}, class_weights: balanced}")
    )
    weights = [(r.model / "model.safetensors").read_bytes() for r in (plain, same, pulled)]
    assert weights[0] == weights[1], "weight 0 is no term"
    assert weights[0] != weights[2]
    history = json.loads((pulled.folder / "trainer_state.json").read_text())["log_history"]
    assert any("l2_sp" in entry for entry in history), "each term is logged under its name"


@pytest.mark.slow
def test_the_deep_check_passes_a_good_recipe_and_leaves_nothing(tmp_path, bert, trec, capsys):
    made = recipe(tmp_path / "runs" / "run", bert, trec)
    path = tmp_path / "good.yaml"
    from hfft.recipe import yaml_lines

    path.write_text(yaml_lines.dump(made.resolved()))
    assert cli.main(["check", str(path), "--deep"]) == 0
    out = capsys.readouterr().out
    assert "save and reload: the same outputs" in out
    assert "test: no mistakes found" in out
    assert cli.main(["check", str(path), "--deep", "training.bf16=true", "training.use_cpu=true"]) == 0
    assert not (tmp_path / "runs").exists()
    capsys.readouterr()
    assert cli.main(["show", str(path)]) == 0
    out = capsys.readouterr().out
    assert "parameters learn" in out
    assert "\ncache: off, everything learns\n" in out
    assert "  train_sampling_strategy: group_by_length\n" in out.partition("left open by the recipe")[2]


@pytest.mark.slow
def test_bad_input_is_told_before_training_and_nothing_is_written(tmp_path, bert, trec):
    cases = {
        "no such column": (["data.columns.label=coarse"], DataError),
        "no such split": (["data.test=testing"], DataError),
        "no such class": (["data.classes=[NUM, ABBR, HUMM]"], DataError),
        "no such model": ([f"backbone.name={tmp_path / 'nothing'}"], BadInput),
        "too many blocks": (["layers.train=last-30"], ModelError),
        "no such entry": (["backbone.config.hidden_siz=4"], ModelError),
        "weights for other classes": (["strategy.class_weights={NUM: 1.0}"], BadInput),
    }
    for name, (overrides, kind) in cases.items():
        with pytest.raises(kind) as error:
            finetune(recipe(tmp_path / "run", bert, trec, "", *overrides))
        assert len(str(error.value).splitlines()) == 1, name
        assert not list((tmp_path / "run").glob("*")), name


@pytest.mark.slow
def test_predict_writes_a_table_for_a_whole_set_and_for_texts(tmp_path, bert, trec, capsys):
    result = finetune(recipe(tmp_path / "run", bert, trec))
    capsys.readouterr()
    table = tmp_path / "table.jsonl"
    assert (
        cli.main(["predict", str(result.folder), "--data", str(trec), "--column", "text", "--output", str(table)]) == 0
    )
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    assert [row["id"] for row in rows] == list(range(24))
    labels = datasets.load_dataset(str(trec), split="test").features["coarse_label"].names
    assert {row["label"] for row in rows} <= set(labels)
    (tmp_path / "texts.txt").write_text("who is it\n\nhow many\n")
    assert cli.main(["predict", str(result.folder), "who, when", str(tmp_path / "texts.txt")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "id,label,probability,error"
    assert lines[1].startswith('"who, when",')
    assert len(lines) == 4
    assert cli.main(["predict", str(tmp_path), "a text"]) == 2
    assert cli.main(["predict", str(result.folder)]) == 2
    assert capsys.readouterr().err.count("\n") == 2

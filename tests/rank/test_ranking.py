"""`hfft rank` on tiny models: every score against one computed by hand from plain transformers."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import hfft
from hfft import cli
from hfft.data.load import load_splits
from hfft.errors import BadInput, RunError
from hfft.evaluate.logme import logme
from hfft.rank.h_score import h_score
from hfft.rank.nce import nce
from hfft.rank.probe import linear_probe, nearest_neighbours
from hfft.rank.sample import sample_of
from hfft.rank.table import Row
from hfft.rank.verify import tau
from tests import stand_ins

TEXT = """
task: text-classification
backbone: {name: a}
data: {path: x.csv, columns: {label: kind}, validation: 0.25}
training: {max_steps: 2, per_device_train_batch_size: 8, report_to: none, output_dir: run}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with two BERTs of one architecture, a ResNet with a classifier of its own, texts and images."""
    folder = tmp_path_factory.mktemp("rank")
    for seed, name in enumerate("ab"):
        torch.manual_seed(seed)
        stand_ins.MODELS["google-bert/bert-base-uncased"](folder / name)
    stand_ins.model("microsoft/resnet-50", folder / "resnet", names=["label_0", "other"])
    rows = stand_ins.texts(80, "said", "kind", 2)
    rows.to_csv(str(folder / "x.csv"))
    stand_ins.save_splits(folder / "images", train=stand_ins.images(60, "img", "label", ["label_0", "cat", "dog"]))
    (folder / "r.yaml").write_text(TEXT)
    images = TEXT.replace("text-class", "image-class").replace("x.csv", "images").replace("kind", "label")
    (folder / "i.yaml").write_text(images.replace("{name: a}", "{name: resnet}"))
    return folder


@pytest.fixture(autouse=True)
def here(files, tmp_path, monkeypatch):
    """In that folder, with caches of its own."""
    monkeypatch.chdir(files)
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    return tmp_path


def by_hand(name, texts):
    """The pooler's output and the hidden states of each text, read one by one with transformers alone."""
    tokenizer, model = (
        transformers.AutoTokenizer.from_pretrained(name),
        transformers.AutoModel.from_pretrained(name).eval(),
    )
    pooled, states = [], []
    with torch.no_grad():
        for text in texts:
            found = model(**tokenizer([text], return_tensors="pt"), output_hidden_states=True)
            pooled.append(found.pooler_output[0].numpy())
            states.append([state[0].mean(0).numpy() for state in found.hidden_states])
    return np.stack(pooled), np.array(states).transpose(1, 0, 2)


def train_of(recipe):
    """The rows of a recipe's train split."""
    return load_splits(recipe.data, recipe.the_task, recipe.seed)[0].train


def test_scores_are_those_of_features_computed_by_hand():
    rows = hfft.rank("r.yaml", ["a", "b"])
    assert [(row.name, row.kind) for row in rows if row.kind == "random"] == [("a", "random")], "once per architecture"
    assert len(rows) == 3
    train = train_of(hfft.load_recipe("r.yaml"))
    labels = np.array(train["labels"])
    (floor,) = (row for row in rows if row.kind == "random")
    for row in rows:
        assert row.floor == floor.scores["logme"]
        if row is floor:
            continue
        features = by_hand(row.name, train["said"])[0]
        assert row.scores["logme"] == pytest.approx(logme(features, labels), abs=1e-5)
        assert row.scores["h_score"] == pytest.approx(h_score(features, labels), rel=1e-3)
        assert row.scores["linear"] == linear_probe(features, labels)
        assert row.scores["knn"] == nearest_neighbours(features, labels)
        assert row.pooling == "pooler"
        assert (row.width, row.line) == (64, f"backbone.name={row.name}")
        assert row.parameters == sum(p.numel() for p in transformers.AutoModel.from_pretrained(row.name).parameters())
        assert row.milliseconds > 0
        assert row.input == "64 tokens"


@pytest.mark.slow
def test_layers_are_ranked_from_the_hidden_states_of_one_pass():
    rows = hfft.rank("r.yaml", ["a"], layers=True)
    train = train_of(hfft.load_recipe("r.yaml"))
    _, states = by_hand("a", train["said"])
    found = {row.layer: row for row in rows if row.kind == "pretrained"}
    assert sorted(found) == [0, 1, 2]
    assert [row.kind for row in rows].count("random") == 1
    for layer, row in found.items():
        assert row.scores["logme"] == pytest.approx(logme(states[layer], np.array(train["labels"])), abs=1e-5)
        assert row.pooling == "mean"
    lines = [found[i].line for i in range(3)]
    assert lines == ["", "backbone.name=a 'backbone.edit=[{remove: last-1}]'", "backbone.name=a"]
    whole = transformers.AutoModel.from_pretrained("a")
    block = sum(p.numel() for p in whole.encoder.layer[0].parameters())
    assert found[1].parameters - found[0].parameters == block
    assert found[0].milliseconds < found[1].milliseconds < found[2].milliseconds


@pytest.mark.slow
def test_a_layer_that_says_nothing_is_a_row_that_says_so():
    """The class token of a ViT before its first block is the same for all images."""
    rows = hfft.rank("i.yaml", ["nano-vit"], layers=True)
    assert [row.layer for row in rows if not row.ranked] == [0]
    assert rows[-1].error.startswith("all rows have the same features")
    assert sum(row.ranked for row in rows) >= 3


@pytest.mark.slow
def test_a_published_classifier_is_scored_by_what_it_predicts():
    rows = hfft.rank("i.yaml", ["resnet"])
    (row,) = (row for row in rows if row.kind == "pretrained")
    train = train_of(hfft.load_recipe("i.yaml"))
    model = transformers.AutoModelForImageClassification.from_pretrained("resnet").eval()
    processor = transformers.AutoImageProcessor.from_pretrained("resnet")
    with torch.no_grad():
        logits = model(**processor(list(train["img"]), return_tensors="pt")).logits
    assert row.scores["nce"] == pytest.approx(nce(logits.argmax(1).numpy(), np.array(train["labels"])))
    assert next(row for row in rows if row.kind == "random").scores["nce"] is None
    assert row.input == "64"


@pytest.mark.slow
def test_classes_that_a_model_was_published_with_are_told(capsys):
    assert cli.main(["rank", "i.yaml", "--backbones", "resnet", "--output", "out"]) == 0
    said = capsys.readouterr().out
    assert "resnet was published with 1 of the 3 classes (label_0): it may have been trained on these rows" in said


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "label"), [("regression", "number"), ("multi_label_classification", "[one, two]")])
def test_numbers_and_several_labels_are_ranked(files, problem, label):
    texts = stand_ins.texts(60, "said", "kind", 3)
    kinds = np.array(texts["kind"])
    columns = {"number": kinds * 2.5 + 40, "one": (kinds == 0).astype(int), "two": (kinds < 2).astype(int)}
    rows = datasets.Dataset.from_dict({"said": texts["said"], **columns})
    rows.to_csv(f"{problem}.csv")
    data = f"data.path={problem}.csv", f"data.columns={{text: said, label: {label}}}"
    recipe = hfft.load_recipe("r.yaml", f"problem_type={problem}", *data)
    found = hfft.rank(recipe, ["a"])
    sample = sample_of(recipe)
    features = by_hand("a", sample.splits.train["said"])[0]
    assert found[0].name == "a"
    best = next(row for row in found if row.kind == "pretrained")
    assert best.scores["logme"] == pytest.approx(logme(features, sample.targets), abs=1e-5)
    assert best.scores["linear"] == pytest.approx(linear_probe(features, sample.targets), abs=1e-4)
    assert best.scores["h_score"] is None


@pytest.mark.slow
def test_an_adapter_is_ranked_on_its_backbone(tmp_path):
    from peft import LoraConfig, get_peft_model

    base = transformers.AutoModelForSequenceClassification.from_pretrained("a")
    torch.manual_seed(1)
    adapted = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", target_modules=["query"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "lora")
    where = str(tmp_path / "lora")
    rows = {row.kind: row for row in hfft.rank("r.yaml", [where])}
    train = train_of(hfft.load_recipe("r.yaml"))
    merged = adapted.merge_and_unload().base_model
    merged.save_pretrained(tmp_path / "merged")
    transformers.AutoTokenizer.from_pretrained("a").save_pretrained(tmp_path / "merged")
    features = by_hand(tmp_path / "merged", train["said"])[0]
    assert rows["adapter"].scores["logme"] == pytest.approx(logme(features, np.array(train["labels"])), abs=1e-5)
    assert rows["adapter"].line == f"backbone.name=a 'layers.adapter={{from: {where}}}'"
    assert rows["random"].name == where


def test_the_command_goes_on_after_a_model_that_cannot_be_loaded(capsys, here):
    Path("names.txt").write_text("# models\n./typo\n\nb  # the second\n")
    out = str(here / "out")
    given = [
        "rank",
        "r.yaml",
        "--backbones",
        "a",
        "data.validation=0.5",
        "--backbones-file",
        "names.txt",
        "--rows",
        "30",
    ]
    assert cli.main([*given, "--output", out]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "30 of 40 rows of 0.5 of train" not in lines
    assert any(line.startswith("30 of 40 rows of train, stratified, seed 42") for line in lines)
    assert (
        "./typo: not ranked: backbone.name: there is no folder ./typo; give a folder with a model, or a hub id" in lines
    )
    written = json.loads((here / "out" / "rank.json").read_text())
    assert [row["name"] for row in written["rows"]][-1] == "./typo"
    assert len(written["rows"]) == 4
    assert (here / "out" / "rank.html").read_text().partition("All models")[2].count("<tr>") == 4
    assert (here / "out" / "rank.csv").read_text().count("\n") == 5
    # the same again, from stored features, as JSON on standard output
    assert cli.main([*given, "--output", out, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert [row["logme"] for row in again["rows"]] == [row["logme"] for row in written["rows"]]


def test_a_model_whose_features_are_not_finite_is_a_row_that_says_so(here):
    stand_ins.MODELS["google-bert/bert-base-uncased"](here / "nan")
    weights = load_file(here / "nan" / "model.safetensors")
    name = next(name for name in weights if "word_embeddings" in name)
    save_file({**weights, name: weights[name] * np.nan}, here / "nan" / "model.safetensors", {"format": "pt"})
    with pytest.raises(RunError, match="nan: the features of 60 of 60 rows are not finite"):
        hfft.rank("r.yaml", [str(here / "nan")])


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        (["--backbones"], 2, "no model is named"),
        ([], 2, "no model is named"),
        (["--backbones", "a", "--json", "--csv"], 2, "--json and --csv are two forms of one table"),
        (["--backbones", "a", "b", "--layers"], 2, "--layers ranks the layers of one model; 2 are given: a, b"),
        (
            ["--backbones", "a", "--output", "x.csv"],
            2,
            "--output: x.csv cannot be written (File exists); use another folder",
        ),
        (["--backbones", "a", "--rows", "0"], 2, "--rows: is 0; expected a number of rows"),
        (["--backbones", "a", "--rows", "4"], 2, "--rows: 4 rows are fewer than the 5 folds"),
        (["--backbones", "a", "--verify", "-1"], 2, "--verify: takes the number of models"),
        (["--backbones", "a", "--verify", "2", "--layers"], 2, "--verify fine-tunes models; leave it out, or --layers"),
        (["--backbones-file", "none.txt"], 2, "--backbones-file none.txt: cannot be read (No such file or directory)"),
        (
            ["--backbones", "./x", "./y"],
            1,
            "no model could be ranked\n./x: backbone.name: there is no folder ./x; give a ",
        ),
        (
            ["--backbones", "a", "data.streaming=true", "data.validation=none"],
            2,
            "data.streaming: models are ranked on stored rows",
        ),
        (["--backbones", "a", "task=fill-mask", "data.columns={text: said}"], 2, "task: fill-mask has no labels"),
        (["--backbones", "a", "data.columns={label: none}"], 2, "data.columns.label: no column 'none'"),
        (["--backbones", "resnet"], 1, "no model could be ranked\nresnet: "),
    ],
)
def test_input_that_cannot_be_used_is_a_line_and_a_status(given, status, said, capsys):
    assert cli.main(["rank", "r.yaml", *given]) == status
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


def test_an_unknown_option_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["rank", "r.yaml", "--backbones", "a", "--layer-wise"])
    assert stopped.value.code == 2
    assert "unrecognized arguments: --layer-wise" in capsys.readouterr().err


def test_errors_reach_python_as_they_are():
    with pytest.raises(RunError, match="no model could be ranked"):
        hfft.rank("r.yaml", ["./x"])
    with pytest.raises(BadInput, match="--verify"):
        hfft.rank("r.yaml", ["a"], verify=2)


def test_the_same_rows_are_drawn_for_all_in_the_proportions_of_the_classes():
    rows = stand_ins.texts(200, "said", "kind", 4)
    kept = [i for i, kind in enumerate(rows["kind"]) if kind != 3 or i < 40]  # 50, 50, 50 and 10 rows
    rows.select(kept).to_csv("uneven.csv")
    recipe = hfft.load_recipe("r.yaml", "data.path=uneven.csv", "data.validation=none")
    found, again = sample_of(recipe, 80), sample_of(recipe, 80)
    assert np.bincount(found.targets).tolist() == [25, 25, 25, 5]
    assert found.splits.train["said"] == again.splits.train["said"]
    assert (found.splits.content["train"] == again.splits.content["train"]).all()
    whole = sample_of(recipe, 1000)
    assert len(whole) == 160
    places = [whole.splits.train["row"].index(row) for row in found.splits.train["row"]]
    assert (whole.splits.content["train"][places] == found.splits.content["train"]).all()


def test_tau_is_that_of_scores_and_results():
    rows = [Row(str(i), scores={"logme": s}, verified=v) for i, (s, v) in enumerate([(3, 0.9), (2, 0.7), (1, 0.5)])]
    assert tau(rows, "accuracy", "logme") == pytest.approx(1)
    assert tau(rows, "rmse", "logme") == pytest.approx(-1)
    assert tau(rows[:1], "accuracy", "logme") is None


@pytest.mark.slow
def test_the_best_are_fine_tuned_in_ordinary_runs_which_are_resumed(capsys, here):
    given = ["rank", "r.yaml", "--backbones", "a", "b", "--verify", "2", "--output", str(here / "out"), "--rows", "50"]
    assert cli.main(given) == 0
    said = capsys.readouterr().out
    assert "verified: weighted Kendall's tau with validation accuracy is " in said or "fewer than two different" in said
    written = json.loads((here / "out" / "rank.json").read_text())
    assert [row["verified"] is not None for row in written["rows"]] == [True, True, False]
    for row in written["rows"][:2]:
        folder = row["name"] if row["kind"] == "pretrained" else f"random-{row['name']}"
        run = json.loads((here / "out" / folder / "metrics.json").read_text())
        assert row["verified"] == run["validation"]["accuracy"]
        assert run["data"]["sizes"]["train"] == 50
    assert written["verified"]["models"] == 2
    assert cli.main(given) == 0
    assert capsys.readouterr().out.count("is finished; add --fresh to run it again") == 2

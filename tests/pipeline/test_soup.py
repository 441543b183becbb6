"""`hfft soup`: runs are averaged and interpolated, chosen on rows that none was trained on, and a run folder results."""

import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from hfft import cli, load_recipe
from hfft.data.load import load_splits
from hfft.errors import BadInput
from hfft.pipeline.soup.bench import Bench
from hfft.pipeline.soup.members import open_members
from hfft.pipeline.soup.weights import average
from hfft.train.norm_statistics import norms
from tests import stand_ins

pytestmark = pytest.mark.slow
TEXT = """
task: text-classification
backbone: {name: model}
data: {path: data, columns: {text: text, label: coarse_label}, validation: 0.2, max_length: 16}
training: {max_steps: 12, per_device_train_batch_size: 8, learning_rate: 1e-3, report_to: none, output_dir: a}
score: {metrics: [accuracy, ece]}
"""
IMAGE = """
task: image-classification
backbone: {name: resnet, processor: {crop_pct: 1.0, size: {shortest_edge: 32}}}
data: {path: images, columns: {image: img, label: label}, validation: 0.2}
training: {max_steps: 6, per_device_train_batch_size: 8, learning_rate: 1e-3, report_to: none, output_dir: r1}
"""
LORA = ["layers.adapter={type: lora, r: 2, init_lora_weights: false}", "publish.as=adapter"]
RUNS = {
    "a": ["t.yaml", "training.data_seed=1"],
    "b": ["t.yaml", "training.data_seed=2"],
    "c": ["t.yaml", "training.seed=3"],
    "lora1": ["t.yaml", "training.data_seed=1", *LORA],
    "lora2": ["t.yaml", "training.data_seed=2", *LORA],
    "r1": ["i.yaml", "training.data_seed=1"],
    "r2": ["i.yaml", "training.data_seed=2"],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with finished runs."""
    folder = tmp_path_factory.mktemp("soup")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
        stand_ins.model("google-bert/bert-base-uncased", Path("model"))
        stand_ins.data("CogComp/trec", Path("data"))
        stand_ins.model("microsoft/resnet-50", Path("resnet"))
        stand_ins.data("uoft-cs/cifar10", Path("images"))
        Path("t.yaml").write_text(TEXT)
        Path("i.yaml").write_text(IMAGE)
        for name, (recipe, *overrides) in RUNS.items():
            assert cli.main(["train", recipe, *overrides, f"training.output_dir={name}"]) == 0
    return folder


@pytest.fixture
def runs(trained, tmp_path, monkeypatch):
    """The same folder as the current one; what is written goes elsewhere."""
    monkeypatch.chdir(trained)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", trained / "cache")
    return tmp_path


def soup(*arguments):
    return cli.main(["soup", *map(str, arguments)])


def refused(capsys, *arguments):
    capsys.readouterr()
    assert soup(*arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


def weights(folder):
    return load_file(Path(folder) / "model" / "model.safetensors")


def test_the_best_of_runs_and_soups_is_a_run(runs, capsys):
    capsys.readouterr()
    assert soup("a", "b", "--output", runs / "ab") == 0
    shown = capsys.readouterr().out.splitlines()
    metrics = json.loads((runs / "ab/metrics.json").read_text())
    table = metrics["soup"]["table"]
    assert [row["name"] for row in table] == [
        "a",
        "b",
        "uniform soup of a, b",
        f"greedy soup of {', '.join(_named(table[3]))}",
    ]
    assert shown[0].split() == ["validation", "(n=24)", "loss", "accuracy", "ece"]
    assert sum(line.endswith("chosen") for line in shown) == sum(row["chosen"] for row in table) == 1
    assert all(set(row["validation"]) == {"loss", "accuracy", "ece", "n"} for row in table)
    [best] = [row for row in table if row["chosen"]]
    assert best["validation"]["accuracy"] == max(row["validation"]["accuracy"] for row in table)
    assert metrics["validation"] == pytest.approx(best["validation"], abs=1e-6)
    members, found = [weights(name) for name in best["runs"]], weights(runs / "ab")
    for name, tensor in found.items():
        expected = np.mean([member[name].double().numpy() for member in members], axis=0)
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-6, atol=1e-7)
    answer = transformers.pipeline("text-classification", str(runs / "ab/model"))("what film was good")[0]
    assert answer["label"] in ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM")
    card = (runs / "ab/model/README.md").read_text()
    assert "chosen by accuracy on the validation rows" in card
    assert "| uniform soup of a, b |" in card.replace(" (chosen)", "")
    assert str(runs) not in card
    assert "Averaged weights" in (runs / "ab/report.html").read_text()
    assert cli.main(["score", str(runs / "ab"), "--fresh"]) == 0
    said = capsys.readouterr().out
    assert f"test loss {metrics['test']['loss']:.4f}" in said


def _named(row):
    return [Path(run).name for run in row["runs"]]


def test_a_uniform_soup_that_is_better_is_chosen(runs, capsys, monkeypatch):
    from hfft.pipeline.soup import bench

    scores = iter([0.5, 0.6, 0.7])
    validate = bench.Bench.validate
    monkeypatch.setattr(bench.Bench, "validate", lambda self: {**validate(self), "accuracy": next(scores)})
    assert soup("a", "b", "--output", runs / "ab") == 0
    metrics = json.loads((runs / "ab/metrics.json").read_text())["soup"]
    assert (metrics["kind"], sorted(metrics["chosen"])) == ("greedy", ["a", "b"])
    expected = average([weights("a"), weights("b")])
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(runs / "ab").items())
    assert "The mean of the weights of 2 runs from one start: `b`, `a`." in (runs / "ab/model/README.md").read_text()


def test_adapters_are_averaged_by_their_change_of_the_weights(runs):
    members, _ = open_members(["lora1", "lora2"])
    found = average([member.weights for member in members])
    files = [load_file(f"{name}/model/adapter_model.safetensors") for name in ("lora1", "lora2")]
    config = json.loads(Path("lora1/model/adapter_config.json").read_text())
    scale = config["lora_alpha"] / config["r"]
    base = load_file("model/model.safetensors")
    downs = [key for key in files[0] if key.endswith("lora_A.weight")]
    assert downs
    for key in downs:
        a, b = ([f[key.replace("lora_A", side)].double().numpy() for f in files] for side in ("lora_A", "lora_B"))
        name = key.removeprefix("base_model.model.").replace(".lora_A", "")
        start = base[name.removeprefix("bert.")].double().numpy()
        expected = start + scale * (b[0] @ a[0] + b[1] @ a[1]) / 2
        np.testing.assert_allclose(found[name].numpy(), expected, atol=1e-6)
        product = start + scale * ((b[0] + b[1]) / 2) @ ((a[0] + a[1]) / 2)
        assert np.abs(found[name].numpy() - product).max() > 1e-5


def test_a_soup_of_adapters_is_a_whole_model(runs):
    assert soup("lora1", "lora2", "--output", runs / "l") == 0
    assert not (runs / "l/model/adapter_config.json").exists()
    assert load_recipe(runs / "l/recipe.yaml").published_as == "merged"
    auto = transformers.AutoModelForSequenceClassification
    _, told = auto.from_pretrained(runs / "l/model", output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]


def test_batch_norms_of_a_soup_have_the_statistics_of_the_training_rows(runs):
    members, predictor = open_members(["r1", "r2"])
    bench = Bench(members[0].recipe, members, predictor)
    bench.moves(members[0].weights, members[1].weights)
    assert bench.moving == list(norms(bench.model))
    bench.load(average([member.weights for member in members]))
    first = bench.model.resnet.embedder.embedder
    seen = []
    handle = first.convolution.register_forward_hook(lambda *call: seen.append(call[2].double().numpy()))
    bench.predictor.logits(list(bench.held.inputs(bench.splits.train)))
    handle.remove()
    seen = np.concatenate(seen)
    assert len(seen) == 80
    np.testing.assert_allclose(first.normalization.running_mean, seen.mean((0, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(first.normalization.running_var, seen.var((0, 2, 3), ddof=1), rtol=1e-4)
    assert not any(module.training for module in bench.model.modules())
    bench.load(members[0].weights, own_statistics=True)
    assert all(torch.equal(tensor.cpu(), members[0].weights[name]) for name, tensor in bench.model.state_dict().items())
    assert soup("r1", "r2", "--output", runs / "r") == 0
    assert "BatchNorm statistics estimated again" in (runs / "r/report.html").read_text()


def test_a_run_is_interpolated_with_its_start(runs, capsys):
    assert soup("a", "--with-start", "0.25", "--output", runs / "w") == 0
    start, end, found = load_file("model/model.safetensors"), weights("a"), weights(runs / "w")
    for name, tensor in found.items():
        if name.startswith("classifier"):
            assert torch.equal(tensor, end[name])
        else:
            before = start[name.removeprefix("bert.")].double().numpy()
            np.testing.assert_allclose(tensor, 0.75 * before + 0.25 * end[name].double().numpy(), rtol=1e-5, atol=1e-7)
    assert "at 0.25 of the way from its start to its end" in (runs / "w/model/README.md").read_text()
    capsys.readouterr()
    assert soup("a", "--with-start", "0:1:0.5", "--output", runs / "w", "--fresh") == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in shown[1:4]] == ["a, alpha 0", "a, alpha 0.5", "a, alpha 1"]
    scored = json.loads(Path("a/metrics.json").read_text())["validation"]
    table = json.loads((runs / "w/metrics.json").read_text())["soup"]["table"]
    assert table[2]["validation"] == pytest.approx(scored, abs=1e-5)


def test_classes_in_another_order_are_matched_by_name(runs):
    other = runs / "other"
    shutil.copytree("a", other)
    config = json.loads((other / "model/config.json").read_text())
    order = [2, 0, 1, 5, 3, 4]
    names = [config["id2label"][str(i)] for i in order]
    config |= {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    (other / "model/config.json").write_text(json.dumps(config))
    moved = {n: t[order].clone() if n.startswith("classifier") else t for n, t in weights("a").items()}
    save_file(moved, other / "model/model.safetensors", {"format": "pt"})
    members, _ = open_members(["a", str(other)])
    assert all(torch.equal(tensor, members[1].weights[name]) for name, tensor in members[0].weights.items())


def test_validation_rows_that_a_run_was_trained_on_are_left_out(runs, capsys):
    splits = []
    for name in ("a", "c"):
        recipe = load_recipe(f"{name}/recipe.yaml")
        splits.append(load_splits(recipe.data, recipe.the_task, recipe.seed)[0])
    held, seen = (set(splits[0].validation["text"]), set(splits[1].train["text"]))
    left = len(held - seen)
    assert 0 < left < len(held) == 24
    capsys.readouterr()
    assert soup("a", "c", "--output", runs / "ac") == 0
    shown = capsys.readouterr().out
    assert f"validation: {24 - left} of 24 rows are left out, since a run was trained on them" in shown
    metrics = json.loads((runs / "ac/metrics.json").read_text())
    assert metrics["validation"]["n"] == metrics["data"]["sizes"]["validation"] == left
    assert "rows that a run was trained on" in metrics["data"]["origin"]["validation"]


def test_without_an_unseen_validation_row_nothing_is_chosen(runs):
    members, predictor = open_members(["a", "b"])
    everything = np.concatenate([members[0].trained, *load_splits_content("a")])
    seen = [type(member)(**{**vars(member), "trained": everything}) for member in members]
    with pytest.raises(BadInput, match=r"every validation row is a training row of one of the runs \(seeds 42"):
        Bench(members[0].recipe, seen, predictor)


def load_splits_content(name):
    recipe = load_recipe(f"{name}/recipe.yaml")
    return [load_splits(recipe.data, recipe.the_task, recipe.seed)[0].content["validation"]]


def changed(name, into, **sections):
    """A copy of a run whose recipe says something else."""
    shutil.copytree(name, into)
    values = load_recipe(f"{name}/recipe.yaml").resolved()
    for section, keys in sections.items():
        values[section] |= keys
    (into / "recipe.yaml").write_text(json.dumps(values))
    return into


def test_runs_that_cannot_be_averaged_are_refused_with_both_values(runs, capsys):
    assert refused(capsys, "a").endswith("takes several runs, or one with --with-start 0:1:0.1")
    assert refused(capsys, "a", "b", "--with-start", "0.5").startswith("hfft soup takes several runs")
    assert refused(capsys, "a", "./a").startswith("a run is given twice")
    assert refused(capsys, "a", runs / "none").startswith(f"{runs / 'none'} is not a finished run")
    assert refused(capsys, "a", "r1") == (
        "a is for text-classification and single_label_classification, r1 for image-classification and "
        "single_label_classification: not the same task"
    )
    other = changed("b", runs / "b2", backbone={"name": "elsewhere"})
    assert refused(capsys, "a", other) == (
        f"backbone.name is model in a and elsewhere in {other}; only runs from the same start can be averaged"
    )
    fresh = changed("b", runs / "b3", backbone={"init": "random"})
    assert "began at random weights" in refused(capsys, "a", fresh)
    few = changed("b", runs / "b4")
    config = json.loads((few / "model/config.json").read_text())
    config["id2label"]["0"] = "OTHER"
    (few / "model/config.json").write_text(json.dumps(config))
    line = refused(capsys, "a", few)
    assert line.startswith("a has the classes (ABBR, ENTY, DESC, HUM, LOC, NUM)")
    assert "has (OTHER, ENTY, DESC, HUM, LOC, NUM)" in line
    deep = changed("b", runs / "b5")
    config = transformers.BertConfig.from_pretrained("b/model", num_hidden_layers=1)
    transformers.BertForSequenceClassification(config).save_pretrained(deep / "model")
    assert "not the same architecture" in refused(capsys, "a", deep)
    assert "data.… and score.…" in refused(capsys, "a", "b", "training.seed=3", "--output", runs / "x")
    assert "is one of the runs" in refused(capsys, "a", "b", "--output", "a", "--fresh")
    assert "add --fresh to replace it" in refused(capsys, "a", "c", "--output", "b")
    assert Path("b/metrics.json").is_file()
    assert "data.validation" in refused(capsys, "a", "b", "data.validation=none", "--output", runs / "x")

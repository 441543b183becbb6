"""Several tasks on one backbone: each is saved as a model that plain transformers loads, and as a run of its own."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors import safe_open
from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification, pipeline

from hfft import finetune, load_predictor
from hfft.backbone.locate import source
from hfft.cli import main
from hfft.errors import BadInput, ModelError
from hfft.evaluate.outputs import Outputs
from hfft.pipeline.deep_check import check
from hfft.pipeline.record import advised, task_lines
from hfft.pipeline.task_models import OWN, SHARED, share
from hfft.pipeline.task_runs import beside_single
from hfft.publish import reload
from hfft.recipe import load_recipe
from hfft.runs.data_note import NOTE
from hfft.runs.folder import RunFolder

TASKS = [
    {"name": "digit"},
    {"name": "parity", "data": {"columns": {"label": "parity"}}, "loss": {"class_weights": "balanced"}},
    {"name": "ink", "problem_type": "regression", "data": {"columns": {"label": "ink"}}, "weight": 2.0},
]
TRAINING = {"max_steps": 4, "per_device_train_batch_size": 8, "use_cpu": True, "seed": 1, "save_steps": 2}


def recipe(folder, *overrides, **changes):
    """Three tasks of a few digits."""
    data = {"path": "digits", "validation": "none", "max_train_samples": 40, "max_eval_samples": 30}
    sections = {
        "name": "three",
        "task": "image-classification",
        "backbone": {"name": "nano-vit", "config": {"hidden_dropout_prob": 0.1}},
        "tasks": TASKS,
        "data": data,
        "strategy": {"mixing": "equal"},
        "score": {"scorecard": "off"},
        "training": {**TRAINING, "output_dir": str(folder), "save_strategy": "steps", "save_total_limit": 5},
    }
    return load_recipe({**sections, **changes}, *overrides)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run."""
    return finetune(recipe(tmp_path_factory.mktemp("tasks") / "run"))


def tensors(folder):
    """Name -> tensor of a saved model, of all its files."""
    found = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            found |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    return found


@pytest.mark.slow
def test_each_task_loads_in_plain_transformers_with_the_outputs_that_were_scored(run):
    for task, size, problem in (("digit", 10, "single_label"), ("parity", 2, "single_label"), ("ink", 1, "regression")):
        model, info = AutoModelForImageClassification.from_pretrained(run.model / task, output_loading_info=True)
        assert not info["missing_keys"]
        assert (model.config.num_labels, model.config.problem_type.startswith(problem)) == (size, True)
        outputs = Outputs.read(run.folder / "tasks" / task / "outputs" / "test.safetensors")
        predictor = load_predictor(str(run.folder / "tasks" / task))
        from hfft.data import load_splits

        own = load_recipe(run.folder / "tasks" / task / "recipe.yaml")
        rows, _ = load_splits(own.data, own.the_task, own.seed)
        logits = predictor.logits([row["image"] for row in rows.test])
        assert np.allclose(logits.numpy(), outputs.logits, atol=1e-5)
        assert run.metrics["test"][f"{task}_{'rmse' if task == 'ink' else 'accuracy'}"] == pytest.approx(
            json.loads((run.folder / "tasks" / task / "metrics.json").read_text())["test"][
                "rmse" if task == "ink" else "accuracy"
            ]
        )
    assert run.metrics["test"]["n"] == 90
    classified = pipeline("image-classification", str(run.model / "parity"))(rows.test[0]["image"])
    assert {row["label"] for row in classified} == {"even", "odd"}


@pytest.mark.slow
def test_shared_weights_are_on_the_disk_once_and_heads_are_each_tasks_own(run):
    places = {
        (path / SHARED).stat().st_ino
        for task in ("digit", "parity", "ink")
        for path in (run.model / task, run.folder / "tasks" / task / "model")
    }
    assert len(places) == 1
    digit, ink = tensors(run.model / "digit"), tensors(run.model / "ink")
    assert [name for name in digit if not torch.equal(digit[name], ink[name])] == [
        "classifier.bias",
        "classifier.weight",
    ]
    with safe_open(run.model / "ink" / OWN, "pt") as opened:
        assert {opened.get_slice(name).get_shape()[0] for name in opened.keys()} == {1}  # noqa: SIM118


@pytest.mark.slow
def test_a_run_that_goes_on_from_its_middle_ends_with_the_same_bits(run, tmp_path):
    again = tmp_path / "run"
    shutil.copytree(run.folder, again)
    for name in ("model", "tasks", "checkpoint-4"):
        shutil.rmtree(again / name)
    (again / "metrics.json").unlink()
    found = finetune(recipe(again), force=True)  # the folder is another
    for task in ("digit", "parity", "ink"):
        ours, theirs = tensors(run.model / task), tensors(found.model / task)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert found.metrics["test"] == run.metrics["test"]


@pytest.mark.slow
def test_hidden_layers_of_each_tasks_own_are_saved_with_the_task_and_go_on_to_the_same_bits(tmp_path):
    head = {"kind": "mlp", "hidden": [12, 6], "norm": "layer", "dropout": 0.1, "per_task": True}
    first = finetune(recipe(tmp_path / "run", head=head))
    models = {}
    for task, size in (("digit", 10), ("parity", 2), ("ink", 1)):
        model, info = AutoModelForImageClassification.from_pretrained(
            first.model / task, output_loading_info=True, trust_remote_code=True
        )
        assert not info["missing_keys"] | info["unexpected_keys"]
        assert "tasks" not in model.config.own_head
        models[task] = model.state_dict()
        assert models[task]["head.out.weight"].shape == (size, 6)
    assert not torch.equal(models["digit"]["head.dense.weight"], models["ink"]["head.dense.weight"])
    shutil.copytree(first.folder, tmp_path / "again")
    for name in ("model", "tasks", "checkpoint-4"):
        shutil.rmtree(tmp_path / "again" / name)
    (tmp_path / "again" / "metrics.json").unlink()
    found = finetune(recipe(tmp_path / "again", head=head), force=True)
    for task in models:
        ours, theirs = tensors(first.model / task), tensors(found.model / task)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert found.metrics["test"] == first.metrics["test"]


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "best"), [("ink_rmse", min), ("parity_accuracy", max)])
def test_the_best_model_may_be_that_of_one_tasks_metric(metric, best, tmp_path):
    training = {**TRAINING, "output_dir": str(tmp_path), "eval_strategy": "steps", "eval_steps": 1, "save_steps": 1}
    training |= {
        "metric_for_best_model": metric,
        "load_best_model_at_end": True,
        "save_strategy": "steps",
        "save_total_limit": 5,
    }
    data = {"path": "digits", "validation": 0.2, "max_train_samples": 40, "max_eval_samples": 30}
    found = finetune(recipe(tmp_path, training=training, data=data))
    state = json.loads((tmp_path / "checkpoint-4" / "trainer_state.json").read_text())
    figures = [row[f"eval_{metric}"] for row in state["log_history"] if f"eval_{metric}" in row]
    assert len(figures) == 4
    assert state["best_metric"] == best(figures)
    assert found.metrics["validation"][metric] == pytest.approx(best(figures), abs=1e-6)


def test_a_best_model_of_no_tasks_metric_is_refused(tmp_path):
    said = "is 'accuracy', which is not scored; add it to score.metrics or choose from digit_accuracy, .*, ink_rmse"
    with pytest.raises(BadInput, match=said):
        recipe(tmp_path, "training.metric_for_best_model=accuracy")
    with pytest.raises(BadInput, match="greater_is_better: is True, the wrong direction for ink_rmse"):
        recipe(tmp_path, "training.metric_for_best_model=ink_rmse", "training.greater_is_better=true")


def test_layers_of_each_tasks_own_need_tasks_and_layers(tmp_path):
    with pytest.raises(BadInput, match="the architecture's own has not to share; use kind: mlp"):
        recipe(tmp_path, head={"per_task": True})
    with pytest.raises(BadInput, match="linear has not to share"):
        recipe(tmp_path, head={"kind": "linear", "per_task": True})
    with pytest.raises(BadInput, match="the recipe has one; leave it out"):
        load_recipe("digits", "head.kind=mlp", "head.per_task=true")


@pytest.mark.slow
def test_the_same_command_says_what_it_found_and_one_task_is_asked_for_by_name(run, capsys, tmp_path):
    finetune(recipe(run.folder))
    assert "digit: test accuracy" in capsys.readouterr().out
    from hfft.data.builtin import load

    image = tmp_path / "one.png"
    load("digits")["test"][0]["image"].save(image)
    assert main(["predict", str(run.folder), "--task", "parity", str(image)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split(",")[1] in ("even", "odd")
    assert main(["predict", str(run.folder), str(image)]) == 2
    assert "add --task digit" in capsys.readouterr().err
    assert main(["predict", str(run.folder), "--task", "colour", str(image)]) == 2
    assert "has no such task; its tasks are digit, ink, parity" in capsys.readouterr().err
    with pytest.raises(ModelError, match="name the run of one"):
        source(str(run.folder))
    page = (run.folder / "report.html").read_text()
    assert "<h2>Tasks</h2>" in page
    assert "hfft predict" in page


@pytest.mark.slow
def test_frozen_layers_run_once_and_change_nothing(tmp_path):
    models = []
    for cache in ("auto", "off"):
        training = {**TRAINING, "max_steps": 40, "output_dir": str(tmp_path / cache)}
        made = finetune(recipe(tmp_path / cache, layers={"train": "head", "cache": cache}, training=training))
        assert bool(made.metrics["cache"]) == (cache == "auto")
        models.append(tensors(made.model / "ink"))
    assert all(torch.allclose(models[0][name], models[1][name], atol=1e-6) for name in models[0])


@pytest.mark.slow
def test_texts_and_pairs_of_texts_share_a_backbone_and_each_task_can_be_trained_by_itself(tmp_path):
    words = ["red", "green", "blue", "cat", "dog", "tree"]
    rng = np.random.default_rng(0)

    def texts(count):
        return [" ".join(rng.choice(words, rng.integers(2, 9))) for _ in range(count)]

    for name in ("one", "two"):
        for split, count in (("train", 24), ("test", 12)):
            rows = {"text": texts(count), "label": [f"{name}{i % 3}" for i in range(count)]}
            rows |= {"second": texts(count)} if name == "two" else {}
            Dataset.from_dict(rows).to_json(tmp_path / name / f"{split}.jsonl")
    tasks = [
        {"name": "one", "data": {"path": str(tmp_path / "one")}},
        {"name": "two", "data": {"path": str(tmp_path / "two"), "columns": {"text_pair": "second"}}},
    ]
    sections = {"task": "text-classification", "backbone": {"name": "nano-bert"}, "tasks": tasks}
    training = {**TRAINING, "output_dir": str(tmp_path / "run"), "num_train_epochs": 1, "max_steps": -1}
    score = {"scorecard": "off", "single_task": True}
    made = finetune(
        load_recipe({"name": "x", **sections, "data": {"validation": "none"}, "score": score, "training": training})
    )
    model = AutoModelForSequenceClassification.from_pretrained(made.model / "two")
    assert sorted(model.config.id2label.values()) == ["two0", "two1", "two2"]
    beside = made.metrics["tasks"]["two"]["single_task"]["test"]
    assert beside["n"] == 12
    assert beside["what"] == "accuracy"
    assert (made.folder / "single_task" / "two" / "metrics.json").is_file()
    assert load_predictor(str(made.folder / "tasks" / "two")).table([("a", ("red cat", "tree"))])


@pytest.mark.slow
def test_several_labels_a_row_are_a_task_among_others(tmp_path):
    rng = np.random.default_rng(0)
    rows = {"text": [" ".join(rng.choice(["a", "b", "c"], 4)) for _ in range(30)], "kind": ["x", "y", "z"] * 10}
    rows |= {name: rng.integers(0, 2, 30).tolist() for name in ("rude", "kind_of", "long")}
    for split in ("train", "test"):
        Dataset.from_dict(rows).to_json(tmp_path / "data" / f"{split}.jsonl")
    many = {"columns": {"label": ["rude", "kind_of", "long"]}}
    tasks = [
        {"name": "kind", "data": {"columns": {"label": "kind"}}},
        {"name": "tags", "problem_type": "multi_label_classification", "data": many},
    ]
    sections = {"name": "x", "task": "text-classification", "backbone": {"name": "nano-bert"}, "tasks": tasks}
    data = {"path": str(tmp_path / "data"), "validation": "none"}
    training = {**TRAINING, "output_dir": str(tmp_path / "run")}
    made = finetune(load_recipe({**sections, "data": data, "score": {"scorecard": "off"}, "training": training}))
    assert {"tags_f1_micro", "kind_accuracy"} <= set(made.metrics["test"])
    model = AutoModelForSequenceClassification.from_pretrained(made.model / "tags")
    assert (list(model.config.id2label.values()), model.config.problem_type) == (
        ["rude", "kind_of", "long"],
        "multi_label_classification",
    )


def test_models_that_differ_in_what_they_share_stay_whole(tmp_path):
    from safetensors.torch import save_file

    for name, value in (("a", 0.0), ("b", 0.0), ("c", 1.0)):
        (tmp_path / name).mkdir()
        save_file({"body": torch.full((3,), value), "head": torch.randn(2)}, tmp_path / name / "model.safetensors")
    assert share(tmp_path / "b", tmp_path / "a")
    assert not share(tmp_path / "c", tmp_path / "a")
    assert (tmp_path / "c" / "model.safetensors").is_file()
    assert tensors(tmp_path / "a").keys() == {"body", "head"}


WRONG = {
    "tasks.1.name: is 'digit', as that of an earlier task": {"tasks": [TASKS[0], {**TASKS[1], "name": "digit"}]},
    "tasks: has 1 entry; expected 2 at least": {"tasks": TASKS[:1]},
    "tasks.1.loss.ema: unknown key": {"tasks": [TASKS[0], {**TASKS[1], "loss": {"ema": 0.9}}]},
    "tasks.2.loss.class_weights: needs classes": {
        "tasks": [*TASKS[:2], {**TASKS[2], "loss": {"class_weights": "balanced"}}]
    },
    "tasks.0.metrics.0: 'rmse' does not measure": {"tasks": [{**TASKS[0], "metrics": ["rmse"]}, TASKS[1]]},
    "strategy.mixup: is for": {"strategy": {"mixup": 0.2}},
    "score.metrics: are each task's own": {"score": {"metrics": ["accuracy"]}},
    "data.streaming: is not for one of several tasks": {"data": {"path": "digits", "streaming": True}},
    "score.shift: is for a single task": {"score": {"shift": {"later": {"path": "digits"}}}},
    "tasks.0.weight: is 0": {"tasks": [{**TASKS[0], "weight": 0}, TASKS[1]]},
    "tasks.1.data.pth: unknown key": {"tasks": [TASKS[0], {"name": "b", "data": {"pth": "x"}}]},
}


@pytest.mark.parametrize("said", WRONG)
def test_what_is_wrong_is_said_once_and_where_it_stands(said, tmp_path):
    with pytest.raises(BadInput) as caught:
        recipe(tmp_path / "run", **WRONG[said])
    lines = str(caught.value).splitlines()
    assert [line for line in lines if said in line]
    assert len(lines) == 1 or "streaming" in said  # which other sections refuse as well


def test_methods_for_several_tasks_need_them():
    with pytest.raises(BadInput, match="but the recipe has no tasks"):
        load_recipe(
            {
                "name": "x",
                "task": "image-classification",
                "backbone": {"name": "nano-vit"},
                "data": {"path": "digits"},
                "strategy": {"uncertainty": True},
            }
        )


def test_a_task_without_rows_is_refused_by_its_name(tmp_path):
    Dataset.from_dict({"text": ["a b", "c"], "label": ["x", "y"]}).to_json(tmp_path / "full" / "train.jsonl")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "train.csv").write_text("text,label\n")
    tasks = [{"name": name, "data": {"path": str(tmp_path / name)}} for name in ("full", "none")]
    values = {
        "name": "x",
        "task": "text-classification",
        "backbone": {"name": "nano-bert"},
        "tasks": tasks,
        "data": {"validation": "none"},
    }
    with pytest.raises(BadInput, match="task none: "):
        finetune(load_recipe({**values, "training": {"output_dir": str(tmp_path / "run"), "use_cpu": True}}))


def test_rows_that_another_task_trains_on_are_said(tmp_path):
    from hfft.pipeline import rows

    splits, _ = rows.load(recipe(tmp_path, data={"path": "digits", "validation": 0.2}))
    assert [note for note in splits.notes if note.startswith("ink: ") and "training rows of another task" in note]


def test_rows_of_all_tasks_are_counted_together(tmp_path):
    from hfft.pipeline import rows

    noisy = {"path": "digits", "validation": 0.2, "label_noise": {"symmetric": 0.3}}
    tasks = [{"name": "digit"}, {"name": "parity", "data": {"columns": {"label": "parity"}}}]
    splits, _ = rows.load(recipe(tmp_path, data=noisy, tasks=tasks))
    each = [one.wrong_labels["train"] for one in splits.tasks.values()]
    assert min(each) > 0
    assert splits.wrong_labels["train"] == sum(each)


@pytest.mark.slow
def test_why_a_task_is_not_compared_with_itself_alone_is_said(run, tmp_path):
    ours, theirs = (RunFolder(tmp_path / name) for name in ("ours", "theirs"))
    for folder in (ours, theirs):
        shutil.copytree(run.folder / "tasks" / "parity", folder.path)
    same = beside_single(ours, theirs, 0)["test"]
    assert same["difference"]["value"] == 0
    noted = json.loads((theirs.path / NOTE).read_text())
    noted["rows"]["test"] = "others"
    (theirs.path / NOTE).write_text(json.dumps(noted))
    assert beside_single(ours, theirs, 0)["test"] == {"why": "the rows are not the same"}
    (theirs.outputs / "test.safetensors").unlink()
    found = beside_single(ours, theirs, 0)
    assert found["test"] == {"why": "the outputs are not stored (score.outputs)"}
    lines = task_lines("parity", {**json.loads(ours.metrics.read_text()), "single_task": found}, 1)
    assert "parity: test is not compared with the task by itself: the outputs are not stored (score.outputs)" in lines


def test_mixing_rows_is_not_proposed_for_several_tasks(tmp_path):
    losses = [(1, 1.0, 1.0), (2, 0.5, 0.8), (3, 0.1, 1.2), (4, 0.05, 1.4)]
    history = []
    for epoch, train, held_out in losses:
        history += [{"loss": train, "step": epoch, "epoch": epoch}]
        history += [{"eval_loss": held_out, "eval_digit_accuracy": 0.5, "step": epoch, "epoch": epoch}]
    trainer = SimpleNamespace(
        state=SimpleNamespace(log_history=history), args=SimpleNamespace(load_best_model_at_end=False)
    )
    run = SimpleNamespace(trainer=trainer, metrics=SimpleNamespace(scored=["digit_accuracy"]))
    lines = advised(SimpleNamespace(recipe=recipe(tmp_path), run=run))
    assert any("options that narrow the gap" in line for line in lines)
    assert not any("mixup" in line for line in lines)


@pytest.mark.slow
def test_a_deep_check_names_the_metrics_of_every_task(tmp_path):
    lines = list(check(recipe(tmp_path / "run")))
    assert (
        "evaluation: one step done, metrics digit_accuracy, digit_f1_macro, parity_accuracy, parity_f1_macro"
        in "\n".join(lines)
    )
    assert lines[-1] == "save and reload: the same outputs"


@pytest.mark.slow
@pytest.mark.parametrize("bf16", [True, False])
def test_each_saved_model_is_compared_in_the_precision_that_was_scored(bf16, tmp_path, monkeypatch):
    compared, found = reload.answers_difference, []

    def noted(source, *args, **options):
        found.append((source.split("/")[-2], torch.is_autocast_enabled("cpu")))
        return compared(source, *args, **options)

    monkeypatch.setattr(reload, "answers_difference", noted)
    finetune(recipe(tmp_path / "run", f"training.bf16={bf16}", "training.max_steps=1"))
    assert found == [("digit", bf16), ("parity", bf16), ("ink", bf16)]

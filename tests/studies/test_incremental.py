"""Tasks one after another: which runs follow which, and what they say together."""

from __future__ import annotations

import json

import numpy as np
import pytest
from transformers import AutoModelForImageClassification

from hfft.commands.study import _asked
from hfft.errors import BadInput, RecipeError
from hfft.scenarios.incremental.page import course
from hfft.scenarios.incremental.scored import write_outputs
from hfft.studies.find import load_study, make_study
from hfft.studies.incremental import STORE, WAYS
from hfft.studies.page import render_study
from hfft.studies.run import run_study
from hfft.studies.study import Figures, recipe_of
from hfft.tasks.labels import Labels
from tests import stand_ins
from tests.examples import SINGLE
from tests.studies.fake_runs import TINY, figures

GROUPS = [["0", "1"], ["2", "3"], ["4", "5"]]


def study(**options):
    """A study of three tasks."""
    return make_study("incremental", TINY, (), **{"tasks": GROUPS, "seeds": 2, "memory": 12, **options})


def by_name(children):
    return {child.name: child for child in children}


def test_where_only_the_number_of_tasks_is_known_the_data_is_asked_first():
    asked = study(tasks=3)
    [first] = asked.plan({})
    assert (first.name, first.measure) == ("tasks-1", "hfft.scenarios.incremental.tasks:tasks_of")
    known = asked.plan({"tasks-1": Figures({"tasks": GROUPS})})
    assert {child.name for child in known} == {child.name for child in study().plan({})}


def test_each_run_begins_with_the_model_of_the_task_before_and_knows_its_classes(tmp_path):
    children = by_name(study().plan({}))
    made = {name: recipe_of(study(), child, tmp_path) for name, child in children.items()}
    assert made["joint-1"].data.classes == ["0", "1", "2", "3", "4", "5"]
    assert made["joint-1"].data.train_classes is None
    for way in ("plain", *(way for way in WAYS if way not in ("ncm", "lda", "l2p"))):
        for t in (2, 3):
            recipe = made[f"{way}-{t}-2"]
            assert recipe.data.classes == [name for group in GROUPS[:t] for name in group]
            assert recipe.data.train_classes == GROUPS[t - 1]
            assert recipe.head.keep_known
            before = "first" if t == 2 else f"{way}-2"
            expected = f"slca-align-{t - 1}-2" if way == "slca" else f"{before}-2"
            assert recipe.backbone.name == str(tmp_path / expected / "model")
            assert children[f"{way}-{t}-2"].begins_from in children
    assert made["first-1"].backbone.name == "nano-vit"
    assert made["slca-1-1"].training["learning_rate"] == pytest.approx(1e-4)
    assert made["slca-1-1"].layers.head_lr_scale == 10
    assert made["der-2-1"].data.sets["memory"].path == str(tmp_path / "der-memory-1-1" / "memory")
    assert made["ewc-3-1"].strategy.ewc.information == str(tmp_path / "ewc-information-2-1" / "information.safetensors")
    assert made["lwf-3-1"].strategy.lwf.classes == ["0", "1", "2", "3"]
    assert made["slca-2-1"].strategy.ace.enabled


def test_what_is_kept_is_kept_of_the_model_that_learned_the_task(tmp_path):
    children = by_name(study().plan({}))
    for way, what in STORE.items():
        if way == "l2p":
            continue
        for t in (1, 2):
            child = children[f"{way}-{what}-{t}-1"]
            run = children[child.begins_from]
            assert run.name == ("first-1" if t == 1 and way != "slca" else f"{way}-{t}-1")
            recipe = recipe_of(study(), child, tmp_path)
            assert recipe.backbone.name == str(tmp_path / run.name / "model")
            assert recipe.data.sets == {}
            assert recipe.data.train_classes == (None if t == 1 else GROUPS[1])
            assert child.options["before"] == (None if t == 1 else f"{way}-{what}-1-1")
    assert children["replay-memory-1-1"].options["capacity"] == 12
    assert "replay-memory-3-1" not in children  # nothing comes after the last task
    assert "icarl-memory-3-1" in children  # it is what answers


def test_each_task_has_an_adapter_on_the_recipe_s_own_backbone_and_a_pool_of_those_so_far(tmp_path):
    asked = study(tasks=[["0", "1"], ["2"], ["3", "4"]], methods=["l2p"], keys="classes")
    children = by_name(asked.plan({}))
    assert "l2p-2-1" not in children  # a class alone has nothing to learn
    made = {name: recipe_of(asked, child, tmp_path) for name, child in children.items()}
    for t, classes in ((1, ["0", "1"]), (3, ["3", "4"])):
        recipe = made[f"l2p-{t}-1"]
        assert (recipe.data.classes, recipe.data.train_classes) == (classes, None)
        assert (recipe.backbone.name, recipe.layers.adapter, recipe.published_as) == (
            "nano-vit",
            {"type": "lora"},
            "adapter",
        )
        assert children[f"l2p-{t}-1"].begins_from is None
        assert recipe.training["learning_rate"] == pytest.approx(1e-2)
    for t, begins in ((1, "l2p-1-1"), (2, "l2p-1-1"), (3, "l2p-3-1")):
        pool = children[f"l2p-pool-{t}-1"]
        assert pool.begins_from == begins
        assert made[pool.name].backbone.name == "nano-vit"  # what reads the keys has learned nothing
        assert made[pool.name].data.classes == ["0", "1", "2", "3", "4"][: (2, 3, 5)[t - 1]]
        assert pool.options["runs"] == ["l2p-1-1", None, "l2p-3-1"][:t]
        assert (pool.options["keys"], pool.options["task_incremental"], pool.options["last"]) == (
            "classes",
            False,
            t == 3,
        )
        assert pool.options["before"] == (None if t == 1 else f"l2p-pool-{t - 1}-1")


def test_texts_have_prompts_and_settings_name_another_adapter(tmp_path):
    texts = ("task=text-classification", "backbone.name=nano-bert", "data.path=docstrings")
    settings = {"l2p": {"layers.adapter": {"type": "lora", "r": 2}, "training.learning_rate": 0.03}}
    for more, adapter, rate in (
        ({}, {"type": "prompt_tuning", "num_virtual_tokens": 20}, 1e-2),
        (settings, None, 0.03),
    ):
        asked = make_study("incremental", TINY, texts, tasks=GROUPS, methods=["l2p"], settings=more)
        run = recipe_of(asked, by_name(asked.plan({}))["l2p-2-1"], tmp_path)
        assert run.layers.adapter == (adapter or settings["l2p"]["layers.adapter"])
        assert run.training["learning_rate"] == pytest.approx(rate)


def test_adapters_are_left_out_or_refused_where_the_recipe_has_one_that_does_not_suit():
    random = ["backbone.init=random"]
    asked = make_study("incremental", TINY, random, tasks=GROUPS)
    assert "l2p" not in asked.ways
    assert asked.left_out["l2p"].startswith("backbone.init: is random")
    assert not [child for child in asked.plan({}) if child.arm.startswith("l2p")]
    named = make_study("incremental", TINY, random, tasks=GROUPS, methods=["l2p"])
    with pytest.raises(
        BadInput, match=r"methods: l2p does not suit the recipe \(backbone.init: is random.*leave it out"
    ):
        named.check()


def test_rows_that_the_recipe_caps_are_divided_among_the_tasks(tmp_path):
    children = by_name(study().plan({}))
    assert children["first-1"].overrides["data.max_train_samples"] == 13  # of 40
    assert recipe_of(study(), children["joint-1"], tmp_path).data.max_train_samples == 40
    whole = make_study("incremental", TINY, ["data.max_train_samples=null"], tasks=GROUPS)
    assert "data.max_train_samples" not in by_name(whole.plan({}))["plain-2-1"].overrides


def test_settings_of_a_method_replace_its_own(tmp_path):
    settings = {"strategy.der": {"on": "memory", "alpha": 1.0}, "training.learning_rate": 3e-4}
    asked = study(methods=["der"], settings={"der": settings})
    children = by_name(asked.plan({}))
    made = recipe_of(asked, children["der-2-1"], tmp_path)
    assert (made.strategy.der.alpha, made.training["learning_rate"]) == (1.0, 3e-4)
    first = recipe_of(asked, children["der-1-1"], tmp_path)
    assert (first.strategy.der, first.training["learning_rate"]) == (None, 3e-4)
    assert recipe_of(asked, children["first-1"], tmp_path).training["learning_rate"] == 1e-3
    only = study(methods=["der"], settings={"der": {"strategy.der": {"on": "memory", "alpha": 1.0}}})
    assert "der-1-1" not in by_name(only.plan({}))  # nothing of it is at work in the first task


# --- the table, from outputs that are written by hand


def finished(folder, right, classes):
    """A child of which so many of ten rows of each class are right, the others taken for the last class."""
    logits, truth = [], []
    for k, name in enumerate(classes):
        for i in range(10):
            scores = np.zeros(len(classes))
            scores[k if i < right[name] else (len(classes) - 1 if k < len(classes) - 1 else 0)] = 1
            logits.append(scores)
            truth.append(k)
    write_outputs(
        folder / "outputs" / "test.safetensors", np.array(logits), np.array(truth), Labels.of(SINGLE, classes)
    )
    return Figures(dict(figures(0.5).metrics), folder=folder)


@pytest.fixture
def done(tmp_path):
    """Plain fine-tuning forgets, replay does not; joint is above both."""
    found = {"tasks-1": Figures({"tasks": GROUPS})}

    def seen(t):
        return [name for group in GROUPS[:t] for name in group]

    found["joint-1"] = finished(tmp_path / "joint-1", dict.fromkeys(seen(3), 9), seen(3))
    found["first-1"] = finished(tmp_path / "first-1", dict.fromkeys(seen(1), 10), seen(1))
    for way, kept in (("plain", 1), ("replay", 7)):
        for t in (2, 3):
            right = {name: 10 if name in GROUPS[t - 1] else kept for name in seen(t)}
            found[f"{way}-{t}-1"] = finished(tmp_path / f"{way}-{t}-1", right, seen(t))
    for t in (1, 2):
        kept = {"memory": {"rows": 12, "bytes": 3_000_000}, "train": {"seconds": 1.0}}
        found[f"replay-memory-{t}-1"] = Figures(kept, folder=tmp_path)
    return found


def test_the_table_has_accuracy_forgetting_and_what_is_kept(done):
    asked = study(seeds=1, methods=["replay"])
    table = asked.table(done)
    plain, replay = table.row("plain").cells, table.row("replay").cells
    assert plain["last accuracy"].values[1] == pytest.approx((4 * 1 + 2 * 10) / 60)
    assert plain["forgetting"].values[1] == pytest.approx(0.9)
    assert plain["backward transfer"].values[1] == pytest.approx(-0.9)
    assert replay["minus plain"].values[1] == pytest.approx(0.4)
    assert str(replay["kept"]) == "12 rows, 3.0 MB"
    assert replay["average accuracy"].values[1] == pytest.approx(np.mean([1.0, 34 / 40, 48 / 60]))
    assert table.row("joint").cells["last accuracy"].values[1] == pytest.approx(0.9)
    assert replay["seconds"].values[1] == pytest.approx(3 * 2.0 + 2 * 1.0)
    assert (
        "replay keeps most, test accuracy 0.800 after the last task (+40.0 points on plain fine-tuning)" in table.answer
    )
    assert "without being told the task" in table.answer
    [first, second] = table.matrices
    assert [str(cell) for cell in second.cells[2]] == ["0.700", "0.700", "1.000"]
    assert first.title == "plain: accuracy on each task"


def test_the_matrices_are_on_the_page_in_the_terminal_and_in_the_json(done):
    asked = study(seeds=1, methods=["replay"])
    table = asked.table(done)
    page = render_study(asked, table)
    assert "<h3>replay: accuracy on each task</h3>" in page
    assert "after task 3   0.700   0.700   1.000" in "\n".join(table.lines())
    assert json.loads(json.dumps(table.plain()))["matrices"][1]["cells"][2][2]["mean"] == 1.0


def test_a_row_whose_task_is_told_is_said_to_be(done):
    asked = study(seeds=1, methods=["replay"], task_incremental=True)
    table = asked.table(done)
    assert table.row("plain").cells["last accuracy"].values[1] > 0.5
    assert "among the classes of its own task, which it is told" in table.answer


def test_a_method_that_is_not_at_its_end_or_failed_has_no_figures(done):
    asked = study(seeds=1, methods=["replay"])
    failed = {**done, "replay-3-1": Figures(failed="no room")}
    assert course(asked, failed, "replay", 1) is None
    assert asked.table(failed).row("replay").failed == {1: "replay-3-1: no room"}
    tables = study(tasks=3, seeds=1).table({"tasks-1": Figures(failed="no data")})
    assert any("tasks-1: no data" in line for line in tables.failed)


@pytest.mark.slow
def test_a_whole_sequence_runs_and_a_second_call_changes_nothing(tmp_path):
    few = [
        "data.max_train_samples=120",
        "data.max_eval_samples=60",
        "training.num_train_epochs=2",
        "score.scorecard=off",
    ]
    options = {"tasks": [["0", "1"], ["2"]], "seeds": 1, "memory": 12, "methods": ["replay", "ncm"]}
    asked = make_study("incremental", {**TINY, "data": {"path": "digits", "validation": "none"}}, few, **options)
    table = run_study(asked, tmp_path / "study")
    assert table.failed == []
    replay, plain = (table.row(way).cells["last accuracy"].values[1] for way in ("replay", "plain"))
    assert replay > plain + 0.2
    memory = json.loads((tmp_path / "study/children/replay-memory-1-1/metrics.json").read_text())["memory"]
    assert memory["rows"] == 12
    again = run_study(asked, tmp_path / "study")
    assert again.plain() == table.plain()


@pytest.mark.slow
def test_the_published_sequence_is_walked_on_a_tiny_model(tmp_path):
    data = stand_ins.save_splits(
        tmp_path / "data",
        train=stand_ins.images(48, "img", "fine_label", list("abcd")),
        test=stand_ins.images(16, "img", "fine_label", list("abcd"), 1),
    )
    backbone = stand_ins.model("google/vit-base-patch16-224-in21k", tmp_path / "vit")
    words = [f"data.path={data}", f"backbone.name={backbone}", "training.max_steps=2", "training.bf16=false"]
    words += ["training.dataloader_num_workers=0", "training.per_device_train_batch_size=8"]
    asked = load_study("split_cifar100_slca", *words, tasks=2, seeds=1, methods=["slca"])
    table = run_study(asked, tmp_path / "study")
    assert table.failed == []
    assert {row.arm for row in table.rows if row.seeds} == {"joint", "plain", "slca"}
    again = AutoModelForImageClassification.from_pretrained(tmp_path / "study/children/slca-align-2-1/model")
    assert list(again.config.id2label.values()) == list("abcd")


def test_the_command_line_takes_tasks_as_a_number_or_as_classes_and_a_flag_alone():
    asked, _ = _asked(
        "incremental", ["digits", "--tasks", "[[0,1],[2,3]]", "--methods", "der,slca", "--task-incremental"]
    )
    assert (asked.tasks, asked.methods, asked.task_incremental) == ([["0", "1"], ["2", "3"]], ["der", "slca"], True)
    by_pen = ["printed_digits", "data.columns.domain=domain", "--keys", "classes", "--tasks"]
    asked, _ = _asked("incremental", [*by_pen, "domains"])
    assert (asked.tasks, asked.keys) == ("domains", "classes")
    asked, _ = _asked("incremental", [*by_pen, "{domains: [fine, bold]}"])
    assert asked.tasks == {"domains": ["fine", "bold"]}
    asked, _ = _asked("incremental", ["digits", "--task-incremental", "--tasks", "5", "--methods", "ncm"])
    assert (asked.tasks, asked.methods, asked.task_incremental) == (5, ["ncm"], True)
    with pytest.raises(RecipeError, match="memory: is 0"):
        _asked("incremental", ["digits", "--memory", "0"])


def test_a_head_of_hffts_own_is_refused_before_it_begins():
    with pytest.raises(RecipeError, match=r"grows the head .*, but head\.pooling is set; leave it out"):
        make_study("incremental", "digits", ["head.pooling=mean"])

"""What each kind of target and of input says of itself, and how an answer is read."""

import dataclasses

import pytest
import torch

from hfft.tasks.labels import Labels
from hfft.tasks.measure import Measure, is_file, metric_names
from hfft.tasks.modality import IMAGE, TEXT, Modality
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.problem.base import Problem
from hfft.tasks.table import TASKS

SINGLE, MULTI, REGRESSION, MASKED, _, PATCHES = PROBLEMS


def test_what_is_right_of_a_problem_and_how_many_outputs_it_has():
    said = {
        name: (problem.classes, problem.multi_label, problem.per_token, problem.fewest_outputs, problem.unit)
        for name, problem in PROBLEMS.items()
    }
    assert said == {
        "single_label_classification": (True, False, False, 2, "nats"),
        "multi_label_classification": (False, True, False, 2, "nats"),
        "regression": (False, False, False, 1, "squared error"),
        "masked_language_modelling": (False, False, True, 2, "nats"),
        "several_tasks": (False, False, False, 2, "mean over the rows of all tasks"),
        "masked_image_modelling": (False, False, True, 2, "error of a hidden pixel"),
    }
    assert [name for name, problem in PROBLEMS.items() if problem.class_names] == [SINGLE, MULTI]
    assert (Problem.classes, Problem.multi_label, Problem.per_token, Problem.fewest_outputs) == (False, False, False, 2)


def test_of_these_metrics_less_is_better():
    smaller = {name for problem in PROBLEMS.values() for name, m in problem.metrics.items() if m.smaller_is_better}
    assert smaller == {"ece", "mse", "rmse", "mae", "perplexity", "reconstruction_loss"}
    assert Measure("accuracy") == Measure("accuracy", None, False)
    assert all(set(problem.default_metrics) <= set(problem.metrics) for problem in PROBLEMS.values())


def test_what_a_modality_can_be_done_with():
    assert (IMAGE.tokens, IMAGE.continuous, IMAGE.augmented) == (False, True, True)
    assert (TEXT.tokens, TEXT.continuous, TEXT.augmented) == (True, False, True)
    assert TEXT.pipeline_options == {"truncation": True}
    bare = Modality(name="x", columns={}, input_name="x", auto_processor="X", inputs_class="x:X")
    assert (bare.tokens, bare.continuous, bare.augmented, bare.edits_refused, bare.pipeline_options) == (
        *(False, False, False, {}, {}),
    )


def test_only_hidden_tokens_and_patches_need_no_labels():
    assert {name: (task.modality.name, task.labelled, task.problem) for name, task in TASKS.items()} == {
        "image-classification": ("image", True, SINGLE),
        "text-classification": ("text", True, SINGLE),
        "audio-classification": ("audio", True, SINGLE),
        "time-series-classification": ("series", True, SINGLE),
        "fill-mask": ("text", False, MASKED),
        "masked-image-modeling": ("image", False, PATCHES),
    }
    assert all(set(task.columns) - {"label"} <= set(task.modality.columns) for task in TASKS.values())
    assert {name for name, task in TASKS.items() if "label" in task.columns} == {
        *("image-classification", "text-classification", "audio-classification", "time-series-classification"),
    }


@pytest.mark.parametrize(
    "table", [Labels(SINGLE), Measure("f1"), IMAGE, TASKS["fill-mask"]], ids=lambda x: type(x).__name__
)
def test_tables_cannot_be_changed(table):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(table, dataclasses.fields(table)[0].name, "other")


def test_labels_number_their_classes():
    labels = Labels.of(SINGLE, iter(["b", "a"]))
    assert labels == Labels(SINGLE, ("b", "a"), 2)
    assert (labels.id2label, labels.label2id) == ({0: "b", 1: "a"}, {"b": 0, "a": 1})
    assert Labels(MASKED) == Labels(MASKED, (), 0)


def test_a_users_own_metric_is_a_file_and_the_loss_is_no_metric():
    assert [is_file(name) for name in ("mine.py", "accuracy", "py")] == [True, False, False]
    assert metric_names({"loss": 1, "b": 2, "n": 3, "a": 4}) == ["b", "a"]


@pytest.mark.parametrize(
    ("problem", "row", "told"),
    [
        (SINGLE, [0.2, 0.5, 0.3], {"label": "b", "probability": 0.5}),
        (MULTI, [0.5, 0.25, 0.75], {"label": ["a", "c"], "probability": [0.5, 0.75]}),
        (MULTI, [0.25, 0.25, 0.25], {"label": [], "probability": []}),
        (REGRESSION, [0.125, -2.0], {"value": [0.125, -2.0]}),
        (REGRESSION, [1234567.8], {"value": 1234570.0}),
    ],
)
def test_an_answer_is_told_by_names_or_numbers(problem, row, told):
    assert PROBLEMS[problem].describe(torch.tensor(row), {0: "a", 1: "b", 2: "c"}) == told


def test_a_model_that_knows_nothing_has_the_loss_of_chance():
    for name, labels in ((SINGLE, torch.tensor([1, 2])), (MULTI, torch.tensor([[0, 1, 1], [0, 0, 0]]))):
        loss = PROBLEMS[name].loss(torch.zeros(2, 3), labels)
        assert loss.tolist() == pytest.approx([PROBLEMS[name].uniform(3)] * 2)
    assert PROBLEMS[REGRESSION].uniform(3) is None
    assert PROBLEMS[MASKED].uniform(1) is None
    hidden = torch.tensor([[1, -100, 0]])
    per_token = PROBLEMS[MASKED].loss(torch.zeros(1, 3, 7), hidden) / PROBLEMS[MASKED].targets(hidden)
    assert per_token.item() == pytest.approx(PROBLEMS[MASKED].uniform(7))
    assert PROBLEMS[MASKED].count(hidden) == 2


def test_metrics_are_fed_what_was_answered_and_how_surely():
    logits, labels = torch.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 0.0]]), torch.tensor([2, 0])
    found = PROBLEMS[SINGLE].answers(logits, labels)
    assert found["predictions"].tolist() == [1, 0]
    assert found["references"].tolist() == [2, 0]
    assert found["ranks"].tolist() == [1, 0]
    torch.testing.assert_close(found["confidences"], logits.softmax(1).amax(1))
    torch.testing.assert_close(found["losses"], -logits.log_softmax(1)[[0, 1], labels])
    assert found["targets"].tolist() == [1, 1]
    found = PROBLEMS[MULTI].answers(torch.tensor([[0.0, -1.0, 2.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
    assert (found["predictions"].tolist(), found["references"].tolist()) == ([[1, 0, 1]], [[1, 0, 0]])

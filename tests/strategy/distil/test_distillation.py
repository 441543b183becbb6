"""Distillation: its equation, and a teacher that is asked once for each row where its answers cannot change."""

import pytest
import torch

from hfft.data.modality.image import ImageCollate
from hfft.frozen_cache.cached_dataset import view_of
from hfft.frozen_cache.frozen_cache import FrozenCacheSettings
from hfft.layers import adapt
from hfft.strategy.describe import held_bytes
from hfft.strategy.distil.distillation import Taught, distillation
from hfft.strategy.method import TASK, At, Pass
from hfft.tasks.problem import PROBLEMS
from hfft.train import FineTuner
from tests.examples import MULTI, REGRESSION, SINGLE, head_and_depths, tiny
from tests.frozen_cache.test_frozen_cache import images
from tests.strategy.cases import CASES, Answering, Case, trainer_of
from tests.training import arguments, labels_of, methods_of


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_it_is_the_equation(temperature):
    teacher, student = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    p, q = (teacher / temperature).softmax(1), (student / temperature).softmax(1)
    expected = temperature**2 * (p * (p / q).log()).sum(1)
    torch.testing.assert_close(distillation(PROBLEMS[SINGLE], teacher, student, temperature), expected)


@pytest.mark.parametrize("problem", [SINGLE, MULTI, REGRESSION])
def test_the_same_answers_cost_nothing_and_others_something(problem):
    logits = torch.randn(5, 3)
    assert distillation(PROBLEMS[problem], logits, logits).abs().max() < 1e-6
    assert (distillation(PROBLEMS[problem], logits, logits + torch.randn(5, 3)) > 0).all()


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_the_teacher_has_its_share_of_the_loss_and_the_task_the_rest(weight):
    [method] = methods_of(distillation={"teacher": "x", "weight": weight, "temperature": 3.0})
    method.problem = PROBLEMS[SINGLE]
    answers, logits, labels, at = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), At(0, 0, 0.0, 0)
    inner = torch.nn.CrossEntropyLoss(reduction="none")
    torch.testing.assert_close(method.example_loss(inner, logits, labels, at), (1 - weight) * inner(logits, labels))
    filled_up = torch.cat([answers, torch.randn(2, 3)])
    found = method.losses(Pass({TASK: logits}, {}, {}, labels, None, {"distillation": filled_up}, at))
    expected = weight * distillation(PROBLEMS[SINGLE], answers, logits, 3.0)
    torch.testing.assert_close(found, {"distillation": expected})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "passes"),
    [
        (CASES["distillation"], 1),  # one batch of all 20 rows, before the first step
        (Case({"distillation": "x", "mixup": 1.0}, model="vit"), 6),  # every step of both epochs sees other inputs
    ],
)
def test_a_teacher_whose_answers_cannot_change_is_asked_once(case, passes, tmp_path, monkeypatch):
    asked, forward = [], Answering.forward
    monkeypatch.setattr(Answering, "forward", lambda self, **inputs: asked.append(1) or forward(self, **inputs))
    trainer_of(case, tmp_path).train()
    assert len(asked) == passes


@pytest.mark.slow
def test_what_is_kept_is_what_the_teacher_answers_live(tmp_path):
    outcomes = []
    for live in (False, True):
        trainer = trainer_of(CASES["distillation"], tmp_path)
        [method] = [m for m in trainer.methods if m.name == "distillation"]
        if live:
            method.outputs.kept = None
            method.outputs.model = trainer.setting.load_model("x").eval()
        trainer.train()
        outcomes.append({name: p.detach() for name, p in trainer.model.named_parameters()})
    for name, tensor in outcomes[0].items():
        torch.testing.assert_close(outcomes[1][name], tensor, rtol=1e-5, atol=1e-7)


# --- the teacher's share


@pytest.mark.parametrize(
    "weight", [1.5, {"start": 0, "end": 1.5}, {"adapt": "gap", "high": 2}, {"adapt": "gap", "start": 3}]
)
def test_a_share_above_1_is_refused(weight):
    with pytest.raises(ValueError, match=r"teacher's share of the loss; use at most 1"):
        methods_of(distillation={"teacher": "x", "weight": weight})


def test_a_share_may_change_and_stays_below_1():
    [ramp] = methods_of(distillation={"teacher": "x", "weight": {"start": 0, "end": 1, "over": 0.5}})
    labels, logits = torch.tensor([0, 1]), torch.randn(2, 3)
    inner = torch.nn.CrossEntropyLoss(reduction="none")
    for share, rest in ((0.0, 1.0), (0.25, 0.5), (0.75, 0.0)):
        found = ramp.example_loss(inner, logits, labels, At(0, 0, share, 0))
        torch.testing.assert_close(found, rest * inner(logits, labels))
    [by_gap] = methods_of(distillation={"teacher": "x", "weight": {"adapt": "gap"}})
    assert (by_gap.weight.current, by_gap.weight.high) == (0.5, 1.0)


def test_the_stored_outputs_count_as_memory(tmp_path):
    trainer = trainer_of(CASES["distillation"], tmp_path)
    assert held_bytes(trainer.methods, trainer.model) == 20 * 3 * 4


# --- outputs on disk


@pytest.fixture
def asked(monkeypatch):
    """How often a teacher was run."""
    found, forward = [], Answering.forward
    monkeypatch.setattr(Answering, "forward", lambda self, **inputs: found.append(1) or forward(self, **inputs))
    return found


def taught(folder, cache, said=None, limit=10**9, **changes):
    say = (said if said is not None else []).append
    settings = FrozenCacheSettings(cache, limit, say=say)
    return trainer_of(CASES["distillation"], folder, cache_settings=settings, dtype=torch.float32, **changes)


def outputs(trainer):
    return next(method for method in trainer.methods if method.name == "distillation").outputs.kept


def test_a_second_run_with_the_same_teacher_and_rows_does_not_run_it(tmp_path, asked):
    said = []
    first = taught(tmp_path / "a", tmp_path / "cache")
    assert len(asked) == 1
    again = taught(tmp_path / "b", tmp_path / "cache", said)
    assert len(asked) == 1
    assert said == ["teacher: 20 rows from the cache"]
    assert torch.equal(outputs(first), outputs(again))
    taught(tmp_path / "c", tmp_path / "cache", rows=19)
    taught(tmp_path / "d", tmp_path / "elsewhere")
    assert len(asked) == 3


def test_nothing_is_taken_from_another_teacher_or_a_damaged_file(tmp_path, asked, monkeypatch):
    taught(tmp_path / "a", tmp_path / "cache")
    for path in (tmp_path / "cache").glob("*/shard-00000.bin"):
        path.write_bytes(bytes(len(path.read_bytes())))
    repaired = taught(tmp_path / "b", tmp_path / "cache")
    assert len(asked) == 2
    assert outputs(repaired).abs().sum() > 0
    changed = tiny("bert", seed=1)
    with torch.no_grad():
        changed.classifier.bias[0] += 1
    monkeypatch.setattr("tests.strategy.cases.Answering", lambda teacher: Answering(changed))
    other = taught(tmp_path / "c", tmp_path / "cache")
    assert len(asked) == 3
    assert not torch.equal(outputs(repaired), outputs(other))


def test_without_room_the_teacher_is_run_again(tmp_path, asked):
    said = []
    for name in "ab":
        taught(tmp_path / name, tmp_path / "cache", said, limit=10)
    assert len(asked) == 2
    assert "teacher: nothing is cached, it needs 320 B" in said[0]


@pytest.mark.slow
def test_each_view_of_augmented_rows_is_run_once_and_has_its_own_outputs(tmp_path, asked):
    rows, teacher, student = images(), tiny("vit", seed=1), tiny("vit")
    head_names, depths = head_and_depths(student)
    adapt(student, "head", None, depths, head_names)
    trainer = FineTuner(
        student,
        arguments(tmp_path / "run", num_train_epochs=4, per_device_train_batch_size=4),
        ImageCollate(SINGLE),
        rows,
        labels=labels_of(SINGLE),
        depths=depths,
        methods=methods_of(distillation="x"),
        load_model=lambda name: Answering(teacher),
        cache_settings=FrozenCacheSettings(tmp_path / "cache", 10**9, views=2),
    )
    method, seen, batch_of = trainer.methods[0], [], Taught.batch
    method.batch = lambda batch: (batch_of(method, batch), seen.append(batch))
    assert outputs(trainer).shape == (2 * len(rows), 3)
    ran = len(asked)
    trainer.train()
    assert len(asked) == ran
    assert trainer.cache_report["cut"] is not None
    split = trainer.train_dataset
    for batch in seen:  # what the teacher says of the view that the epoch shows
        views = view_of(batch.rows, batch.at.epoch, len(rows), 2, trainer.args.seed)
        shown = [split.in_epoch(int(view))[int(row)] for view, row in zip(views, batch.rows, strict=True)]
        inputs = trainer._prepare_inputs(ImageCollate(SINGLE)(shown))
        with torch.no_grad():
            expected = teacher(pixel_values=inputs["pixel_values"]).logits
        torch.testing.assert_close(batch.notes["distillation"], expected, rtol=1e-4, atol=1e-5)
    assert {batch.at.epoch for batch in seen} == {0, 1, 2, 3}

"""Distillation: its equation, and a teacher that is asked once for each row where its answers cannot change."""

import pytest
import torch

from hfft.strategy.distil.distillation import distillation
from hfft.strategy.method import TASK, At, Pass
from hfft.tasks.problem import PROBLEMS
from tests.examples import MULTI, REGRESSION, SINGLE
from tests.strategy.cases import CASES, Answering, Case, trainer_of
from tests.training import methods_of


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
            method.kept = None
            method.teacher = trainer.setting.load_model("x").eval()
        trainer.train()
        outcomes.append({name: p.detach() for name, p in trainer.model.named_parameters()})
    for name, tensor in outcomes[0].items():
        torch.testing.assert_close(outcomes[1][name], tensor, rtol=1e-5, atol=1e-7)

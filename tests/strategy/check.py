"""What holds for every method. `check_method` asks all of it of one that is not in the table of cases.

As a script, one process's share of some trainings: torchrun --nproc-per-node 2 tests/strategy/check.py FOLDER
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification

from hfft.strategy.needs import Situation, refusals
from tests import forked, training
from tests.examples import ALL, SINGLE
from tests.strategy.cases import Case, trainer_of
from tests.torture.runs import equal
from tests.train import fsdp
from tests.train.test_resume import Stop, outcome

FSDP = {"max_grad_norm": 0.0, "num_train_epochs": 1}  # gradients are compared by what they do to the weights


def check_method(case: Case, folder: Path) -> None:
    """Everything that a method promises.

    Raises:
        AssertionError: one of its promises does not hold.
    """
    check_neutral(case)
    check_effect(case, folder / "effect", plain_weights(case.model, folder / "plain", case.problem))
    rows = 20 if case.random else 17
    whole = run(case, folder / "whole", 8, 1, rows)
    if not case.random:
        check_same(whole, run(case, folder / "split", 2, 4, rows))
        for outcome in in_processes({"case": (case, rows)}, folder / "processes"):
            check_same(whole, outcome["case"])
    if divides(case):
        found = in_processes({"case": (case, 9)}, folder / "fsdp", divided=True)[0]
        check_same_weights(run(case, folder / "alone", 8, 1, 9, **FSDP), found["case"])
    check_resume(case, folder / "resume")
    check_saved(case, folder / "saved")


def check_neutral(case: Case) -> None:
    """Neutral options are no method at all."""
    if case.neutral is not None:
        assert training.methods_of(**case.neutral) == []


@dataclass
class Outcome:
    """Gradients of each step as the optimiser got them, weights and state of the methods at the end, and what was logged."""

    gradients: list[dict[str, torch.Tensor]]
    weights: dict[str, torch.Tensor]
    state: dict[str, torch.Tensor]
    logs: list[dict[str, float]]


def run(case: Case, folder: Path, batch: int, accumulation: int, rows: int = 20, **changes: Any) -> Outcome:
    """Train a case."""
    gradients = training.Gradients()
    changes = {"dropout": -1.0 if case.random else 0.0, **changes}
    trainer = trainer_of(case, folder, batch, accumulation, rows, callbacks=(gradients,), **changes)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    state = {key: tensor.cpu() for key, tensor in trainer.steps.state().items()}
    if trainer.is_fsdp_enabled:
        weights = dict(trainer.whole_model().named_parameters())
        return Outcome([], {n: p.detach() for n, p in weights.items()}, state, logs)
    weights = {n: p.detach() for n, p in trainer.model.named_parameters()}
    return Outcome(gradients.steps, weights, state, logs)


def apart(left: Outcome, right: Outcome) -> dict[str, float]:
    """The largest relative differences."""
    assert len(left.gradients) == len(right.gradients)
    pairs = zip(left.gradients, right.gradients, strict=True)
    found = {
        "gradients": max(training.difference(a, b) for a, b in pairs),
        "weights": training.difference(left.weights, right.weights),
        "state": training.difference(left.state, right.state) if left.state else 0.0,
    }
    for key in set().union(*left.logs) - {"epoch", "step", "learning_rate"}:
        both = zip(left.logs, right.logs, strict=True)
        found[key] = max(abs(a[key] - b[key]) / max(abs(a[key]), 1e-6) for a, b in both)
    return found


def check_same(left: Outcome, right: Outcome) -> None:
    """Two splits of the batches take the same steps. Logged figures are sums in float32; the rest is float64."""
    found = apart(left, right)
    limits = {"gradients": 1e-12, "weights": 1e-12, "state": 1e-12}
    assert all(value < limits.get(key, 2e-5) for key, value in found.items()), found


def check_same_weights(left: Outcome, right: Outcome) -> None:
    """Two trainings end with the same weights and states."""
    assert training.difference(left.weights, right.weights) < 1e-12
    assert left.state.keys() == right.state.keys()
    assert not left.state or training.difference(left.state, right.state) < 1e-12


def divides(case: Case) -> bool:
    """Whether FSDP may divide the weights of a case; else the recipe is refused."""
    methods = [*training.methods_of(**case.strategy), *(make() for make in case.more)]
    names = ("target", "memory")
    continuous = ALL[case.model].modality == "image"
    alone, divided = (
        refusals(
            methods,
            Situation(
                case.problem, continuous=continuous, sets=names, labelled_sets=names, domains=True, divided=whether
            ),
        )
        for whether in (False, True)
    )
    assert alone == []
    return divided == []


def in_processes(ways: Mapping[Any, tuple[Case, int]], folder: Path, divided: bool = False) -> list[dict[Any, Outcome]]:
    """The outcomes of cases and numbers of rows in each of two processes; with FSDP, on the first alone."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ways.pickle").write_bytes(pickle.dumps((dict(ways), divided)))
    forked.two_processes(__file__, folder)
    ranks = (0,) if divided else (0, 1)
    return [
        {way: Outcome(**found) for way, found in torch.load(folder / f"{rank}.pt", weights_only=False).items()}
        for rank in ranks
    ]


def check_resume(case: Case, folder: Path) -> None:
    """A run that is killed and goes on ends as one that was not, to the bit."""
    stop = 4

    def trainer(name: str, seed: int, callbacks: tuple[Any, ...] = ()) -> Any:
        torch.manual_seed(100 + seed)  # another process has drawn other numbers by then
        return trainer_of(
            case,
            folder / name,
            4,
            2,
            rows=20,
            dtype=torch.float32,
            dropout=0.1,
            callbacks=callbacks,
            optim="adamw_torch",
            learning_rate=0.01,
            lr_scheduler_type="linear",
            num_train_epochs=3,
            save_strategy="steps",
            save_steps=stop,
        )

    straight = trainer("straight", 0)
    straight.train()
    with pytest.raises(KeyboardInterrupt):
        trainer("broken", 1, (Stop(stop),)).train()
    resumed = trainer("broken", 2)
    resumed.train(str(folder / "broken" / f"checkpoint-{stop}"))
    assert equal(outcome(straight), outcome(resumed))
    assert equal(straight.steps.state(), resumed.steps.state())


def check_saved(case: Case, folder: Path) -> None:
    """What is saved is a plain model, with the weights that were scored."""
    trainer = trainer_of(case, folder, dtype=torch.float32, num_train_epochs=1)
    trainer.train()
    with trainer.scored():
        trainer.whole_model().save_pretrained(folder / "model")
        expected = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    image = ALL[case.model].modality == "image"
    auto = AutoModelForImageClassification if image else AutoModelForSequenceClassification
    again, told = auto.from_pretrained(folder / "model", output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert equal(expected, again.state_dict())


def plain_weights(model: str, folder: Path, problem: str = SINGLE) -> dict[str, torch.Tensor]:
    """The weights of a model that is trained without methods."""
    trainer = trainer_of(Case(model=model, problem=problem), folder, dropout=0.0)
    trainer.train()
    return {name: parameter.detach() for name, parameter in trainer.model.named_parameters()}


def check_effect(case: Case, folder: Path, plain: Mapping[str, torch.Tensor]) -> None:
    """The method changes the run: equalities prove nothing of one that does nothing."""
    changed = trainer_of(case, folder, dropout=0.1 if case.random else 0.0)
    changed.train()
    with changed.scored():
        same = all(torch.equal(p, plain[n]) for n, p in changed.model.named_parameters())
    assert same != case.changes


def share(folder: Path) -> None:
    """What one process does of `in_processes`."""
    ways, divided = pickle.loads((folder / "ways.pickle").read_bytes())
    if divided:
        fsdp.pretend()
    settings = FSDP if divided else {}
    outcomes = {way: vars(run(case, folder / "runs", 2, 2, rows, **settings)) for way, (case, rows) in ways.items()}
    torch.save(outcomes, folder / f"{os.environ['RANK']}.pt")
    torch.distributed.barrier()


if __name__ == "__main__":
    share(Path(sys.argv[1]))
    torch.distributed.destroy_process_group()

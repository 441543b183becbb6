"""Any two methods combine, in the order of `Strategy` whatever order they are given in, or are refused by both names."""

import functools
import itertools
from dataclasses import replace

import pytest
import torch

from hfft.strategy.needs import Situation, refusals
from hfft.strategy.spec import Strategy
from tests import training
from tests.examples import ALL, SINGLE
from tests.strategy.cases import CASES, Case, trainer_of

KEYS = [key for key in Strategy.model_fields if CASES[key].changes]
PAIRS = list(itertools.combinations(KEYS, 2))


def together(one: str, other: str) -> Case | None:
    """A case with both methods, on the model of one of them; None if no problem and no inputs suit both."""
    left, right = CASES[one], CASES[other]
    both = {**left.strategy, **right.strategy}
    models, problems = (left.model, right.model, "vit", "bert", "resnet"), (left.problem, right.problem, SINGLE)
    for model, problem in itertools.product(dict.fromkeys(models), dict.fromkeys(problems)):
        case = Case(
            both,
            model=model,
            problem=problem,
            dropout=max(left.dropout, right.dropout),
            settings={**left.settings, **right.settings},
            random=left.random or right.random,
        )
        if not refused(case):
            return case
    return None


def refused(case: Case) -> list[tuple[str, str]]:
    """Why the methods of a case cannot be used, alone or together."""
    text = ALL[case.model].modality == "text"
    situation = Situation(case.problem, sets=("target",), continuous=not text, tokens=text)
    return refusals(training.methods_of(**case.strategy), situation)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The published weights of a case, by its strategy."""

    @functools.cache
    def weights(keys: tuple[str, ...], of: tuple[str, str]) -> dict[str, torch.Tensor]:
        case = together(*of)
        case = replace(case, strategy={key: case.strategy[key] for key in keys})
        trainer = trainer_of(case, tmp_path_factory.mktemp("pair"), rows=17)
        trainer.train()
        with trainer.scored():
            return {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}

    return weights


@pytest.mark.slow_but("focal-ema")
@pytest.mark.sampled(30)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_methods_combine_or_are_refused_by_both_names(one, other, trained, tmp_path):
    case = together(one, other)
    if case is None:
        found = refused(replace(CASES[one], strategy={**CASES[one].strategy, **CASES[other].strategy}))
        alone = [refused(CASES[key]) for key in (one, other)]
        assert alone == [[], []]
        assert {name for name, _ in found} <= {one, other}
        assert all({one, other} <= {name, *why.replace(",", " ").split()} or "needs" in why for name, why in found)
        return
    methods = training.methods_of(**dict(reversed(case.strategy.items())))
    assert [method.name for method in methods] == [one, other]
    both = trained((one, other), (one, other))
    assert all(torch.isfinite(weight).all() for weight in both.values())
    for key in (one, other):
        alone = trained((key,), (one, other))
        assert any(not torch.equal(both[name], alone[name]) for name in both), (
            f"beside {key}, the other changes nothing"
        )

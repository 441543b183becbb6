"""Any two methods combine, in the order of `Strategy` whatever order they are given in, or are refused by their names."""

import functools
import itertools
from dataclasses import replace

import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.needs import Situation, refusals
from hfft.strategy.spec import Strategy
from tests import training
from tests.examples import ALL, SINGLE
from tests.strategy.cases import CASES, Case, trainer_of

KEYS = [key for key in Strategy.model_fields if CASES[key].changes]
PAIRS = list(itertools.combinations(KEYS, 2))


def settings_for(one: str, other: str) -> list[Case]:
    """Both methods on each model, and for each problem, that one of them is tried on."""
    left, right = CASES[one], CASES[other]
    models, problems = (left.model, right.model, "vit", "bert", "resnet"), (left.problem, right.problem, SINGLE)
    return [
        Case(
            {**left.strategy, **right.strategy},
            model=model,
            problem=problem,
            dropout=max(left.dropout, right.dropout),
            settings={**left.settings, **right.settings},
            random=left.random or right.random,
        )
        for model, problem in itertools.product(dict.fromkeys(models), dict.fromkeys(problems))
    ]


def refused(case: Case, folder) -> str:
    """Why the methods of a case cannot be used, with their keys; empty if they can."""
    text = ALL[case.model].modality == "text"
    sets = {"sets": ("target", "memory"), "labelled_sets": ("memory",)}
    situation = Situation(case.problem, domains=True, continuous=not text, tokens=text, **sets)
    found = refusals(training.methods_of(**case.strategy), situation)
    if not found:
        try:
            trainer_of(case, folder, rows=17)
        except BadInput as error:
            return str(error)
    return "; ".join(f"strategy.{key}: {why}" for key, why in found)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The published weights of a case, by its strategy."""

    @functools.cache
    def weights(keys: tuple[str, ...], of: tuple[str, str], number: int) -> dict[str, torch.Tensor]:
        case = settings_for(*of)[number]
        case = replace(case, strategy={key: case.strategy[key] for key in keys})
        trainer = trainer_of(case, tmp_path_factory.mktemp("pair"), rows=17)
        trainer.train()
        with trainer.scored():
            return {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}

    return weights


@pytest.mark.slow_but("focal-ema")
@pytest.mark.sampled(20)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_methods_combine_or_are_refused_by_their_names(one, other, trained, tmp_path):
    whys = [refused(case, tmp_path) for case in settings_for(one, other)]
    if all(whys):
        assert all(f"strategy.{one}" in why or f"strategy.{other}" in why for why in whys)
        excluded = [why for why in whys if one in why and other in why]
        apart = {CASES[one].model, CASES[one].problem} != {CASES[other].model, CASES[other].problem}
        assert excluded or apart, whys  # by each other, or because what suits one does not suit the other
        return
    number, case = next((i, c) for i, c in enumerate(settings_for(one, other)) if not whys[i])
    methods = training.methods_of(**dict(reversed(case.strategy.items())))
    assert [method.name for method in methods] == [key for key in Strategy.model_fields if key in case.strategy]
    both = trained(tuple(case.strategy), (one, other), number)
    assert all(torch.isfinite(weight).all() for weight in both.values())
    for key, beside in ((one, other), (other, one)):
        if CASES[key].strategy.keys() >= CASES[beside].strategy.keys():
            continue
        alone = trained(tuple(CASES[key].strategy), (one, other), number)
        assert any(not torch.equal(both[name], alone[name]) for name in both), f"beside {key}, {beside} changes nothing"

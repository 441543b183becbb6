"""The short form of `make torture`'s matrix of resumed runs: every 19th, so that each value of it is met."""

import pytest

from tests.torture.resume import CASES, resume

FEW = CASES[::19]


def test_few_meet_every_value():
    for name in vars(CASES[0]):
        assert {getattr(case, name) for case in FEW} == {getattr(case, name) for case in CASES}, name


@pytest.mark.slow
@pytest.mark.parametrize("case", FEW, ids=lambda case: "-".join(map(str, vars(case).values())))
def test_a_resumed_run_ends_as_the_whole_one(case, tmp_path):
    assert resume(tmp_path, [case]) == []

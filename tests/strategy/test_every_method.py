"""What holds for every method: neutral is absent, any split of a batch is the same step, resumed is uninterrupted."""

import functools

import pytest

from hfft.strategy.spec import Strategy
from tests.strategy import check
from tests.strategy.cases import CASES, NOT_DIVIDED, WAYS
from tests.training import asked

# No option of them leaves the order, or the squared error, alone: they are left out of the recipe.
WITHOUT_NEUTRAL = {"balanced", "contrastive", "huber", "prototypes", "quantile", "shot", "simclr", "simcse", "swad"}


@pytest.mark.parametrize("name", Strategy.model_fields)
def test_neutral_options_are_no_method_at_all(name):
    assert (CASES[name].neutral is None) == (name in WITHOUT_NEUTRAL)
    check.check_neutral(CASES[name])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A case trained with whole batches, once."""
    return functools.cache(lambda name, rows: check.run(CASES[name], tmp_path_factory.mktemp("whole"), 8, 1, rows))


@pytest.mark.slow_but("focal-17")
@pytest.mark.sampled(12)
@pytest.mark.parametrize(("name", "rows"), WAYS)
def test_any_accumulation_is_the_same_step(name, rows, whole, tmp_path):
    check.check_same(whole(name, rows), check.run(CASES[name], tmp_path, 2, 4, rows))


@pytest.fixture(scope="module")
def two_processes(request, tmp_path_factory):
    """Outcome of every case in each of two processes."""
    ways = [(case["name"], case["rows"]) for case in asked(request, "test_two_processes_take_the_same_step")]
    return check.in_processes({way: (CASES[way[0]], way[1]) for way in ways}, tmp_path_factory.mktemp("two"))


@pytest.mark.slow
@pytest.mark.sampled(8)
@pytest.mark.parametrize(("name", "rows"), WAYS)
def test_two_processes_take_the_same_step(name, rows, two_processes, whole):
    for outcomes in two_processes:
        check.check_same(whole(name, rows), outcomes[name, rows])


DIVIDED = [name for name, case in CASES.items() if check.divides(case)]


def test_fsdp_refuses_no_method_but_those_with_modules_or_whole_weights():
    assert {name for name in CASES if name not in DIVIDED} == NOT_DIVIDED


@pytest.fixture(scope="module")
def divided(request, tmp_path_factory):
    """Outcome of every case whose weights FSDP may divide."""
    names = [case["name"] for case in asked(request, "test_divided_weights_learn_what_whole_ones_do")]
    folder = tmp_path_factory.mktemp("divided")
    return check.in_processes({name: (CASES[name], CASES[name].fewest) for name in names}, folder, divided=True)[0]


@pytest.mark.slow
@pytest.mark.sampled(8)
@pytest.mark.parametrize("name", [name for name in DIVIDED if not CASES[name].random])
def test_divided_weights_learn_what_whole_ones_do(name, divided, tmp_path):
    check.check_same_weights(check.run(CASES[name], tmp_path, 8, 1, CASES[name].fewest, **check.FSDP), divided[name])


@pytest.mark.slow
@pytest.mark.sampled(12)
@pytest.mark.parametrize("name", CASES)
def test_a_run_that_goes_on_ends_where_it_would_have(name, tmp_path):
    check.check_resume(CASES[name], tmp_path)


@pytest.mark.slow_but("balanced")
@pytest.mark.sampled(12)
@pytest.mark.parametrize("name", CASES)
def test_what_is_saved_is_a_plain_model(name, tmp_path):
    check.check_saved(CASES[name], tmp_path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The weights of a model that is trained without methods, once."""
    return functools.cache(lambda *which: check.plain_weights(which[0], tmp_path_factory.mktemp("plain"), which[1]))


@pytest.mark.slow
@pytest.mark.sampled(12)
@pytest.mark.parametrize("name", CASES)
def test_the_method_changes_the_run(name, plain, tmp_path):
    case = CASES[name]
    check.check_effect(case, tmp_path, plain(case.model, case.problem))

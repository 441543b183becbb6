"""The tiers: `make test-fast` leaves out what is `slow`; of what is `sampled`, only `make torture` runs all cases."""

import gc
import random

import pytest

# Files that take longest, first: a worker that gets one of them last keeps the other one waiting.
LONGEST = (
    *(
        "test_on_a_gpu",
        "test_push",
        "test_torture",
        "test_every_method",
        "test_faults",
        "test_distributed",
        "test_fsdp",
    ),
    *(
        "test_resume",
        "test_processes",
        "test_bench",
        "test_hostile_hub",
        "test_guard",
        "test_walk",
        "test_published_adapter",
    ),
    *(
        "test_frozen_cache",
        "test_inputs",
        "test_notebooks",
        "test_scores",
        "test_load_metric",
        "test_dry_build",
        "test_hostile",
    ),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--every-case`: run all cases of tests marked `sampled`; `--sample-seed`: draw another sample."""
    parser.addoption("--every-case", action="store_true", help="run all cases of tests that are marked `sampled`")
    parser.addoption("--sample-seed", default="0", help="draws the cases of tests that are marked `sampled`")


def _leave_out_unsampled(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a test marked `sampled(12)`, run 12 of its cases, and those that the fast tier runs."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("sampled") is not None:
            groups.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left_out = set()
    for test, cases in groups.items() if not config.option.every_case else ():
        count = cases[0].get_closest_marker("sampled").args[0]
        drawn = random.Random(f"{config.option.sample_seed} {test}").sample(cases, min(count, len(cases)))
        left_out |= {item for item in cases if item not in drawn and item.get_closest_marker("slow") is not None}
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first. Of a test marked `slow_but("bert-head")`, all cases are slow but the one of this id.

    Raises:
        UsageError: in the fast tier, when a test has no such case (any more).
    """
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    missing: dict[tuple[str, str], bool] = {}
    for item in items:
        for mark in item.iter_markers("slow_but"):
            case = item.name.partition("[")[2].removesuffix("]")
            for kept in mark.args:
                key = item.nodeid.partition("[")[0], kept
                missing[key] = missing.get(key, True) and kept != case
            if case not in mark.args:
                item.add_marker("slow")
    _leave_out_unsampled(config, items)
    gone = [f"{test} has no case {case!r}" for (test, case), absent in missing.items() if absent]
    if gone and config.option.markexpr == "not slow" and config.args == config.getini("testpaths"):
        raise pytest.UsageError("; ".join(gone))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What imports and collection make is no garbage: it is not searched now, and not by each training, which does so first."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True, scope="module")
def without_what_lives_on():
    """As above, of what the tests of the file before have imported."""
    gc.collect()
    gc.freeze()

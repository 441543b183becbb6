"""The tiers: `make test-fast` leaves out what is marked `slow`."""

import gc

import pytest

# Files that take longest, first: a worker that gets one of them last keeps the other one waiting.
LONGEST = (
    *(
        "test_on_a_gpu",
        "test_torture",
        "test_every_method",
        "test_distributed",
        "test_guard",
        "test_push",
        "test_processes",
    ),
    *(
        "test_hostile_hub",
        "test_faults",
        "test_walk",
        "test_fsdp",
        "test_resume",
        "test_bench",
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
    gone = [f"{test} has no case {case!r}" for (test, case), absent in missing.items() if absent]
    if gone and config.option.markexpr == "not slow" and config.args == config.getini("testpaths"):
        raise pytest.UsageError("; ".join(gone))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Every training collects garbage first, several times; what the imports and the collection left is no garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def without_what_lives_on():
    """As above, of what the tests of the file before have imported."""
    gc.collect()
    gc.freeze()

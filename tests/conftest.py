"""The tiers: `make test-fast` leaves out what is marked `slow`."""

import gc

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a test marked `slow_but("bert-head")`, all cases are slow but the one of this id.

    Raises:
        UsageError: in the fast tier, when a test has no such case (any more).
    """
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

"""The short form of `make torture`: a few kills and signals, each of them a run of its own."""

import pytest

from tests.torture.elsewhere import elsewhere
from tests.torture.kill import kill
from tests.torture.stop import stop

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("torture")


def test_killed_runs_end_where_they_would_have(folder):
    assert kill(folder, 2) == []


def test_stopped_runs_end_where_they_would_have(folder):
    assert stop(folder, 2) == []


def test_a_run_that_is_stopped_while_it_pushes_is_pushed_later_and_once(folder):
    assert elsewhere(folder / "elsewhere", [("python", "pushing")]) == []

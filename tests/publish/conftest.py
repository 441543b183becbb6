"""A hub on loopback, and commands whose only hub it is, forked from one process that has imported the libraries."""

import os

import pytest

from tests.forked import Forks
from tests.hub_server import Hub

TOKEN = "hf_canary_write_token"  # alice's


@pytest.fixture(scope="session")
def alices_hub(tmp_path_factory):
    """A hub of which each test uses repositories of its own; `forks` holds no token: each command is given its own."""
    folder = tmp_path_factory.mktemp("hub")
    with Hub(folder / "store", tokens={TOKEN: "alice"}) as running:
        running.home = folder / "home"
        running.forks = Forks({**os.environ, **running.env(running.home), "OMP_NUM_THREADS": "1"})
        yield running
        running.forks.close()

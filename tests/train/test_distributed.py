"""How processes meet, and what is said when one is lost; two hosts are in tests/torture."""

import pytest

from hfft.errors import RunError
from hfft.recipe import load_recipe
from hfft.runs import RunFolder
from hfft.train import distributed, training_arguments
from tests.torture import hosts, network


def test_the_loopback_is_reached_by_its_own_interface():
    assert distributed.interface_to("127.0.0.1") == "lo"


def test_a_host_without_a_name_has_no_interface():
    assert distributed.interface_to("no-such-host.invalid") is None


@pytest.mark.parametrize(
    "said",
    [
        "[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.77.0.2]:1",
        "Timed out waiting 15000ms for recv",
    ],
)
def test_a_lost_process_is_one_line(said, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(RunError, match=r"lost the others .* the same command on all hosts continues"),
        distributed.together(),
    ):
        raise RuntimeError(said)


def test_other_errors_stay_what_they_are(monkeypatch):
    with pytest.raises(RuntimeError, match="Connection closed"), distributed.together():
        raise RuntimeError("Connection closed by peer")  # there is no other process
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="size mismatch"), distributed.together():
        raise RuntimeError("size mismatch for weight")


def test_one_process_has_one_disk(tmp_path):
    recipe = load_recipe("docstrings", f"training.output_dir={tmp_path}", "training.use_cpu=true")
    assert not distributed.own_disks(training_arguments(recipe), RunFolder(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(network.possible() is not None, reason=f"two hosts: {network.possible()}")
def test_two_hosts_train_what_one_process_does(tmp_path):
    assert hosts.one_run(tmp_path) == []

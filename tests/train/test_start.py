"""A process that dies before the first step: the others end within a limit, each with one line that says what to look at."""

from pathlib import Path

import pytest

from hfft.recipe import load_recipe
from hfft.train import distributed, training_arguments
from tests.forked import ROOT, forks, free_port

CASES = Path(__file__).with_name("start_cases.py")
SAID = {
    "before the start": "process {} of 2: the others have not started (",
    "before the group": "process {} of 2: could not reach the others (",
    "before the first step": "process {} of 2 lost the others (",
}


@pytest.mark.sampled(3)
@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("when", SAID)
def test_a_process_that_dies_is_not_waited_for_without_a_limit(when, victim):
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    envs = [{**shared, "RANK": rank, "LOCAL_RANK": rank} for rank in ("0", "1")]
    ends = forks().run_all(str(CASES), when, str(victim), folder=ROOT, envs=envs)
    assert (ends[victim].returncode, ends[victim].stderr) == (0, "")
    other = ends[1 - victim]
    assert other.returncode == 1, other.stderr
    said = [
        line for line in other.stderr.splitlines() if not line.startswith(("[W", "[E", "frame", "Exception", "<omit"))
    ]
    (line,) = filter(None, said)
    assert line.startswith(SAID[when].format(1 - victim))
    if when == "before the first step":
        assert line.endswith("the same command on all hosts continues from the last checkpoint")
    else:
        assert "within 3 s (training.ddp_timeout); look at what the other hosts have printed" in line
    if when == "before the start":
        assert other.stderr.count("\n") == 1, "torch prints nothing of its own"


def test_several_that_are_missing_are_named(monkeypatch):
    """Under a launcher, whose own process keeps the list of those that have started."""
    import torch.distributed

    store = torch.distributed.HashStore()
    monkeypatch.setattr(torch.distributed, "rendezvous", lambda url, timeout: iter([(store, 0, 4)]))
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "hosts.test", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    torch.distributed.PrefixStore("hfft", store).set("2", "")
    with pytest.raises(distributed.RunError) as caught:
        distributed.meet(0.2)
    assert str(caught.value).startswith("process 0 of 4: process 1, 3 has not started (")
    assert "at hosts.test:1 within 0.2 s" in str(caught.value)
    for rank in "13":
        torch.distributed.PrefixStore("hfft", store).set(rank, "")
    distributed.meet(0.2)


@pytest.mark.parametrize(("given", "start"), [((), distributed.START), (("training.ddp_timeout=70",), 70)])
def test_the_start_has_its_own_limit_unless_the_recipe_sets_one(given, start, monkeypatch, tmp_path):
    limits = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(distributed, "meet", lambda limit: limits.append(limit) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        training_arguments(load_recipe("digits", f"training.output_dir={tmp_path}", *given))
    assert limits == [start]
    assert distributed.START < distributed.LONGEST == 1800

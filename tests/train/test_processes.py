"""Two real processes train what one does, and a launch that leaves each process alone is refused."""

import json

import pytest
import torch

from hfft.errors import BadInput
from hfft.train.arguments import check_world
from tests import forked
from tests.forked import ROOT, free_port
from tests.train import split_cases

SAYS = """
import json, os
with open(os.environ["PLACE"] + os.environ.get("RANK", "0"), "w") as file:
    json.dump(dict(os.environ), file)
"""
REFUSED = """
import sys
from hfft.backbone.spec import Backbone
from hfft.data.spec import Data
from hfft.errors import BadInput
from hfft.recipe import Recipe
from hfft.train import training_arguments

recipe = Recipe(
    name="x", task="image-classification", backbone=Backbone(name="none"), data=Data(path="none"),
    training={"output_dir": sys.argv[1]},
)
try:
    training_arguments(recipe)
except BadInput as error:
    sys.exit(f"refused: {error}")
"""


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """Outcome of every case in each of two processes."""
    folder = tmp_path_factory.mktemp("two")
    forked.two_processes(ROOT / "tests/train/split_cases.py", folder)
    ranks = [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]
    return [{name: split_cases.Outcome(**found) for name, found in rank.items()} for rank in ranks]


@pytest.mark.slow
@pytest.mark.parametrize("name", split_cases.LAUNCHED)
def test_two_processes_train_what_one_does(name, two_processes, tmp_path):
    alone = split_cases.run(split_cases.LAUNCHED[name], tmp_path, batch=8, accumulation=1)
    found = split_cases.worst(alone, two_processes[0][name])
    assert found["gradients"] < 1e-12
    assert found["weights"] < 1e-12
    assert max(found.values()) < 1e-6  # what is logged is summed in float32


@pytest.mark.slow
@pytest.mark.parametrize("name", split_cases.LAUNCHED)
def test_both_processes_end_with_the_same_weights(name, two_processes):
    first, second = (rank[name].weights for rank in two_processes)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow
def test_a_launch_that_leaves_each_process_alone_is_refused_and_one_without_gpus_is_not(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SAYS)

    def launched(kind):
        """What the processes of a launch end with, each in the environment that the launcher gives it."""
        words = ("-m", "accelerate.commands.launch", kind, "--num_processes", "2", "--main_process_port")
        done = forked.forks().run(*words, str(free_port()), str(script), folder=ROOT, PLACE=str(tmp_path / kind))
        assert done.returncode == 0, done.stderr[-2000:]
        envs = [json.loads(path.read_text()) for path in sorted(tmp_path.glob(f"{kind}*"))]
        for env in envs:  # torchrun's store is gone; the first process opens one there
            env.pop("TORCHELASTIC_USE_AGENT_STORE", None)
        return forked.forks().run_all("-c", REFUSED, str(tmp_path / f"run-{kind}"), folder=ROOT, envs=envs)

    [alone] = launched("--cpu")
    assert alone.returncode != 0
    assert "refused: the launch asked for" in alone.stderr
    assert "accelerate launch --multi_gpu --num_processes N" in alone.stderr
    together = launched("--multi_gpu")
    assert [done.returncode for done in together] == [0, 0], together[0].stderr[-2000:]


def test_a_world_of_the_size_asked_for_is_fine(monkeypatch):
    for name in ("WORLD_SIZE", "MASTER_ADDR", "ACCELERATE_MIXED_PRECISION"):
        monkeypatch.delenv(name, raising=False)
    check_world(1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_world(2)
    with pytest.raises(BadInput, match="asked for 2 processes"):
        check_world(1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "resnet"])
def test_two_processes_share_what_is_kept(name, kept_in_two):
    for rank in kept_in_two:
        whole, kept = rank[f"{name} False"], rank[f"{name} True"]
        assert kept["told"]["rows"] == kept["told"]["of"] == 22
        assert kept["losses"] == pytest.approx(whole["losses"], abs=1e-6, rel=1e-6)
        for key, tensor in whole["weights"].items():
            torch.testing.assert_close(kept["weights"][key], tensor, rtol=1e-3, atol=1e-5, msg=key)
    first, second = (rank[f"{name} True"]["weights"] for rank in kept_in_two)
    learnt = [key for key in first if "running_" not in key]  # each process has its own batch statistics
    assert all(torch.equal(first[key], second[key]) for key in learnt)


@pytest.mark.slow
def test_two_processes_read_each_text_once_and_keep_it(kept_in_two):
    whole, kept = ([rank[f"text {on}"] for rank in kept_in_two] for on in (False, True))
    for epoch in range(3):
        read = [batch for rank in whole for batch in rank["read"][6 * epoch : 6 * epoch + 6]]
        assert sorted(row for batch in read for row in batch) == list(range(48))
    for one, other in zip(whole, kept, strict=True):
        assert len(one["read"]) == 18
        assert other["told"]["rows"] == other["told"]["of"] == 48
        assert other["losses"] == pytest.approx(one["losses"], abs=1e-6, rel=1e-6)


@pytest.fixture(scope="module")
def kept_in_two(tmp_path_factory):
    """What each of two processes came to, with a cache and without."""
    folder = tmp_path_factory.mktemp("kept")
    forked.two_processes(ROOT / "tests/frozen_cache/kept_processes.py", folder)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]

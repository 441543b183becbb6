"""Two processes under FSDP2, on CPUs, train what one process does, and save it whole."""

import json

import pytest
import torch
from safetensors.torch import load_file

from hfft.pipeline.finetune import finetune
from tests import forked
from tests.forked import ROOT
from tests.train import fsdp
from tests.training import asked

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def divided(request, tmp_path_factory):
    """The run folders of two processes that share every model; only of the cases that this session runs."""
    folder = tmp_path_factory.mktemp("divided")
    cases = [case["case"] for case in asked(request, "test_what_is_divided_learns_what_is_whole")]
    forked.two_processes(ROOT / "tests/train/fsdp.py", folder, *cases)
    return folder


def weights(run):
    return load_file(next((run / "model").glob("*.safetensors")))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("case", fsdp.CASES)
def test_what_is_divided_learns_what_is_whole(case, divided, tmp_path):
    alone = finetune(fsdp.recipe(case, tmp_path, 8))
    run = fsdp.recipe(case, divided, 4).output_dir
    told = json.loads((run / "metrics.json").read_text())
    assert told["world_size"] == 2
    assert told["frozen"] == alone.metrics["frozen"]
    assert told["frozen"]["moved"] == told["faults"] == []
    ours, theirs = weights(alone.folder), weights(run)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=1e-5, atol=1e-6, msg=name)
    assert (run / "checkpoint-4/pytorch_model_fsdp.bin").is_file(), "it was divided"


def test_a_divided_run_goes_on_to_the_bit(divided):
    whole, again = weights(divided / "run"), weights(divided / "again")
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())

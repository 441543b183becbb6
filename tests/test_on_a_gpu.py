"""The commands on a GPU that is only pretended: nothing is on the wrong device, and steps wait for nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hfft import cli
from tests.pretended_gpu import build

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SHORT = (
    "training.num_train_epochs=2",
    "score.from_scratch=false",
    "training.logging_steps=1000",
    "data.max_eval_samples=32",
)
FEW, MORE = "data.max_train_samples=96", "data.max_train_samples=128"  # that steps are left behind the first epoch
EXACT = ("training.bf16=false", "training.optim=sgd", "training.learning_rate=0.1")
STILL = ("backbone.config={hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0}",)  # a GPU draws otherwise
# name -> (recipe, overrides): those with EXACT end as on a CPU.
TRAINED = {
    "images": ("digits", ("data.augment=[rand_augment]", "strategy.l2_sp.weight=0.1", FEW, *EXACT)),
    "masked images": ("digits_masked_images", ("training.per_device_train_batch_size=16", FEW, *EXACT)),
    "images, kept": ("digits", ("layers.train=last-1", FEW, *EXACT)),
    "texts, kept": (
        "docstrings",
        ("layers.train=last-1", "training.gradient_accumulation_steps=2", MORE, *EXACT, *STILL),
    ),
    "texts, LoRA": ("docstrings", ("layers.adapter.type=lora", "layers.adapter.r=4", FEW, *EXACT, *STILL)),
    "texts, bf16": ("docstrings", ("strategy.class_weights=balanced", FEW)),
    "texts, fp16": ("docstrings", ("training.fp16=true", FEW)),
    "a schedule": ("docstrings", ("layers.schedule.type=head-then-all", FEW, *EXACT, *STILL)),
}
OTHER = {
    "plan": ("plan", "digits", "layers.train=head", "data.max_train_samples=32"),
    "check": ("check", "digits", "--deep", "training.output_dir=checked"),
    "score": ("score", "images"),
    "predict": ("predict", "texts, bf16", "Return the list of names."),
    "rank": ("rank", "docstrings", "--backbones", "nano-bert", "--rows", "100", "--output", "ranked"),
}


WITH_SCORECARD = ("images", "texts, fp16")  # as slow as the training itself


def train(name: str) -> list[str]:
    recipe, overrides = TRAINED[name]
    card = "quick" if name in WITH_SCORECARD else "off"
    return ["train", recipe, f'training.output_dir="{name}"', *SHORT, f"score.scorecard={card}", *overrides]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """What torch's core is told of the device."""
    if shutil.which("g++") is None:
        pytest.skip("needs a C++ compiler")
    return build(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def ran(library, tmp_path_factory):
    """Folder of the runs, and name -> exit status, watched steps and waits."""
    folder = tmp_path_factory.mktemp("gpu")
    commands = [train(name) for name in TRAINED] + [list(words) for words in OTHER.values()]
    words = [word for command in commands for word in ("--", *command)][1:]
    result = folder / "result.json"
    process = subprocess.run(
        [sys.executable, "-m", "tests.pretended_gpu", str(library), str(result), *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HFFT_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
    )
    assert result.is_file(), process.stderr[-3000:]
    found = dict(zip([*TRAINED, *OTHER], json.loads(result.read_text()), strict=True))
    return folder, found, process.stdout + process.stderr


@pytest.mark.parametrize("name", [*TRAINED, *OTHER])
def test_a_command_ends_well(ran, name):
    _, found, said = ran
    assert found[name]["code"] == 0, said[-3000:]


@pytest.mark.parametrize("name", TRAINED)
def test_no_step_waits(ran, name):
    """transformers asks in each forward pass of texts whether any is padded; nothing else does."""
    _, found, _ = ran
    assert found[name]["steps"] > 3
    assert [wait for wait in found[name]["waits"] if "masking_utils.py" not in wait] == []


@pytest.mark.parametrize("name", [name for name, (_, overrides) in TRAINED.items() if set(EXACT) <= set(overrides)])
def test_the_weights_are_those_of_a_cpu(ran, name, tmp_path, monkeypatch):
    folder, _, _ = ran
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "cache"))
    assert cli.main([*train(name), "training.use_cpu=true"]) == 0
    expected = load_file(tmp_path / name / "model/model.safetensors")
    for key, tensor in load_file(folder / name / "model/model.safetensors").items():
        torch.testing.assert_close(tensor, expected[key], atol=2e-6, rtol=0, msg=lambda text, key=key: f"{key}: {text}")


SEEN = """
import sys
from pathlib import Path
from tests.pretended_gpu import pretend
gpu = pretend(Path(sys.argv[1]))
import torch
gpu.waits.counting = True
here, there = torch.ones(3), torch.ones(3, device="cuda")
now, before = torch.cuda.Event(), torch.cuda.Event()
before.record()
gpu.waits.step += 1
now.record()
for act in (
    lambda: there + here,
    lambda: there.numpy(),
    lambda: there.sum().item(),
    lambda: there[there > 0],
    lambda: here.to("cuda"),
    lambda: there.cpu(),
    lambda: here.pin_memory().to("cuda", non_blocking=True) * 2 + there,
    now.synchronize,
    before.synchronize,
):
    gpu.waits.found.clear()
    try:
        act()
        refused = ""
    except (RuntimeError, TypeError) as error:
        refused = str(error)[:20]
    print([wait.split(":")[0] for wait in gpu.waits.found], refused)
"""


def test_what_a_gpu_refuses_and_waits_for_is_seen(library):
    words = [sys.executable, "-c", SEEN, str(library)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[] Expected all tensors",
        "[] can't convert cuda:0",
        "['_local_scalar_dense'] ",
        "['index'] ",
        "['copy between host and GPU'] ",
        "['copy between host and GPU'] ",
        "[] ",
        "['event of the running step'] ",
        "[] ",
    ]

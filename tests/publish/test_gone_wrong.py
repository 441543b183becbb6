"""Trainings that went wrong, as commands against a hub on loopback: told, kept, and not published."""

import json
from pathlib import Path

import pytest

from tests.publish.conftest import TOKEN

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SHORT = (
    *("score.from_scratch=false", "training.max_steps=24", "training.eval_strategy=no", "training.use_cpu=true"),
    *("data.max_train_samples=64", "data.max_eval_samples=16", "training.lr_scheduler_type=constant"),
)
# What is done to the recipe -> exit status, and what is said.
WRONG = {
    "training.learning_rate=1.0": (1, "above that of a uniform guess"),
    "training.learning_rate=0.0": (1, "the head never moved"),
    "training.learning_rate=1e3": (3, "not finite"),
}


def command(hub, folder, *words):
    """A command of hfft in a process of its own, whose only hub is ours."""
    return hub.forks.run(*map(str, words), folder=folder, HF_TOKEN=TOKEN)


@pytest.mark.parametrize("what", WRONG)
def test_what_went_wrong_is_told_kept_and_not_published(what, alices_hub, tmp_path):
    hub = alices_hub
    (status, said), before = WRONG[what], len(hub.requests)
    name = f"wrong-{list(WRONG).index(what)}"
    words = ("--recipe", "digits", *SHORT, f"publish.hub_model_id={name}", "training.output_dir=run", what)
    done = command(hub, tmp_path, ROOT / "hfft/run.py", *words)
    assert done.returncode == status, done.stdout + done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, "one line"
    assert "published:" not in done.stdout
    asked = [request for request in hub.requests[before:] if name in str(request) or "repos/create" in str(request)]
    assert asked == [], "no repository is made for it"
    run = tmp_path / "run"
    if status == 3:
        assert not (run / "model").exists()
        return
    assert f"WRONG: {json.loads((run / 'metrics.json').read_text())['faults'][0]}" in done.stdout
    assert (run / "model/model.safetensors").is_file()
    again = command(hub, tmp_path, "-m", "hfft.cli", "publish", "run")
    assert (again.returncode, said in again.stderr) == (1, True)
    assert not [request for request in hub.requests[before:] if "repos/create" in str(request)]

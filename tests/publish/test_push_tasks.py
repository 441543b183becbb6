"""Each of several tasks is pushed as a model of its own, which plain transformers loads from the hub."""

from __future__ import annotations

import pytest

from tests.publish.conftest import TOKEN

pytestmark = pytest.mark.slow

RECIPE = """
task: image-classification
backbone: {name: nano-vit}
data: {path: digits, max_train_samples: 40, max_eval_samples: 20, validation: none}
tasks:
  - {name: digit}
  - {name: ink, problem_type: regression, data: {columns: {label: ink}}}
training: {max_steps: 2, per_device_train_batch_size: 8, use_cpu: true}
score: {scorecard: "off"}
publish: {hub_model_id: drawn}
"""
LOADS = """
from transformers import AutoModelForImageClassification as Model
digit, ink = (Model.from_pretrained(f"alice/drawn-{task}") for task in ("digit", "ink"))
assert digit.config.num_labels == 10 and ink.config.problem_type == "regression"
ours, theirs = digit.vit.state_dict(), ink.vit.state_dict()
assert all((ours[name] == theirs[name]).all() for name in ours)
print("both load")
"""


def test_each_task_has_a_repository_of_its_own(alices_hub, tmp_path):
    (tmp_path / "drawn.yaml").write_text(RECIPE)
    forks = alices_hub.forks
    done = forks.run("-m", "hfft.cli", "train", "drawn.yaml", folder=tmp_path, HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("published: ") == 2
    loaded = forks.run("-c", LOADS, folder=tmp_path)
    assert "both load" in loaded.stdout, loaded.stderr
    again = forks.run("-m", "hfft.cli", "train", "drawn.yaml", folder=tmp_path, HF_TOKEN=TOKEN)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("published: ") == 2
    card = (tmp_path / "runs" / "drawn" / "model" / "ink" / "README.md").read_text()
    assert "drawn-ink" in card
    assert "learned several tasks at once (digit, ink)" in card

"""What is used directly is published, and answers for the same classes from the hub."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import stand_ins
from tests.publish.conftest import TOKEN

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CLIP = "openai/clip-vit-base-patch32"


def test_an_image_text_model_is_pushed_with_its_texts_and_answers_from_the_hub(alices_hub, tmp_path):
    alices_hub.add("models", CLIP, stand_ins.model(CLIP, tmp_path / "clip"))
    alices_hub.add("datasets", "org/cifar10", stand_ins.data("uoft-cs/cifar10", tmp_path / "cifar10"))

    def run(*command: str) -> str:
        done = alices_hub.forks.run(*command, folder=tmp_path, HF_TOKEN=TOKEN)
        assert done.returncode == 0, done.stderr
        return done.stdout

    overrides = ("publish.hub_model_id=alice/clip", "data.path=org/cifar10")
    trained = run(str(ROOT / "hfft" / "run.py"), "--recipe", "clip_zero_shot", *overrides)
    assert f"published: {alices_hub.url}/alice/clip/tree/" in trained
    files = alices_hub.files("models", "alice/clip")
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "recipe.yaml"} <= set(files)
    card = files["README.md"].decode()
    assert "No network was trained; the model answers zero-shot" in card
    assert f"base_model: {CLIP}" in card
    assert "finetune" not in card
    assert re.search(r"^  revision: [0-9a-f]{40}$", files["recipe.yaml"].decode(), re.M), "the model's commit"
    accuracy = re.search(r"accuracy \S+", trained)[0]
    assert accuracy in run("-m", "hfft.cli", "score", "alice/clip")

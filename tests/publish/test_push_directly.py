"""What is used directly is published, and answers for the same classes from the hub."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests import stand_ins
from tests.forked import Forks
from tests.hub_server import Hub

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TOKEN = "hf_canary_write_token"
CLIP = "openai/clip-vit-base-patch32"


def test_an_image_text_model_is_pushed_with_its_texts_and_answers_from_the_hub(tmp_path):
    with Hub(tmp_path / "store", tokens={TOKEN: "alice"}) as hub:
        hub.add("models", CLIP, stand_ins.model(CLIP, tmp_path / "clip"))
        hub.add("datasets", "uoft-cs/cifar10", stand_ins.data("uoft-cs/cifar10", tmp_path / "cifar10"))
        forks = Forks({**os.environ, **hub.env(tmp_path / "home"), "OMP_NUM_THREADS": "1"})
        try:

            def run(*command: str) -> str:
                done = forks.run(*command, folder=tmp_path, HF_TOKEN=TOKEN)
                assert done.returncode == 0, done.stderr
                return done.stdout

            trained = run(
                str(ROOT / "hfft" / "run.py"), "--recipe", "clip_zero_shot", "publish.hub_model_id=alice/clip"
            )
            assert f"published: {hub.url}/alice/clip/tree/" in trained
            files = hub.files("models", "alice/clip")
            assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "recipe.yaml"} <= set(files)
            card = files["README.md"].decode()
            assert "No network was trained; the model answers zero-shot" in card
            assert f"base_model: {CLIP}" in card
            assert "finetune" not in card
            assert re.search(r"^  revision: [0-9a-f]{40}$", files["recipe.yaml"].decode(), re.M), "the model's commit"
            accuracy = re.search(r"accuracy \S+", trained)[0]
            assert accuracy in run("-m", "hfft.cli", "score", "alice/clip")
        finally:
            forks.close()

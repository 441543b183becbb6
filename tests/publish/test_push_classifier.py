"""A classifier beside its features model is pushed, compared, and predicts from the hub."""

from __future__ import annotations

import csv
import io

import pytest

from tests.publish.conftest import TOKEN

pytestmark = pytest.mark.slow

RECIPE = """
task: image-classification
use: classifier
backbone: {name: nano-vit}
classifier: {type: knn}
data: {path: digits, max_train_samples: 60, max_eval_samples: 20, validation: none}
publish: {hub_model_id: nearest}
"""


def test_a_features_model_with_its_classifier_goes_to_the_hub_and_predicts_from_there(alices_hub, tmp_path):
    (tmp_path / "nearest.yaml").write_text(RECIPE)

    def run(*words):
        cache = str(tmp_path / "cache")
        done = alices_hub.forks.run("-m", "hfft.cli", *words, folder=tmp_path, HF_TOKEN=TOKEN, HFFT_CACHE=cache)
        assert done.returncode == 0, done.stderr
        return done

    assert "published: " in run("train", "nearest.yaml").stdout
    found = run("predict", "alice/nearest", "--data", "digits", "--split", "test")
    rows = list(csv.DictReader(io.StringIO(found.stdout)))
    assert len(rows) == 500
    assert {row["probability"] for row in rows} <= {"0.2", "0.4", "0.6", "0.8", "1.0"}

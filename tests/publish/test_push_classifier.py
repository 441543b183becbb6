"""A classifier beside its features model is pushed, compared, and predicts from the hub."""

from __future__ import annotations

import csv
import io
import os

import pytest

from tests.forked import Forks
from tests.hub_server import Hub

pytestmark = pytest.mark.slow

RECIPE = """
task: image-classification
use: classifier
backbone: {name: nano-vit}
classifier: {type: knn}
data: {path: digits, max_train_samples: 60, max_eval_samples: 20, validation: none}
publish: {hub_model_id: nearest}
"""


def test_a_features_model_with_its_classifier_goes_to_the_hub_and_predicts_from_there(tmp_path):
    (tmp_path / "nearest.yaml").write_text(RECIPE)
    with Hub(tmp_path / "store", tokens={"hf_token": "alice"}) as hub:
        home = tmp_path / "home"
        forks = Forks({**os.environ, **hub.env(home), "OMP_NUM_THREADS": "1", "HFFT_CACHE": str(tmp_path / "cache")})
        try:
            done = forks.run("-m", "hfft.cli", "train", "nearest.yaml", folder=tmp_path, HF_TOKEN="hf_token")
            assert done.returncode == 0, done.stderr
            assert "published: " in done.stdout
            found = forks.run(
                "-m", "hfft.cli", "predict", "alice/nearest", "--data", "digits", "--split", "test", folder=tmp_path
            )
            assert found.returncode == 0, found.stderr
        finally:
            forks.close()
    rows = list(csv.DictReader(io.StringIO(found.stdout)))
    assert len(rows) == 500
    assert {row["probability"] for row in rows} <= {"0.2", "0.4", "0.6", "0.8", "1.0"}

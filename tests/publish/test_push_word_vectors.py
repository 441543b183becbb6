"""A recurrent net on word vectors is pushed with the files of its classes, and plain transformers predicts with it."""

from __future__ import annotations

import csv
import json
import textwrap

import pytest

from tests import stand_ins
from tests.publish.conftest import TOKEN

pytestmark = pytest.mark.slow

RECIPE = """
task: text-classification
backbone: {name: vectors.zip, rnn: {hidden_size: 6}}
data: {path: data, columns: {text: text, label: coarse_label}, validation: 0.2}
training: {max_steps: 3, per_device_train_batch_size: 8, use_cpu: true}
score: {scorecard: off}
"""
ALONE = """
    import json, sys
    sys.modules["hfft"] = None
    from transformers import pipeline
    model = pipeline("text-classification", model=sys.argv[1], trust_remote_code=True)
    print(json.dumps(model("how good was the film", top_k=1)[0]))
"""


@pytest.mark.parametrize(
    ("repo", "more", "files"),
    [
        ("alice/net", [], {"modeling_hfft.py"}),
        ("alice/net-with-mlp", ["head.kind=mlp"], {"modeling_hfft.py", "modeling_rnn.py"}),
    ],
)
def test_a_net_answers_the_same_from_the_hub_without_the_package(repo, more, files, alices_hub, tmp_path):
    stand_ins.data("CogComp/trec", tmp_path / "data")
    stand_ins.model("glove.840B.300d.zip", tmp_path / "vectors")
    (tmp_path / "net.yaml").write_text(RECIPE)

    def run(*command):
        done = alices_hub.forks.run(*command, folder=tmp_path, HF_TOKEN=TOKEN)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    run("-m", "hfft.cli", "train", "net.yaml", f"publish.hub_model_id={repo}", *more)
    assert {name for name in alices_hub.files("models", repo) if name.endswith(".py")} == files
    expected = json.loads(run("-c", textwrap.dedent(ALONE), repo)[-1])
    [row] = csv.DictReader(run("-m", "hfft.cli", "predict", repo, "how good was the film"))
    assert row["label"] == expected["label"]
    assert float(row["probability"]) == pytest.approx(expected["score"], abs=2e-6)

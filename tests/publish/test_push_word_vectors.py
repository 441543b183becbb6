"""A recurrent net on word vectors is pushed with the files of its classes, and plain transformers predicts with it."""

from __future__ import annotations

import csv
import json
import os
import textwrap

import pytest

from tests import stand_ins
from tests.forked import Forks
from tests.hub_server import Hub

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
    model = pipeline("text-classification", model="alice/net", trust_remote_code=True)
    print(json.dumps(model("how good was the film", top_k=1)[0]))
"""


@pytest.mark.parametrize(
    ("more", "files"), [([], {"modeling_hfft.py"}), (["head.kind=mlp"], {"modeling_hfft.py", "modeling_rnn.py"})]
)
def test_a_net_answers_the_same_from_the_hub_without_the_package(more, files, tmp_path):
    stand_ins.data("CogComp/trec", tmp_path / "data")
    stand_ins.model("glove.840B.300d.zip", tmp_path / "vectors")
    (tmp_path / "net.yaml").write_text(RECIPE)
    with Hub(tmp_path / "store", tokens={"hf_token": "alice"}) as hub:
        forks = Forks({**os.environ, **hub.env(tmp_path / "home"), "OMP_NUM_THREADS": "1"})
        command = ("-m", "hfft.cli", "train", "net.yaml", "publish.hub_model_id=alice/net", *more)
        try:
            done = forks.run(*command, folder=tmp_path, HF_TOKEN="hf_token")
            assert done.returncode == 0, done.stderr
            assert {name for name in hub.files("models", "alice/net") if name.endswith(".py")} == files
            plain = forks.run("-c", textwrap.dedent(ALONE), folder=tmp_path)
            assert plain.returncode == 0, plain.stderr
            ours = forks.run("-m", "hfft.cli", "predict", "alice/net", "how good was the film", folder=tmp_path)
            assert ours.returncode == 0, ours.stderr
        finally:
            forks.close()
    expected = json.loads(plain.stdout.splitlines()[-1])
    [row] = csv.DictReader(ours.stdout.splitlines())
    assert row["label"] == expected["label"]
    assert float(row["probability"]) == pytest.approx(expected["score"], abs=2e-6)

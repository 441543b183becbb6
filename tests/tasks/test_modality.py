"""A modality from outside: two objects and a row of the table of tasks are all that sounds need."""

import numpy as np
import pytest
import torch
import transformers
from datasets import ClassLabel, Dataset, Features, List, Value

from hfft import finetune, load_predictor
from hfft.data.digest import digest_of
from hfft.data.modality.base import Inputs
from hfft.recipe import Recipe
from hfft.tasks.modality import Modality
from hfft.tasks.table import TASKS, Task

TASK, RATE, LENGTH = "audio-classification", 8000, 800


class Waves(Inputs):
    """A list of levels a row."""

    def plays(self, role, feature):
        return isinstance(feature, List)

    def digest(self, row, names):
        return digest_of(np.asarray(row[0], "f4").tobytes())

    def plain(self, value):
        return np.asarray(value, "f4")

    def batch(self, inputs, processor):
        return dict(processor([self.plain(x) for x in inputs], sampling_rate=RATE, return_tensors="pt"))

    def step(self, processor, columns, split, seed=0, augment=(), on_device=None, draws=None):
        return lambda row: {**self.batch([row[columns["audio"]]], processor), "labels": row["labels"]}

    def rows(self, rows, step, known, content=None):
        return [step(row) for row in rows]

    def collate(self, processor, problem, mlm_probability=None):
        joined = {"input_values": torch.cat, "labels": torch.tensor}
        return lambda rows: {name: join([row[name] for row in rows]) for name, join in joined.items()}


AUDIO = Modality(
    name="audio",
    columns={"audio": "audio"},
    input_name="input_values",
    auto_processor="AutoFeatureExtractor",
    inputs_class=f"{__name__}:Waves",
)


def tone(label, rng):
    return (np.sin(np.arange(LENGTH) * (0.05, 0.8)[label]) + rng.normal(0, 0.1, LENGTH)).astype("f4")


@pytest.mark.slow
def test_a_toy_modality_trains_scores_and_predicts(tmp_path, monkeypatch):
    task = Task(TASK, TASK, "AutoModelForAudioClassification", AUDIO, {**AUDIO.columns, "label": "label"}, '"a.wav"')
    monkeypatch.setitem(TASKS, TASK, task)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    layers = {"conv_dim": (8, 8), "conv_stride": (8, 4), "conv_kernel": (16, 8), "num_feat_extract_layers": 2}
    config = transformers.Wav2Vec2Config(**sizes, **layers, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2)
    transformers.Wav2Vec2ForSequenceClassification(config).save_pretrained(tmp_path / "backbone")
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=RATE).save_pretrained(tmp_path / "backbone")
    rng, names = np.random.default_rng(0), ClassLabel(names=["low", "high"])
    for split, count in (("train", 64), ("test", 16)):
        rows = {"audio": [tone(i % 2, rng) for i in range(count)], "label": [i % 2 for i in range(count)]}
        Dataset.from_dict(rows, Features(audio=List(Value("float32")), label=names)).to_parquet(
            tmp_path / "data" / f"{split}.parquet"
        )
    training = {"output_dir": str(tmp_path / "run"), "max_steps": 60, "learning_rate": 3e-3, "seed": 1}
    parts = {"backbone": {"name": str(tmp_path / "backbone")}, "data": {"path": str(tmp_path / "data"), "test": "test"}}
    result = finetune(Recipe.model_validate({"name": "tones", "task": TASK, **parts, "training": training}))
    assert result.metrics["test"]["accuracy"] == 1.0
    told = load_predictor(str(result.folder)).table([("a", tone(0, rng)), ("b", tone(1, rng))])
    assert [row["label"] for row in told] == ["low", "high"]

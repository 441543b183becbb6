"""`hfft score RUN --episodes`: the features of a run's held-out rows, their classes, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from hfft import cli
from hfft.evaluate.episodes import EpisodeSettings, episode_accuracies
from hfft.predict.head_inputs import logits_and_features
from hfft.predict.predictor import load_predictor
from tests.predict.runs import a_run

RECIPE = """
task: text-classification
backbone: {name: nano-bert}
data: {path: rows, validation: none, max_length: 16}
"""
WORDS = ["list", "value", "string", "file", "table", "number"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run in its folder, beside its data: a test split with 12 rows of a and b, and 4 of c."""
    monkeypatch.chdir(tmp_path)
    a_run(tmp_path / "run")
    Path("run/recipe.yaml").write_text(RECIPE)
    Path("rows").mkdir()
    texts = [f"the {WORDS[i % 6]} {WORDS[i % 5]} {i},{'abc'[min(i // 12, 2)]}" for i in range(28)]
    for split in ("train", "test"):
        Path(f"rows/{split}.csv").write_text("\n".join(["text,label", *texts]) + "\n")
    return texts


def said(capsys, *arguments, status=0):
    capsys.readouterr()
    assert cli.main(["score", "run", *arguments]) == status
    shown = capsys.readouterr()
    return (shown.out if status == 0 else shown.err).splitlines()


def test_features_are_what_the_head_reads(run):
    predictor = load_predictor("run")
    texts = [text.rpartition(",")[0] for text in run]
    logits, features = logits_and_features(predictor, texts, batch_size=5)
    torch.testing.assert_close(logits, predictor.logits(texts), atol=1e-5, rtol=0)
    torch.testing.assert_close(predictor.model.classifier(features), logits, atol=1e-5, rtol=0)


def test_the_accuracy_is_that_of_the_features_with_its_interval(run, capsys):
    line, left_out = said(capsys, "--episodes", "50", "--ways", "2", "--shots", "3", "--queries", "5")
    found = re.match(r"test accuracy (\S+) ± (\S+)  \(2-way 3-shot, mean and 95 % interval of 50 episodes with 5", line)
    _, features = logits_and_features(load_predictor("run"), [text.rpartition(",")[0] for text in run])
    labels = np.repeat([0, 1, 2], [12, 12, 4])
    accuracies = episode_accuracies(features.numpy(), labels, np.arange(2), EpisodeSettings(50, 2, 3, 5), 42)
    assert float(found[1]) == pytest.approx(accuracies.mean(), abs=6e-5)
    assert float(found[2]) == pytest.approx(1.96 * accuracies.std(ddof=1) / np.sqrt(50), abs=1e-4)
    assert left_out == "test: in no episode, with fewer than 8 rows: 'c' (4)"


def test_classes_may_be_others_than_the_model_knows(run, capsys):
    for file in Path("rows").iterdir():
        file.write_text(file.read_text().replace(",a", ",new"))
    assert "test accuracy" in said(capsys, "--episodes", "9", "--ways", "2", "--queries", "5")[0]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--ways", "2"], "--ways: is for episodes; add --episodes 600, or leave it out"),
        (
            ["--episodes", "600"],
            "split test: --ways 5: an episode takes 20 rows of each class, and 0 of 3 classes have",
        ),
        (["--episodes", "600", "--shots", "0"], "--shots 0: must be at least 1"),
        (
            ["--episodes", "600", "problem_type=regression"],
            "--episodes: needs stored rows of one class each; leave it out",
        ),
        (["--episodes", "600", "data.test=none"], "--episodes: the recipe has no held-out split"),
    ],
)
def test_what_cannot_be_scored_by_episodes_is_refused_in_a_line(run, capsys, arguments, line):
    (only,) = said(capsys, *arguments, status=2)
    assert line in only

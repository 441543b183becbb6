"""A source-only run and one adapted from it: scored on the target before and after, guarded, and measured for the study."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from hfft import finetune, load_recipe
from hfft.cli import main
from hfft.errors import BadInput
from hfft.studies import target_scores

TARGET = ["data.path=digits", "data.validation=none", "data.max_eval_samples=80"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, str]:
    """A run on few printed digits, and SHOT from it on few handwritten ones."""
    folder = tmp_path_factory.mktemp("adapted")
    few = ["data.max_train_samples=200", "data.max_eval_samples=60", "score.scorecard=off", "training.use_cpu=true"]
    source = finetune(
        load_recipe("printed_digits", *few, "training.num_train_epochs=2", f"training.output_dir={folder / 'source'}")
    )
    shot = {
        "task": "image-classification",
        "backbone": {"name": str(source.model)},
        "head": {"keep_known": True},
        "layers": {"freeze": "head"},
        "data": {"path": "digits", "labels": "none"},
        "strategy": {"shot": {}},
        "training": {"num_train_epochs": 1, "learning_rate": 2e-4, "output_dir": str(folder / "shot")},
    }
    adapted = finetune(load_recipe(shot, *few))
    return {"source": str(source.folder), "shot": str(adapted.folder), "model": str(source.model)}


def head_of(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return {name: value for name, value in load_file(folder / "model.safetensors").items() if "classifier" in name}


def test_shot_keeps_the_head_and_its_metrics_say_that_labels_were_not_read(runs) -> None:
    before, after = head_of(Path(runs["model"])), head_of(Path(runs["shot"]) / "model")
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)
    metrics = json.loads((Path(runs["shot"]) / "metrics.json").read_text())
    assert metrics["data"]["unread"] == {"train": 200}
    assert metrics["data"]["origin"]["train"].endswith("labels not read")
    assert "rows whose labels were not read" in (Path(runs["shot"]) / "report.html").read_text()
    assert "labels not read" in (Path(runs["shot"]) / "model" / "README.md").read_text()


@pytest.mark.parametrize(("how", "said"), [("tent", "scales and shifts learned"), ("priors", "shares by BBSE: ")])
def test_score_adapts_without_labels_and_says_before_and_after(how, said, runs, capsys) -> None:
    assert main(["score", runs["source"], *TARGET, "--adapt", how]) == 0
    found = capsys.readouterr().out
    first = re.search(rf"test accuracy (0\.\d+), with {how} (0\.\d+), difference ([+-]0\.\d+) ", found)
    assert first
    assert float(first[2]) - float(first[1]) == pytest.approx(float(first[3]), abs=2e-4)
    assert "n=80" in found
    assert "used for scoring alone" in found
    assert said in found


def test_few_rows_are_told_and_a_model_without_batchnorm_has_no_adabn(runs, capsys) -> None:
    assert main(["score", runs["source"], *TARGET, "--adapt", "tent", "--batch-size", "8"]) == 0
    assert "batches of 8 rows: fewer than 32" in capsys.readouterr().out
    assert main(["score", runs["source"], *TARGET, "--adapt", "adabn"]) == 2
    assert "no BatchNorm" in capsys.readouterr().err


def test_the_guard_compares_both_runs_without_labels_and_names_the_one_it_keeps(runs, capsys) -> None:
    assert main(["score", runs["shot"], "--guard", runs["source"]]) == 0
    found = capsys.readouterr().out
    assert all(name in found for name in ("snd", "atc", "entropy", "source_validation"))
    kept = re.search(r"kept by snd: (adapted|source-only), (\S+)", found)
    assert kept
    assert kept[2] == runs["shot" if kept[1] == "adapted" else "source"]
    assert "by labels, which decided nothing" in found
    assert main(["score", runs["source"], "--guard", runs["shot"]]) == 2
    assert "adapted to nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--adapt", "tent", "--full"], "--full: is not for --adapt"),
        (["--guard", "x", "--adapt", "tent"], "leave out --adapt"),
        (["--adapt", "tent", "--batch-size", "1"], "--batch-size 1"),
    ],
)
def test_options_that_exclude_each_other_are_refused_in_one_line(words, said, runs, capsys) -> None:
    assert main(["score", runs["source"], *words]) == 2
    assert said in capsys.readouterr().err


def test_a_class_that_the_model_does_not_know_cannot_be_learned_without_labels(runs, tmp_path) -> None:
    recipe = load_recipe(
        str(Path(runs["shot"]) / "recipe.yaml"), "data.path=letters", f"training.output_dir={tmp_path / 'run'}"
    )
    with pytest.raises(BadInput, match=r"data.labels: is none, and the model does not know A, B"):
        finetune(recipe)


def test_the_study_measures_the_model_and_classifiers_on_the_target(runs) -> None:
    recipe = load_recipe(str(Path(runs["source"]) / "recipe.yaml"), f"backbone.name={runs['model']}")
    found = target_scores.score(recipe, "digits")
    assert found["test"]["n"] == 60
    assert 0 < found["test"]["accuracy"] < 1
    assert set(found["label_free"]) == {"snd", "atc", "entropy", "source_validation"}
    fitted = target_scores.classifiers(recipe, "digits")
    assert list(fitted["classifiers"]) == list(target_scores.CLASSIFIERS)
    assert all(0.1 < one["accuracy"] < 1 for one in fitted["classifiers"].values())

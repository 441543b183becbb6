"""New classes for a finished model: both are told, what cannot be is refused, and every kind of head grows."""

from __future__ import annotations

import json
import shutil

import pytest
from safetensors.torch import load_file

from hfft.cli import main
from hfft.errors import BadInput
from hfft.pipeline.finetune import finetune
from hfft.recipe import load_recipe
from hfft.scenarios.incremental.extend import FILE, extend, left_out
from tests.sounds import put

pytestmark = pytest.mark.slow  # a run of three classes is trained for all
WORDS = {"fruit": "apple pear plum", "tool": "hammer saw drill", "bird": "crow owl hawk", "river": "rhine nile danube"}


def write(path, classes, rows):
    """Sentences whose word tells the class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"the {word} number {i},{name}" for name in classes for i in range(rows) for word in WORDS[name].split()]
    path.write_text("text,label\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three classes with a head of hfft's own, and its data."""
    folder = tmp_path_factory.mktemp("extend")
    for split, rows in (("train", 8), ("test", 3)):
        write(folder / "old" / f"{split}.csv", ["fruit", "tool", "bird"], rows)
    values = {
        "task": "text-classification",
        "backbone": {"name": "nano-bert"},
        "head": {"pooling": "mean"},
        "data": {"path": str(folder / "old"), "validation": "none"},
        "training": {"num_train_epochs": 6, "per_device_train_batch_size": 8, "learning_rate": 2e-3, "use_cpu": True,
                     "output_dir": str(folder / "run")},
        "score": {"scorecard": "off"},
    }  # fmt: skip
    finetune(load_recipe({"name": "words", **values}))
    write(folder / "new.csv", ["river"], 8)
    return folder


def test_a_new_class_is_learned_the_others_are_kept_and_both_are_told(trained, tmp_path):
    said = []
    words = [f"data.path={trained / 'new.csv'}", "training.num_train_epochs=8"]
    result = extend(trained / "run", *words, memory=12, output=tmp_path / "more", say=lambda *lines: said.extend(lines))
    figures = json.loads((tmp_path / "more" / FILE).read_text())
    assert figures["known"] == ["bird", "fruit", "tool"]
    assert figures["new"] == ["river"]
    old, new = figures["old_classes"], figures["new_classes"]
    assert (old["n"], new["n"]) == (27, 5)  # a fifth of the new rows is set aside
    assert old["before"] == pytest.approx(json.loads((trained / "run/metrics.json").read_text())["test"]["accuracy"])
    assert old["after"] > 0.8
    assert new["accuracy"] > 0.7
    assert round((old["after"] - old["before"]) * 27) == old["won"] - old["lost"]
    assert result.metrics["labels"] == ["bird", "fruit", "tool", "river"]
    assert any(line.startswith("known classes: test accuracy ") for line in said)
    assert any(line.startswith("new classes (river): test accuracy ") for line in said)
    assert "memory: 12 training rows of the known classes" in "\n".join(said)
    start, end = (load_file(folder / "model/model.safetensors") for folder in (trained / "run", tmp_path / "more"))
    assert end["head.out.weight"].shape[0] == 4
    assert (end["head.out.weight"][:3] - start["head.out.weight"]).abs().max() < 0.2  # it began with these rows
    assert {"recipe.yaml", "metrics.json", "report.html", "model", "outputs"} <= {
        p.name for p in (tmp_path / "more").iterdir()
    }
    before = (tmp_path / "more/metrics.json").read_text()
    extend(
        trained / "run", *words, memory=12, output=tmp_path / "more", say=lambda *lines: None
    )  # finished: told again
    assert (tmp_path / "more/metrics.json").read_text() == before


def test_options_of_the_run_that_do_not_count_again_are_named():
    assert left_out(load_recipe("digits")) == []
    words = ["strategy.mixup=0.2", "strategy.lwf=null", "training.early_stopping.patience=3"]
    assert left_out(load_recipe("digits", *words)) == ["strategy.mixup", "training.early_stopping"]


def test_without_the_old_rows_their_answers_are_kept_alone_and_that_is_said(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    recipe = (tmp_path / "run/recipe.yaml").read_text()
    (tmp_path / "run/recipe.yaml").write_text(recipe.replace(str(trained / "old"), str(tmp_path / "gone")))
    said = []
    words = [f"data.path={write(tmp_path / 'two.csv', ['river', 'bird'], 4)}", "training.max_steps=2"]
    result = extend(tmp_path / "run", *words, say=lambda *lines: said.extend(lines))
    assert result.folder == tmp_path / "run-extended"
    text = "\n".join(said)
    assert "the rows of the known classes cannot be read" in text
    assert "what is forgotten is not measured" in text
    assert "rows of known classes among the new ones are learned as well: bird" in text
    assert "old_classes" not in json.loads((result.folder / FILE).read_text())


@pytest.mark.parametrize(
    ("classes", "words", "message"),
    [
        (
            ["fruit", "bird"],
            [],
            r"knows every class of the new rows \(fruit, bird\); to train it further, use hfft train",
        ),
        (None, [], r"data.path: is missing; name the rows of the new classes"),
        (["river"], ["data.validation=0.1"], r"data.validation: says nothing of how new rows are read"),
        (["river"], ["data.train=nowhere"], r"data.train: no split 'nowhere'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(classes, words, message, trained, tmp_path):
    if classes is not None:
        words = [f"data.path={write(tmp_path / 'new.csv', classes, 3)}", *words]
    with pytest.raises(BadInput, match=message):
        extend(trained / "run", *words, output=tmp_path / "more")
    assert not (tmp_path / "more").exists()


def test_rows_that_cannot_be_used_are_told(trained, tmp_path):
    new = write(tmp_path / "new.csv", ["river"], 3)
    with pytest.raises(BadInput, match=r"--memory 0: expected 1 row or more"):
        extend(trained / "run", f"data.path={new}", memory=0)
    with pytest.raises(BadInput, match=r"memory: 2 rows cannot hold one of each of 3 classes"):
        extend(trained / "run", f"data.path={new}", memory=2)
    with pytest.raises(BadInput, match=r"is the run that is extended; name another folder"):
        extend(trained / "run", f"data.path={new}", output=trained / "run")
    new.write_text("text,label\na lonely one,river\n")
    with pytest.raises(BadInput, match=r"data: class 'river' has a single row"):
        extend(trained / "run", f"data.path={new}")
    new.write_text("text,label\none,river\ntwo,\n")
    with pytest.raises(BadInput, match=r"split train, row 1: no single class in column 'label'"):
        extend(trained / "run", f"data.path={new}")
    with pytest.raises(BadInput, match=r"is no finished run"):
        extend(tmp_path, f"data.path={new}")


def test_the_command_says_what_is_wrong_in_one_line(trained, tmp_path, capsys):
    new = write(tmp_path / "new.csv", ["tool"], 3)
    assert main(["extend", str(trained / "run"), f"data.path={new}"]) == 2
    assert "knows every class of the new rows (tool)" in capsys.readouterr().err


def test_a_run_on_drawn_sounds_learns_another_kind_of_sound(tmp_path, capsys):
    pitches = {"low": 250.0, "middle": 800.0, "high": 2500.0}
    for split, rows in (("train", 8), ("test", 4)):
        for name in ("low", "middle"):
            for i in range(rows):
                put(tmp_path / "sounds" / split / name / f"{i}.wav", pitches[name] + 5 * i, rate=8000, seed=i)
    for i in range(10):
        put(tmp_path / "new" / "high" / f"{i}.wav", pitches["high"] + 5 * i, rate=8000, seed=i)
    drawn = {"kind": "spectrogram", "size": [28, 28], "seconds": 0.5, "sampling_rate": 8000}
    training = {"num_train_epochs": 8, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "use_cpu": True}
    finetune(
        load_recipe(
            {
                "name": "pitches",
                "task": "image-classification",
                "backbone": {"name": "nano-vit"},
                "data": {"path": str(tmp_path / "sounds"), "validation": "none", "render": drawn},
                "training": {**training, "output_dir": str(tmp_path / "run")},
                "score": {"scorecard": "off"},
            }
        )
    )
    result = extend(
        tmp_path / "run", f"data.path={tmp_path / 'new'}", output=tmp_path / "more", say=lambda *lines: None
    )
    figures = json.loads((tmp_path / "more" / FILE).read_text())
    assert result.metrics["labels"] == ["low", "middle", "high"]
    assert (figures["old_classes"]["n"], figures["new_classes"]["n"]) == (8, 2)
    assert figures["old_classes"]["after"] > 0.7
    assert figures["new_classes"]["accuracy"] == 1
    assert main(["predict", str(tmp_path / "more"), str(tmp_path / "new/high/3.wav")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split(",")[1] == "high"

"""Further sets: read beside the task's rows, their labels never looked at."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset
from PIL import Image
from transformers import ViTImageProcessorPil

from hfft.data import load_sets
from hfft.data.spec import DataSet
from hfft.errors import DataError
from hfft.pipeline.finetune import finetune
from hfft.recipe import load_recipe
from hfft.tasks.labels import Labels
from hfft.tasks.table import TASKS
from tests.examples import MULTI, REGRESSION, SINGLE

IMAGES = TASKS["image-classification"]


@pytest.fixture
def folder(tmp_path):
    """Twelve grey images without labels."""
    rng, images = np.random.default_rng(0), tmp_path / "images"
    images.mkdir()
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(images / f"{i:02}.png")
    return images


def load(spec, labels=None, augment=()):
    labels = labels or Labels.of(SINGLE, ["a", "b"])
    processor = ViTImageProcessorPil(size={"height": 8, "width": 8})
    return load_sets({"target": DataSet.model_validate(spec)}, IMAGES, labels, processor, augment, 0)["target"]


@pytest.mark.parametrize(
    ("labels", "zero"),
    [
        (Labels.of(SINGLE, ["a", "b"]), 0),
        (Labels.of(MULTI, ["a", "b"]), [0.0, 0.0]),
        (Labels(REGRESSION, (), 1), [0.0]),
    ],
)
def test_the_rows_are_the_models_inputs_and_the_labels_zeros(folder, labels, zero):
    rows = load({"path": str(folder)}, labels)
    assert len(rows) == 12
    assert rows[3]["pixel_values"].shape == (3, 8, 8)
    assert rows[3]["labels"] == zero


def test_files_of_a_set_that_are_not_used_are_told(folder, capsys):
    (folder / "notes.md").write_text("x")
    assert len(load({"path": str(folder)})) == 12
    assert f"data.sets.target: {folder}: 1 other file, so left out (1 .md)\n" in capsys.readouterr().out


def test_fewer_may_be_taken(folder):
    assert len(load({"path": str(folder), "max_samples": 5})) == 5


def test_another_draw_is_another_augmentation_of_the_same_row(folder):
    rows = load({"path": str(folder)}, augment=["rand_augment"])
    same, again, other = rows[2]["pixel_values"], rows.in_draw(0)[2]["pixel_values"], rows.in_draw(1)[2]["pixel_values"]
    assert (same == again).all()
    assert (same != other).any()
    rows.set_epoch(1)
    assert (rows.in_draw(1)[2]["pixel_values"] != other).any()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"split": "tain"}, r"data\.sets\.target\.split: no split 'tain'; did you mean 'train'\?"),
        ({"columns": {"image": "img"}}, r"data\.sets\.target\.columns\.image: no column 'img'.*has: image"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(folder, spec, said):
    with pytest.raises(DataError, match=said):
        load({"path": str(folder), **spec})


def test_a_path_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        load({"path": str(tmp_path / "none")})


def test_texts_are_tokenised_as_those_of_the_task(tmp_path):
    from transformers import AutoTokenizer

    from hfft.backbone.locate import source

    Dataset.from_dict({"text": ["a tensor", "an array of arrays"]}).to_parquet(tmp_path / "t.parquet")
    tokenizer = AutoTokenizer.from_pretrained(source("nano-bert"))
    spec = DataSet(path=str(tmp_path / "t.parquet"))
    rows = load_sets({"t": spec}, TASKS["text-classification"], Labels.of(SINGLE, ["a", "b"]), tokenizer, (), 0)["t"]
    assert rows[1]["input_ids"] == tokenizer("an array of arrays")["input_ids"]
    assert rows.lengths.tolist() == [len(tokenizer(text)["input_ids"]) for text in ("a tensor", "an array of arrays")]


@pytest.mark.slow
def test_a_run_learns_from_the_rows_of_a_set(folder, tmp_path, capsys):
    few = ("data.max_train_samples=32", "data.max_eval_samples=16", "training.max_steps=3", "score.from_scratch=false")
    told = {}
    for name, more in (("without", ()), ("with", (f"data.sets.target.path={folder}", "strategy={mcc: target}"))):
        recipe = load_recipe(
            "digits", *few, *more, f"training.output_dir={tmp_path / name}", "training.eval_strategy=no"
        )
        told[name] = finetune(recipe)
    assert told["with"].metrics["data"]["sets"] == {"target": 12}
    assert told["with"].metrics["train"]["loss"] > told["without"].metrics["train"]["loss"]
    assert "target 12 (data.sets)" in capsys.readouterr().out


# --- a memory: rows whose labels are given

LABELS = Labels.of(SINGLE, ["b", "a", "c"])


def memory(folder, labels, logits=None, named=False):
    images = [Image.new("RGB", (8, 8), (i, i, i)) for i in range(len(labels))]
    rows = Dataset.from_dict({"image": images, "label": labels, **({} if logits is None else {"logits": logits})})
    if named:
        rows = rows.cast_column("label", ClassLabel(names=["a", "b", "x"]))
    rows.save_to_disk(folder / "memory")
    return {"path": str(folder / "memory"), "labels": "given"}


@pytest.mark.parametrize("named", [False, True])
def test_labels_that_are_given_are_classes_by_name(named, tmp_path):
    rows = load(memory(tmp_path, ["a", "b", "a"], named=named), LABELS)
    assert [rows[i]["labels"] for i in range(3)] == [1, 0, 1]
    assert not hasattr(rows, "stored_logits")


def test_stored_logits_come_with_their_rows(tmp_path):
    rows = load({**memory(tmp_path, ["a", "b"], [[1.0, 2.0], [3.0]]), "max_samples": 1}, LABELS)
    assert rows.stored_logits == [[1.0, 2.0]]
    assert rows[0]["labels"] == 1


def test_labels_are_not_read_unless_they_are_asked_for(tmp_path):
    rows = load({**memory(tmp_path, ["a", "z"], [[1.0], [2.0]]), "labels": "none"}, LABELS)
    assert [rows[i]["labels"] for i in range(2)] == [0, 0]
    assert not hasattr(rows, "stored_logits")


@pytest.mark.parametrize(
    ("spec", "labels", "message"),
    [
        (
            ["a", "z"],
            LABELS,
            r"data.sets.target: row 1 is of 'z', but the task's classes are b, a, c; leave such rows out",
        ),
        (["a", None], LABELS, r"data.sets.target: row 1 has no label"),
        (["a"], Labels(REGRESSION, (), 1), r"data.sets.target.labels: is given, but regression has no single class"),
    ],
)
def test_given_labels_that_do_not_fit_are_told_in_one_line(spec, labels, message, tmp_path):
    with pytest.raises(DataError, match=message):
        load(memory(tmp_path, spec), labels)


def test_a_set_without_the_column_is_refused(folder):
    with pytest.raises(DataError, match=r"data.sets.target.columns.label: no column 'label'"):
        load({"path": str(folder), "labels": "given"})

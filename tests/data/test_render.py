"""Texts as lines of pixels: the same for the same text, broken between words, and read by an image network."""

from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import ImageFont

from hfft import finetune
from hfft.commands.predict import predict
from hfft.data.load import load_splits
from hfft.data.render import CUT, draw, lines
from hfft.data.spec import Data, Render
from hfft.errors import DataError, RecipeError
from hfft.recipe import Recipe
from hfft.tasks.table import TASKS
from tests import stand_ins

IMAGES = TASKS["image-classification"]
HOW = Render(size=[32, 64], font_size=10)


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Each test in a folder of its own, caches included."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


def test_the_same_text_is_the_same_image_and_another_is_not():
    one, again, other = (np.asarray(draw(text, HOW)) for text in ("a good film", "a good film", "a good filn"))
    assert one.shape == (32, 64)
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    assert not np.asarray(draw("  ", HOW)).any()


@pytest.mark.parametrize("text", ["a few words that need some lines", "incomprehensibilities and so on", "x", ""])
def test_lines_fit_and_lose_nothing_but_spaces(text):
    found = lines(text, HOW, 99)
    font = ImageFont.load_default(10)
    assert all(font.getlength(line) <= 62 for line in found)
    assert "".join(found).replace(" ", "") == text.replace(" ", "")
    assert lines(text, HOW, 1) == found[:1]


def test_each_line_is_drawn_below_the_last():
    two = np.asarray(draw("word words words", HOW))
    step = sum(ImageFont.load_default(10).getmetrics())
    first = np.asarray(draw(lines("word words words", HOW, 1)[0], HOW))
    np.testing.assert_array_equal(two[:step], first[:step])
    assert two[step:].any()
    assert not first[step:].any()


def test_texts_that_do_not_fit_are_counted_for_each_split():
    whole, cut = "a b", "many words " * 9
    assert (CUT in draw(whole, HOW).info, CUT in draw(cut, HOW).info) == (False, True)
    for split, texts in (("train", [whole, cut, f"{cut} c", f"{whole} c"]), ("test", ["d", "e"])):
        datasets.Dataset.from_dict({"text": texts, "label": ["x", "y"] * (len(texts) // 2)}).to_parquet(
            f"rows/{split}.parquet"
        )
    splits, _ = load_splits(Data(path="rows", columns={"image": "text"}, render=HOW, validation="none"), IMAGES)
    said = [note for note in splits.notes if "does not fit into its image" in note]
    assert len(said) == 1
    assert "train" in said[0]
    assert "2 rows" in said[0]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_column_of_texts_becomes_images(streaming):
    rows = stand_ins.texts(8, "text", "label", ["a", "b"])
    stand_ins.save_splits(Path("rows"), train=rows)
    data = Data(path="rows", columns={"image": "text"}, render=HOW, streaming=streaming, validation="none", test="none")
    splits, labels = load_splits(data, IMAGES)
    assert labels.names == ("a", "b")
    found = list(splits.train)
    order = {np.asarray(draw(row["text"], HOW)).tobytes(): row["label"] for row in rows}
    assert len(found) == 8
    assert all(order[np.asarray(row["text"].convert("L")).tobytes()] == row["labels"] for row in found)


def test_an_empty_text_and_a_column_of_numbers_are_refused_in_one_line():
    given = {"text": ["a", " ", "b"], "label": ["x", "y", "x"], "n": [1, 2, 3]}
    datasets.Dataset.from_dict(given).to_parquet("rows.parquet")
    plain = {"path": "rows.parquet", "render": HOW, "validation": "none", "test": "none"}
    with pytest.raises(DataError, match="split train, row 1: no image in column 'text'"):
        load_splits(Data(columns={"image": "text", "label": "label"}, **plain), IMAGES)
    with pytest.raises(DataError, match=r"data\.render: draws texts, but column 'n' has type"):
        load_splits(Data(columns={"image": "n", "label": "label"}, **plain), IMAGES)


def test_a_task_without_images_draws_no_texts():
    parts = {"backbone": {"name": "nano-bert"}, "data": {"path": "x", "render": {}}}
    with pytest.raises(
        RecipeError, match=r"data\.render: draws texts as images, but task text-classification takes none"
    ):
        Recipe(name="r", task="text-classification", **parts)


@pytest.mark.slow
def test_a_run_learns_to_read_and_predicts_a_table_of_texts():
    names = ["ABBR", "ENTY"]
    stand_ins.save_splits(
        Path("rows"),
        train=stand_ins.texts(60, "text", "label", names),
        test=stand_ins.texts(20, "text", "label", names, 1),
    )
    stand_ins.model("microsoft/resnet-18", Path("model"))
    recipe = Recipe(
        name="reads",
        task="image-classification",
        backbone={"name": "model", "processor": {"size": {"shortest_edge": 32}, "crop_pct": 1.0}},
        data={"path": "rows", "columns": {"image": "text"}, "render": {"size": [32, 64]}, "validation": "none"},
        training={"output_dir": "run", "max_steps": 3, "per_device_train_batch_size": 8, "use_cpu": True},
        score={"scorecard": "off"},
    )
    assert finetune(recipe).metrics["test"]["n"] == 20
    Path("new.csv").write_text("text\nwhat is it\nwho was it\n", encoding="utf-8")
    rows = list(predict("run", ["new.csv"], None, None, None, 8))
    assert [row["id"] for row in rows] == ["new.csv:0", "new.csv:1"]
    assert all(row["error"] is None for row in rows)

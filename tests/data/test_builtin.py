"""The built-in data sets are the same on every load, fairly split, and the pretraining ones keep off the tested ones."""

from __future__ import annotations

import importlib.util
from collections import Counter
from functools import cache

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Image
from sklearn.datasets import load_digits

from hfft.data import builtin
from hfft.data.builtin import digits, docstrings, letters, printed_digits
from hfft.errors import DataError


@cache
def made(name: str) -> DatasetDict:
    return builtin.load(name)


def pixels(split: Dataset) -> np.ndarray:
    return np.stack([np.asarray(picture) for picture in split["image"]])


def shares(split: Dataset) -> dict[int, float]:
    return {label: count / len(split) for label, count in Counter(split["label"]).items()}


@pytest.mark.slow_but("digits")
@pytest.mark.parametrize("name", builtin.BUILTIN)
def test_loading_twice_gives_the_same_rows(name: str) -> None:
    before = made(name)
    docstrings.read_docstrings.cache_clear()
    builtin.made.cache_clear()
    again = builtin.load(name)
    assert list(again) == list(before)
    for split, rows in made(name).items():
        assert again[split].data.equals(rows.data)
        assert again[split]._fingerprint == rows._fingerprint  # what maps over these rows is found again in the cache


def test_what_a_user_changes_is_not_what_the_next_load_gives() -> None:
    first = builtin.load("digits")
    first["train"].set_format("numpy", columns=["label"])
    first["train"].info.description = "changed"
    del first["test"]
    second = builtin.load("digits")
    assert list(second) == ["train", "test"]
    assert second["train"].format["type"] is None
    assert second["train"].info.description != "changed"
    assert builtin.load("digits", streaming=True)["train"].info.splits["train"].num_examples == len(second["train"])


@pytest.mark.slow_but("digits")
@pytest.mark.parametrize("name", builtin.BUILTIN)
def test_every_set_has_the_splits_it_is_told_to_have(name: str) -> None:
    assert list(made(name)) == builtin.split_names(name)


def test_digits_are_those_of_scikit_learn_wherever_it_keeps_them(monkeypatch) -> None:
    theirs = load_digits()
    for spec in (importlib.util.find_spec("sklearn"), None):
        monkeypatch.setattr(digits.importlib.util, "find_spec", lambda name, spec=spec: spec)
        images, target = digits.scikit_digits()
        assert (images == theirs.images).all()
        assert (target == theirs.target).all()


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"docstrings-unlabelled; did you mean 'digits'\?"):
        builtin.load("digit")


@pytest.mark.slow_but("digits-10")
@pytest.mark.parametrize(
    ("name", "classes"), [("digits", 10), ("printed_digits", 10), ("letters", len(letters.GLYPHS)), ("docstrings", 12)]
)
def test_every_class_has_a_name_and_the_same_share_of_both_splits(name: str, classes: int) -> None:
    train, test = made(name)["train"], made(name)["test"]
    assert isinstance(train.features["label"], ClassLabel)
    assert train.features == test.features
    assert len(set(train.features["label"].names)) == classes == len(shares(train)) == len(shares(test))
    for label, share in shares(train).items():
        assert shares(test)[label] == pytest.approx(share, abs=0.005)


@pytest.mark.slow_but("digits-sizes0")
@pytest.mark.parametrize(
    ("name", "sizes"), [("digits", (1297, 500)), ("printed_digits", (1500, 500)), ("letters", (30240, 2520))]
)
def test_images_are_grey_and_small(name: str, sizes: tuple[int, int]) -> None:
    splits = made(name)
    assert (len(splits["train"]), len(splits["test"])) == sizes
    assert isinstance(splits["train"].features["image"], Image)
    picture = splits["train"][0]["image"]
    assert (picture.size, picture.mode, picture.format) == ((8, 8), "L", "PNG")


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    levels = np.concatenate([pixels(made("digits")[split]) for split in ("train", "test")]) * (16 / 255)
    assert sorted(np.rint(levels).reshape(-1, 64).tolist()) == sorted(load_digits().images.reshape(-1, 64).tolist())


def test_a_glyph_is_drawn_in_the_middle_of_each_of_its_images() -> None:
    images = letters.draw_glyph("A", 40, np.random.default_rng(0))
    assert (images.shape, images.dtype) == ((40, 8, 8), np.uint8)
    assert len({image.tobytes() for image in images}) == 40, "each with its own pen"
    assert images.any((1, 2)).all()
    ink = images.mean(0)
    assert [(ink.sum(axis) * np.arange(8)).sum() / ink.sum() for axis in (0, 1)] == pytest.approx([3.5, 3.5], abs=0.75)
    assert letters.glyph_mask("A", 5).sum() > letters.glyph_mask("A", 0).sum() > 0


def test_printed_digits_have_each_digit_by_each_pen_and_no_image_twice() -> None:
    splits = made("printed_digits")
    for split, count in printed_digits.SIZES.items():
        cells = Counter(zip(splits[split]["label"], splits[split]["domain"], strict=True))
        assert cells == {(digit, pen): count for digit in range(10) for pen in printed_digits.PENS}
        assert set(zip(splits[split]["label"][:50], splits[split]["domain"][:50], strict=True)) == set(cells)
    images = [image.tobytes() for rows in splits.values() for image in pixels(rows)]
    assert len(set(images)) == len(images)


def test_a_pen_of_the_printed_digits_is_a_part_of_them_by_itself() -> None:
    for pen in printed_digits.PENS:
        part = builtin.load("printed_digits", part=pen)
        for split, rows in made("printed_digits").items():
            assert set(part[split]["domain"]) == {pen}
            mine = np.array(rows["domain"]) == pen
            assert (pixels(part[split]) == pixels(rows)[mine]).all()
            assert part[split]["label"] == np.array(rows["label"])[mine].tolist()


def test_pens_differ_and_bold_has_the_most_ink() -> None:
    rows = made("printed_digits")["train"]
    ink = {pen: pixels(rows)[np.array(rows["domain"]) == pen].mean() for pen in printed_digits.PENS}
    assert max(ink, key=ink.get) == "bold"
    assert ink["bold"] > 1.4 * sorted(ink.values())[-2]


@pytest.mark.parametrize(
    ("name", "part", "said"),
    [
        ("printed_digits", "bald", r"no part 'bald'; use one of fine, bold.*did you mean 'bold'\?"),
        ("digits", "x", "leave it out"),
    ],
)
def test_a_part_that_a_built_in_set_lacks_is_refused(name: str, part: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        builtin.load(name, part=part)


@pytest.mark.slow
def test_letters_are_no_digits_and_look_like_digits() -> None:
    assert not set("0123456789") & set(made("letters")["train"].features["label"].names)
    letters, digits = pixels(made("letters")["test"]), pixels(made("digits")["test"])
    assert set(np.unique(letters)) == set(np.unique(digits))  # the same 17 levels of grey
    assert letters.mean() == pytest.approx(digits.mean(), rel=0.15)


@pytest.mark.slow
def test_docstrings_are_enough_and_do_not_name_their_package() -> None:
    splits = made("docstrings")
    assert len(splits["train"]) > 1500
    assert min(Counter(splits["test"]["label"]).values()) >= 10
    assert not any(docstrings.PACKAGE_NAME.search(text) for split in splits.values() for text in split["text"])


@pytest.mark.slow
def test_no_docstring_is_in_two_splits_or_twice_in_one() -> None:
    labelled, unlabelled = made("docstrings"), made("docstrings-unlabelled")
    texts = {split: list(rows["text"]) for split, rows in [*labelled.items(), *unlabelled.items()]}
    assert len(texts) == 3  # both have a split called train: the labelled one is compared below
    for splits in (labelled, unlabelled):
        every = [text for rows in splits.values() for text in rows["text"]]
        assert len(every) == len(set(every))
    pretrained = {text for rows in unlabelled.values() for text in rows["text"]}
    assert not pretrained & set(labelled["test"]["text"])
    assert set(labelled["train"]["text"]) <= pretrained


def test_docstrings_are_read_at_any_depth_and_nothing_is_run(tmp_path) -> None:
    source = '''
    """A module that cannot be imported."""
    raise SystemExit
    if True:
        class A:
            """A class in a branch of five words."""
            async def f(self):
                """A method of  the email
                package, in a class."""
                "not a docstring at all, this one"
    '''
    package = tmp_path / "package"
    (package / "tests").mkdir(parents=True)
    (package / "a.py").write_text(source.replace("\n    ", "\n"))
    (package / "tests" / "b.py").write_text('"""What tests say is left out."""')
    assert docstrings.read_docstrings(package) == (
        "A module that cannot be imported.",
        "A class in a branch of five words.",
        "A method of the _ package, in a class.",
    )
    assert docstrings.read_docstrings(package / "tests") == ()

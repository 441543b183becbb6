"""What a command line names: texts, files of them, tables, images and folders; nothing is taken for what it is not."""

import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from hfft.data.predicted import Reading
from hfft.errors import BadInput, DataError
from hfft.predict.inputs import looks_like_file, read_inputs
from hfft.tasks.modality import IMAGE, TEXT

PAIRS = {"columns": {"text": "premise", "text_pair": "claim"}, "options": {"columns": {}}}


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(*arguments, modality=TEXT, notes=None, **reading):
    note = [].append if notes is None else notes.append
    return list(read_inputs(list(arguments), modality, Reading(note=note, **reading)))


def refused(*arguments, modality=TEXT, **reading):
    """The line with which inputs are refused, before the first is read."""
    with pytest.raises(BadInput) as caught:
        read_inputs(list(arguments), modality, Reading(note=print, **reading))
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "photo.jpg",
        "x.csv",
        "X.CSV",
        "my data.csv",
        "a.csv.gz",
        "data/x.foo",
        "../x.bin",
        r"c:\data\x.dat",
        "photos/",
        "x.HEIC",
    ],
)
def test_what_looks_like_a_file_and_is_none_is_asked_about(name):
    assert refused("a text", name).startswith(f"no file {name!r}; check the name, or pipe it to -")


@pytest.mark.parametrize(
    "text",
    [
        "good",
        "and/or",
        "either 1/2.5",
        "3/4.5",
        "Dr. Who",
        "http://evil.com/login.php",
        "a b.c",
        "wow...",
        "x" * 5000,
        "a\nb.csv",
    ],
)
def test_a_text_is_a_text(text):
    assert not looks_like_file(text)
    assert read(text) == [(text, text)]


def test_lines_of_a_file_and_of_standard_input_are_texts(monkeypatch):
    notes = []
    Path("x.txt").write_bytes("\ufeffone\u2028two\r\n\n  \nthree".encode())
    assert read("x.txt", notes=notes) == [("x.txt:1", "one\u2028two"), ("x.txt:4", "three")]
    assert notes == ["x.txt: 2 blank lines left out; ids are line numbers"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a,b.csv\nc\n")))
    assert read("-") == [("-:1", "a,b.csv"), ("-:2", "c")]


@pytest.mark.parametrize("content", ["a\nb".encode("utf-16"), b"caf\xe9"])
def test_a_file_that_is_no_text_is_one_line(content):
    Path("notes").write_bytes(content)
    assert refused("notes") == "notes: line 1 is not UTF-8 text; save the file as text in UTF-8, one text per line"


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_a_text_is_one_line(content):
    Path("x.txt").write_bytes(content)
    assert refused("x.txt") == "x.txt contains no text; expected one text per line"


def test_a_folder_and_an_empty_text_are_no_texts():
    Path("texts").mkdir()
    assert "'texts' is a folder; give its files, --data" in refused("texts")
    assert "an empty text" in refused(" ")


@pytest.mark.parametrize("name", ["x.csv", "X.CSV", "x.tsv", "x.jsonl", "x.txt"])
def test_a_table_is_read_by_the_columns_of_the_run_among_other_inputs(name):
    sep = "\t" if name.endswith(("tsv", "txt")) else ","
    text = '{"n": 1, "said": "a, b"}\n' if name.endswith("jsonl") else f'n{sep}said\n1{sep}"a, b"\n'
    Path(name).write_text(text)
    found = read("first", name, "last", columns={"text": "said"})
    assert found == [("first", "first"), (f"{name}:0", "a, b"), ("last", "last")]


def test_single_texts_of_a_model_of_pairs_need_a_second_one():
    message = refused("a text", **PAIRS)
    assert "add --pair TEXT as the second, or give a table with columns 'premise' and 'claim'" in message
    assert read("a", "b", pair="c", **PAIRS) == [("a", ("a", "c")), ("b", ("b", "c"))]
    assert read("a", pair="c") == [("a", ("a", "c"))], "nothing is known of how it was trained"
    Path("x.csv").write_text("premise,claim\np,c\n")
    assert read("x.csv", "a", pair="b", **PAIRS) == [("x.csv:0", ("p", "c")), ("a", ("a", "b"))]


@pytest.mark.parametrize(
    ("arguments", "reading", "message"),
    [
        (["a"], {"pair": "b", "options": {"columns": {}}}, "--pair: the model was trained on single texts"),
        (["a"], {"chosen": {"text": "x"}}, "are for tables and --data; a is none"),
        (["x.csv"], {"pair": "b"}, "--pair: is the second text for texts"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(arguments, reading, message):
    Path("x.csv").write_text("text\na\n")
    assert message in refused(*arguments, **reading)


def test_a_damaged_image_of_a_folder_is_named_and_the_others_are_read():
    Path("f/__MACOSX").mkdir(parents=True)
    for name in ("f/a.png", "f/c.JPG", "f/cut.png"):
        Image.new("RGB", (9, 9)).save(name)
    Path("f/b.png").write_bytes(b"none")
    Path("f/cut.png").write_bytes(Path("f/cut.png").read_bytes()[:40])
    for name in ("f/._a.png", "f/.DS_Store", "f/Thumbs.db", "f/desktop.ini", "f/__MACOSX/a.png"):
        Path(name).write_bytes(b"x")
    for name in ("f/1.HEIC", "f/2.HEIC", "f/list.txt", "f/README"):
        Path(name).write_bytes(b"x")
    notes = []
    found = dict(read("f", modality=IMAGE, notes=notes))
    assert list(found) == ["f/a.png", "f/b.png", "f/c.JPG", "f/cut.png"]
    errors = [str(value) for value in found.values() if isinstance(value, DataError)]
    assert errors[0] == "f/b.png is not a readable image (UnidentifiedImageError)"
    assert errors[1].startswith("f/cut.png is not a readable image")
    assert [note.partition("; ")[0] for note in notes] == [
        "f: 2 images of formats that cannot be read here, so left out (2 .heic)",
        "f: 2 other files, so left out (1 without an ending, 1 .txt)",
    ]


def test_images_that_are_not_there_are_told_before_any_is_read():
    Image.new("RGB", (9, 9)).save("a.png")
    Path("empty").mkdir()
    Path("phone").mkdir()
    Path("phone/1.HEIC").write_bytes(b"x")
    assert refused("a.png", "b.png", modality=IMAGE) == "no file or folder 'b.png'; give images, or folders of them"
    assert (
        refused("empty", modality=IMAGE)
        == "folder empty contains no image that can be read; expected files such as .png or .jpg"
    )
    assert "contains no image that can be read (1 .heic); " in refused("phone", modality=IMAGE)
    assert "standard input is read as texts, but the model takes an image" in refused("-", modality=IMAGE)

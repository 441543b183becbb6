"""Sizes as people write them, and as they are told."""

import ast
from pathlib import Path

import pytest

import hfft
from hfft import wording


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GB", 20 * 10**9), ("1.5 MB", 1_500_000), ("800B", 800), ("2tb", 2 * 10**12), ("1 kB", 1000), ("7b", 7)],
)
def test_a_size_is_read(text, size):
    assert wording.size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["20", "GB", "-1GB", "0GB", "twenty GB", "20 GiB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="expected a size such as 20GB"):
        wording.size_in_bytes(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 KB"), (1500, "1.5 KB"), (10**6, "1 MB"), (20e9, "20 GB"), (3e12, "3 TB")],
)
def test_a_size_is_told(size, text):
    assert wording.human(size) == text


def test_a_name_cannot_end_its_line():
    assert wording.block(["run a\nb", "\x1b[31m"]) == "run a\\nb\n\\x1b[31m"
    assert wording.block([]) == ""


def test_whatever_is_printed_is_made_printable():
    plain = {"when", "human", "sum", "len", "entry", "removed", "held", "name", "width", "first", "arguments"}
    for path in Path(hfft.__file__).parent.rglob("*.py"):
        if "print(" not in (text := path.read_text(encoding="utf-8")):
            continue
        for call in ast.walk(ast.parse(text)):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "print":
                made = call.args[0]
                by = getattr(getattr(made, "func", None), "id", getattr(getattr(made, "func", None), "attr", ""))
                names = {node.id for node in ast.walk(made) if isinstance(node, ast.Name)}
                assert by in ("printable", "block", "dump") or names <= plain, (
                    f"{path}:{call.lineno}: print(printable(…)), since names may hold control characters; or use say(…)"
                )


def test_the_first_line_of_a_message_stands_for_it():
    assert wording.first_line(ValueError("  one\ntwo ")) == "one"
    assert wording.first_line(ValueError("x" * 400)) == "x" * 300
    assert wording.first_line(ValueError("")) == wording.first_line(ValueError(" \n")) == "ValueError"


@pytest.mark.parametrize(("count", "text"), [(0, ""), (2, "0, 1"), (3, "0, 1, 2"), (4, "0, 1, 2, … (1 more)")])
def test_what_is_more_than_a_few_is_counted(count, text):
    assert wording.listing(range(count), 3) == text


def test_of_a_long_text_both_ends_are_left():
    assert wording.shortened("x" * 800) == "x" * 800
    assert wording.shortened("a" * 600 + "b" * 600) == "a" * 400 + " … " + "b" * 400


def test_a_piece_of_a_path_is_compared_with_pieces_as_long():
    paths = ["bert.encoder.layer.0.output", "bert.pooler"]
    assert wording.nearest_path("layer.1", paths) == "; did you mean 'layer.0'?"
    assert wording.nearest_path("polar", paths) == "; did you mean 'pooler'?"
    assert wording.nearest_path("layer.0.output.x.y.z.w", paths) == ""
    assert wording.nearest("nothing", []) == ""


@pytest.mark.parametrize(
    ("number", "said"), [(1, "1 row"), (0, "0 rows"), (2, "2 rows"), (1234567, "1234567 rows"), (0.5, "0.5 rows")]
)
def test_one_is_one(number, said):
    assert wording.counted(number, "row") == said

"""YAML documents: scalars of YAML 1.2, lines, duplicates, tags, sizes, and the way back to text."""

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfft.recipe.yaml_lines import MAX_CHARACTERS, MAX_DEPTH, MAX_NODES, TOO_LARGE, DocumentError, Problem, dump, parse


def refused(text: str) -> list[Problem]:
    """The problems of a text that is refused."""
    with pytest.raises(DocumentError) as caught:
        parse(text)
    assert str(caught.value) == "; ".join(problem.text for problem in caught.value.problems)
    return caught.value.problems


def test_every_key_and_list_item_has_its_line():
    text = """\
# a comment
task: x

data:
  path: p
  columns: {image: img,
    label: fine}
  augment:
    - flip
    - crop:
        size: 3
'quoted': [1,
  2]
"""
    values, lines = parse(text)
    assert values == {
        "task": "x",
        "data": {"path": "p", "columns": {"image": "img", "label": "fine"}, "augment": ["flip", {"crop": {"size": 3}}]},
        "quoted": [1, 2],
    }
    assert lines == {
        ("task",): 2,
        ("data",): 4,
        ("data", "path"): 5,
        ("data", "columns"): 6,
        ("data", "columns", "image"): 6,
        ("data", "columns", "label"): 7,
        ("data", "augment"): 8,
        ("data", "augment", 0): 9,
        ("data", "augment", 1): 10,
        ("data", "augment", 1, "crop"): 10,
        ("data", "augment", 1, "crop", "size"): 11,
        ("quoted",): 12,
        ("quoted", 0): 12,
        ("quoted", 1): 13,
    }


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_whatever_ends_them(end):
    assert parse(end.join(["a: 1", "", "b: 2"])) == ({"a": 1, "b": 2}, {("a",): 1, ("b",): 3})


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("3e-4", 3e-4),
        ("1E5", 1e5),
        ("1e5", 1e5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-1.5e+3", -1500.0),
        ("3", 3),
        ("+3", 3),
        ("010", 10),
        ("0x10", 16),
        ("0o17", 15),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ('""', ""),
        ("!!float 3", 3.0),
        ("!!str 3", "3"),
        ('!!int "3"', 3),
    ],
)
def test_scalars_are_those_of_yaml_1_2(written, value):
    found = parse(f"a: {written}")[0]["a"]
    assert (found, type(found)) == (value, type(value))


def test_not_a_number_is_read():
    assert math.isnan(parse("a: .nan")[0]["a"])


# fmt: off
WORDS = [
    "no", "No", "on", "off", "yes", "y", "n", "nULL", "tRUE", "2020-01-01", "2020-01-01 10:00:00", "1:30", "1_000",
    "0b11", "-0x10", "1e", "e5", ".", "0x", "=", "<<", "last-4", "１",
]
LOOKALIKES = [
    *WORDS, "true", "False", "null", "~", "", " ", "1", "-1", "1.0", ".5", "1.", "1e5", "3E-4", "0x10", "0o7", "010",
    ".inf", "-.inf", ".nan", "-", "- a", "a:", "a: b", "#", "a #b", "'", '"', "\n", "a\n", "\ta", "\r\n", "\x85",
    "\u2028", "\u2029", "\ufeff", "\x00", "\x1b", "%x", "@x", "`", "*x", "&x", "!x", "!!int 3", "[a]", "{a: b}", "?",
    "? a", "|", ">", "---", "...", "a" * 200, "a b " * 60, "😀", "\\",
]
# fmt: on


@pytest.mark.parametrize("word", WORDS)
def test_words_stay_words(word):
    assert parse(f"a: {word}")[0] == {"a": word}


def test_keys_are_text_whatever_they_look_like():
    assert parse("{1: a, 0x1: b, null: c, true: d, no: e, '1.0': f}") == (
        {"1": "a", "0x1": "b", "null": "c", "true": "d", "no": "e", "1.0": "f"},
        {(key,): 1 for key in ("1", "0x1", "null", "true", "no", "1.0")},
    )


def test_a_merge_key_is_a_key_like_any_other():
    assert parse("a: &x {b: 1}\nc: {<<: *x}")[0] == {"a": {"b": 1}, "c": {"<<": {"b": 1}}}


@pytest.mark.parametrize(
    ("text", "path", "line", "first"),
    [
        ("a: 1\nb: 2\na: 3", ("a",), 3, 1),
        ("'a': 1\na: 1", ("a",), 2, 1),
        ("s:\n  t:\n    a: 1\n    b: 2\n    a: 3", ("s", "t", "a"), 5, 3),
        ("s:\n- {a: 1,\n   a: 2}", ("s", 0, "a"), 3, 2),
        ("a: {b: 1}\nc: 1\na: {d: 1}", ("a",), 3, 1),
    ],
)
def test_a_key_given_twice_is_refused_and_both_lines_named(text, path, line, first):
    assert refused(text) == [Problem(line, path, f"given twice (first on line {first}); keep one")]


def test_every_duplicate_is_told_and_names_the_first():
    problems = refused("a: 1\nb: 1\na: 2\nb: 2\na: 3")
    assert [(p.line, p.path) for p in problems] == [(3, ("a",)), (4, ("b",)), (5, ("a",))]
    assert all(f"first on line {n}" in p.text for p, n in zip(problems, (1, 2, 1), strict=True))


@pytest.mark.parametrize(
    "written",
    [
        "!!python/object/apply:os.system [echo]",
        "!!python/name:os.system",
        "!!python/object:dict {}",
        "!!timestamp 2020-01-01",
        "!!binary aGk=",
        "!!set {x}",
        "!!omap [x: 1]",
        "!!pairs [x: 1]",
        "!mine 3",
        "!mine [3]",
        "!mine {b: 3}",
        "!<str> 3",
        "!!map [1]",
        "!!seq {b: 1}",
        "!!str [1]",
        "!!map 3",
    ],
)
def test_a_tag_that_asks_for_an_object_is_refused(written):
    (problem,) = refused(f"x: 1\na: {written}")
    assert (problem.line, problem.path) == (2, ("a",))
    assert "is not allowed; use a plain value" in problem.text


def test_a_tagged_key_is_refused():
    (problem,) = refused("x: 1\n!!python/name:os.system a: 1")
    assert problem.line == 2
    assert "is not allowed" in problem.text


@pytest.mark.parametrize(
    "written", ["!!int x", '!!int ""', '!!float ""', "!!float 1:30", "!!bool maybe", "!!null x", "!!int 1_0"]
)
def test_a_tag_that_does_not_fit_its_value_is_refused(written):
    (problem,) = refused(f"x: 1\na: {written}")
    assert (problem.line, problem.path) == (2, ("a",))
    assert "does not fit" in problem.text


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\n---\nb: 2", 2, "another document"),
        ("a: 1\n\tb: 2", 2, r"'\t'"),
        ("a:\n\t- 1", 2, r"'\t'"),
        ("a: 1\nb: [1,\n2", 3, "expected ',' or ']'"),
        ("a: 1\nb: c: d", 2, "mapping values are not allowed here"),
        ("a: 1\nb", 2, "could not find expected ':'"),
        ('a: "x\n', 2, "end of stream"),
        ("a: 1\nb: *x", 2, "undefined alias 'x'"),
        ("a: &x 1\nb: &x 2", 2, "duplicate anchor 'x'"),
        ("a: 1\nb: @x", 2, "cannot start any token"),
        ("a: 1\n\nb: x\x00", 3, "#x0000"),
        ("a: 1\nb: \x1b[31m", 2, "#x001b"),
        ('a: 1\nb: "\\uZZ"', 2, "hexadecimal"),
        ('a: 1\nb: "\\U00110000"', 2, "escape"),
        ('a: 1\nb: "\\UFFFFFFFF"', 2, "escape"),
        ("%YAML 2.0\n---\na: 1", 1, "incompatible"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(text, line, said):
    (problem,) = refused(text)
    assert problem.line == line
    assert problem.text.startswith("not valid YAML: ")
    assert said in problem.text


def test_half_a_character_is_refused():
    (problem,) = refused('x: 1\na: "\\ud83d"')
    assert (problem.line, problem.path) == (2, ("a",))
    assert "surrogate" in problem.text


@pytest.mark.parametrize("key", ["? [a, b]\n: 1", "? {a: b}\n: 1"])
def test_a_key_that_is_no_word_is_refused(key):
    (problem,) = refused(f"x: 1\n{key}")
    assert problem == Problem(2, (), "a key must be a plain string")


def test_a_byte_order_mark_is_skipped():
    assert parse("\ufeffa: 1") == ({"a": 1}, {("a",): 1})


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "---"])
def test_a_text_without_content_is_none(text):
    assert parse(text)[0] is None


def test_anchors_stand_for_their_values():
    values, lines = parse("a: &x {b: [1, 2]}\nc: *x\nd: [*x]")
    assert values == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}, "d": [{"b": [1, 2]}]}
    assert lines[("c",)] == 2


def bomb(last: str) -> str:
    """Anchors, each nine times the one before."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    return "\n".join([*lines, last])


@pytest.mark.parametrize("last", ["end: *a29", "? *a29\n: 1"])
def test_anchors_that_multiply_are_refused_fast(last):
    started = time.process_time()
    (problem,) = refused(bomb(last))
    assert time.process_time() - started < 2
    assert f"more than {MAX_NODES} values" in problem.text


def test_anchors_that_multiply_in_a_key_are_refused_fast():
    text = "[" + ", ".join(f"&a{i} [{', '.join([f'*a{i - 1}'] * 2 if i else 'x')}]" for i in range(40)) + "]"
    started = time.process_time()
    (problem,) = refused(f"? {text}\n: 1")
    assert time.process_time() - started < 2
    assert problem.text == "a key must be a plain string"


@pytest.mark.parametrize("text", ["x: 1\na: &x [*x]", "x: 1\na: &x {b: *x}", "x: 1\na: " + "[" * 60 + "]" * 60])
def test_what_nests_too_deep_or_holds_itself_is_refused_with_its_line(text):
    (problem,) = refused(text)
    assert problem == Problem(2, (), TOO_LARGE)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[" * 100_000, "a: [" + "1, " * 200_000 + "1]", "- " * 100_000])
def test_a_huge_document_is_refused_fast(text):
    started = time.process_time()
    refused(text)
    assert time.process_time() - started < 3


def test_a_document_of_too_many_characters_is_refused_unread():
    text = "a: " + "x" * MAX_CHARACTERS
    assert refused(text) == [Problem(None, (), f"{len(text)} characters; a recipe has at most {MAX_CHARACTERS}")]


def test_a_document_within_the_limits_is_read():
    values, _ = parse("a:\n" + "- word\n" * (MAX_NODES // 2) + f"b: {'[' * (MAX_DEPTH - 2)}{']' * (MAX_DEPTH - 2)}")
    assert len(values["a"]) == MAX_NODES // 2


@pytest.mark.parametrize("number", ["1" * 5000, "0x" + "f" * 5000, "-" + "1" * 101, "1" * 5000 + ".5"])
def test_a_number_of_too_many_digits_stays_a_word_and_is_no_number(number):
    assert parse(f"a: {number}")[0] == {"a": number}
    (problem,) = refused(f"x: 1\na: !!int {number}")
    assert (problem.line, problem.path) == (2, ("a",))


texts = st.sampled_from(LOOKALIKES) | st.text(max_size=20)
numbers = (
    st.integers(-(2**70), 2**70) | st.floats(allow_nan=True) | st.sampled_from([1e-05, 1e16, 1e22, -0.0, math.inf])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(values)
def test_what_was_dumped_is_read_back(value):
    assert repr(parse(dump(value))[0]) == repr(value)


@pytest.mark.parametrize("text", LOOKALIKES)
def test_a_text_that_looks_like_something_else_is_read_back_as_key_and_value(text):
    assert parse(dump({text: [text]}))[0] == {text: [text]}


def test_a_dump_keeps_the_order_of_keys_and_repeats_shared_values():
    shared = {"b": 1}
    text = dump({"z": shared, "a": shared, "m": 1e-05})
    assert list(parse(text)[0]) == ["z", "a", "m"]
    assert parse(text)[0] == {"z": shared, "a": shared, "m": 1e-05}

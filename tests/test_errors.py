"""Errors: their exit statuses, and texts that stay on one line."""

import pickle

import pytest

from hfft import errors
from hfft.errors import BadInput, HfftError, RecipeError
from hfft.wording import first_line, listing, nearest, printable


@pytest.mark.parametrize("name", ["BadInput", "RecipeError", "DataError", "ModelError"])
def test_what_the_user_gave_ends_with_status_2(name):
    error = getattr(errors, name)
    assert issubclass(error, BadInput)
    assert error.exit_code == 2


@pytest.mark.parametrize("name", ["HfftError", "RunError", "HubError"])
def test_what_failed_later_ends_with_status_1(name):
    error = getattr(errors, name)
    assert issubclass(error, HfftError)
    assert error.exit_code == 1


def test_a_run_that_diverged_ends_with_status_3():
    assert issubclass(errors.Diverged, errors.RunError)
    assert errors.Diverged.exit_code == 3


def test_a_recipe_error_shows_one_line_per_problem():
    error = RecipeError(iter(["x.yaml:1  task: missing", "x.yaml:2  data: missing"]))
    assert error.problems == ["x.yaml:1  task: missing", "x.yaml:2  data: missing"]
    assert str(error).splitlines() == error.problems


def test_a_problem_with_line_ends_and_control_characters_stays_on_one_line():
    error = RecipeError(["x.yaml:1  a\nb\r\x1b[31m\u2028\x85\ud800: unknown"])
    assert str(error) == r"x.yaml:1  a\nb\r\x1b[31m\u2028\x85\ud800: unknown"
    assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("name", ["BadInput", "DataError", "ModelError", "RunError", "Diverged", "HubError"])
def test_names_in_a_message_add_no_line_and_move_no_cursor(name):
    error = getattr(errors, name)("no class a\n\x1b[2J\x07", "no file b\u2028\x9b")
    assert str(error) == "no class a\\n\\x1b[2J\\x07\nno file b\\u2028\\x9b"
    again = pickle.loads(pickle.dumps(error))  # as one process passes it to the others
    assert (type(again), str(again)) == (type(error), str(error))


def test_names_in_lists_and_suggestions_stay_on_their_line():
    assert listing(["a\n", "\x1b[1m"]) == r"a\n, \x1b[1m"
    assert nearest("column", ["colum\n"]) == r"; did you mean 'colum\n'?"


def test_printable_text_is_left_as_it_is():
    assert printable("läuft  … 日本 \\n ok") == "läuft  … 日本 \\n ok"


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("learing_rate", ["learning_rate", "seed"], "; did you mean 'learning_rate'?"),
        ("ACCURACY", ["accuracy"], "; did you mean 'accuracy'?"),
        ("balaced", ["Balanced"], "; did you mean 'Balanced'?"),
        ("zzz", ["learning_rate"], ""),
        ("x", [], ""),
        (3, [3, 4], "; did you mean '3'?"),
    ],
)
def test_the_nearest_known_word_is_suggested(word, known, expected):
    assert nearest(word, known) == expected


def test_a_long_listing_is_cut_and_the_rest_counted():
    assert listing("abc") == "a, b, c"
    assert listing(range(5), limit=3) == "0, 1, 2, … (2 more)"
    assert listing(range(3), limit=3) == "0, 1, 2"
    assert listing([]) == ""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n\n  one  \ntwo"), "one  "),
        (KeyError(), "KeyError"),
        (ValueError("  \n "), "ValueError"),
        (ValueError("x" * 500), "x" * 300),
    ],
)
def test_the_first_line_of_a_message_stands_for_it(error, expected):
    assert first_line(error) == expected

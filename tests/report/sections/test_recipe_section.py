"""The recipe on the page."""

from tests.report.runs import HOSTILE, Reader, section


def test_the_recipe_is_shown_as_it_is():
    text = f"name: {HOSTILE}\n  indented: 1\n"
    assert Reader(section("recipe", recipe=text)).words[-2:-1] == [text]


def test_a_folder_without_a_recipe_has_no_such_section():
    assert section("recipe") == ""

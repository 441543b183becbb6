"""Values between commas."""

from __future__ import annotations

import pytest

from hfft.errors import BadInput
from hfft.studies.words import option_values, split_commas


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("5", 5),
        ("1,2,full", [1, 2, "full"]),
        ("1e-5,3e-5", [1e-05, 3e-05]),
        ("head,last-2,all", ["head", "last-2", "all"]),
        ("[norms,biases],all", [["norms", "biases"], "all"]),
        ("[norms,biases]", ["norms", "biases"]),
        ("{type: lora, r: 8},null", [{"type": "lora", "r": 8}, None]),
        ("'a,b',c", ["a,b", "c"]),
        ("it's,fine", ["it's", "fine"]),
        ("/a,b/", ["/a", "b/"]),
    ],
)
def test_commas_in_brackets_and_quotes_belong_to_a_value(text, values):
    assert option_values(text) == values


def test_nothing_is_one_empty_value():
    assert split_commas("") == [""]
    assert option_values("") is None


def test_what_is_not_yaml_is_refused():
    with pytest.raises(BadInput, match="not valid YAML"):
        option_values("[1,2")

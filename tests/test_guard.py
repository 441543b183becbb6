"""The short form of `make torture`'s fuzz and faults of the hub: a few of each, chosen so that every step is met."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfft.errors import RecipeError
from hfft.recipe.build import build
from tests.torture.combine import combine
from tests.torture.fuzz import fuzz
from tests.torture.hub import faults

pytestmark = pytest.mark.slow


def test_mutants_of_recipes_are_refused_or_run(tmp_path):
    assert fuzz(tmp_path, 14, seed=7) == []


def test_valid_options_together_are_refused_in_a_line_or_train(tmp_path):
    assert combine(tmp_path, 10, seed=7) == []


@pytest.fixture(scope="module")
def met(tmp_path_factory):
    """What failed of each gate; one process for the three, which first reads the libraries."""
    return faults(tmp_path_factory.mktemp("met"), {"push": (25, 0), "fetch": (45, 0), "push-killed": (12, 1)})


def test_pushes_meet_faults(met):
    assert met["push"] == []


def test_downloads_meet_faults(met):
    assert met["fetch"] == []


def test_uploaders_are_killed(met):
    assert met["push-killed"] == []


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
SECTIONS = ["backbone", "head", "layers", "data", "strategy", "training", "score", "publish"]
KEYS = [
    "name",
    "init",
    "new",
    "train",
    "freeze",
    "lr",
    "adapter",
    "path",
    "columns",
    "test",
    "classes",
    "augment",
    "output_dir",
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SECTIONS), st.sampled_from(KEYS), PLAIN)
def test_any_value_anywhere_is_accepted_or_told_in_lines(section, key, value):
    values = {"task": "image-classification", "backbone": {"name": "a/b"}, "data": {"path": "p"}}
    values[section] = {**values.get(section, {}), key: value}
    lines: list[str] = []
    try:
        build(json.dumps(values), source="r.yaml", name="r")
    except RecipeError as error:
        lines = error.problems
    assert all(line.startswith("r.yaml:1  ") and line.isprintable() for line in lines), lines

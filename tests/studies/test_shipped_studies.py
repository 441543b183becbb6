"""The studies that come with the package: each is read, and its first child is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfft.studies.find import STUDIES, load_study, option_help, shipped, study_class
from hfft.studies.page import render_study
from hfft.studies.study import Study, recipe_of


@pytest.mark.parametrize("name", list(shipped()))
def test_a_shipped_study_plans_runs_that_fit(name):
    study = load_study(name)
    assert study.question
    children = study.plan({})
    assert children
    assert len({child.name for child in children}) == len(children)
    for child in children:
        if child.begins_from is None:
            recipe_of(study, child, Path("children"))
    table = study.table({})
    assert table.answer.endswith(".")
    assert table.answer in render_study(study, table, len(children))


@pytest.mark.parametrize("name", list(STUDIES))
def test_a_study_is_named_as_its_command_and_says_what_its_options_are(name):
    kind = study_class(name)
    assert issubclass(kind, Study)
    assert kind.name == name
    assert kind.__doc__
    assert [option for option, text in option_help(kind).items() if not text] == []
    assert kind.model_fields["question"].default.endswith("?")

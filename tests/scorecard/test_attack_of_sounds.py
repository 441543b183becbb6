"""Attacks change pixels or words: of sounds the block and the recipe say that they do not apply."""

from types import SimpleNamespace

import pytest

from hfft.errors import BadInput
from hfft.recipe import Recipe
from hfft.recipe.score_checks import score_checks
from hfft.scorecard.blocks import attack
from hfft.tasks.problem import PROBLEMS


def recipe(**score):
    parts = {"backbone": {"name": "nano-ast"}, "data": {"path": "tones"}, "score": score}
    return Recipe.model_validate({"name": "r", "task": "audio-classification", **parts})


def test_the_block_says_in_a_line_that_it_does_not_apply():
    given = SimpleNamespace(recipe=recipe(), problem=PROBLEMS["single_label_classification"])
    with pytest.raises(BadInput) as caught:
        attack.block(given)
    assert str(caught.value) == "does not apply: attacks change pixels or words, which sounds do not have"
    given.problem = PROBLEMS["regression"]
    assert attack.block(given) is None


def test_a_recipe_that_asks_for_one_is_refused():
    assert score_checks(recipe()) == []
    assert score_checks(recipe(attack=recipe().score.attack.plain())) == []  # as a run writes it
    why = "changes pixels or words, which sounds do not have; leave it out"
    assert score_checks(recipe(attack={"radius": 0.1})) == [(("score", "attack"), why)]

"""Which methods suit sounds, and what is said of those that do not."""

import pytest

from hfft.strategy.build import build_methods
from hfft.strategy.needs import Situation, refusals
from hfft.strategy.spec import Strategy

SOUNDS = Situation("single_label_classification", continuous=True, tokens=False, modality="audio", sets=("more",))
REFUSED = {
    "cutmix": "is for images, but the rows are sounds; leave it out",
    "augmix": "is for images, but the rows are sounds; leave it out",
    "simclr": "is for images, but the rows are sounds; leave it out",
    "pgd": "attacks pixels, which sounds do not have; leave it out",
    "fgm": "attacks the embeddings of a text, which sounds do not have; leave it out",
    "smart": "is for images and texts, but the rows are sounds; leave it out",
    "word_dropout": "is for texts, which the task does not take; leave it out",
}


def said(**strategy):
    return [why for _, why in refusals(build_methods(Strategy.model_validate(strategy)), SOUNDS)]


@pytest.mark.parametrize("name", REFUSED)
def test_what_changes_pixels_or_words_is_refused(name):
    assert REFUSED[name] in said(**{name: {}})


@pytest.mark.parametrize("name", ["mixup", "r_drop", "sam", "ema", "focal"])
def test_what_reads_any_rows_is_not(name):
    assert said(**{name: {}}) == []


def test_views_of_sounds_are_made_by_operations_on_sounds():
    assert said(fixmatch={"on": "more", "strong": ["gain"]}) == []
    assert said(fixmatch={"on": "more", "strong": ["rand_augment"]}) == [
        "strong: rand_augment is for images, but the rows are sounds; leave it out, or choose one for sounds"
    ]

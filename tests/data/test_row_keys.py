"""Digests of rows: equal where the model reads the same, whatever set the rows are in."""

from __future__ import annotations

import numpy as np
import pytest

from hfft import backbone, data
from hfft.data.row_keys import keys_of, labelled_keys_of
from hfft.recipe import load_recipe


def prepared(backbone_name: str, *overrides: str):
    recipe = load_recipe(backbone_name, *overrides)
    task = recipe.the_task
    processor = backbone.load_processor(recipe.backbone, task)
    splits, labels = data.load_splits(recipe.data, task, recipe.seed)
    return data.prepare(splits, recipe.data, task, labels, processor, recipe.seed), splits


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "docstrings"])
def test_a_row_has_its_key_in_any_split_and_another_with_another_label(name):
    whole, splits = prepared(name, "data.validation=none", "data.max_train_samples=60")
    part, others = prepared(name, "data.validation=none", "data.max_train_samples=40")
    keys = dict(zip(splits.train["row"], labelled_keys_of(whole.train), strict=True))
    assert len({*keys.values()}) > 50
    common = {*others.train["row"]} & {*keys}
    assert len(common) > 20
    for row, key in zip(others.train["row"], labelled_keys_of(part.train), strict=True):
        assert row not in common or keys[row] == key
    assert not np.isin(keys_of(whole.train), labelled_keys_of(whole.train)).any()
    changed, _ = prepared(name, "data.validation=none", "data.max_train_samples=60", "data.label_noise={pair: 1.0}")
    assert np.array_equal(keys_of(changed.train), keys_of(whole.train))
    assert not np.isin(labelled_keys_of(changed.train), labelled_keys_of(whole.train)).any()

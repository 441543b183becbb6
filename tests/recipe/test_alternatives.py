"""What else could be chosen in the place of a recipe's layers and precision."""

import pytest

from hfft.recipe import load_recipe
from hfft.recipe.alternatives import changed, choices, without_cache

LORA = "layers.adapter={type: lora, r: 8}"


def recipe(*given):
    return load_recipe("digits", "layers.train=last-3", *given)


def names(recipe, blocks):
    return [name for name, _ in choices(recipe, blocks, False, False)][:-1]  # the last is the precision


@pytest.mark.parametrize(
    ("blocks", "fewer"),
    [
        (1, []),
        (2, ["layers.train=last-1"]),
        (5, ["layers.train=last-2"]),
        (8, ["layers.train=last-4"]),
        (12, ["layers.train=last-4"]),
    ],
)
def test_fewer_blocks_are_half_of_them_and_four_at_most(blocks, fewer):
    assert names(recipe(), blocks) == ["layers.train=all", *fewer, "layers.train=head", LORA]


def test_what_the_recipe_does_already_is_no_alternative():
    assert names(recipe("layers.train=last-1"), 2) == ["layers.train=all", "layers.train=head", LORA]
    assert names(recipe("layers.train=head"), 2) == ["layers.train=all", "layers.train=last-1", LORA]
    adapted = changed(recipe(), layers={"adapter": {"type": "lora", "r": 2}})
    assert names(adapted, 2) == ["layers.train=all", "layers.train=last-1", "layers.train=head"]


def test_each_alternative_is_the_recipe_with_these_layers():
    for name, other in choices(recipe(), 8, False, False):
        if name == LORA:
            assert other.layers.adapter == {"type": "lora", "r": 8}
        elif name.startswith("layers"):
            assert other.train_layers == [name.partition("=")[2]]
        assert other.data == recipe().data


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize("bf16", [True, False])
def test_the_other_precision_is_the_one_that_is_off_and_runs_where_the_plan_does(bf16, gpu):
    name, other = list(choices(recipe(), 4, bf16, gpu))[-1]
    assert name == f"training.bf16={str(not bf16).lower()}"
    training = {key: other.training[key] for key in ("bf16", "fp16", "use_cpu")}
    assert training == {"bf16": not bf16, "fp16": False, "use_cpu": not gpu}
    assert other.train_layers == recipe().train_layers


def test_without_the_cache_the_rest_stays():
    kept = recipe("layers.cache=auto")
    assert without_cache(kept).layers.cache == "off"
    assert without_cache(kept).train_layers == kept.train_layers

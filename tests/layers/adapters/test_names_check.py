"""What `layers.adapter` names is there, or the error names what is."""

import pytest

from hfft.errors import ModelError
from hfft.layers.adapters.names_check import check_named
from tests.examples import head_and_depths, tiny

HEAD = "is in the head, which is trained in full; leave it out"


@pytest.fixture(scope="module")
def bert():
    """A model of three blocks and the names of its head."""
    model = tiny("bert")
    return model, head_and_depths(model)[0]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"target_modules": ["query", "output.dense"], "exclude_modules": ["bert.encoder.layer.0.output.dense"]},
        {"target_modules": ".*query"},
        {"target_modules": "all-linear"},
        {"feedforward_modules": ["dense"], "rank_pattern": {"query": 4, "layer.[01].*key": 2}, "alpha_pattern": {}},
        {"modules_to_save": ["classifier"]},
        {"modules_to_save": ["word_embeddings"], "target_parameters": ["query.weight"]},
        {"layers_to_transform": [0, 2]},
        {"layers_to_transform": 2, "layers_pattern": "layer"},
        {"layers_to_transform": [0], "layers_pattern": ["h", "layer"]},
    ],
)
def test_names_that_are_there_are_accepted(bert, given):
    check_named(bert[0], given, bert[1])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"target_modules": "query"}, "'query' matches no whole path; write '.*query', or [query] for a name"),
        ({"target_parameters": ["dense"]}, "bert has no parameter 'dense' (such as: word_embeddings.weight, "),
        ({"target_modules": ["classifier"]}, f"layers.adapter.target_modules: 'classifier' {HEAD}"),
        ({"target_modules": ".*classifier"}, f"layers.adapter.target_modules: '.*classifier' {HEAD}"),
        (
            {"target_modules": ["query", "quary"]},
            "layers.adapter.target_modules: bert has no module 'quary'; did you mean 'query'? "
            "(such as: word_embeddings, position_embeddings, token_type_embeddings, LayerNorm, query, key, … (2 more))",
        ),
        ({"target_modules": ["uery"]}, "bert has no module 'uery'"),
        ({"exclude_modules": ["nope"]}, "layers.adapter.exclude_modules: bert has no module 'nope'"),
        ({"feedforward_modules": ["nope"]}, "layers.adapter.feedforward_modules: bert has no module 'nope'"),
        ({"rank_pattern": {"quer": 4}}, "layers.adapter.rank_pattern: bert has no module 'quer'"),
        ({"alpha_pattern": {"nope": 4}}, "layers.adapter.alpha_pattern: bert has no module 'nope'"),
        ({"rank_pattern": {"que(": 4}}, "layers.adapter.rank_pattern: 'que(' is not a regular expression"),
        ({"modules_to_save": ["nope"]}, "layers.adapter.modules_to_save: bert has no module 'nope'"),
        ({"target_parameters": ["query.weigt"]}, "bert has no parameter 'query.weigt'; did you mean 'query.weight'?"),
        ({"layers_to_transform": [0, 3]}, "there is no block 3; blocks are numbered 0 to 2"),
        ({"layers_to_transform": -1}, "there is no block -1; blocks are numbered 0 to 2"),
        (
            {"layers_to_transform": [0], "layers_pattern": "h"},
            "layers.adapter.layers_pattern: 'h' matches no list of blocks (such as: layer)",
        ),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_what_is(bert, given, said):
    with pytest.raises(ModelError) as error:
        check_named(bert[0], given, bert[1])
    assert said in str(error.value)

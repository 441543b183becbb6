"""What learns, named by depth, kind or pattern; and the proof that the rest stood still."""

from __future__ import annotations

import re

import pytest
import torch
import transformers

from hfft import head, layers
from hfft.errors import ModelError
from hfft.layers import learning
from hfft.layers.select import block_range
from hfft.layers.spec import Layers
from tests.examples import tiny


@pytest.fixture
def bert():
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, vocab_size=50, num_labels=3
    )
    return transformers.BertForSequenceClassification(config)


@pytest.fixture
def resnet():
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=3
    )
    return transformers.ResNetForImageClassification(config)


def chosen(model, *train, freeze=()):
    return learning(model, layers.depths(model), train, freeze)


def test_all_is_everything_and_each_choice_adds_the_head(bert):
    everything = {name for name, _ in bert.named_parameters()}
    heads = head.parameter_names(bert) & everything
    assert chosen(bert, "all") == everything
    assert chosen(bert, "head") == heads
    for entry in ("first-1", "last-2", "norms", "biases", "embeddings", "/pooler/"):
        assert heads < chosen(bert, entry), entry


def test_choices_add_up_and_freeze_takes_away(bert):
    assert chosen(bert, "first-1", "last-2", "embeddings") == chosen(bert, "all")
    assert chosen(bert, "norms", "biases") == chosen(bert, "norms") | chosen(bert, "biases")
    assert chosen(bert, "all", freeze=["embeddings"]) == chosen(bert, "first-3")
    assert chosen(bert, "all", freeze=["/LayerNorm/"]) == chosen(bert, "all") - (
        chosen(bert, "norms") - chosen(bert, "head")
    )
    assert "classifier.weight" not in chosen(bert, "all", freeze=["head"]), (
        "the head learns unless it is frozen by name"
    )


def test_first_and_last_blocks_are_counted_from_either_end(bert):
    first = {name for name in chosen(bert, "first-1") if "layer." in name}
    assert first
    assert all(name.startswith("bert.encoder.layer.0.") for name in first)
    assert chosen(bert, "first-3") == chosen(bert, "last-3")


def blocks_of(names):
    """The numbers of BERT's blocks among parameters, counted from 1."""
    return sorted({int(name.split(".")[3]) + 1 for name in names if ".layer." in name})


@pytest.mark.parametrize(
    ("entry", "blocks", "expected"),
    [
        ("middle-1", 3, [2]),
        ("middle-2", 3, [1, 2]),
        ("middle-2", 4, [2, 3]),
        ("middle-3", 4, [1, 2, 3]),
        ("middle-4", 4, [1, 2, 3, 4]),
        ("middle-2", 5, [2, 3]),
        ("blocks-2-4", 5, [2, 3, 4]),
        ("blocks-2-2", 5, [2]),
        ("blocks-5", 5, [5]),
        ("blocks-1-5", 5, [1, 2, 3, 4, 5]),
        ("first-2", 5, [1, 2]),
        ("last-2", 5, [4, 5]),
        ("norms", 5, None),
        ("/layer-3/", 5, None),
    ],
)
def test_the_blocks_that_a_word_names(entry, blocks, expected):
    found = block_range(entry, blocks, "layers.train")
    assert found == expected if expected is None else list(found) == expected


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("block 3-8", "did you mean 'blocks-3-8'?"),
        ("block-3", "did you mean 'blocks-3'?"),
        ("middle 2", "did you mean 'middle-2'?"),
        ("last2", "did you mean 'last-2'?"),
        ("embedings", "did you mean 'embeddings'?"),
        ("blocks-0-2", "expected all, head, embeddings, norms, biases, last-N, first-N or middle-N"),
        ("blocks-8-3", "from the higher block to the lower; write blocks-3-8"),
    ],
)
def test_a_word_that_is_none_is_answered_without_a_model(entry, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        Layers(train=entry)


def test_blocks_in_the_middle_learn_or_are_frozen(bert):
    assert blocks_of(chosen(bert, "middle-1") - chosen(bert, "head")) == [2]
    assert blocks_of(chosen(bert, "blocks-2-3")) == [2, 3]
    assert chosen(bert, "blocks-2-3") == chosen(bert, "last-2")
    assert blocks_of(chosen(bert, "all", freeze=["middle-1"])) == [1, 3]
    assert chosen(bert, "all", freeze=["middle-1"]) == chosen(bert, "embeddings", "first-1", "last-1")


def test_norms_are_found_by_what_they_are(bert, resnet):
    norms = chosen(bert, "norms") - chosen(bert, "head")
    assert norms == {name for name, _ in bert.named_parameters() if "LayerNorm" in name}
    norms = chosen(resnet, "norms") - chosen(resnet, "head")
    assert norms == {name for name, _ in resnet.named_parameters() if "normalization" in name}


@pytest.mark.parametrize(
    ("train", "freeze", "text"),
    [
        (["last-4"], [], "layers.train: last-4, but the model has 3 blocks; use at most last-3"),
        (["first-9"], [], "layers.train: first-9, but the model has 3 blocks; use at most first-3"),
        (["middle-4"], [], "layers.train: middle-4, but the model has 3 blocks; use at most middle-3"),
        (["blocks-2-4"], [], "layers.train: blocks-2-4, but the model has 3 blocks; use blocks-A-B up to blocks-1-3"),
        (["all"], ["blocks-4"], "layers.freeze: blocks-4, but the model has 3 blocks; use blocks-A-B up to blocks-1-3"),
        (["/pooller/"], [], "layers.train: /pooller/ matches no parameter"),
        (["all"], ["/nothing/"], "layers.freeze: /nothing/ matches no parameter"),
        (["all"], ["all"], "leaves nothing to learn"),
    ],
)
def test_a_choice_that_does_not_fit_is_one_line(bert, train, freeze, text):
    with pytest.raises(ModelError) as error:
        chosen(bert, *train, freeze=freeze)
    assert text in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_rates_by_pattern_stand_above_depth_and_the_first_match_wins(bert):
    depths = layers.depths(bert)
    groups = layers.param_groups(
        bert,
        depths,
        1e-3,
        0.1,
        layer_decay=0.5,
        lr_of={"/pooler/": 1e-5, "/pooler|classifier/": 2e-5},
        weight_decay_of={"/bias$/": 0.3},
    )
    found = {id(p): group for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(list(bert.parameters()))
    for name, parameter in bert.named_parameters():
        group = found[id(parameter)]
        if "pooler" in name or "classifier" in name:
            assert group["lr"] == (1e-5 if "pooler" in name else 2e-5)
        else:
            assert group["lr"] == pytest.approx(1e-3 * 0.5 ** (depths.head - depths.of(name)))
        if name.endswith("bias"):
            assert group["weight_decay"] == 0.3
    assert groups[0]["depth"] == depths.head
    with pytest.raises(ModelError, match=r"layers\.lr: /nothing/ matches no parameter that learns"):
        layers.param_groups(bert, depths, 1e-3, 0.1, lr_of={"/nothing/": 1e-5})


def test_the_proof_finds_what_moved_and_only_that(resnet):
    depths = layers.depths(resnet)
    layers.adapt(resnet, ["last-1"], None, depths, head.parameter_names(resnet))
    before = layers.frozen_digests(resnet)
    frozen = {name for name, p in resnet.named_parameters() if not p.requires_grad}
    assert frozen < set(before), "with the statistics of the frozen BatchNorms"
    assert any("running_mean" in name for name in before)
    with torch.no_grad():
        for parameter in resnet.parameters():
            if parameter.requires_grad:
                parameter.add_(1)
    assert layers.moved(resnet, before) == []
    name = min(name for name in before if name.endswith("running_mean"))
    buffer = dict(resnet.named_buffers())[name]
    buffer[0] = torch.nextafter(buffer[0], torch.tensor(9.0))
    assert layers.moved(resnet, before) == [name], "one bit is enough"
    living = layers.frozen_digests(resnet, live_norms=True)
    assert set(before) - set(living) == {n for n in before if "running" in n or "num_batches" in n}


def test_where_nothing_matches_four_names_are_told_and_the_rest_counted():
    model = tiny("bert")
    names = [name for name, _ in model.named_parameters()]
    with pytest.raises(ModelError) as error:
        learning(model, layers.depths(model), ["/nothing/"])
    assert str(error.value).endswith(f"(such as: {', '.join(names[:4])}, … ({len(names) - 4} more))")


def test_where_norms_live_the_other_buffers_are_compared_all_the_same():
    model = tiny("bert")
    model.requires_grad_(False)
    buffers = {name for name, _ in model.named_buffers()}
    assert buffers == {"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"}
    assert buffers < set(layers.frozen_digests(model, live_norms=True)) == set(layers.frozen_digests(model))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_a_digest_reads_bytes_of_any_type_and_layout(dtype):
    tensor = torch.arange(12).reshape(3, 4).to(dtype)
    from hfft.layers.frozen_check import digest

    assert digest(tensor) == digest(tensor.clone())
    assert digest(tensor.T.contiguous().T) == digest(tensor)
    assert digest(torch.zeros(0, dtype=dtype)) == digest(torch.zeros(0, dtype=dtype))
    other = tensor.clone()
    other[0, 0] = 1
    assert digest(other) != digest(tensor)

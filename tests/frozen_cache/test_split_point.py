"""From the cut on, a model computes what it computes whole; what flows across is as little as there is."""

import copy

import pytest
import torch
from torch import nn

from hfft import layers
from hfft.frozen_cache.find import features, find
from hfft.frozen_cache.split_point import Kept
from hfft.frozen_cache.trace import NotCuttable
from hfft.layers.freeze import hold
from hfft.strategy.outputs import logits_of
from tests.examples import ALL, EVERY, SINGLE, head_and_depths, tiny
from tests.training import collate, examples


def learning(name, train, adapter=None, **changes):
    """A tiny model with dropout everywhere, in the mode that it trains in, and a padded batch."""
    model = tiny(name, dropout=0.2, **changes)
    head_names, depths = head_and_depths(model)
    model = layers.adapt(model, train, adapter, depths, head_names).train()
    hold(layers.frozen_modules(model))
    batch = collate(examples(ALL[name].modality, SINGLE, 6))
    return model, {key: value for key, value in batch.items() if key != "labels"}


def both(model, cut, batch):
    """Logits and gradients of the model run whole, and from the cut on, with the same random numbers."""
    states = cut.record(model, batch)
    found = []
    for whole in (True, False):
        twin = copy.deepcopy(model)
        given = batch if whole else cut.fill_in({k: v for k, v in batch.items() if k not in cut.placeholders}, 6, "cpu")
        torch.manual_seed(3)
        if whole:
            logits = logits_of(twin(**given))
            logits.square().sum().backward()
        else:
            with cut.handing(twin, states, given):
                logits = logits_of(twin(**given))
                logits.square().sum().backward()
        found.append((logits, {n: p.grad for n, p in twin.named_parameters() if p.grad is not None}, torch.rand(1)))
    return found


def assert_equal(found):
    (logits, grads, drawn), (other, others, drawn_too) = found
    torch.testing.assert_close(other, logits, rtol=0, atol=1e-6)
    assert grads.keys() == others.keys() != set()
    for name, grad in grads.items():
        torch.testing.assert_close(others[name], grad, rtol=1e-5, atol=1e-6)
    assert torch.equal(drawn, drawn_too), "the cut draws other random numbers"


@pytest.mark.slow_but("vit-head")
@pytest.mark.parametrize("train", ["head", "last-1", "last-2"])
@pytest.mark.parametrize("name", EVERY)
def test_from_the_cut_on_logits_gradients_and_random_numbers_are_the_same(name, train):
    model, batch = learning(name, train)
    assert_equal(both(model, find(model, batch, logits_of), batch))


@pytest.mark.parametrize("name", ["bert", "vit", "resnet"])
def test_a_longer_batch_of_more_rows_goes_through_the_same_cut(name):
    model, batch = learning(name, "last-1")
    cut = find(model, {key: value[:3] for key, value in batch.items()}, logits_of)
    assert_equal(both(model, cut, batch))


# What flows across at `head`: as much as the head reads, wherever the architecture takes it from.
@pytest.mark.parametrize(
    ("name", "tails"),
    [
        ("bert", [(16,)]),  # the pooler's answer
        ("roberta", [(16,)]),  # the first token, which the head itself takes
        ("distilbert", [(16,)]),
        ("vit", [(16,)]),
        ("dinov2", [(32,)]),  # class token beside the mean of the patches
        ("siglip", [(16,)]),  # a mean
        ("resnet", [(16, 1, 1)]),
        ("swin", [(16,)]),
    ],
)
def test_a_head_alone_keeps_one_vector_of_each_example(name, tails):
    model, batch = learning(name, "head")
    cut = find(model, batch, logits_of)
    assert [kept.tail for kept in cut.kept] == tails
    assert not any(kept.along_tokens for kept in cut.kept)
    assert cut.share > 0.99
    assert cut.bytes_per_token == 0
    assert cut.bytes_per_example == 4 * torch.Size(tails[0]).numel()


def test_a_text_is_kept_token_by_token_in_front_of_a_block():
    cut = find(*learning("bert", "last-1"), logits_of)
    assert cut.kept == (Kept((16,), torch.float32, along_tokens=True),)
    assert list(cut.stands) == ["bert.embeddings", "bert.encoder.layer.0", "bert.encoder.layer.1"]
    assert cut.share == pytest.approx(2 / 3, abs=0.02)


def test_the_cut_lies_in_front_of_the_first_block_that_learns():
    model, batch = learning("bert", ["/layer.1/"])
    cut = find(model, batch, logits_of)
    assert list(cut.stands) == ["bert.embeddings", "bert.encoder.layer.0"]
    assert_equal(both(model, cut, batch))


def test_adapters_in_the_last_block_leave_the_others_in_front_of_the_cut():
    adapter = {"type": "lora", "r": 2, "lora_dropout": 0.1, "target_modules": ["query"], "layers_to_transform": [2]}
    model, batch = learning("bert", "head", adapter)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    cut = find(model, batch, logits_of)
    assert any(path.endswith("encoder.layer.1") for path in cut.stands)
    assert_equal(both(model, cut, batch))


@pytest.mark.parametrize(
    ("name", "train", "adapter", "why"),
    [
        ("bert", "all", None, "no frozen layers run before those that learn"),
        ("bert", "head", {"type": "lora", "r": 2}, "of the work"),
        ("bert", ["embeddings", "head"], None, "no frozen layers run"),
    ],
)
def test_where_nothing_is_gained_there_is_no_cut(name, train, adapter, why):
    with pytest.raises(NotCuttable, match=why):
        find(*learning(name, train, adapter), logits_of)


def test_gradient_checkpointing_computes_again_from_the_same_states():
    model, batch = learning("bert", "last-2")
    model.gradient_checkpointing_enable()
    assert_equal(both(model, find(model, batch, logits_of), batch))


class Net(nn.Module):
    """An embedding, two blocks and a head, with what the cases below put between them."""

    def __init__(self, between=None, skip=False):
        super().__init__()
        self.embed, self.first, self.second = nn.Linear(4, 32), nn.Linear(32, 32), nn.Linear(32, 32)
        self.head, self.between, self.skip = nn.Linear(32, 3), between, skip
        for module in (self.embed, self.first):
            module.requires_grad_(False)

    def forward(self, x):
        e = self.embed(x)
        h = self.first(e)
        h = self.between(h) if self.between else h
        return (self.head(self.second(h) + (e if self.skip else 0)),)


def net_and_batch(**changes):
    torch.manual_seed(0)
    return Net(**changes), {"x": torch.randn(5, 4)}


def test_what_skips_the_cut_is_kept_as_well():
    model, batch = net_and_batch(skip=True)
    cut = find(model, batch, logits_of)
    assert len(cut.kept) == 2
    states = cut.record(model, batch)
    with cut.handing(model, states, batch):
        assert torch.equal(model(**batch)[0], model(x=batch["x"] * float("nan"))[0])


class OfTheBatch(nn.Module):
    """Depends on the other examples."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, x):
        return self.scale * (x - x.mean(0))


class InPlaceOfData(nn.Module):
    """Random in every mode."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, x):
        return self.scale * x + torch.rand_like(x)


def test_what_depends_on_the_rest_of_the_batch_is_refused():
    with pytest.raises(NotCuttable, match="on its padding or on the rest of its batch"):
        find(*net_and_batch(between=OfTheBatch()), logits_of)


def test_what_is_random_stays_behind_the_cut():
    model, batch = net_and_batch(between=InPlaceOfData())
    cut = find(model, batch, logits_of)
    assert list(cut.stands) == ["embed", "first"]


def test_live_batch_statistics_stay_behind_the_cut_and_are_not_moved_by_the_search():
    model, batch = net_and_batch(between=nn.BatchNorm1d(32).requires_grad_(False))
    before = copy.deepcopy(model.state_dict())
    cut = find(model, batch, logits_of)
    assert "between" not in cut.stands
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_nothing_of_the_cut_stays_on_the_model_whatever_happens_inside():
    model, batch = learning("bert", "last-1")
    names = list(model.state_dict())
    random = torch.get_rng_state()
    cut = find(model, batch, logits_of)
    states = cut.record(model, batch)
    assert torch.equal(random, torch.get_rng_state())
    with cut.handing(model, states, batch):
        assert list(model.state_dict()) == names
        assert any("forward" in vars(module) for module in model.modules())
    with pytest.raises(IndexError), cut.handing(model, states, batch):
        model(
            input_ids=batch["input_ids"] + 1000,
            token_type_ids=batch["input_ids"] + 1000,
            position_ids=None,
            nothing=states[9],
        )
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("name", ["bert", "distilbert", "vit", "resnet", "swin"])
def test_features_are_what_the_head_reads(name):
    model = tiny(name)
    head_names, _ = head_and_depths(model)
    batch = {key: value for key, value in collate(examples(ALL[name].modality, SINGLE, 6)).items() if key != "labels"}
    before = [p.requires_grad for p in model.parameters()]
    found = features(model, batch, head_names, logits_of)
    assert found.ndim == 2
    assert len(found) == 6
    assert [p.requires_grad for p in model.parameters()] == before
    head = {"distilbert": lambda x: model.classifier(torch.relu(model.pre_classifier(x)))}.get(name, model.classifier)
    if name == "resnet":
        found = found[:, :, None, None]
    torch.testing.assert_close(head(found), logits_of(model(**batch)), rtol=1e-5, atol=1e-6)

"""Where the head reads the first token alone, a last block that computes nothing else answers and learns as the whole."""

import contextlib

import pytest
import torch
from torch import nn

from hfft import layers
from hfft.layers.last_block import first_token
from hfft.strategy.outputs import logits_of
from tests.examples import ALL, EVERY, SINGLE, head_and_depths, tiny
from tests.training import collate, examples

READ_ONE = {"bert", "roberta", "distilbert", "electra", "vit"}


def batch_for(name, count=6):
    batch = collate(examples(ALL[name].modality, SINGLE, count))
    return {key: value for key, value in batch.items() if key != "labels"}


def shapes_of(model, path, context, batch):
    """The shapes of what a block answers."""
    found = []
    handle = model.get_submodule(path).register_forward_hook(lambda m, i, o: found.append(tuple(o.shape)))
    with context:
        model(**batch)
    handle.remove()
    return found


def both(model, found, batch):
    """Logits and gradients, whole and of the first token."""
    answers = []
    for context in (contextlib.nullcontext(), found.reading(model)):
        model.zero_grad()
        with context:
            logits = logits_of(model(**batch))
            logits.square().sum().backward()
        grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        answers.append((logits.detach(), grads))
    return answers


def assert_equal(answers):
    (logits, grads), (other, others) = answers
    torch.testing.assert_close(other, logits, rtol=1e-5, atol=1e-6)
    assert grads.keys() == others.keys() != set()
    for name, grad in grads.items():
        torch.testing.assert_close(others[name], grad, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("name", EVERY)
def test_it_is_found_where_the_first_token_alone_is_read(name):
    found = first_token(tiny(name), batch_for(name), logits_of)
    assert (found is not None) == (name in READ_ONE)


@pytest.mark.parametrize("name", sorted(READ_ONE))
def test_a_head_of_zeros_hides_nothing(name):
    """Through it a head that reads all tokens looks like one that reads the first."""
    model, batch = tiny(name), batch_for(name)
    head_names, _ = head_and_depths(model)
    for head in head_names:
        model.get_parameter(head).data.zero_()
    before = {n: (p.data_ptr(), p.clone()) for n, p in model.named_parameters()}
    assert first_token(model, batch, logits_of) is not None
    for n, p in model.named_parameters():
        assert p.data_ptr() == before[n][0]
        assert torch.equal(p, before[n][1])

    class Mean(nn.Module):
        """A model with a head of zeros on the mean of all tokens."""

        def __init__(self):
            super().__init__()
            self.base, self.head = model.base_model, nn.Linear(model.config.hidden_size, 3)
            self.head.weight.data.zero_()
            self.config = model.config

        def forward(self, **inputs):
            return {"logits": self.head(self.base(**inputs)[0].mean(1))}

    assert first_token(Mean(), batch, lambda output: output["logits"]) is None


@pytest.mark.slow_but("vit-last-1")
@pytest.mark.parametrize("train", ["all", "last-1", "lora"])
@pytest.mark.parametrize("name", sorted(READ_ONE))
def test_logits_and_gradients_are_those_of_the_whole_block(name, train):
    model, batch = tiny(name), batch_for(name)
    head_names, depths = head_and_depths(model)
    adapter = {"type": "lora"} if train == "lora" else None
    model = layers.adapt(model, "head" if adapter else train, adapter, depths, head_names).train()
    found = first_token(model, batch, logits_of)
    assert_equal(both(model, found, batch))
    assert [shape[1] for shape in shapes_of(model, found.block, found.reading(model), batch)] == [1]


def test_a_backward_pass_that_computes_again_computes_the_same():
    model, batch = tiny("vit").train(), batch_for("vit")
    found = first_token(model, batch, logits_of)
    expected, _ = both(model, found, batch)
    model.gradient_checkpointing_enable()
    _, again = both(model, found, batch)
    assert_equal([expected, again])


def test_dropout_inside_the_block_still_drops():
    model, batch = tiny("bert", dropout=0.5).train(), batch_for("bert")
    found = first_token(model, batch, logits_of)
    with found.reading(model):
        first, second = (logits_of(model(**batch)) for _ in range(2))
    assert not torch.equal(first, second)


def test_what_changes_keys_in_training_alone_leaves_the_block_whole():
    """In `eval()`, where it is looked for, a dropout in front of the attention cannot be told from nothing."""
    model, batch = tiny("bert"), batch_for("bert")
    attention = model.bert.encoder.layer[-1].attention.self
    attention.drop, forward = nn.Dropout(0.5), attention.forward
    attention.forward = lambda hidden_states, *args, **kwargs: forward(attention.drop(hidden_states), *args, **kwargs)
    assert first_token(model, batch, logits_of) is None


@pytest.mark.parametrize("name", ["bert", "dinov2"])
def test_looking_and_reading_leave_nothing_behind(name):
    model, batch = tiny(name, dropout=0.3).train(), batch_for(name)
    model.base_model.eval()
    modes = [module.training for module in model.modules()]
    before = {path: set(vars(module)) for path, module in model.named_modules()}
    configs = [id(getattr(module, "config", None)) for module in model.modules()]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    found = first_token(model, batch, logits_of)
    for context in [] if found is None else [found.reading(model)]:
        with context, contextlib.suppress(RuntimeError):
            raise RuntimeError
    assert torch.equal(torch.rand(3), expected), "random numbers were drawn"
    assert [module.training for module in model.modules()] == modes
    assert {path: set(vars(module)) for path, module in model.named_modules()} == before
    assert [id(getattr(module, "config", None)) for module in model.modules()] == configs


def test_another_attention_is_left_alone():
    model = tiny("bert", attn_implementation="eager")
    assert first_token(model, batch_for("bert"), logits_of) is None

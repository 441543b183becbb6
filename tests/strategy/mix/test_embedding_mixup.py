"""Mixup of embeddings: the model reads the average of two texts, wherever either has a token."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.method import At, Batch, Target
from hfft.strategy.mix.embedding_mixup import embedding_mixup
from hfft.strategy.needs import Situation, refusals
from hfft.tasks.problem import PROBLEMS
from tests.examples import SINGLE, tiny
from tests.training import methods_of

OWN, OTHER = [5, 6, 7], [8, 9, 10, 11, 12]


def mixed(model, **options):
    [method] = methods_of(embedding_mixup={"alpha": 1.0, **options})
    method.start(SimpleNamespace(rows=1, problem=PROBLEMS[SINGLE], methods=[method], model=model))
    inputs = {
        "input_ids": torch.tensor([[*OWN, 0, 0], OTHER]),
        "attention_mask": torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]),
    }
    label = torch.tensor([0])
    parts, labels = ["task", method.partner], {method.partner: torch.tensor([2])}
    batch = Batch(inputs, parts, label, [Target(label)], np.array([4]), 1, At(0, 0, 0.0, 7), labels)
    method.batch(batch)
    return method, batch


def test_the_equation_against_numpy():
    left, right, shares = np.random.rand(2, 3, 4), np.random.rand(2, 3, 4), np.random.rand(2, 3, 2)
    found = embedding_mixup(*map(torch.from_numpy, (left, right, shares)))
    np.testing.assert_allclose(found, shares[..., :1] * left + shares[..., 1:] * right, rtol=1e-5)


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "gpt2"])
def test_the_model_reads_the_average_with_the_longer_text_alone_at_its_end(name):
    model = tiny(name, dropout=0.0).eval()
    method, batch = mixed(model)
    lam = batch.targets[0].factor.item()
    assert 0.05 < lam < 0.95
    table = model.get_input_embeddings().weight
    own, other = table[torch.tensor(OWN)], table[torch.tensor(OTHER)]
    expected = torch.cat([lam * own + (1 - lam) * other[:3], (1 - lam) * other[3:]])[None]
    seen = []
    with method.around(model, batch):
        inner = model.get_input_embeddings().register_forward_hook(lambda _, args, output: seen.append(output))
        found = model(**batch.inputs).logits
        inner.remove()
    torch.testing.assert_close(seen[0], expected)
    assert batch.inputs["attention_mask"].tolist() == [[1] * 5]
    assert batch.targets[1].labels.tolist() == [2]
    if name != "gpt2":  # which finds its last token by ids
        whole = model(inputs_embeds=expected, attention_mask=torch.ones(1, 5, dtype=torch.long)).logits
        torch.testing.assert_close(found, whole)


def test_a_model_is_left_as_it_was():
    model = tiny("bert", dropout=0.0).eval()
    method, batch = mixed(model)
    plain = model(input_ids=torch.tensor([OWN])).logits
    with method.around(model, batch):
        model(**batch.inputs)
    assert torch.equal(model(input_ids=torch.tensor([OWN])).logits, plain)
    assert not model._forward_pre_hooks
    assert not model.get_input_embeddings()._forward_hooks


def test_other_parts_of_the_batch_are_not_mixed():
    model = tiny("bert", dropout=0.0).eval()
    [method] = methods_of(embedding_mixup=1.0)
    method.start(SimpleNamespace(rows=1, problem=PROBLEMS[SINGLE], methods=[method], model=model))
    ids = torch.tensor([[*OWN, 0, 0], OTHER, [13, 14, 15, 16, 17]])
    mask = (ids != 0).long()
    label = torch.tensor([0])
    batch = Batch(
        {"input_ids": ids, "attention_mask": mask},
        ["task", method.partner, "target"],
        label,
        [Target(label)],
        np.array([4]),
        1,
        At(0, 0, 0.0, 7),
        {method.partner: torch.tensor([2])},
    )
    method.batch(batch)
    assert batch.parts == ["task", "target"]
    with method.around(model, batch):
        found = model(**batch.inputs).logits
    torch.testing.assert_close(found[1:], model(input_ids=ids[2:]).logits)


def test_a_model_without_word_embeddings_is_refused():
    [method] = methods_of(embedding_mixup=1.0)
    setting = SimpleNamespace(rows=1, problem=PROBLEMS[SINGLE], methods=[method], model=torch.nn.Linear(1, 1))
    with pytest.raises(BadInput, match=r"strategy\.embedding_mixup: the model has no table of word embeddings"):
        method.start(setting)


def test_it_is_for_texts_and_not_for_hidden_tokens():
    methods = methods_of(embedding_mixup=0.2)
    assert refusals(methods, Situation(SINGLE, tokens=False))[0][0] == "embedding_mixup"
    assert "masked" in refusals(methods, Situation("masked_tokens"))[0][1]

"""Token cutoff: what is cut, that nobody sees it, and the two losses of the paper."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.method import TASK, At, Batch, Pass, Target
from hfft.strategy.mix.consistency import jensen_shannon
from hfft.strategy.mix.token_cutoff import VIEW, cut_span, cut_tokens
from hfft.strategy.needs import Situation, refusals
from hfft.tasks.problem import PROBLEMS
from tests.examples import MULTI, REGRESSION, SINGLE, tiny
from tests.training import methods_of

AT = At(0, 0, 0.0, 7)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def method_of(problem=SINGLE, **options):
    [method] = methods_of(token_cutoff={"share": 0.3, **options})
    tokenizer = SimpleNamespace(all_special_ids=[0, 1, 2])
    method.start(SimpleNamespace(tokenizer=tokenizer, problem=PROBLEMS[problem], model=None))
    return method


def batch_of(ids, **more):
    ids = torch.tensor(ids)
    labels = torch.zeros(len(ids), dtype=torch.long)
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    return Batch(inputs, ["task"], labels, [Target(labels)], np.arange(len(ids)), len(ids), AT, **more)


@pytest.mark.parametrize("count", [2, 3])
def test_the_divergence_against_numpy(count):
    logits = [np.random.default_rng(i).normal(size=(4, 5)) * 2 for i in range(count)]
    parts = [softmax(x) for x in logits]
    mean = sum(parts) / count
    expected = sum((p * (np.log(p) - np.log(mean))).sum(1) for p in parts) / count
    found = jensen_shannon([torch.from_numpy(x) for x in logits])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert (found > 0.02).all()
    assert (found < np.log(count)).all()
    torch.testing.assert_close(jensen_shannon([torch.from_numpy(logits[0])] * 2), torch.zeros(4, dtype=torch.float64))


def test_the_divergence_of_several_labels_is_that_of_each():
    logits = [torch.randn(3, 4, dtype=torch.float64) for _ in range(2)]
    single = [torch.stack([x, torch.zeros_like(x)], -1) for x in logits]  # softmax of (x, 0) is sigmoid(x)
    expected = torch.stack([jensen_shannon([single[0][:, i], single[1][:, i]]) for i in range(4)]).mean(0)
    torch.testing.assert_close(jensen_shannon(logits, multi_label=True), expected)


def test_tokens_with_the_smallest_draws_are_cut():
    words = torch.tensor([[False, True, True, True, True, False], [False, True, True, False, False, False]])
    draws = torch.tensor([[0.0, 0.4, 0.1, 0.9, 0.3, 0.0], [0.0, 0.2, 0.1, 0.0, 0.0, 0.0]])
    assert cut_tokens(words, draws, 0.5).int().tolist() == [[0, 0, 1, 0, 1, 0], [0, 0, 1, 0, 0, 0]]
    assert cut_tokens(words, draws, 0.3).int().tolist() == [[0, 0, 1, 0, 0, 0], [0] * 6], "rounded down"


def test_a_span_is_in_one_piece_at_any_place_and_skips_special_tokens():
    words = torch.tensor([[False, *[True] * 6, False]])
    found = {}
    for draw in np.linspace(0, 0.999, 50):
        cut = cut_span(words, torch.full((1, 8), draw), 0.5)[0].int().tolist()
        assert sum(cut) == 3
        found.setdefault(next(i for i, x in enumerate(cut) if x), cut)
    assert list(found) == [1, 2, 3, 4]
    assert all([key for key, group in itertools.groupby(cut)].count(1) == 1 for cut in found.values())


@pytest.mark.parametrize("span", [False, True])
def test_what_a_row_loses_depends_on_nothing_beside_it(span):
    row = [1, *range(5, 15), 2]
    batches = batch_of([row]), batch_of([row + [0] * 5, [1, *range(5, 20), 2]])
    for batch in batches:
        method_of(span=span).batch(batch)
    masks = [batch.part(VIEW)["attention_mask"][0, :12].tolist() for batch in batches]
    assert masks[0] == masks[1]
    assert sum(masks[0]) == 9
    assert masks[0][0] == masks[0][-1] == 1
    assert torch.equal(batches[0].part(TASK)["attention_mask"], torch.ones(1, 12, dtype=torch.long))


@pytest.mark.parametrize("name", ["bert", "roberta", "gpt2"])
def test_no_output_depends_on_what_is_cut(name):
    model = tiny(name, dropout=0.0).eval()
    ids = torch.tensor([[3, 5, 6, 7, 8, 9]])
    mask = torch.tensor([[1, 1, 0, 1, 0, 1]])
    other = torch.tensor([[3, 5, 20, 7, 21, 9]])
    found = [model(input_ids=x, attention_mask=mask).logits for x in (ids, other)]
    torch.testing.assert_close(*found)
    assert (found[0] - model(input_ids=ids, attention_mask=torch.ones_like(mask)).logits).abs().max() > 1e-5


def test_both_losses_of_the_paper():
    batch = batch_of([[1, *range(5, 15), 2]] * 2)
    method = method_of(alpha=0.5, weight=2.0)
    method.batch(batch)
    assert [(t.part, None if t.factor is None else t.factor.tolist()) for t in batch.targets] == [
        (TASK, None),
        (VIEW, [0.5, 0.5]),
    ]
    logits = {TASK: torch.randn(2, 3), VIEW: torch.randn(2, 3)}
    seen = Pass(logits, {}, {}, batch.labels, batch.rows, {}, AT)
    torch.testing.assert_close(method.losses(seen)["token_cutoff"], 2 * jensen_shannon([*logits.values()]))
    assert method_of(weight=0.0).losses(seen) == {}


def test_mixed_targets_are_learned_from_the_cut_text_in_the_same_shares():
    batch = batch_of([[1, *range(5, 15), 2]])
    batch.targets = [Target(batch.labels, torch.tensor([0.25])), Target(batch.labels + 1, torch.tensor([0.75]))]
    method_of(alpha=2.0).batch(batch)
    assert [(t.part, t.factor.item()) for t in batch.targets[2:]] == [(VIEW, 0.5), (VIEW, 1.5)]


def test_a_model_without_a_mask_is_refused():
    batch = batch_of([[1, 5, 6, 7, 2]])
    del batch.inputs["attention_mask"]
    with pytest.raises(BadInput, match=r"strategy\.token_cutoff: the model takes no attention_mask"):
        method_of().batch(batch)


def test_it_is_for_classes_of_texts():
    methods = methods_of(token_cutoff=0.1)
    assert refusals(methods, Situation(MULTI)) == []
    assert refusals(methods, Situation(REGRESSION))[0][0] == "token_cutoff"
    assert "is for texts" in refusals(methods, Situation(SINGLE, tokens=False))[0][1]

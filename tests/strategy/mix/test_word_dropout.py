"""Word dropout: the rate, what stays, and draws that know neither padding nor split."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.method import At, Batch, Target
from hfft.strategy.mix.tokens import token_draws
from hfft.strategy.mix.word_dropout import dropped, word_dropout
from hfft.strategy.needs import Situation, refusals
from tests import stand_ins
from tests.examples import SINGLE
from tests.training import methods_of

AT = At(0, 0, 0.0, 7)


def batch_of(ids, pad=0, left=False, rows=None):
    longest = max(map(len, ids))
    padded = [[pad] * (longest - len(row)) + row if left else row + [pad] * (longest - len(row)) for row in ids]
    mask = [
        [0] * (longest - len(row)) + [1] * len(row) if left else [1] * len(row) + [0] * (longest - len(row))
        for row in ids
    ]
    labels = torch.zeros(len(ids), dtype=torch.long)
    inputs = {"input_ids": torch.tensor(padded), "attention_mask": torch.tensor(mask)}
    rows = np.arange(len(ids)) if rows is None else np.array(rows)
    return Batch(inputs, ["task"], labels, [Target(labels)], rows, len(ids), AT)


def method_of(tokenizer=None, **options):
    [method] = methods_of(word_dropout={"p": 0.3, **options})
    tokenizer = (
        SimpleNamespace(all_special_ids=[0, 1, 2], mask_token_id=3, unk_token_id=4, pad_token_id=0)
        if tokenizer is None
        else tokenizer
    )
    method.start(SimpleNamespace(tokenizer=tokenizer, model=None))
    return method


def test_the_equation_on_small_numbers():
    words = torch.tensor([[False, True, True, True], [False, True, False, False]])
    draws = torch.tensor([[0.0, 0.1, 0.9, 0.4], [0.0, 0.2, 0.0, 0.0]])
    gone = dropped(words, draws, 0.5)
    assert gone.tolist() == [[False, True, False, True], [False] * 4], "the only word stays"
    assert word_dropout(torch.tensor([[1, 7, 8, 9], [1, 6, 2, 0]]), gone, 3).tolist() == [[1, 3, 8, 3], [1, 6, 2, 0]]


def test_all_words_below_the_rate_still_leave_one():
    gone = dropped(torch.ones(50, 6, dtype=torch.bool), torch.rand(50, 6) * 0.5, 0.6)
    assert gone.sum(1).tolist() == [5] * 50


def test_the_rate_is_p_and_special_tokens_stay():
    ids = [[1, *range(5, 35), 2] for _ in range(300)]
    batch = batch_of(ids)
    method_of().batch(batch)
    found, before = batch.inputs["input_ids"], torch.tensor(ids)
    assert (found[:, [0, -1]] == before[:, [0, -1]]).all()
    changed = found != before
    assert set(found[changed].tolist()) == {3}
    assert changed[:, 1:-1].float().mean() == pytest.approx(0.3, abs=0.02)


def test_neither_padding_nor_the_rows_beside_it_change_what_a_row_loses():
    row = [1, *range(5, 15), 2]
    alone = batch_of([row], rows=[3])
    beside = batch_of([[1, *range(5, 40), 2], row], rows=[1, 3])
    left = batch_of([[1, *range(5, 40), 2], row], rows=[1, 3], left=True)
    for batch in (alone, beside, left):
        method_of().batch(batch)
    expected = alone.inputs["input_ids"][0].tolist()
    assert 3 in expected
    assert beside.inputs["input_ids"][1, : len(row)].tolist() == expected
    assert left.inputs["input_ids"][1, -len(row) :].tolist() == expected


def test_each_token_gets_a_draw_of_its_own():
    real = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]]).bool()
    draws = token_draws(AT, np.array([5, 5]), real, 4)
    assert torch.equal(draws[0, :3], draws[1, 1:])
    assert len(set(draws[0, :3].tolist())) == 3


@pytest.mark.parametrize(("fill", "expected"), [(None, 3), ("unk", 4), ("pad", 0)])
def test_what_is_put_in(fill, expected):
    assert method_of(**({} if fill is None else {"fill": fill})).fill == expected


def test_a_token_that_the_tokenizer_lacks_is_refused():
    words = stand_ins.tokenizer()
    words.mask_token = None
    assert method_of(words).fill == words.unk_token_id
    with pytest.raises(BadInput, match=r"strategy\.word_dropout\.fill: the tokenizer has no mask token"):
        method_of(words, fill="mask")


def test_images_have_no_words():
    [(key, why)] = refusals(methods_of(word_dropout=0.1), Situation(SINGLE, tokens=False))
    assert (key, why) == ("word_dropout", "is for texts, which the task does not take; leave it out")

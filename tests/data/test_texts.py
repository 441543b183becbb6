"""Texts by length: what the tokenizer gives, in an order that seed and epoch alone decide, with little padding."""

import datasets
import numpy as np
import pytest
import torch
import transformers
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding

from hfft.data.texts import ByLength, TextCollate, TextRows, by_length, longest_first, padded
from tests import stand_ins

SINGLE = "single_label_classification"


def lengths_of(rows, seed=0):
    return np.random.default_rng(seed).integers(3, 60, rows)


def rows_of(lengths, labels=None, **more):
    """Rows of random token ids of these lengths."""
    rng = np.random.default_rng(1)
    columns = {
        "input_ids": [rng.integers(5, 30, n).tolist() for n in lengths],
        "labels": [i % 3 for i in range(len(lengths))] if labels is None else labels,
        "length": [int(n) for n in lengths],
        **more,
    }
    return TextRows(datasets.Dataset.from_dict(columns))


def tokenizer(side="right", names=("input_ids", "token_type_ids", "attention_mask")):
    found = stand_ins.tokenizer()
    found.padding_side, found.model_input_names = side, list(names)
    return found


# --- order


@pytest.mark.parametrize(("rows", "batch"), [(1000, 32), (64, 32), (31, 32), (1, 4), (103, 4)])
def test_every_row_comes_once_in_every_epoch(rows, batch):
    lengths = lengths_of(rows)
    for epoch in range(3):
        assert sorted(by_length(lengths, batch, 42, epoch)) == list(range(rows))


def test_the_order_is_of_seed_and_epoch_and_of_nothing_else():
    lengths = lengths_of(1000)
    first = by_length(lengths, 32, 42, 1)
    np.random.seed(7)
    torch.manual_seed(7)
    assert np.array_equal(by_length(lengths, 32, 42, 1), first)
    for other in (by_length(lengths, 32, 42, 2), by_length(lengths, 32, 43, 1)):
        assert (other == first).mean() < 0.1


def test_rows_of_a_batch_are_of_like_length_and_batches_are_in_no_order():
    lengths = lengths_of(10_000)
    order = by_length(lengths, 32, 42, 0)
    batches = lengths[order][: 10_000 // 32 * 32].reshape(-1, 32)
    assert batches.max(1).sum() * 32 < 1.15 * batches.sum()
    shuffled = lengths[: 10_000 // 32 * 32].reshape(-1, 32)
    assert shuffled.max(1).sum() * 32 > 1.8 * shuffled.sum()
    means = batches.mean(1)
    assert abs(np.corrcoef(np.arange(len(batches)), means)[0, 1]) < 0.2
    assert abs(np.corrcoef(means[1:], means[:-1])[0, 1]) < 0.2, "batches of one length do not follow each other"
    assert batches[0].max() == lengths.max(), "what does not fit in memory shows in the first step"


def test_who_shares_a_batch_changes_from_epoch_to_epoch():
    lengths = np.arange(1000)  # no two alike: only chance can mix them
    pairs = []
    for epoch in range(2):
        batches = by_length(lengths, 20, 42, epoch).reshape(-1, 20)
        pairs.append({(a, b) for batch in batches.tolist() for a in batch for b in batch if a < b})
    assert len(pairs[0] & pairs[1]) < 0.5 * len(pairs[0])


def test_a_step_holds_the_same_rows_however_it_is_split():
    """The order is that of the whole step's rows; so is any accumulation and any number of processes."""
    rows = rows_of(lengths_of(200))
    whole = [set(batch) for batch in torch.utils.data.BatchSampler(ByLength(rows, 16, 42), 16, False)]
    for micro in (2, 4, 8):
        small = list(torch.utils.data.BatchSampler(ByLength(rows, 16, 42), micro, False))
        steps = [small[i : i + 16 // micro] for i in range(0, len(small), 16 // micro)]
        assert [{row for batch in step for row in batch} for step in steps] == whole


@pytest.mark.slow
def test_a_million_rows_are_ordered_in_moments():
    lengths = lengths_of(1_000_000)
    order = by_length(lengths, 32, 42, 0)
    assert np.array_equal(np.bincount(order), np.ones(1_000_000))


def test_the_sampler_follows_the_epoch_of_the_rows():
    rows = rows_of(lengths_of(100))
    sampler = ByLength(rows, 8, 42)
    first = list(sampler)
    assert list(sampler) == first
    rows.set_epoch(1)
    assert list(sampler) != first
    assert list(sampler) == by_length(rows.lengths, 8, 42, 1).tolist()


def test_what_runs_together_is_whole_batches_of_the_epoch_of_like_length():
    lengths = lengths_of(1000)
    rows = rows_of(lengths)
    sampler, members = ByLength(rows, 8, 42), []
    for epoch in (0, 1):
        rows.set_epoch(epoch)
        order = np.array(list(sampler))
        batches = order[:1000].reshape(-1, 8)
        beside = [sampler.beside(int(batch[0]), 10**6) for batch in batches]
        assert all(np.isin(batch, found).all() for batch, found in zip(batches, beside, strict=True))
        groups = {tuple(sorted(found)) for found in beside}
        assert sorted(row for group in groups for row in group) == list(range(1000)), "each row runs once"
        assert {len(group) for group in groups} == {8 * 4, 8 * 3, 8}  # chunks of 31 batches
        assert max(np.ptp(lengths[list(group)]) for group in groups if len(group) > 8) < np.ptp(lengths) / 3
        members.append(groups)
    assert not members[0] & members[1]


def test_what_would_be_too_many_tokens_or_no_full_batch_runs_as_it_is():
    rows = rows_of([5] * 32 + [60] * 32 + [7] * 3)
    sampler = ByLength(rows, 4, 42)
    long, short = next(iter(sampler)), next(i for i in sampler if i < 32)
    assert len(sampler.beside(short, 16 * 60)) == 16
    assert len(sampler.beside(long, 16 * 60 - 1)) == 0
    assert [len(sampler.beside(i, 10**6)) for i in list(sampler)[64:]] == [0, 0, 0]


def test_what_is_scored_goes_from_the_longest_to_the_shortest():
    lengths = np.array([3, 9, 3, 12])
    assert longest_first(lengths) == [3, 1, 0, 2]


# --- batches


@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_are_filled_up_at_their_end_or_their_start(side):
    found = padded(np.array([1, 2, 3, 4, 5]), np.array([2, 3]), 9, side == "left").tolist()
    assert found == ([[9, 1, 2], [3, 4, 5]] if side == "left" else [[1, 2, 9], [3, 4, 5]])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("names", [("input_ids", "attention_mask"), ("input_ids", "token_type_ids", "attention_mask")])
def test_a_batch_is_what_the_tokenizer_pads(side, names):
    kinds = [[i % 2] * n for i, n in enumerate(lengths_of(40))]
    rows = rows_of(lengths_of(40), **({"token_type_ids": kinds} if "token_type_ids" in names else {}))
    words = tokenizer(side, names)
    collate = TextCollate(words, SINGLE)
    chosen = [7, 3, 3, 21]
    batch = collate(rows.__getitems__(chosen))
    single = [{name: value for name, value in rows[i].items() if name != "labels"} for i in chosen]
    expected = DataCollatorWithPadding(words)(single)
    assert set(batch) == {*names, "labels"}
    for name in names:
        assert torch.equal(batch[name], expected[name]), name
        assert batch[name].dtype == expected[name].dtype
    assert batch["labels"].tolist() == [i % 3 for i in chosen]
    again = collate([rows[i] for i in chosen])  # single rows, such as a stream gives
    assert all(torch.equal(batch[name], again[name]) for name in batch)


@pytest.mark.parametrize(
    ("problem", "labels"),
    [("multi_label_classification", [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]), ("regression", [[0.5], [-2.0]])],
)
def test_targets_of_a_fetched_batch_keep_their_rows(problem, labels):
    rows = rows_of([4, 7], labels)
    batch = TextCollate(tokenizer(), problem)(rows.__getitems__([1, 0]))
    assert batch["labels"].tolist() == labels[::-1]
    assert batch["labels"].dtype == torch.float32


def test_masking_spares_padding_and_special_tokens_as_transformers_does():
    words = tokenizer()
    mask = transformers.DataCollatorForLanguageModeling(words, mlm_probability=0.5)
    rows = rows_of(lengths_of(20))
    columns = {**rows.__getitems__(list(range(20))), "draw": (np.arange(20), np.ones(20, int))}
    found = TextCollate(words, SINGLE, mask)(columns)
    for i in range(20):
        mask.generator = torch.Generator().manual_seed(i)
        expected = mask([{"input_ids": rows[i]["input_ids"]}])
        length = rows.lengths[i]
        for name, fill in (("input_ids", words.pad_token_id), ("labels", -100), ("attention_mask", 0)):
            assert torch.equal(found[name][i, :length], expected[name][0])
            assert (found[name][i, length:] == fill).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_reads_every_row_once_whatever_its_workers(workers):
    rows = rows_of(lengths_of(50), labels=list(range(50)))
    loader = DataLoader(
        rows, 8, sampler=ByLength(rows, 8, 42), collate_fn=TextCollate(tokenizer(), SINGLE), num_workers=workers
    )
    order = torch.cat([batch["labels"] for batch in loader]).tolist()
    assert order == by_length(rows.lengths, 8, 42, 0).tolist()


def test_no_padding_and_no_mask_are_kept():
    rows = rows_of(lengths_of(50))
    assert set(rows[0]) == {"input_ids", "labels"}
    assert [len(row["input_ids"]) for row in rows] == rows.lengths.tolist()

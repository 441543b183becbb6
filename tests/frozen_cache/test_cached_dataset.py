"""A split whose rows are kept: what is written is what the rows are, or it is refused."""

import pytest
import torch

from hfft.frozen_cache.cached_dataset import STATE, CachedDataset, parted
from hfft.frozen_cache.split_point import Cut, Kept
from hfft.frozen_cache.trace import NotCuttable
from tests.examples import SINGLE
from tests.training import collate, examples


@pytest.fixture
def kept(tmp_path):
    """(a split of texts that keeps one number of each token, the places of its rows)."""
    split = CachedDataset(examples("text", SINGLE, 6), collate, dict, 0, 0, 0)
    cut = Cut({}, None, (Kept((), torch.float32, True),), 0.5, 1.0, {})
    split.open(tmp_path / "kept", split.layout(cut), 1, "")
    yield split
    split.close()


@pytest.mark.parametrize("left", [False, True])
def test_rows_are_kept_with_their_states_and_without_their_padding(kept, left):
    kept.left = left
    numbers = torch.tensor([4, 1, 3]).numpy()
    batch = kept.inputs(numbers)
    states = torch.rand(batch["input_ids"].shape)
    if left:
        batch = {name: t.flip(1) if t.ndim > 1 else t for name, t in batch.items()}
    kept.keep(numbers, batch, [states])
    assert kept.store.has(numbers).all()
    found = kept.batch(numbers)
    for name, tensor in batch.items():
        assert torch.equal(found[name], tensor), name
    assert torch.equal(found[f"{STATE}0"], states * batch["attention_mask"])


@pytest.mark.parametrize("masked", [0, 1])
def test_a_batch_that_masks_more_or_fewer_tokens_than_its_rows_have_is_refused(kept, masked):
    numbers = torch.arange(3).numpy()
    batch = kept.inputs(numbers)
    shortest = int(batch["attention_mask"].sum(1).argmin())
    mask = batch["attention_mask"].clone()
    mask[shortest, 0 if masked == 0 else -1] = masked
    states = [torch.rand(mask.shape)]
    with pytest.raises(NotCuttable, match="the attention_mask of a batch hides real tokens"):
        kept.keep(numbers, {**batch, "attention_mask": mask}, states)
    assert not kept.store.has(numbers).any()


def test_tokens_are_counted_row_by_row(kept):
    """As many in all is not enough: a token too few here and one too many there are told as well."""
    numbers = torch.arange(3).numpy()
    batch = kept.inputs(numbers)
    counts = batch["attention_mask"].sum(1)
    mask = batch["attention_mask"].clone()
    mask[int(counts.argmax()), 0], mask[int(counts.argmin()), -1] = 0, 1
    assert mask.sum() == counts.sum()
    with pytest.raises(NotCuttable):
        kept.keep(numbers, {**batch, "attention_mask": mask}, [torch.rand(mask.shape)])


def texts(*lengths):
    """A batch of texts of these lengths, padded to the longest."""
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return {
        "input_ids": torch.arange(mask.numel()).view(mask.shape) * mask,
        "attention_mask": mask,
        "row": torch.arange(len(lengths)),
    }


@pytest.mark.parametrize(
    ("lengths", "parts"), [([3] * 16 + [9] * 16, 2), ([9, 3] * 16, 2), ([9] * 32, 1), ([9, 3] * 15, 1)]
)
def test_a_batch_of_texts_is_parted_by_length_where_padding_would_be_much(lengths, parts):
    batch = texts(*lengths)
    found = parted(batch)
    assert len(found) == parts
    assert torch.cat([rows for rows, _ in found]).sort().values.tolist() == list(range(len(lengths)))
    for rows, part in found:
        wide = int(batch["attention_mask"][rows].sum(1).max())
        assert torch.equal(part["input_ids"], batch["input_ids"][rows][:, :wide])
        assert torch.equal(part["attention_mask"], batch["attention_mask"][rows][:, :wide])
        assert torch.equal(part["row"], rows)


def test_what_has_no_padding_is_not_parted():
    batch = {"pixel_values": torch.rand(40, 3, 2, 2)}
    [(rows, part)] = parted(batch)
    assert rows.tolist() == list(range(40))
    assert part["pixel_values"] is batch["pixel_values"]

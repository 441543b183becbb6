"""Rows come back as they were written, bit by bit; what was damaged or half-written is absent."""

import errno
import os

import numpy as np
import pytest
import torch

from hfft.errors import RunError
from hfft.frozen_cache import folder as cache
from hfft.frozen_cache import store as module
from hfft.frozen_cache.store import Field, Store, size_of

LENGTHS = np.array([3, 1, 4, 1, 5, 9, 2, 6])
FIELDS = [
    Field("labels", "int64", ()),
    Field("ids", "int64", (), ragged=True),
    Field("state", "float32", (4,), ragged=True),
    Field("half", "bfloat16", (2, 3)),
    Field("flag", "bool", ()),
]
WHOLE = {
    torch.int64: lambda shape: torch.randint(-9, 9, shape),
    torch.bool: lambda shape: torch.randint(2, shape).bool(),
}


def values_of(rows, seed=0):
    """Random values of rows, those of a row the same whoever asks."""
    found = {}
    for field in FIELDS:
        parts = []
        for row in rows:
            torch.manual_seed(1000 * seed + int(row))
            shape = (int(LENGTHS[row]), *field.tail) if field.ragged else (1, *field.tail)
            parts.append(WHOLE.get(field.torch_dtype, torch.randn)(shape).to(field.torch_dtype))
        found[field.name] = torch.cat(parts)
    return found


@pytest.fixture(params=[1, 300, 2**20], ids=["a shard a row", "some shards", "one shard"])
def size(request, monkeypatch):
    monkeypatch.setattr(module, "SHARD", request.param)


@pytest.fixture
def folder(tmp_path, size):
    return tmp_path / "entry"


def opened(folder):
    return Store(folder, FIELDS, len(LENGTHS), LENGTHS)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


@pytest.mark.slow_but("one shard-at once")
@pytest.mark.parametrize("again", [False, True], ids=["at once", "opened again"])
def test_rows_come_back_in_any_order(folder, again):
    store = opened(folder)
    for rows in ([5, 0, 2], [7, 1], [3, 4, 6]):
        store.write(np.array(rows), values_of(rows))
    if again:
        store.close()
        store = opened(folder)
    for rows in ([0, 1, 2, 3, 4, 5, 6, 7], [7, 7, 2], [4]):
        assert store.has(np.array(rows)).all()
        assert_same(store.read(np.array(rows)), values_of(rows))
    assert store.count() == 8


def test_only_what_was_written_is_there(folder):
    store = opened(folder)
    assert not store.has(np.arange(8)).any()
    store.write(np.array([2, 6]), values_of([2, 6]))
    assert store.has(np.arange(8)).nonzero()[0].tolist() == [2, 6]


def test_a_row_that_is_there_stays_as_it_was(folder):
    store = opened(folder)
    store.write(np.array([2]), values_of([2]))
    store.write(np.array([1, 2, 2, 3, 3]), values_of([1, 2, 2, 3, 3], seed=5))
    assert_same(store.read(np.array([2])), values_of([2]))
    assert_same(store.read(np.array([1, 3])), values_of([1, 3], seed=5))


def test_what_one_process_writes_another_reads(folder):
    one, other = opened(folder), opened(folder)
    one.write(np.array([4]), values_of([4]))
    assert other.has(np.array([4])).all()
    assert_same(other.read(np.array([4])), values_of([4]))


def test_a_damaged_row_is_absent_and_can_be_written_again(folder):
    store = opened(folder)
    store.write(np.arange(8), values_of(range(8)))
    store.close()
    path = folder / f"shard-{store.shard_of[5]:05}.bin"
    offset = store._offsets(int(store.shard_of[5]))[0][2] + 16 * int(
        store.start[5] - store.start[store.edges[store.shard_of[5]]]
    )
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\xff\xee\xdd")
    again = opened(folder)
    assert again.has(np.arange(8)).tolist() == [row != 5 for row in range(8)]
    again.write(np.arange(8), values_of(range(8)))
    assert_same(again.read(np.arange(8)), values_of(range(8)))


@pytest.mark.slow_but("one shard-no sums")
@pytest.mark.parametrize("damage", ["short", "gone", "no sums", "short sums"])
def test_a_shard_or_index_that_is_not_whole_is_made_again(folder, damage):
    store = opened(folder)
    store.write(np.arange(8), values_of(range(8)))
    store.close()
    shard, sums = folder / "shard-00000.bin", folder / "rows.crc"
    if damage == "short":
        with open(shard, "r+b") as file:
            file.truncate(3)
    elif damage == "gone":
        shard.unlink()
    elif damage == "no sums":
        sums.unlink()
    else:
        sums.write_bytes(sums.read_bytes()[:-4])
    again = opened(folder)
    lost = again.shard_of == 0 if damage in ("short", "gone") else np.ones(8, bool)
    assert again.has(np.arange(8)).tolist() == (~lost).tolist()
    again.write(np.arange(8), values_of(range(8)))
    assert_same(again.read(np.arange(8)), values_of(range(8)))


def test_a_row_that_a_crash_left_half_written_is_absent(folder, monkeypatch):
    store = opened(folder)
    monkeypatch.setattr(store, "_checksum", lambda row: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.write(np.array([1, 2]), values_of([1, 2]))
    store.close()
    assert not opened(folder).has(np.arange(8)).any()


def test_another_layout_under_the_same_name_is_refused(folder):
    opened(folder).close()
    with pytest.raises(RunError, match="contains other tensors"):
        Store(folder, FIELDS[:2], len(LENGTHS), LENGTHS)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        opened(tmp_path / "file" / "entry")


def test_a_file_that_another_process_made_meanwhile_is_taken(folder, monkeypatch):
    link, met = os.link, []

    def late(source, target):
        link(source, target)  # the other's
        met.append(target)
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    store = opened(folder)
    rows = np.arange(len(LENGTHS))
    store.write(rows, values_of(rows))
    assert len(met) == 1 + store.shard_of[-1] + 1, "the checksums' and those of the shards"
    assert_same(store.read(rows), values_of(rows))
    assert not list(folder.glob(".*.bin.*"))


def test_a_file_that_cannot_be_made_is_told_by_its_cause(folder, monkeypatch):
    def refuse(source, target):
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(RunError, match=r"cannot be written \(no links here\)"):
        opened(folder)
    assert not list(folder.glob(".rows*")), "what was made aside is removed"


def test_its_size_is_known_before_it_is_made(folder):
    store = opened(folder)
    store.write(np.arange(8), values_of(range(8)))
    padding = 64 * len(FIELDS) * (len(store.edges) - 1)
    on_disk = sum(path.stat().st_size for path in folder.glob("shard-*"))
    assert store.bytes == size_of(FIELDS, 8, LENGTHS) == 8 * (8 + 12 + 1 + 4) + 31 * (8 + 16)
    assert store.bytes - 4 * 8 <= on_disk <= store.bytes + padding


def test_a_store_in_use_is_not_removed(folder):
    store = opened(folder)
    (entry,) = cache.entries(folder.parent)
    assert entry.in_use
    assert not cache.remove(entry)
    store.close()
    assert cache.remove(entry)
    assert not folder.exists()

"""A stream's order, blocks and draws: one for all workers and processes, taken up again where it was left."""

import json
from itertools import islice
from pathlib import Path

import pytest
from datasets import IterableDataset
from torch.utils.data import BatchSampler, DataLoader

from hfft.data import columns
from hfft.data import stream as module
from hfft.data.inputs import Prepared
from hfft.data.stream import Stream, StreamOrder
from hfft.errors import DataError, HubError
from hfft.recipe.build import build
from tests.data.test_inputs import words
from tests.parts import prepared_of, splits_of

COUNT = 45


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Three files of fifteen rows; their rows are numbered from 0 in each."""
    monkeypatch.chdir(tmp_path)
    for part in range(3):
        rows = [{"text": f"w{i}", "label": "ab"[i % 2]} for i in range(COUNT)[part::3]]
        Path(f"train-{part}.jsonl").write_text("\n".join(map(json.dumps, rows)))


def load(**data) -> Prepared:
    given = {"path": "json", "data_files": "train-*.jsonl", "streaming": True, "classes": ["a", "b"], **data}
    written = {"task": "text-classification", "backbone": {"name": "x"}, "data": given}
    recipe = build(json.dumps(written), "x.yaml", "x")
    splits, labels = splits_of(recipe)
    return prepared_of(splits, recipe, labels, words())


def stream(size=None, buffer=4, seed=0, rows=None) -> Stream:
    """A stream of texts as they are stored, with the pass and place that each draws for."""
    rows = load(shuffle_buffer=max(buffer, 1)).train.rows if rows is None else rows
    make = lambda cells: [(cell.row["text"], cell.epoch, cell.place) for cell in cells]  # noqa: E731
    return Stream(rows, size, make, buffer, seed)


def given(order, count=None):
    """The first rows that an order gives, made into inputs."""
    return [cell and order.stream.make([cell])[0] for cell in islice(order, count)]


def test_each_epoch_has_every_row_once_in_an_order_of_seed_and_epoch():
    found = []
    for seed in (0, 0, 1):
        rows = stream(COUNT, seed=seed)
        for epoch in (0, 1):
            rows.set_epoch(epoch)
            found.append(given(StreamOrder(rows, training=True)))
    texts = [[text for text, _, _ in epoch] for epoch in found]
    assert all(sorted(epoch) == sorted(f"w{i}" for i in range(COUNT)) for epoch in texts)
    assert texts[:2] == texts[2:4]
    assert len({tuple(epoch) for epoch in (texts[0], texts[1], texts[4], texts[5])}) == 4
    assert texts[0] != [text for text, _, _ in given(StreamOrder(stream(COUNT, buffer=0)))]


def test_rows_of_several_files_draw_each_for_itself():
    drawn = given(StreamOrder(stream(COUNT), training=True))
    assert len({(epoch, place) for _, epoch, place in drawn}) == COUNT
    numbers = [cell.row["row"] for cell in StreamOrder(stream(COUNT))]
    assert len(set(numbers)) == COUNT / 3, "which row numbers would not"


def test_without_a_size_passes_follow_each_other_without_a_gap():
    found = given(StreamOrder(stream(), training=True), 3 * COUNT)
    for number in range(3):
        part = found[number * COUNT : (number + 1) * COUNT]
        assert {epoch for _, epoch, _ in part} == {number}
        assert len({text for text, _, _ in part}) == COUNT
    with pytest.raises(TypeError, match="does not state its size"):
        len(StreamOrder(stream(), training=True))


def test_an_epoch_is_as_long_as_stated_also_where_rows_are_left_out():
    rows = stream(COUNT + 5)
    found = given(StreamOrder(rows, training=True))
    assert len(found) == COUNT + 5
    assert [epoch for _, epoch, _ in found] == [0] * COUNT + [1] * 5
    assert len(given(StreamOrder(stream(COUNT - 5), training=True))) == COUNT - 5


@pytest.mark.parametrize("training", [True, False])
def test_what_several_processes_share_is_filled_up_with_rows_of_the_last_batch(training):
    alone = given(StreamOrder(stream(COUNT), 1, training))
    rows = stream(COUNT)
    shared = given(StreamOrder(rows, 16, training))
    assert shared[:COUNT] == alone
    assert len(shared) == 48
    assert set(shared[COUNT:]) <= set(alone[-16:])
    assert rows.count == COUNT


def test_what_is_scored_ends_where_the_stream_does():
    rows = stream(COUNT + 5, buffer=0)
    assert len(given(StreamOrder(rows))) == rows.count == COUNT


@pytest.mark.slow
@pytest.mark.parametrize("size", [COUNT, None])
@pytest.mark.parametrize("epoch", [0, 2])
def test_an_order_is_taken_up_again_at_any_row(size, epoch):
    rows = stream(size)
    rows.set_epoch(epoch)
    order = StreamOrder(rows, training=True)
    whole = given(order, COUNT if size else 3 * COUNT)
    for at in range(1, len(whole), 7):
        mark = json.loads(json.dumps(order.mark(at)))
        assert at - 4 < mark["rows"] <= at, "no more than a block is read again"
        other = stream(size)
        other.set_epoch(epoch)
        again = StreamOrder(other, training=True)
        again.resume = mark
        found = given(again, len(whole))
        assert found[: mark["rows"]] == [None] * mark["rows"]
        assert found[mark["rows"] :] == whole[mark["rows"] :]
        if size:
            other.set_epoch(epoch + 1)
            rows.set_epoch(epoch + 1)
            assert given(again) == given(StreamOrder(rows, training=True)), "the next epoch begins at its beginning"
            rows.set_epoch(epoch)
    assert order.mark(0) is None


def test_what_was_seen_is_not_read_again():
    read = []
    counted = load(shuffle_buffer=4).train.rows.map(lambda row: read.append(row["text"]) or row)
    order = StreamOrder(stream(rows=counted), training=True)
    given(order, 42)
    mark = order.mark(40)
    read.clear()
    again = StreamOrder(stream(rows=counted), training=True)
    again.resume = mark
    given(again, COUNT)
    assert len(read) <= COUNT - 40 + 8


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_are_made_by_the_workers_in_the_order_they_are_read(workers):
    rows = stream(COUNT)
    loader = DataLoader(rows, 4, sampler=StreamOrder(rows, training=True), num_workers=workers, collate_fn=list)
    assert [row for batch in loader for row in batch] == given(StreamOrder(stream(COUNT), training=True))
    assert len(loader) == 12


def test_a_stream_that_breaks_off_is_told_in_a_line():
    def lost(row):
        raise ConnectionError("Server Disconnected")

    with pytest.raises(HubError, match=r"^the stream could not be read: Server Disconnected"):
        list(StreamOrder(stream(rows=load().train.rows.map(lost)), training=True))


def test_a_stream_without_types_that_breaks_off_is_told_in_a_line():
    def lost():
        raise ConnectionError("Server Disconnected")
        yield

    rows = IterableDataset.from_generator(lost)
    assert rows.features is None
    with pytest.raises(HubError, match=r"^the stream could not be read: Server Disconnected"):
        columns.typed(rows)


@pytest.mark.parametrize("buffer", [0, 4, 600, 1001])
def test_pieces_that_are_sent_do_not_show(buffer, monkeypatch):
    """A block is read in pieces of any length, the last of which may be empty."""
    rows = load().train.rows
    monkeypatch.setattr(module, "BLOCK", 15)
    found = {}
    for piece in (1, 3, 15, 45, 1000):
        monkeypatch.setattr(module, "PIECE", piece)
        found[piece] = [(cell.place, cell.row["text"]) for cell in stream(buffer=buffer, rows=rows).read(0)]
    assert all(each == found[1] for each in found.values())
    assert [place for place, _ in found[1]] == list(range(COUNT))


def test_a_stream_without_rows_is_told():
    with pytest.raises(DataError, match="the stream has no rows"):
        list(StreamOrder(stream(5, rows=load(classes=["c", "d"]).train.rows), training=True))


def test_a_batch_is_made_as_a_whole_set_makes_it():
    streamed, whole = load(shuffle_buffer=1), load(streaming=False, validation="train")
    key = lambda row: (row["input_ids"], row["labels"])  # noqa: E731
    cells = next(iter(BatchSampler(StreamOrder(streamed.train), COUNT, False)))
    assert sorted(streamed.train.__getitems__(cells), key=key) == sorted(whole.train.rows, key=key)

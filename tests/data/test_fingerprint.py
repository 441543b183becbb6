"""Two starts on the same rows have one digest, and other rows another."""

from dataclasses import replace

import pytest
from datasets import Dataset, Image

from hfft.data.fingerprint import fingerprints
from hfft.data.load import Splits
from tests import stand_ins


def splits(count=999, **changes):
    """Rows as they are prepared: a label, the number of the row in its data set, a text."""
    columns = {
        "labels": [i % 3 for i in range(count)],
        "row": list(range(count)),
        "text": [f"t{i}" for i in range(count)],
    }
    for name, (row, value) in changes.items():
        columns[name][row] = value
    train = Dataset.from_dict(columns)
    return Splits(train, None, None, {"text": "text"}, {"train": "train"}, {"train": count})


def digest(made):
    return fingerprints(made)["train"]


def test_the_same_rows_have_the_same_digest_and_where_they_lie_does_not_count():
    assert digest(splits()) == digest(splits())
    shuffled = splits().train.select(range(998, -1, -1)).select(range(998, -1, -1))
    assert digest(replace(splits(), train=shuffled)) == digest(splits())


@pytest.mark.parametrize("row", [0, 1, 500, 997, 998])
@pytest.mark.parametrize(("name", "value"), [("text", "u"), ("labels", 7), ("row", 5000)])
def test_every_row_of_a_small_set_counts_whole(name, value, row):
    assert digest(splits(**{name: (row, value)})) != digest(splits())


def test_of_a_large_set_every_label_counts_and_texts_are_read_evenly():
    whole = digest(splits(1000))
    assert digest(splits(1000, labels=(1, 7))) != whole
    assert digest(splits(1000, text=(998, "u"))) != whole
    assert digest(splits(1000, text=(999, "u"))) == whole, "every second text is read"


def test_size_origin_and_columns_count():
    whole = splits()
    for other in ({"sizes": {"train": 1}}, {"origin": {"train": "x"}}, {"columns": {"text": "x"}}):
        assert digest(replace(whole, **other)) != digest(whole)


def test_of_an_image_its_bytes_count_and_not_its_path():
    rows = stand_ins.images(4, "image", "labels", ["a", "b"])
    made = replace(splits(), train=rows)
    stored = rows.cast_column("image", Image(decode=False))
    moved = stored.map(lambda row: {"image": {**row["image"], "path": "elsewhere"}}).cast_column("image", Image())
    assert digest(replace(made, train=moved)) == digest(made)
    other = stand_ins.images(4, "image", "labels", ["a", "b"], seed=1)
    assert digest(replace(made, train=other)) != digest(made)

"""What a run notes of its data."""

import numpy as np

from hfft.runs import RunFolder
from hfft.runs.data_note import data_of_run, note_data, trained_rows


def test_a_note_is_read_back_and_rows_of_an_earlier_start_are_kept(tmp_path):
    folder = RunFolder(tmp_path)
    assert data_of_run(folder) is trained_rows(tmp_path) is None
    note_data(folder, "abc", {"train": "x"}, np.array([3, 1, 3]))
    note_data(folder, None, {"train": "y"}, np.array([2]))
    assert data_of_run(folder) == {"files": None, "rows": {"train": "y"}, "named_files": False}
    assert trained_rows(tmp_path).tolist() == [1, 2, 3]
    note_data(folder, None, {}, None)
    assert trained_rows(tmp_path).tolist() == [1, 2, 3]
    folder.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_note_is_none(tmp_path):
    (tmp_path / "data.json").write_text("[1")
    (tmp_path / "trained_rows.safetensors").write_bytes(b"none")
    assert data_of_run(RunFolder(tmp_path)) is trained_rows(tmp_path) is None

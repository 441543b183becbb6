"""Small files that hold gigabytes end in a line, and good ones are read as ever."""

from __future__ import annotations

import resource
import time

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from hfft import cli
from hfft.data import memory_limit
from tests.torture import runs

ROWS = 2000
RECIPE = """
task: text-classification
backbone: {name: nano-bert}
data: {path: there, columns: {text: text, label: label}}
training: {max_steps: 1, use_cpu: true}
"""


def bomb(path, kind):
    """A file of some kilobytes that holds 2 GB of text, or 1 GB of numbers."""
    if kind == "text":
        column = pyarrow.DictionaryArray.from_arrays(
            pyarrow.array([0] * ROWS, pyarrow.int32()), pyarrow.array(["x" * 1_000_000])
        )
        table = pyarrow.table({"text": column, "label": [i % 2 for i in range(ROWS)]})
        pyarrow.parquet.write_table(table, path, compression="zstd", dictionary_pagesize_limit=2**27)
    else:
        parts = [pyarrow.array(np.zeros(2**20, np.int64))] * 64
        table = pyarrow.table({"text": pyarrow.chunked_array(parts), "label": pyarrow.chunked_array(parts)})
        pyarrow.parquet.write_table(table, path, compression="zstd", row_group_size=len(table))
    assert path.stat().st_size < 3_000_000
    return path


@pytest.mark.parametrize("kind", ["text", "numbers"])
def test_a_small_file_that_holds_gigabytes_is_refused_in_one_line(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.setattr(memory_limit, "MOST", 2**28)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    path = bomb(tmp_path / "bomb.parquet", kind)
    before, started = resource.getrlimit(resource.RLIMIT_DATA), time.process_time()
    words = [f"data.path={path}"]
    recipe = runs.write_recipe(tmp_path, RECIPE)
    assert cli.main(["train", str(recipe), *words, f"training.output_dir={tmp_path / 'run'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"data set {path} takes more memory than there is to read it (")
    assert time.process_time() - started < 30
    assert not (tmp_path / "run").exists()
    assert not list((tmp_path / "cache").rglob("*.arrow"))
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_the_limit_is_what_is_available_and_holds_within_alone(monkeypatch):
    before = resource.getrlimit(resource.RLIMIT_DATA)
    monkeypatch.setattr(memory_limit, "available", lambda: 2**28)
    with memory_limit.bounded():
        with pytest.raises(MemoryError):
            np.ones(2**26)  # twice as much
        assert np.ones(2**20).sum() == 2**20
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert np.ones(2**26).sum() == 2**26


def test_a_control_group_is_heeded_and_a_system_that_tells_nothing_bounds_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(memory_limit, "_GROUP", tmp_path)
    whole = memory_limit.available()
    for name, text in (("max", "1000"), ("current", "800"), ("stat", "anon 1\ninactive_file 100\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert memory_limit.available() == 300
    (tmp_path / "memory.max").write_text("max")
    assert memory_limit.available() > 10**6 < whole
    monkeypatch.setattr(memory_limit, "_STATUS", tmp_path / "none")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limit.bounded():
        assert resource.getrlimit(resource.RLIMIT_DATA) == before

"""The folder of what is kept: its sizes, its limit, and clearing it."""

import os

import pytest

from hfft import cli
from hfft.frozen_cache import folder as cache


@pytest.mark.parametrize(
    ("text", "size"), [("20GB", 20 * 10**9), ("1.5 MB", 1_500_000), ("800B", 800), ("2tb", 2 * 10**12), ("1 kB", 1000)]
)
def test_a_size_is_read(text, size):
    assert cache.size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["20", "GB", "-1GB", "0GB", "twenty GB", "20 GiB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="expected a size such as 20GB"):
        cache.size_in_bytes(text)


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (20e9, "20 GB")])
def test_a_size_is_told(size, text):
    assert cache.human(size) == text


def entry(root, name, size, used):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / cache.IN_USE).write_text("")
    (folder / "note.txt").write_text(f"note of {name}")
    (folder / "shard-00000.bin").write_bytes(b"x" * size)
    os.utime(folder, (used, used))
    return folder


def test_the_entries_used_longest_ago_make_room(tmp_path):
    for number, name in enumerate("abc"):
        entry(tmp_path, name, 100_000, 1000 + number)
    assert cache.make_room(tmp_path / "new", 100_000, 330_000) is None
    assert [held.path.name for held in cache.entries(tmp_path)] == ["c", "b"]


def test_an_entry_does_not_make_room_for_itself(tmp_path):
    entry(tmp_path, "mine", 100_000, 1)
    assert cache.make_room(tmp_path / "mine", 110_000, 120_000) is None
    assert [held.path.name for held in cache.entries(tmp_path)] == ["mine"]


def test_what_cannot_fit_is_told(tmp_path):
    assert cache.make_room(tmp_path / "new", 300, 200) == "it needs 300 B, its limit is 200 B"
    why = cache.make_room(tmp_path / "new", 10**17, 10**18)
    assert why.startswith("it needs 1e+05 TB, ")
    assert why.endswith(" left")


def test_the_commands_list_and_clear_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path))
    entry(tmp_path, "a", 100_000, 1000)
    (tmp_path / "else").mkdir()  # nothing of ours
    assert cli.main(["cache", "list"]) == 0
    out = capsys.readouterr().out
    assert "note of a" in out
    assert cli.main(["cache", "clear"]) == 0
    assert "removed 1 of 1" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["else"]
    assert cli.main(["cache", "list", "--dir", str(tmp_path / "nowhere")]) == 0

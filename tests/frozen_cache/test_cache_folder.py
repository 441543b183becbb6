"""The folder of what is kept: its limit, and clearing it."""

import os
import shutil
import threading

import numpy as np

from hfft import cli
from hfft.frozen_cache import folder as cache


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
    assert cache.make_room(tmp_path / "new", 300, 200) == "it needs 300 B, above its limit of 200 B"
    why = cache.make_room(tmp_path / "new", 10**17, 10**18)
    assert why.startswith("it needs 1e+05 TB, ")
    assert why.endswith(" left")


def test_other_processes_may_write_and_remove_meanwhile(tmp_path):
    mine, over = entry(tmp_path, "mine", 100_000, 1), threading.Event()

    def another_process():
        while not over.is_set():
            cache.write_array(mine / "keys.npy", np.zeros(1))
            shutil.rmtree(entry(tmp_path, "passing", 10, 1))

    other = threading.Thread(target=another_process)
    other.start()
    try:
        for _ in range(1000):
            held = {found.path.name: found for found in cache.entries(tmp_path)}
            assert held["mine"].bytes >= 100_000
            assert held.keys() <= {"mine", "passing"}
    finally:
        over.set()
        other.join()


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

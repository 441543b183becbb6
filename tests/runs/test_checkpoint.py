"""Sealed checkpoints: what is damaged is told and skipped, what is whole is never deleted, and nothing half-written counts."""

import json
import shutil

import pytest

from hfft.errors import RunError
from hfft.runs import RunFolder
from hfft.runs import checkpoint as seal

FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "config.json")


def checkpoint(run, step):
    """A sealed checkpoint with the files that transformers writes."""
    aside = run / seal.TEMP_DIR / f"checkpoint-{step}"
    aside.mkdir(parents=True)
    for i, name in enumerate(FILES):
        (aside / name).write_bytes(bytes(range(256)) * (i + 1))
    seal.write_digests(aside, {"step": step})
    seal.publish(aside, run / aside.name)
    return run / aside.name


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path, bit=777):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


DAMAGE = {
    "missing": lambda path: path.unlink(),
    "half": half,
    "flipped": flipped,
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("file", [*FILES, seal.DIGESTS])
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(tmp_path, file, damage):
    before, latest = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)
    assert seal.newest(tmp_path) == seal.Newest(latest, ())
    DAMAGE[damage](latest / file)
    found = seal.newest(tmp_path)
    assert found.path == before
    (line,) = found.skipped
    assert line.startswith(f"skipped {latest}: {file} ")


def test_every_bit_of_a_seal_counts(tmp_path):
    made = checkpoint(tmp_path, 1)
    file = made / seal.DIGESTS
    content, quiet = file.read_bytes(), []
    for bit in range(0, 8 * len(content), 23):
        flipped(file, bit)
        if seal.verify(made) is None and json.loads(file.read_bytes()) != json.loads(content):
            quiet.append(bit)
        file.write_bytes(content)
    assert quiet == []


def test_no_checkpoint_that_verifies_is_an_error_and_none_at_all_is_a_start(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.newest() == seal.Newest(None, ())
    for step in (1, 2):
        (checkpoint(tmp_path, step) / "optimizer.pt").unlink()
    with pytest.raises(
        RunError, match=r"checkpoint-2: optimizer\.pt is missing; .*checkpoint-1: .*--fresh to start over"
    ):
        folder.newest()


def test_what_is_not_yet_sealed_is_no_checkpoint(tmp_path):
    made = checkpoint(tmp_path, 3)
    (tmp_path / seal.TEMP_DIR / "checkpoint-4").mkdir(parents=True)
    (tmp_path / "checkpoint-best").mkdir()
    assert seal.checkpoints(tmp_path) == [made]


def test_the_newest_is_the_one_of_the_highest_step(tmp_path):
    for step in (100, 9, 20):
        checkpoint(tmp_path, step)
    assert [seal.step(path) for path in seal.checkpoints(tmp_path)] == [100, 20, 9]
    assert seal.facts(tmp_path / "checkpoint-20") == {"step": 20}


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path):
    first = checkpoint(tmp_path, 3)
    (first / "scheduler.pt").unlink()
    checkpoint(tmp_path, 3)
    assert seal.verify(tmp_path / "checkpoint-3") is None


@pytest.mark.parametrize(
    ("limit", "best", "left"),
    [(None, None, [4, 3, 2, 1]), (1, None, [4]), (2, None, [4, 3]), (1, 1, [4, 1]), (2, 2, [4, 2]), (3, 1, [4, 3, 1])],
)
def test_rotation_keeps_the_latest_and_the_best(tmp_path, limit, best, left):
    made = {step: checkpoint(tmp_path, step) for step in (1, 2, 3, 4)}
    seal.rotate(tmp_path, limit, made.get(best), made[4])
    assert [seal.step(path) for path in seal.checkpoints(tmp_path)] == left


@pytest.mark.parametrize(("name", "left"), [(None, [4]), ("checkpoint-2", [2]), ("checkpoint-9", [4])])
def test_of_a_finished_run_one_checkpoint_stays(tmp_path, name, left):
    seal.keep_one(tmp_path, name)
    for step in (1, 2, 3, 4):
        checkpoint(tmp_path, step)
    seal.keep_one(tmp_path, name)
    assert [seal.step(path) for path in seal.checkpoints(tmp_path)] == left


def test_a_sealed_folder_can_be_moved(tmp_path):
    made = checkpoint(tmp_path / "a", 1)
    shutil.move(made, tmp_path / "checkpoint-1")
    assert seal.verify(tmp_path / "checkpoint-1") is None


def test_the_seal_is_of_all_files_below_but_of_no_folder_and_not_of_an_earlier_seal(tmp_path):
    (tmp_path / "inner" / "empty").mkdir(parents=True)
    (tmp_path / "inner" / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    for facts in ({"step": 1}, {"step": 2}):
        seal.write_digests(tmp_path, facts)
        sealed = json.loads((tmp_path / seal.DIGESTS).read_text())
        assert sorted(sealed["files"]) == ["b", "inner/a"]
        assert sealed["facts"] == facts
        assert seal.verify(tmp_path) is None
    half(tmp_path / "inner" / "a")
    assert seal.verify(tmp_path).startswith("inner/a ")


@pytest.mark.parametrize(
    ("free", "said"), [(0, "the disk is full"), ((1 << 20) - 1, "the disk is full"), (1 << 20, "No")]
)
def test_a_checkpoint_that_failed_says_why_and_what_is_left(tmp_path, monkeypatch, free, said):
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(seal.shutil, "disk_usage", lambda path: usage)
    line = seal.failed(tmp_path, 7, OSError(2, "No such file or directory"))
    assert line.startswith(f"the checkpoint of step 7 could not be written: {said}")
    assert "there is no earlier one" in line
    kept = checkpoint(tmp_path, 6)
    assert f"{kept} is intact" in seal.failed(tmp_path, 7, ValueError("no"))

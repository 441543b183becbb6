"""Folders of sounds are read as folders of images are: splits, classes, metadata, and every file that is not used is told."""

import os
from pathlib import Path

import datasets
import pytest

from hfft.data.load import load_splits
from hfft.data.source import load_raw
from hfft.data.spec import Data
from hfft.errors import BadInput, DataError
from hfft.tasks.table import TASKS
from tests import sounds

TASK = TASKS["audio-classification"]


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Each test in a folder of its own, caches included."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    datasets.disable_progress_bars()


def put(*paths):
    """Write a sound, or a few bytes if the ending is of another kind of file, at each path."""
    for i, path in enumerate(map(Path, paths)):
        if path.suffix.lower() in (".wav", ".flac", ".ogg"):
            sounds.put(path, seconds=0.1, seed=i)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"bytes")


def load(path="d", **settings):
    return load_raw(Data(path=path, **settings))


def rows(found):
    """Split -> path -> class."""
    content = {}
    for split, part in found.splits.items():
        name = getattr(part.features.get("label"), "int2str", str)
        content[split] = {
            os.path.relpath(row["audio"]["path"], Path("d").resolve()): name(row["label"]) if "label" in row else None
            for row in part
        }
    return content


def test_classes_are_folders_and_splits_the_first_level():
    put("d/train/yes/a 1.wav", "d/train/no/b.flac", "d/test/yes/ü ß.ogg", "d/val/no/c.WAV")
    found = load()
    assert rows(found) == {
        "train": {"train/yes/a 1.wav": "yes", "train/no/b.flac": "no"},
        "validation": {"val/no/c.WAV": "no"},
        "test": {"test/yes/ü ß.ogg": "yes"},
    }
    assert found.notes == ()


def test_everything_that_is_not_used_is_told():
    put("d/yes/1.wav", "d/no/1.wav", "d/no/.hidden.wav", "d/no/._1.wav", "d/.git/x.wav", "d/no/2.m4a", "d/no/notes.txt")
    put("d/loose.wav", "d/empty/x.m4a")
    found = load()
    assert rows(found)["train"] == {"no/1.wav": "no", "yes/1.wav": "yes"}
    assert found.notes == (
        "d: 1 sound beside the folders, so left out: loose.wav",
        "d: 2 sounds with hidden names, so left out: .git/x.wav, no/.hidden.wav",
        "d: 2 sounds of formats that cannot be read here, so left out (2 .m4a); convert them to .wav or .flac",
        "d: 1 other file, so left out (1 .txt)",
        "d: folders in which no sound can be read, so no classes: empty (1 .m4a)",
    )


def test_the_kind_with_more_files_is_read_and_a_name_decides_otherwise():
    put("d/a/1.wav", "d/a/2.wav", "d/b/3.wav", "d/b/4.png")
    assert rows(load())["train"] == {"a/1.wav": "a", "a/2.wav": "a", "b/3.wav": "b"}
    put("d/a/5.png", "d/a/6.png", "d/a/7.png")
    assert load().splits["train"].column_names == ["image", "label"]
    assert rows(load("audiofolder", data_dir="d"))["train"] == {"a/1.wav": "a", "a/2.wav": "a", "b/3.wav": "b"}
    with pytest.raises(BadInput, match="audiofolder is a format"):
        load("audiofolder")


def test_a_folder_of_which_nothing_can_be_read_is_refused():
    put("d/a/1.m4a", "d/b/1.m4a")
    with pytest.raises(DataError) as caught:
        load()
    assert str(caught.value) == "data.path: no sound below d can be read (2 .m4a; convert them to .wav or .flac)"


@pytest.mark.parametrize("streaming", [False, True])
def test_listed_files_are_read_like_a_folder(streaming):
    put("d/x/yes/1.wav", "d/x/no/1.wav", "d/y/yes/2.wav")
    found = load("audiofolder", data_files={"train": "d/x/**", "test": "d/y/yes/2.wav"}, streaming=streaming)
    assert rows(found)["train"] == {"x/no/1.wav": "no", "x/yes/1.wav": "yes"}
    assert list(rows(found)["test"]) == ["y/yes/2.wav"]


METADATA = {
    "metadata.csv": "file_name,label,speaker\na.wav,yes,ann\nb c.wav,no,bob\n",
    "metadata.jsonl": '{"file_name": "a.wav", "label": "yes", "speaker": "ann"}\n'
    '{"file_name": "b c.wav", "label": "no", "speaker": "bob"}\n',
}


@pytest.mark.parametrize("name", METADATA)
@pytest.mark.parametrize("place", ["d", "d/train"])
def test_metadata_names_the_rows(name, place):
    put(f"{place}/a.wav", f"{place}/b c.wav", f"{place}/more.wav")
    Path(place, name).write_text(METADATA[name])
    found = load()
    part = found.splits["train"]
    assert part["speaker"][:] == ["ann", "bob"]
    assert [Path(row["audio"]["path"]).name for row in part] == ["a.wav", "b c.wav"]
    more = f"{place}/more.wav".removeprefix("d/")
    assert found.notes == (f"d: 1 sound named in no metadata file, so left out: {more}",)


def test_folders_are_the_classes_where_metadata_names_none():
    put("d/yes/a.wav", "d/yes/b.wav", "d/no/c.wav", "d/no/d.wav")
    Path("d/metadata.csv").write_text("file_name,speaker\nyes/a.wav,ann\nno/c.wav,bob\nyes/b.wav,bob\n")
    found = load()
    part = found.splits["train"]
    assert [(part.features["label"].int2str(row["label"]), row["speaker"]) for row in part] == [
        ("yes", "ann"),
        ("no", "bob"),
        ("yes", "bob"),
    ]
    assert found.notes == (
        "d: the metadata has no column 'label', so classes are the folders of the sounds",
        "d: 1 sound named in no metadata file, so left out: no/d.wav",
    )


def test_a_speaker_is_held_out_by_its_column():
    names = [f"{i}.wav" for i in range(12)]
    put(*(f"d/{name}" for name in names))
    lines = [f"{name},{'yes' if i % 2 else 'no'},speaker {i // 4}" for i, name in enumerate(names)]
    Path("d/metadata.csv").write_text("\n".join(["file_name,label,speaker", *lines]))
    data = Data(path="d", validation="none", columns={"domain": "speaker"}, held_out_domain="speaker 1")
    splits, labels = load_splits(data, TASK)
    assert labels.names == ("no", "yes")
    assert splits.sizes == {"train": 8, "test": 4}
    assert {Path(row["audio"]["path"]).stem for row in splits.test} == {"4", "5", "6", "7"}


BAD = {
    "empty": (b"", "the file is empty"),
    "no sound": (b"bytes", "the sound cannot be decoded (Format not recognised)"),
    "cut off": (sounds.file(sounds.tone())[:5000], "the file is cut off: it has fewer samples than its header states"),
    "short": (sounds.file(sounds.tone(seconds=0.01)), "the sound lasts 0.01 s; sounds need 0.05 s"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_sound_is_named_before_training(case):
    content, message = BAD[case]
    put("d/a/1.wav", "d/b/1.wav", "d/b/3.wav")
    Path("d/b/2.wav").write_bytes(content)
    data = Data(path="d", validation="none")
    with pytest.raises(DataError) as caught:
        load_splits(data, TASK)
    assert str(caught.value) == f"split train, row 2: {message}: d/b/2.wav; fix it, or set data.on_bad_rows=skip"
    splits, _ = load_splits(data.model_copy(update={"on_bad_rows": "skip", "max_bad_rows": 0.5}), TASK)
    assert splits.sizes == {"train": 3}


@pytest.mark.skipif(os.geteuid() == 0, reason="everything can be read by this user")
def test_a_file_without_permission_is_named():
    put("d/a/1.wav", "d/b/1.wav")
    Path("d/b/1.wav").chmod(0)
    with pytest.raises(DataError, match=r"row 1: the file cannot be read \(Permission denied\): d/b/1\.wav"):
        load_splits(Data(path="d", validation="none"), TASK)


def test_a_wrong_ending_does_no_harm_and_silence_is_told():
    put("d/a/1.wav", "d/b/1.wav")
    Path("d/b/flac.wav").write_bytes(sounds.file(sounds.tone(), kind="FLAC"))
    Path("d/a/silent.wav").write_bytes(sounds.file(0 * sounds.tone()))
    splits, _ = load_splits(Data(path="d", validation="none"), TASK)
    assert splits.sizes == {"train": 4}
    assert "1 row (train 1): the sound is silent" in splits.notes

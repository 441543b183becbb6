"""Texts as lines of pixels and sounds as spectrograms: the same for the same input, and read by an image network."""

from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
from PIL import ImageFont

from hfft import finetune
from hfft.commands.predict import predict
from hfft.data.changes import names_files
from hfft.data.load import load_splits
from hfft.data.render import NOTE, draw, draw_sound, lines
from hfft.data.render_spec import Render
from hfft.data.sets import rows_of
from hfft.data.sounds import write_wav
from hfft.data.spec import Data, DataSet
from hfft.data.spectrogram import spectrogram
from hfft.errors import DataError, RecipeError
from hfft.recipe import Recipe
from hfft.tasks.table import TASKS
from tests import stand_ins

IMAGES = TASKS["image-classification"]
HOW = Render(size=[32, 64], font_size=10)


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Each test in a folder of its own, caches included."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


def test_the_same_text_is_the_same_image_and_another_is_not():
    one, again, other = (np.asarray(draw(text, HOW)) for text in ("a good film", "a good film", "a good filn"))
    assert one.shape == (32, 64)
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    assert not np.asarray(draw("  ", HOW)).any()


@pytest.mark.parametrize("text", ["a few words that need some lines", "incomprehensibilities and so on", "x", ""])
def test_lines_fit_and_lose_nothing_but_spaces(text):
    found = lines(text, HOW, 99)
    font = ImageFont.load_default(10)
    assert all(font.getlength(line) <= 62 for line in found)
    assert "".join(found).replace(" ", "") == text.replace(" ", "")
    assert lines(text, HOW, 1) == found[:1]


def test_each_line_is_drawn_below_the_last():
    two = np.asarray(draw("word words words", HOW))
    step = sum(ImageFont.load_default(10).getmetrics())
    first = np.asarray(draw(lines("word words words", HOW, 1)[0], HOW))
    np.testing.assert_array_equal(two[:step], first[:step])
    assert two[step:].any()
    assert not first[step:].any()


def test_texts_that_do_not_fit_are_counted_for_each_split():
    whole, cut = "a b", "many words " * 9
    assert (NOTE in draw(whole, HOW).info, NOTE in draw(cut, HOW).info) == (False, True)
    for split, texts in (("train", [whole, cut, f"{cut} c", f"{whole} c"]), ("test", ["d", "e"])):
        datasets.Dataset.from_dict({"text": texts, "label": ["x", "y"] * (len(texts) // 2)}).to_parquet(
            f"rows/{split}.parquet"
        )
    splits, _ = load_splits(Data(path="rows", columns={"image": "text"}, render=HOW, validation="none"), IMAGES)
    said = [note for note in splits.notes if "does not fit into its image" in note]
    assert len(said) == 1
    assert "train" in said[0]
    assert "2 rows" in said[0]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_column_of_texts_becomes_images(streaming):
    rows = stand_ins.texts(8, "text", "label", ["a", "b"])
    stand_ins.save_splits(Path("rows"), train=rows)
    data = Data(path="rows", columns={"image": "text"}, render=HOW, streaming=streaming, validation="none", test="none")
    splits, labels = load_splits(data, IMAGES)
    assert labels.names == ("a", "b")
    found = list(splits.train)
    order = {np.asarray(draw(row["text"], HOW)).tobytes(): row["label"] for row in rows}
    assert len(found) == 8
    assert all(order[np.asarray(row["text"].convert("L")).tobytes()] == row["labels"] for row in found)


def test_an_empty_text_and_a_column_of_numbers_are_refused_in_one_line():
    given = {"text": ["a", " ", "b"], "label": ["x", "y", "x"], "n": [1, 2, 3]}
    datasets.Dataset.from_dict(given).to_parquet("rows.parquet")
    plain = {"path": "rows.parquet", "render": HOW, "validation": "none", "test": "none"}
    with pytest.raises(DataError, match="split train, row 1: no image in column 'text'"):
        load_splits(Data(columns={"image": "text", "label": "label"}, **plain), IMAGES)
    with pytest.raises(DataError, match=r"data\.render: draws texts, but column 'n' has type"):
        load_splits(Data(columns={"image": "n", "label": "label"}, **plain), IMAGES)


def test_a_task_without_images_draws_no_texts():
    parts = {"backbone": {"name": "nano-bert"}, "data": {"path": "x", "render": {}}}
    with pytest.raises(
        RecipeError, match=r"data\.render: draws texts as images, but task text-classification takes none"
    ):
        Recipe(name="r", task="text-classification", **parts)


@pytest.mark.slow
def test_a_run_learns_to_read_and_predicts_a_table_of_texts():
    names = ["ABBR", "ENTY"]
    stand_ins.save_splits(
        Path("rows"),
        train=stand_ins.texts(60, "text", "label", names),
        test=stand_ins.texts(20, "text", "label", names, 1),
    )
    stand_ins.model("microsoft/resnet-18", Path("model"))
    recipe = Recipe(
        name="reads",
        task="image-classification",
        backbone={"name": "model", "processor": {"size": {"shortest_edge": 32}, "crop_pct": 1.0}},
        data={"path": "rows", "columns": {"image": "text"}, "render": {"size": [32, 64]}, "validation": "none"},
        training={"output_dir": "run", "max_steps": 3, "per_device_train_batch_size": 8, "use_cpu": True},
        score={"scorecard": "off"},
    )
    assert finetune(recipe).metrics["test"]["n"] == 20
    Path("new.csv").write_text("text\nwhat is it\nwho was it\n", encoding="utf-8")
    rows = list(predict("run", ["new.csv"], None, None, None, 8))
    assert [row["id"] for row in rows] == ["new.csv:0", "new.csv:1"]
    assert all(row["error"] is None for row in rows)


# --- sounds


HEARD = Render(kind="spectrogram", size=[32, 48], seconds=0.5, sampling_rate=8000)


def tone(hz: float, seconds: float = 0.5, rate: int = 8000, loudness: float = 0.5) -> dict:
    """A pure tone."""
    t = np.arange(round(seconds * rate)) / rate
    return {"array": (loudness * np.sin(2 * np.pi * hz * t)).astype(np.float32), "sampling_rate": rate}


@pytest.mark.parametrize("hz", [300, 1000, 3000])
def test_a_tone_is_a_line_at_the_height_of_its_mel_band(hz):
    levels = np.asarray(spectrogram(tone(hz), HEARD)).astype(int)
    assert levels.shape == (32, 48)
    mel = 2595 * np.log10(1 + np.array([hz, 4000]) / 700)  # of the tone, and of the highest frequency
    band = mel[0] / mel[1] * 33 - 1  # the centres of 32 bands divide the scale into 33 parts
    assert abs(31 - levels[:, 4:-4].mean(1).argmax() - band) <= 0.6
    assert levels.max() == 255


def test_against_the_decibels_of_an_independent_spectrogram():
    sound = {"array": np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32), "sampling_rate": 8000}
    ours = np.asarray(spectrogram(sound, HEARD))[::-1]
    window, found = np.hanning(200), []
    filters = mel_triangles(512, 32, 8000)
    for start in np.round(np.arange(48) * 4000 / 48).astype(int):
        frame = np.array([sound["array"][i] if 0 <= i < 4000 else 0.0 for i in range(start - 100, start + 100)])
        frame = np.pad(frame * window, (0, 512 - 200))
        transform = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(512)) / 512) @ frame
        found.append(filters @ np.abs(transform) ** 2)
    power = np.array(found).T
    expected = np.clip(1 + 10 * np.log10(power / power.max()) / 80, 0, 1) * 255
    np.testing.assert_allclose(ours, expected, atol=0.51)


def mel_triangles(size: int, bands: int, rate: int) -> np.ndarray:
    """Triangles `(bands, size // 2 + 1)` whose corners are equally far apart on the HTK mel scale."""
    corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), bands + 2) / 2595) - 1)
    frequencies = np.arange(size // 2 + 1) * rate / size
    rising = (frequencies - corners[:-2, None]) / np.diff(corners)[:-1, None]
    falling = (corners[2:, None] - frequencies) / np.diff(corners)[1:, None]
    return np.clip(np.minimum(rising, falling), 0, None)


def test_rate_and_loudness_do_not_matter_and_what_is_missing_is_black():
    low, high = (np.asarray(spectrogram(tone(700, rate=rate), HEARD)).astype(int) for rate in (8000, 44100))
    assert np.abs(low - high).mean() < 6  # the tone's ends, where the filter of the rate rings
    np.testing.assert_array_equal(low, np.asarray(spectrogram(tone(700, loudness=0.125), HEARD)))
    short = np.asarray(spectrogram(tone(700, 0.25), HEARD))
    np.testing.assert_array_equal(short[:, :20], low[:, :20])
    assert not short[:, 28:].any()
    np.testing.assert_array_equal(np.asarray(spectrogram(tone(700, 3), HEARD))[:, :44], low[:, :44])
    assert not np.asarray(spectrogram({"array": np.zeros(4000, np.float32), "sampling_rate": 8000}, HEARD)).any()


@pytest.fixture
def folder_of_sounds():
    """Two classes of tones by four speakers, of several rates and lengths, in folders."""
    for i in range(24):
        rate = (8000, 16000, 44100)[i % 3]
        file = Path("speech") / ("low", "high")[i % 2] / f"s{i // 2 % 4}_nohash_{i}.{('wav', 'flac')[i // 2 % 2]}"
        file.parent.mkdir(parents=True, exist_ok=True)
        sound = tone((300, 1500)[i % 2] * (1 + i / 99), 0.3 + i / 50, rate)
        soundfile.write(file, sound["array"], rate)
    return Path("speech")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_folder_of_sounds_becomes_images_and_speakers_stay_together(folder_of_sounds, streaming):
    given = {"render": HEARD, "validation": "none", "test": "none", "streaming": streaming}
    splits, labels = load_splits(Data(path="speech", **given), IMAGES)
    assert labels.names == ("high", "low")
    found = list(splits.train)
    assert len(found) == 24
    for row in found:
        levels = np.asarray(row["audio"].convert("L")).astype(int)
        assert labels.names[row["labels"]] == (
            "low" if levels.mean(1)[:14].sum() < levels.mean(1)[14:].sum() else "high"
        )
    if streaming:
        return
    assert [note for note in splits.notes if "only its beginning is drawn" in note]
    parted, _ = load_splits(Data(path="speech", **{**given, "test": 0.25}, columns={"group": "/^([^_]+)_/"}), IMAGES)
    stored = {
        name: {Path(row["audio"]["path"]).name[:2] for row in rows.cast_column("audio", datasets.Image(decode=False))}
        for name, rows in (("train", parted.train), ("test", parted.test))
    }
    assert stored["test"]
    assert not stored["train"] & stored["test"]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_sound_that_cannot_be_read_is_named_with_its_reason(folder_of_sounds, streaming):
    (folder_of_sounds / "low" / "a_bad.wav").write_bytes(b"RIFF1234WAVE")
    data = Data(path="speech", render=HEARD, validation="none", test="none", streaming=streaming)

    def read() -> None:
        splits, _ = load_splits(data, IMAGES)
        list(splits.train)

    with pytest.raises(DataError, match=r"split train, row \d+: the sound cannot be decoded .*a_bad\.wav"):
        read()
    if streaming:
        return
    splits, _ = load_splits(data.model_copy(update={"on_bad_rows": "skip", "max_bad_rows": 0.1}), IMAGES)
    assert len(splits.train) == 24
    assert [note for note in splits.notes if "a_bad.wav" in note]


def test_paths_of_sounds_in_a_table_are_drawn_and_other_columns_refused(folder_of_sounds):
    files = sorted(str(path) for path in folder_of_sounds.rglob("*.*"))
    rows = {"file": files, "label": [Path(file).parent.name for file in files], "n": list(range(len(files)))}
    datasets.Dataset.from_dict(rows).to_csv("rows.csv", index=False)
    plain = {"path": "rows.csv", "validation": "none", "test": "none"}
    splits, _ = load_splits(Data(render=HEARD, columns={"image": "file"}, **plain), IMAGES)
    assert len(splits.train) == 24
    with pytest.raises(DataError, match=r"data\.columns\.image: column 'n' has type .*, not sounds"):
        load_splits(Data(render=HEARD, columns={"image": "n"}, **plain), IMAGES)


def test_sounds_that_nobody_asked_to_draw_are_told_what_draws_them(folder_of_sounds):
    plain = {"path": "speech", "columns": {"image": "audio"}, "validation": "none", "test": "none"}
    with pytest.raises(DataError, match=r"the file is a sound \(data\.render\.kind=spectrogram draws sounds\)"):
        load_splits(Data(**plain), IMAGES)
    with pytest.raises(DataError, match=r"or draw sounds with data\.render\.kind=spectrogram"):
        load_splits(Data(render=HOW, **plain), IMAGES)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seconds": 2}, "has seconds, but is of kind text; set kind: spectrogram, or leave seconds out"),
        (
            {"kind": "spectrogram", "font_size": 9},
            "has font_size, but is of kind spectrogram; set kind: text, or leave",
        ),
        ({"kind": "spectrogram", "size": [64, 2000]}, "spectrograms have at most 1024 bands and steps"),
        ({"kind": "spectrogram", "seconds": 0.01}, "greater than or equal to 0.05"),
        ({"kind": "spectrograms"}, "'text' or 'spectrogram'"),
    ],
)
def test_keys_of_the_other_kind_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Render(**given)


@pytest.mark.slow
def test_a_run_learns_to_hear_and_predicts_files(folder_of_sounds):
    stand_ins.model("microsoft/resnet-18", Path("model"))
    recipe = Recipe(
        name="hears",
        task="image-classification",
        backbone={"name": "model", "processor": {"size": {"shortest_edge": 32}, "crop_pct": 1.0}},
        data={"path": "speech", "render": HEARD, "validation": "none", "test": 0.25},
        training={"output_dir": "run", "max_steps": 3, "per_device_train_batch_size": 8, "use_cpu": True},
        score={"scorecard": "off"},
    )
    assert finetune(recipe).metrics["test"]["n"] == 6
    (folder_of_sounds / "low" / "z_bad.wav").write_bytes(b"RIFF1234WAVE")
    rows = list(predict("run", ["speech/low"], None, None, None, 8))
    assert [row["error"] is None for row in rows] == [True] * 12 + [False]
    (folder_of_sounds / "low" / "z_bad.wav").unlink()
    files = [str(path) for path in sorted(folder_of_sounds.rglob("*.*"))]
    named = [row["probability"] for row in predict("run", files, None, None, None, 8)]
    of_data = [row["probability"] for row in predict("run", [], "speech", "train", None, 8)]
    assert sorted(named) == pytest.approx(sorted(of_data), abs=1e-5)


def test_defaults_are_written_into_a_recipe_and_those_of_an_earlier_one_are_read():
    assert Render().plain() == {"kind": "text", "size": [64, 128], "font_size": 10}
    assert Render(kind="spectrogram").plain()["sampling_rate"] == 16000
    assert Render(**Render(kind="spectrogram").model_dump()) == Render(kind="spectrogram")
    assert Render(size=[64, 128], font_size=10) == Render()


def test_a_sound_that_begins_later_than_its_image_ends_is_told():
    late = {"array": np.concatenate([np.zeros(8000, np.float32), tone(500)["array"]]), "sampling_rate": 8000}
    stored = {"bytes": write_wav(late), "path": None}
    assert draw_sound(stored, HEARD).info[NOTE].startswith("nothing is to be heard in the part")
    assert (
        "silent"
        in draw_sound({"bytes": write_wav({**late, "array": late["array"] * 0}), "path": None}, HEARD).info[NOTE]
    )


def test_every_band_has_a_frequency_of_its_own():
    noise = {"array": np.random.default_rng(0).normal(0, 0.1, 96000).astype(np.float32), "sampling_rate": 96000}
    levels = np.asarray(spectrogram(noise, Render(kind="spectrogram", size=[256, 16], sampling_rate=96000)))
    assert levels.any(1).all()


def test_sounds_on_the_web_are_refused_since_a_failed_download_would_be_kept():
    rows = datasets.Dataset.from_dict({"file": ["https://x.org/a.wav", "https://x.org/b.wav"], "label": ["a", "b"]})
    rows.to_csv("web.csv", index=False)
    data = Data(path="web.csv", render=HEARD, columns={"image": "file"}, validation="none", test="none")
    with pytest.raises(DataError, match=r"draws files of this machine, not https://x\.org/a\.wav; download"):
        load_splits(data, IMAGES)


def test_rows_of_a_further_set_are_drawn_as_those_of_the_task(folder_of_sounds):
    splits, labels = load_splits(Data(path="speech", render=HEARD, validation="none", test="none"), IMAGES)
    rows, roles = rows_of("data.sets.more", DataSet(path="speech"), IMAGES, labels, render=HEARD)
    assert roles == {"image": "audio"}
    for one, other in zip(rows, splits.train, strict=True):
        np.testing.assert_array_equal(np.asarray(one["audio"]), np.asarray(other["audio"]))
    rows.select_columns(["audio"]).to_parquet("kept/train.parquet")  # as a memory keeps them: they are not drawn again
    again, _ = rows_of("data.sets.kept", DataSet(path="kept"), IMAGES, labels, render=HEARD)
    np.testing.assert_array_equal(np.asarray(again[0]["audio"]), np.asarray(rows[0]["audio"]))


def test_a_changed_sound_of_a_table_is_noticed(folder_of_sounds):
    files = sorted(str(path) for path in folder_of_sounds.rglob("*.*"))
    datasets.Dataset.from_dict({"file": files, "label": [Path(f).parent.name for f in files]}).to_csv(
        "r.csv", index=False
    )
    data = Data(path="r.csv", render=HEARD, columns={"image": "file"}, validation="none", test="none")
    before, _ = load_splits(data, IMAGES)
    assert names_files(before.train, data)
    soundfile.write(files[0], tone(3000)["array"], 8000, format="WAV" if files[0].endswith("wav") else "FLAC")
    after, _ = load_splits(data, IMAGES)
    same = [
        np.array_equal(*map(np.asarray, pair)) for pair in zip(before.train["file"], after.train["file"], strict=True)
    ]
    assert same == [False] + [True] * 23

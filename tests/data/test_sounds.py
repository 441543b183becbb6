"""Sounds of any format, rate and number of channels are read alike; what is none is told in a line."""

import numpy as np
import pytest

from hfft.data import sounds
from hfft.data.sounds import NotASound, as_sound, is_silent, length_at, open_sound, read_sound, resampled, seconds_of
from hfft.errors import DataError
from tests.sounds import file, tone

FORMATS = [
    ("WAV", "PCM_U8", 0.01),
    ("WAV", "PCM_16", 1e-4),
    ("WAV", "PCM_24", 1e-6),
    ("WAV", "FLOAT", 1e-7),
    ("FLAC", "PCM_16", 1e-4),
    ("AIFF", "PCM_16", 1e-4),
    ("OGG", "VORBIS", 0.2),
    ("OGG", "OPUS", 0.2),
    ("MP3", "MPEG_LAYER_III", 0.2),
]


@pytest.mark.parametrize(("kind", "subtype", "off"), FORMATS)
def test_every_format_holds_the_same_sound(kind, subtype, off):
    found = read_sound(file(tone(), kind=kind, subtype=subtype))
    wave = resampled(found, 16000)
    assert found["array"].dtype == np.float32
    assert abs(len(wave) - 8000) <= (2400 if kind == "MP3" else 0)  # which adds silence
    if off < 0.1:
        assert np.abs(wave - tone()).max() <= off


def test_channels_are_averaged():
    left, right = tone(300), tone(700)
    found = read_sound(file(np.stack([left, right], 1), subtype="FLOAT"))
    assert np.allclose(found["array"], (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_a_tone_is_the_same_tone_at_another_rate(rate):
    t = np.arange(rate) / rate
    found = resampled({"array": np.sin(2 * np.pi * 440 * t).astype("f4"), "sampling_rate": rate}, 16000)
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert len(found) == length_at(np.array([1.0]), 16000)[0] == 16000
    assert np.abs(found - expected)[400:-400].max() < 0.01  # the filter has no sound to look at beyond the ends


def test_frequencies_that_a_rate_cannot_hold_are_removed():
    found = resampled({"array": tone(6000, rate=44100), "sampling_rate": 44100}, 8000)
    assert np.abs(found[200:-200]).max() < 0.1


def test_the_same_rate_changes_nothing():
    wave = tone()
    assert resampled({"array": wave, "sampling_rate": 16000}, 16000) is wave


WHOLE = file(tone())
BAD = {
    "nothing": (b"", "the file is empty"),
    "text": (b"no sound at all" * 9, "the sound cannot be decoded (Format not recognised)"),
    "cut off": (WHOLE[: len(WHOLE) // 2], "the file is cut off: it has fewer samples than its header states"),
    "cut off FLAC": (file(tone(), kind="FLAC")[:4000], "the sound cannot be decoded (flac decoder lost sync)"),
    "no samples": (file(np.zeros(0, "f4")), "the sound lasts 0 s; sounds need 0.05 s"),
    "a click": (file(tone(seconds=0.01)), "the sound lasts 0.01 s; sounds need 0.05 s"),
    "not finite": (file(np.full(8000, np.nan, "f4"), subtype="FLOAT"), "the sound has values that are not finite"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_sound_is_told(case):
    content, message = BAD[case]
    with pytest.raises(NotASound) as caught:
        read_sound(content)
    assert str(caught.value) == message


def test_a_wav_of_unknown_size_is_whole():
    streamed = bytearray(WHOLE)
    streamed[4:8] = streamed[40:44] = b"\xff\xff\xff\xff"
    assert len(read_sound(bytes(streamed))["array"]) == 8000


def test_silence_is_a_sound():
    assert is_silent(read_sound(file(np.zeros(8000, "f4"))))
    assert not is_silent(read_sound(WHOLE))


def test_the_forms_in_which_a_user_passes_a_sound(tmp_path):
    path, wave = tmp_path / "a.wav", tone()
    path.write_bytes(file(wave, subtype="FLOAT"))
    forms = [wave, wave.tolist(), {"array": wave, "sampling_rate": 16000}, {"raw": wave, "sampling_rate": 16000}]
    forms += [str(path), path, path.read_bytes(), np.stack([wave, wave])]
    for form in forms:
        found = as_sound(form, 16000)
        assert found["sampling_rate"] == 16000
        assert np.array_equal(found["array"], wave)
    for wrong in (np.zeros(5, "f4"), {"sampling_rate": 16000}, np.zeros((2, 2, 9000), "f4")):
        with pytest.raises(DataError, match="a sound of shape"):
            as_sound(wrong, 16000)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")
    with pytest.raises(DataError, match=r"a\.wav: the sound cannot be decoded"):
        open_sound(tmp_path / "a.wav")
    with pytest.raises(DataError, match=r"b\.wav cannot be read \(No such file"):
        open_sound(tmp_path / "b.wav")


def test_how_long_a_sound_lasts_is_read_from_its_header(tmp_path):
    (tmp_path / "a.wav").write_bytes(WHOLE)
    assert seconds_of(WHOLE, None) == seconds_of(None, str(tmp_path / "a.wav")) == 0.5
    assert np.isnan(seconds_of(b"x", None))


def test_without_soundfile_a_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    with pytest.raises(DataError) as caught:
        sounds.library()
    assert str(caught.value) == "reading sounds needs soundfile; pip install 'hfft[audio]'"

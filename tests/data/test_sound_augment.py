"""Augmentations of sounds: what they change, and by how much."""

import numpy as np
import pytest

from hfft.data.augment import compose_sounds, parse, sound_ops
from hfft.data.augment.sound_ops import add_noise, frequency_mask, gain, random_segment, time_mask, time_shift
from tests.sounds import tone

SPECTROGRAM = np.random.default_rng(0).normal(size=(60, 20)).astype("f4")


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("snr", [0.0, 10.0, 30.0])
def test_noise_has_the_stated_ratio(snr):
    wave = tone(seconds=2)
    noise = add_noise(wave, rng(), (snr, snr)) - wave
    assert 10 * np.log10(np.mean(wave**2) / np.mean(noise**2)) == pytest.approx(snr, abs=0.2)


def test_noise_leaves_silence_and_comes_with_its_probability():
    assert not add_noise(np.zeros(100, "f4"), rng()).any()
    wave = tone()
    same = [add_noise(wave, rng(seed), p=0.25) is wave for seed in range(200)]
    assert 0.65 < np.mean(same) < 0.85


def test_gain_is_in_decibels():
    assert np.allclose(gain(tone(), rng(), (-20.0, -20.0)), tone() * 0.1)
    assert gain(tone(), rng()).dtype == np.float32


def test_a_shift_moves_by_at_most_the_share_and_fills_with_silence():
    wave = np.ones(100, "f4")
    found = [time_shift(wave, rng(seed), 0.2) for seed in range(50)]
    kept = [int(one.sum()) for one in found]
    assert min(kept) >= 80
    assert min(kept) < 85
    assert {bool(one[0]) for one in found} == {True, False} == {bool(one[-1]) for one in found}


def test_a_segment_is_a_part_of_the_sound_anywhere_in_it():
    wave = np.arange(1000, dtype="f4")
    found = [random_segment(wave, rng(seed), 100, 2.0) for seed in range(200)]
    assert {len(one) for one in found} == {200}
    assert all(np.array_equal(one, np.arange(one[0], one[0] + 200)) for one in found)
    assert min(one[0] for one in found) < 50
    assert max(one[0] for one in found) > 750
    assert random_segment(wave, rng(), 100, 10.0) is wave


@pytest.mark.parametrize(("op", "axis"), [(time_mask, 0), (frequency_mask, 1)])
def test_a_mask_hides_whole_frames_or_bands_by_the_mean(op, axis):
    widths = []
    for seed in range(100):
        found = op(SPECTROGRAM, rng(seed), 8)
        hidden = np.isclose(found, SPECTROGRAM.mean(), atol=1e-6).all(1 - axis)
        widths.append(int(hidden.sum()))
        assert np.array_equal(np.compress(~hidden, found, axis), np.compress(~hidden, SPECTROGRAM, axis))
    assert (min(widths), max(widths)) == (0, 8)


@pytest.mark.parametrize("op", [time_shift, gain, add_noise, time_mask, frequency_mask])
def test_an_op_never_changes_its_input(op):
    given = SPECTROGRAM.copy() if op in (time_mask, frequency_mask) else tone()
    before = given.copy()
    op(given, rng())
    assert np.array_equal(given, before)


def test_waves_and_spectrograms_are_changed_by_the_ops_for_them():
    made = compose_sounds(["gain", {"time_mask": {"width": 30}}, {"random_segment": {"seconds": 0.1}}])
    assert made.on_spectrograms == ["time_mask"]
    assert len(made(tone(), rng(), 16000)) == 1600
    assert np.array_equal(made.masked(SPECTROGRAM, rng()), time_mask(SPECTROGRAM, rng(), 30))
    assert np.array_equal(compose_sounds(["gain"]).masked(SPECTROGRAM, rng()), SPECTROGRAM)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"gain": {"db": [3, -3]}}, "gain: db = [3, -3]; must be an ordered pair in [-100, 100]"),
        ({"random_segment": {"seconds": 0}}, "random_segment: seconds = 0; must be a number in (0, inf)"),
        ({"random_segment": {"rate": 3}}, "random_segment: unknown argument 'rate'; known: seconds"),
        ({"time_shift": {"share": 2.0}}, "time_shift: share = 2.0; must be a number in [0, 1]"),
        ({"time_mask": {"width": 0}}, "time_mask: width = 0; must be an integer in [1, inf)"),
    ],
)
def test_arguments_are_checked(item, message):
    with pytest.raises(ValueError, match=r"must be|unknown argument") as caught:
        parse([item])
    assert str(caught.value) == message


def test_every_op_is_in_the_grammar():
    for name in ("random_segment", "time_shift", "gain", "add_noise", "time_mask", "frequency_mask"):
        assert parse([name]) == [(name, {})]
        assert callable(getattr(sound_ops, name))

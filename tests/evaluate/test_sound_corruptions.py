"""Corruptions and made-up inputs of sounds: more at each severity, drawn by seed and row, of the sound's own length."""

import numpy as np
import pytest

from hfft.evaluate.corruptions import SEVERITIES, sounds
from hfft.report.examples import excerpt, waveform
from hfft.scorecard.made_up import SETS
from tests.sounds import tone

SOUND = {"array": tone(700, 1.0) + tone(1700, 1.0, seed=1) + tone(2400, 1.0, seed=2), "sampling_rate": 16000}


@pytest.mark.parametrize("name", sounds.CORRUPTIONS)
def test_each_severity_moves_a_sound_further_and_keeps_its_length_and_rate(name):
    found = sounds.corrupted(SOUND, name, 0, 3)
    assert len(found) == SEVERITIES
    assert all(one["sampling_rate"] == 16000 and one["array"].shape == SOUND["array"].shape for one in found)
    assert all(one["array"].dtype == np.float32 for one in found)
    moved = [float(np.square(one["array"] - SOUND["array"]).mean()) for one in found]
    if name != "reverberation":  # as loud at each severity, but longer
        assert moved[0] > 0
        assert (np.diff(moved) > 0).all(), moved
    assert all(np.isfinite(one["array"]).all() for one in found)


@pytest.mark.parametrize("name", ["white_noise", "reverberation", "dropped_packets"])
def test_draws_depend_on_seed_and_row_alone(name):
    first, again = (sounds.corrupted(SOUND, name, 1, 5)[2]["array"] for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, sounds.corrupted(SOUND, name, 1, 6)[2]["array"])
    assert not np.array_equal(first, sounds.corrupted(SOUND, name, 2, 5)[2]["array"])


@pytest.mark.parametrize("name", sounds.CORRUPTIONS)
@pytest.mark.parametrize("wave", [np.zeros(800, "f4"), np.ones(801, "f4")], ids=["silence", "a constant"])
def test_plain_sounds_have_no_failure(name, wave):
    found = sounds.corrupted({"array": wave, "sampling_rate": 8000}, name, 0, 0)
    assert all(np.isfinite(one["array"]).all() and len(one["array"]) == len(wave) for one in found)


def test_an_echo_grows_longer_with_the_severity():
    click = np.zeros(16000, "f4")
    click[0] = 1
    found = sounds.corrupted({"array": click, "sampling_rate": 16000}, "reverberation", 0, 0)
    late = [float(np.square(one["array"][1600:]).sum()) for one in found]
    assert (np.diff(late) > 0).all()


def test_a_low_pass_leaves_what_is_below():
    found = sounds.low_pass(tone(400, 1.0), 16000, np.random.default_rng(0), 1000.0)
    spectrum = np.abs(np.fft.rfft(found))
    assert spectrum[1010:].max() < 1e-2 * spectrum[400]


@pytest.mark.parametrize("name", SETS["audio"])
def test_made_up_sounds_have_the_length_and_the_loudness_of_the_rows(name):
    make, _ = SETS["audio"][name]
    (found,) = make([SOUND], np.random.default_rng(0))
    assert (len(found["array"]), found["sampling_rate"]) == (16000, 16000)
    loudness = [np.sqrt(np.square(one["array"]).mean()) for one in (found, SOUND)]
    assert loudness[0] == pytest.approx(loudness[1], rel=0.05)
    if name == "shuffled_pieces":
        assert np.array_equal(np.sort(found["array"]), np.sort(SOUND["array"]))
        assert not np.array_equal(found["array"], SOUND["array"])


def test_a_report_shows_the_wave():
    found = excerpt(SOUND)
    assert found["image"].startswith("data:image/")
    quiet_then_loud = np.concatenate([np.zeros(4000), np.sin(np.arange(4000))])
    ink = (np.asarray(waveform(quiet_then_loud)) < 128).sum(0)
    middle = len(ink) // 2
    assert ink[: middle - 1].max() < 5
    assert ink[middle + 1 :].min() > 40
    assert waveform(np.zeros(3)).size == waveform(quiet_then_loud).size

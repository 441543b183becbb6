"""Made sounds: tones that move in different ways, of five instruments, each a domain; and notes to learn listening from."""

from __future__ import annotations

import io
import wave

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hfft.data.builtin.common import SEED

RATE = 8000  # Hz
HIGHEST = 3800.0  # Hz: partials above it are left out, since the rate cannot hold them
INSTRUMENTS: dict[str, tuple[float, ...]] = {  # strength of each partial
    "flute": (1.0, 0.15),
    "clarinet": (1.0, 0.05, 0.6, 0.05, 0.35),
    "violin": (1.0, 0.5, 0.33, 0.25, 0.2),
    "organ": (1.0, 0.8, 0.1, 0.7, 0.1, 0.0, 0.0, 0.5),
    "whistle": (1.0,),
}
MOVES = ("falling", "leap", "noise", "pulses", "rising", "steady", "tremolo", "vibrato")
REGISTERS = {"low": (110.0, 200.0), "middle": (260.0, 480.0), "high": (620.0, 1150.0)}
SIZES = {"train": 15, "test": 10}  # sounds of each move and instrument: 600 and 400
NOTES = {"train": 160, "test": 20}  # of each instrument and register: 2400 and 300


def load() -> DatasetDict:
    """Eight ways in which a tone moves, by five instruments (column `domain`), each 0.4 to 1.2 s long, in noise."""
    splits, start = DatasetDict(), 0
    for split, count in SIZES.items():
        # interleaved, so that the first rows have every move and instrument
        keys = [(move, i, name) for i in range(start, start + count) for name in INSTRUMENTS for move in MOVES]
        sounds = [
            _moving(move, name, np.random.default_rng((SEED, 1, MOVES.index(move), *_key(name, i))))
            for move, i, name in keys
        ]
        splits[split] = _dataset(sounds, [move for move, _, _ in keys], MOVES, [name for _, _, name in keys])
        start += count
    return splits


def load_notes() -> DatasetDict:
    """Plucked notes that do not move, of five instruments in three registers: what the nano AST was pretrained on."""
    splits, start = DatasetDict(), 0
    classes = sorted(f"{name}, {register}" for name in INSTRUMENTS for register in REGISTERS)
    for split, count in NOTES.items():
        keys = [
            (i, name, register) for i in range(start, start + count) for name in INSTRUMENTS for register in REGISTERS
        ]
        sounds = [
            _note(name, register, np.random.default_rng((SEED, 2, [*REGISTERS].index(register), *_key(name, i))))
            for i, name, register in keys
        ]
        splits[split] = _dataset(sounds, [f"{name}, {register}" for _, name, register in keys], classes)
        start += count
    return splits


def _key(name: str, number: int) -> tuple[int, int]:
    return [*INSTRUMENTS].index(name), number


def _moving(move: str, instrument: str, rng: np.random.Generator) -> np.ndarray:
    """A sound of one class, `(T,)`."""
    seconds, low = rng.uniform(0.4, 0.9), np.exp(rng.uniform(np.log(180), np.log(400)))
    t = np.linspace(0, 1, round(seconds * RATE), endpoint=False)
    ratio, rate = rng.uniform(2.2, 3.6), rng.uniform(4, 6)
    swing = np.sin(2 * np.pi * (rate * t * seconds + rng.random()))
    pitch = {
        "rising": low * ratio**t,
        "falling": low * ratio ** (1 - t),
        "leap": low * np.where(t < rng.uniform(0.3, 0.7), *((1, ratio) if rng.random() < 0.5 else (ratio, 1))),
        "vibrato": low * (1 + rng.uniform(0.25, 0.4) * swing),
    }.get(move, np.full(len(t), low))
    loudness = np.ones(len(t))
    if move == "tremolo":
        loudness = 0.52 + 0.48 * swing
    elif move == "pulses":
        loudness = (np.floor(t * rng.integers(3, 7) * 2) % 2 == 0).astype(float)
    tone = rng.standard_normal(len(t)) if move == "noise" else partials(pitch, INSTRUMENTS[instrument], rng)
    return _in_noise(tone * loudness, rng, (12, 25))


def _note(instrument: str, register: str, rng: np.random.Generator) -> np.ndarray:
    """A plucked note, `(T,)`."""
    seconds = rng.uniform(0.4, 0.9)
    t = np.linspace(0, seconds, round(seconds * RATE), endpoint=False)
    pitch = np.full(len(t), np.exp(rng.uniform(*np.log(REGISTERS[register]))))
    return _in_noise(partials(pitch, INSTRUMENTS[instrument], rng) * np.exp(-t * rng.uniform(0, 6)), rng, (5, 20))


def partials(pitch: np.ndarray, strengths: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """A tone of a pitch in Hz at each sample `(T,)`, as the sum of its partials."""
    phase, found = 2 * np.pi * (np.cumsum(pitch) / RATE + rng.random()), np.zeros(len(pitch))
    for k, strength in enumerate(strengths, 1):
        found += strength * rng.uniform(0.8, 1.2) * np.sin(k * phase) * (k * pitch < HIGHEST)
    return found


def _in_noise(tone: np.ndarray, rng: np.random.Generator, snr: tuple[float, float]) -> np.ndarray:
    """A sound with soft ends, some silence around it, noise, and a loudness of its own; the signal-to-noise ratio is in dB."""
    ramp = np.minimum(np.arange(len(tone)) / (0.01 * RATE), 1)
    tone = tone * ramp * ramp[::-1]
    tone = tone / max(np.sqrt(np.mean(np.square(tone))), 1e-9)
    before, after = (round(rng.uniform(0, 0.15) * RATE) for _ in range(2))
    whole = np.pad(tone, (before, after)) + rng.standard_normal(len(tone) + before + after) * 10 ** (
        -rng.uniform(*snr) / 20
    )
    return whole * rng.uniform(0.2, 0.9) / np.abs(whole).max()


def _dataset(
    sounds: list[np.ndarray], labels: list[str], names: tuple[str, ...] | list[str], domains: list[str] | None = None
) -> Dataset:
    """Sounds as WAV files with their labels, and their domains."""
    file = {"bytes": Value("binary"), "path": Value("string")}
    features = Features(
        audio=file, label=ClassLabel(names=list(names)), **({"domain": Value("string")} if domains else {})
    )
    rows = {
        "audio": [{"bytes": wav(sound), "path": None} for sound in sounds],
        "label": [names.index(label) for label in labels],
    }
    return Dataset.from_dict({**rows, **({"domain": domains} if domains else {})}, features=features)


def wav(sound: np.ndarray) -> bytes:
    """Values from -1 to 1 as a WAV file of 16 bits."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.rint(sound * 32767).astype("<i2").tobytes())
    return buffer.getvalue()

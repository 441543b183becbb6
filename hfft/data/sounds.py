"""Sounds: read from files of any format, rate and number of channels, checked, and brought to a model's rate."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from io import BytesIO
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np

from hfft.errors import DataError

SHORTEST = 0.05  # seconds; the first layers of speech models look at 0.025 s at once, some average two such windows
COMPLETE = {"WAV", "WAVEX", "W64", "RF64", "AIFF", "FLAC", "AU", "CAF"}  # formats that state how many samples they have
_UNKNOWN = 0x7FFFF000  # size of a WAV's samples from which on it was not known when the header was written

# A sound as users pass it, and as the pipelines of transformers take it.
Sound = dict[str, Any]  # `array` (T,) float32 from -1 to 1, `sampling_rate` in Hz


class NotASound(Exception):
    """Bytes that hold no sound which can be used; the message says why."""


def library() -> Any:
    """The module soundfile.

    Raises:
        DataError: it is not installed, or finds no libsndfile.
    """
    try:
        import soundfile
    except (ImportError, OSError):
        raise DataError("reading sounds needs soundfile; pip install 'hfft[audio]'") from None
    return soundfile


def read_sound(content: bytes) -> Sound:
    """The sound in a file, its channels averaged.

    Raises:
        NotASound: it cannot be decoded, is cut off, shorter than 0.05 s, or has values that are not finite.
        DataError: soundfile is not installed.
    """
    soundfile = library()
    if not content:
        raise NotASound("the file is empty")
    try:
        with soundfile.SoundFile(BytesIO(content)) as file:
            rate, stated, kind = file.samplerate, file.frames, file.format
            values = file.read(dtype="float32", always_2d=True)
    except Exception as error:  # decoders raise any exception on arbitrary bytes
        why = str(getattr(error, "error_string", type(error).__name__)).removeprefix("Error : ").strip().rstrip(".")
        raise NotASound(f"the sound cannot be decoded ({why})") from None
    if (kind in COMPLETE and len(values) < stated) or _cut_off(content):
        raise NotASound("the file is cut off: it has fewer samples than its header states")
    if len(values) < SHORTEST * rate:
        raise NotASound(f"the sound lasts {len(values) / rate:.3g} s; sounds need {SHORTEST:g} s")
    if not np.isfinite(values).all():
        raise NotASound("the sound has values that are not finite")
    return {"array": mono(values), "sampling_rate": rate}


def _cut_off(content: bytes) -> bool:
    """Whether a WAV file ends before the samples that its header states; decoders read what there is."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return False
    place = 12
    while place + 8 <= len(content):
        (size,) = struct.unpack("<I", content[place + 4 : place + 8])
        if content[place : place + 4] == b"data":
            return size < _UNKNOWN and place + 8 + size > len(content)
        place += 8 + size + size % 2
    return False


def mono(values: np.ndarray) -> np.ndarray:
    """The mean over the channels of `(T, channels)`."""
    return np.ascontiguousarray(values[:, 0]) if values.shape[1] == 1 else values.mean(1, dtype=np.float32)


def is_silent(sound: Sound) -> bool:
    """Whether all values of a sound are alike."""
    return not np.ptp(sound["array"])


def seconds_of(content: bytes | None, path: str | None) -> float:
    """How long a sound lasts, from its header; NaN if that cannot be told."""
    source: Any = path if content is None else BytesIO(content)
    try:
        info = library().info(source)
        return info.frames / info.samplerate
    except DataError:
        raise
    except Exception:  # decoders raise any exception on arbitrary bytes
        return float("nan")


def resampled(sound: Sound, rate: int) -> np.ndarray:
    """The values of a sound at another rate `(T,)`, by a polyphase filter that removes what the new rate cannot hold."""
    given = int(sound["sampling_rate"])
    if given == rate:
        return sound["array"]
    from scipy.signal import resample_poly

    common = gcd(given, rate)
    return resample_poly(sound["array"], rate // common, given // common).astype(np.float32)


def length_at(seconds: np.ndarray, rate: int) -> np.ndarray:
    """Number of samples of sounds that last so long, at a rate."""
    return np.ceil(np.round(seconds * rate, 3))


def as_sound(value: Any, rate: int) -> Sound:
    """A sound in one of the forms in which users pass one: a dict, values at the model's rate, a file's name or its bytes.

    Raises:
        DataError: it is none of these, or the file cannot be read.
    """
    if isinstance(value, str | Path):
        return open_sound(Path(value))
    if isinstance(value, bytes):
        try:
            return read_sound(value)
        except NotASound as error:
            raise DataError(f"the bytes of a sound: {error}") from None
    if isinstance(value, Mapping):
        values = value.get("array", value.get("raw"))
        rate = value.get("sampling_rate", rate)
    else:
        values = value
    values = np.asarray(values, np.float32) if values is not None else np.empty(0, np.float32)
    if values.ndim == 2:  # (channels, T), as most libraries have it
        values = values.mean(0, dtype=np.float32)
    if values.ndim != 1 or len(values) < SHORTEST * rate:
        raise DataError(
            f"a sound of shape {values.shape} at {rate} Hz; give {{'array': values, 'sampling_rate': Hz}} of at least "
            f"{SHORTEST:g} s, values at the model's rate, or the name of a file"
        )
    return {"array": values, "sampling_rate": rate}


def open_sound(file: Path) -> Sound:
    """The sound in a file.

    Raises:
        DataError: it cannot be read; the message names it.
    """
    try:
        return read_sound(file.read_bytes())
    except NotASound as error:
        raise DataError(f"{file}: {error}") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror})") from None


def write_wav(sound: Sound) -> bytes:
    """A sound as a WAV file of 32-bit floats."""
    file = BytesIO()
    library().write(file, sound["array"], int(sound["sampling_rate"]), format="WAV", subtype="FLOAT")
    return file.getvalue()

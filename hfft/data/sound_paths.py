"""The formats of sound files that soundfile reads."""

from __future__ import annotations

from collections.abc import Iterable

from hfft.data.file_paths import Medium

# Of libsndfile, without those that are of samples alone (.raw) or share their ending with other files (.mat).
READABLE = {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf"}
READABLE |= {".w64", ".rf64", ".sph", ".voc"}
_OTHERS = {".m4a", ".aac", ".wma", ".amr", ".3gp", ".ac3", ".ape", ".mka", ".webm", ".weba", ".mid", ".midi", ".ra"}


def convert_remedy(paths: Iterable[str]) -> str:
    """What makes sounds readable whose format is not."""
    return "convert them to .wav or .flac"


SOUNDS = Medium(
    name="sound",
    column="audio",
    folder="audiofolder",
    readable=lambda: frozenset(READABLE),
    others=frozenset(_OTHERS),
    remedy=convert_remedy,
    examples=".wav or .flac",
)

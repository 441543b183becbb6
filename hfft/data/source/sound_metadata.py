"""Folders of sounds with metadata files, read as `datasets` reads them but without its decoder, torchcodec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import datasets
from datasets.packaged_modules.audiofolder.audiofolder import AudioFolder

from hfft.data.sound_paths import READABLE


@dataclass
class StoredSound(datasets.Audio):
    """A column of sound files; the original imports torchcodec even to store a path."""

    decode: bool = False

    def encode_example(self, value: Any) -> dict[str, Any]:
        """The path of a file, as a table holds it."""
        return {"bytes": None, "path": str(value)}


class SoundMetadata(AudioFolder):
    """Rows that the files `metadata.csv`, `.jsonl` or `.parquet` of a folder name."""

    BASE_FEATURE = StoredSound
    EXTENSIONS = [*AudioFolder.EXTENSIONS, *READABLE]  # noqa: RUF012 as in the original

"""Which files hold rows, told by their endings in any case, and reading their bytes, packed or not."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from hfft.errors import DataError
from hfft.wording import first_line, listing

KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".txt": "text",
    ".xlsx": "excel",
    ".xlsm": "excel",
}
PACKED = (".gz", ".bz2", ".xz", ".zip")
KNOWN = f"{listing(KINDS, 20)}, also packed as {listing(PACKED)}"
_OPEN: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def kind_of(path: str | Path) -> str | None:
    """The kind of rows in a file: `csv`, `json`, `parquet`, `arrow`, `text`, `excel`; None if its ending says nothing."""
    return KINDS.get(ending(path))


def ending(path: str | Path) -> str:
    """The ending in small letters, without that of packing: `.csv` for `A.CSV.gz`; of a `.zip`, that of the file inside."""
    path = Path(path)
    last = path.suffix.lower()
    if last not in PACKED:
        return last
    inner = Path(path.stem).suffix.lower()
    if last == ".zip" and inner not in KINDS:
        with contextlib.suppress(DataError, OSError):
            return Path(_member(path)).suffix.lower()
    return inner


def stem(path: Path) -> str:
    """The name without its endings."""
    name = path.stem if path.suffix.lower() in PACKED else path.name
    return Path(name).stem if Path(name).suffix.lower() in KINDS else name


@contextlib.contextmanager
def open_bytes(path: str | Path) -> Iterator[IO[bytes]]:
    """The content of a file, unpacked as it is read.

    Raises:
        DataError: it is not packed as its ending says, or its archive holds several files.
    """
    path = Path(path)
    last = path.suffix.lower()
    try:
        if last == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(_member(path)) as file:
                yield file
        else:
            with _OPEN.get(last, open)(path, "rb") as file:
                yield file
    except (gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: cannot be unpacked as {last} ({first_line(error)}); write it anew") from error
    except OSError as error:
        if last in (".bz2", ".gz") and error.errno is None:
            raise DataError(f"{path}: cannot be unpacked as {last} ({first_line(error)}); write it anew") from error
        raise


def _member(path: Path) -> str:
    """The only file in an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [i.filename for i in archive.infolist() if not i.is_dir() and "__MACOSX" not in i.filename]
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: cannot be unpacked as .zip ({first_line(error)}); write it anew") from error
    if len(names) != 1:
        raise DataError(f"{path}: holds {len(names)} files ({listing(names, 5)}), not one; unpack it into a folder")
    return names[0]

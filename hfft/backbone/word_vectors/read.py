"""Read files of word vectors: GloVe's text, word2vec's text (fastText's `.vec`) and binary; also `.gz`, or alone in a `.zip`."""

from __future__ import annotations

import contextlib
import gzip
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, cast

import numpy as np

from hfft.errors import DataError
from hfft.wording import first_line

_FASTTEXT = (793712314).to_bytes(4, "little")  # the first bytes of fastText's own models
_LONGEST_WORD = 10_000  # bytes: more without a space is no word
_WIDEST = 100_000


@dataclass(frozen=True)
class Vectors:
    """Some words of a file, in its order.

    Attributes:
        words: without repetition.
        matrix: `(len(words), width)`, float32.
        cased: whether any word of the part that was read has a capital letter.
    """

    words: tuple[str, ...]
    matrix: np.ndarray
    cased: bool

    @property
    def width(self) -> int:
        """Length of a vector."""
        return int(self.matrix.shape[1])


def read_vectors(path: Path, first: int, words: Collection[str] = ()) -> Vectors:
    """The vectors of the first words of a file and of all that are in `words`, as they are or in lower case.

    A file is read to its end only if there are `words`. The last file is kept in memory.

    Raises:
        DataError: it cannot be read, is empty or damaged; the message has the line or the word.
    """
    state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size, first, tuple(words))


@lru_cache(maxsize=2)
def _read(path: Path, _changed: int, size: int, first: int, words: tuple[str, ...]) -> Vectors:
    if not size:
        raise DataError(f"{path} is empty; give a file of word vectors")
    asked = {*words, *(word.lower() for word in words)}
    rows: dict[str, np.ndarray] = {}
    cased, count = False, 0
    try:
        with _opened(path) as (file, name):
            entries = _binary(file, path) if name.endswith(".bin") else _text(file, path)
            for word, vector in entries:
                count += 1
                cased = cased or word != word.lower()
                if (count <= first or word in asked) and word and word not in rows:
                    rows[word] = vector()
                if count >= first and not asked:
                    break
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read ({first_line(error)}); download it again") from error
    if not rows:
        raise DataError(f"{path} has no word vectors; give a file of GloVe, word2vec or fastText")
    return Vectors(tuple(rows), np.stack(list(rows.values())), cased)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], str]]:
    """The bytes of a file, and its name without the ending of an archive."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in archive.namelist() if not name.endswith("/")]
            if len(inside) != 1:
                raise DataError(f"{path} holds {len(inside)} files; unzip it, and name one of them")
            with archive.open(inside[0]) as file:
                yield file, inside[0]
    elif path.suffix == ".gz":
        with gzip.open(path) as unpacked:
            yield cast("IO[bytes]", unpacked), path.stem
    else:
        with open(path, "rb") as file:
            yield file, path.name


def _header(line: bytes) -> tuple[int, int] | None:
    """The numbers of words and of dimensions that a word2vec file begins with; None for a line of another kind."""
    parts = line.split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or not 0 < int(parts[1]) <= _WIDEST:
        return None
    return int(parts[0]), int(parts[1])


_Entry = tuple[str, Callable[[], np.ndarray]]


def _text(file: IO[bytes], path: Path) -> Iterator[_Entry]:
    """Each word with a function that reads its vector; a word may contain spaces, as some of GloVe's do."""
    stated: tuple[int, int] | None = None
    width = count = 0
    for number, line in enumerate(file, 1):
        line = line.rstrip()
        if number == 1 and (stated := _header(line)):
            width = stated[1]
            continue
        if not line:
            continue
        width = width or len(line.split(b" ")) - 1
        if not 0 < width <= _WIDEST:
            raise DataError(f"{path}: line {number} is not a word with its vector; give a file of word vectors")
        word, found = _divided(line, width)
        if found != width:
            raise DataError(
                f"{path}: line {number} has {found} numbers, the first vector {width}; download the file again, or drop the line"
            )
        count += 1
        yield word.decode("utf-8", "replace"), partial(_numbers, line, width, path, number)
    if stated and count < stated[0]:
        raise DataError(f"{path} ends after {count:,} of its {stated[0]:,} words; download it again")


def _divided(line: bytes, width: int) -> tuple[bytes, int]:
    """The word of a line, and how many numbers follow it."""
    word, _, rest = line.partition(b" ")
    if line.count(b" ") == width and _is_number(rest.partition(b" ")[0]):  # nearly all lines
        return word, width
    parts = line.rsplit(b" ", width)
    if len(parts) <= width:
        return parts[0], len(parts) - 1
    if b" " in parts[0]:  # a word with a space, or a vector that is longer
        more = 0
        for part in reversed(parts[0].split(b" ")[1:]):
            if not _is_number(part):
                break
            more += 1
        return parts[0], width + more
    if not _is_number(parts[1]):  # a word with a space, and a vector that is shorter
        return parts[0], sum(map(_is_number, parts[1:]))
    return parts[0], width


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return b"_" not in text


def _numbers(line: bytes, width: int, path: Path, number: int) -> np.ndarray:
    try:
        found = np.array(
            [*map(float, line.rsplit(b" ", width)[1:])], np.float32
        )  # faster than numpy's own reading of bytes
    except ValueError:
        found = np.full(width, np.nan, np.float32)
    if not np.isfinite(found).all():
        raise DataError(f"{path}: line {number} has a value that is no finite number; drop the line")
    return found


def _binary(file: IO[bytes], path: Path) -> Iterator[_Entry]:
    """Each word with a function that gives its vector, from word2vec's binary format."""
    line = file.readline(100)
    if line.startswith(_FASTTEXT):
        raise DataError(f"{path} is a model of fastText's own format; use the file of its vectors, .vec")
    stated = _header(line)
    if stated is None:
        raise DataError(f"{path} does not begin with its numbers of words and dimensions, as word2vec's .bin does")
    count, width = stated
    for number in range(count):
        word = _word(file)
        numbers = file.read(4 * width)
        if word is None or len(numbers) < 4 * width:
            raise DataError(f"{path} ends after {number:,} of its {count:,} words; download it again")
        yield word.decode("utf-8", "replace"), partial(_float32, numbers, path, number + 1)


def _float32(numbers: bytes, path: Path, number: int) -> np.ndarray:
    found = np.frombuffer(numbers, "<f4").astype(np.float32)
    if not np.isfinite(found).all():
        raise DataError(f"{path}: word {number:,} has a value that is no finite number; download it again")
    return found


def _word(file: IO[bytes]) -> bytes | None:
    """The bytes up to the next space, without the line end of the entry before; None at the end of the file."""
    found = bytearray()
    while (byte := file.read(1)) != b" ":
        if not byte or len(found) > _LONGEST_WORD:
            return None
        found += byte
    return bytes(found).lstrip(b"\n")

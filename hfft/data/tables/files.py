"""Which local files a recipe names, and in which splits their rows are."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hfft.data.spec import Data, FurtherRows
from hfft.data.tables.dialect import head_text
from hfft.data.tables.endings import KINDS, KNOWN, kind_of, stem
from hfft.errors import DataError
from hfft.wording import listing, nearest

FORMATS = {*KINDS.values()} - {"excel"}  # also names that `datasets.load_dataset` takes for `path`
_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
SPLITS = {name: split for split, names in _NAMES.items() for name in names}
_IMAGES = {
    "jpg",
    "jpeg",
    "png",
    "gif",
    "bmp",
    "webp",
    "tif",
    "tiff",
    "heic",
    "heif",
    "avif",
    "ppm",
    "pgm",
    "jp2",
    "ico",
}
_SHARD = re.compile(r"(.+?)-\d{5}-of-\d{5}(?:-.*)?$")


@dataclass(frozen=True)
class Files:
    """Files of one kind by split.

    Attributes:
        notes: what is left out, and other remarks, one line each.
    """

    kind: str
    splits: dict[str, list[Path]]
    notes: list[str] = field(default_factory=list)


def find_files(data: Data | FurtherRows) -> Files | None:
    """The files of rows that `path` and `data_files` name; None if they name something else: images, a data set of the hub.

    A folder is read as its tables. They belong to the split that is the whole name of the file (`train.csv`, `dev.csv`,
    `test-00000-of-00002.parquet`) or of its first folder, if all first folders have such names; else all of them are train.

    Raises:
        DataError: a file or folder does not exist or is of no known kind, kinds are mixed, or splits are not clear.
    """
    path = Path(data.path).expanduser()
    if data.data_files is not None:
        if path.is_file():
            raise DataError(f"data.data_files: data.path is already a file, {data.path}; leave one of them out")
        if (path.is_dir() and not _described(path)) or data.path in FORMATS:
            return _listed(data, path if path.is_dir() else Path())
        return None
    if is_arrays(path):
        return None
    if path.is_file():
        return Files(_kind(path), {"train": [path]})
    if is_pattern(data.path) and not path.exists():
        found = sorted(map(Path, glob.glob(str(path), recursive=True)))
        if not found:
            raise DataError(f"data.path: no file matches {data.path!r}; use an existing file")
        return Files(_same_kind(found), {"train": found})
    if data.path in FORMATS and data.data_dir is not None and not path.exists():
        return _folder(Path(data.data_dir).expanduser(), data.data_dir, data.path)
    if path.is_dir():
        root = path / (data.data_dir or "")
        return None if _described(path) or data.name is not None else _folder(root, data.path)
    return None


def is_arrays(path: Path) -> bool:
    """Whether a path is a file of NumPy arrays."""
    return path.suffix.lower() == ".npz" and path.is_file()


def is_pattern(text: str) -> bool:
    """Whether a path names files by a pattern."""
    return re.search(r"[*?\[]", text) is not None


def _kind(path: Path) -> str:
    kind = kind_of(path)
    if kind is None:
        raise DataError(
            f"data.path: the ending of file {str(path)!r} is not known; use one of {KNOWN}, .npz of images, or a folder"
        )
    return kind


def _same_kind(files: Iterable[Path], where: str = "data.path") -> str:
    kinds = Counter(map(_kind, files))
    if len(kinds) > 1:
        raise DataError(
            f"{where}: files of several kinds ({listing(kinds)}) cannot be read together; list those of one kind"
        )
    return next(iter(kinds))


def _described(folder: Path) -> bool:
    """Whether a folder says in its README which files are in which splits, as data sets of the hub do."""
    readme = folder / "README.md"
    if not readme.is_file():
        return False
    front = re.match(r"---\s*\n(.*?)\n---", readme.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    return bool(front and re.search(r"^(configs|dataset_info):", front[1], re.MULTILINE))


def _listed(data: Data | FurtherRows, root: Path) -> Files | None:
    """The files of `data_files`; None if some are not on this machine or hold no rows of tables."""
    given = data.data_files
    named = given if isinstance(given, dict) else {"train": given}
    splits: dict[str, list[Path]] = {}
    for split, patterns in named.items():
        splits[split] = []
        for pattern in [patterns] if isinstance(patterns, str) else patterns or []:
            if "://" in pattern:
                return None
            file = root / (data.data_dir or "") / Path(pattern).expanduser()
            if file.is_dir():
                raise DataError(f"data.data_files: {pattern!r} is a folder; name files, or set data.path to the folder")
            found = [file] if file.is_file() else sorted(map(Path, glob.glob(str(file), recursive=True)))
            found = [f for f in found if f.is_file()]
            if not found:
                raise DataError(f"data.data_files: no file {pattern!r}{_beside(file) or '; use an existing file'}")
            splits[split] += found
    if data.path in FORMATS:
        return Files(data.path, splits)
    files = [file for found in splits.values() for file in found]
    if any(file.suffix.lower()[1:] in _IMAGES for file in files):
        return None
    return Files(_same_kind(files, "data.data_files"), splits)


def _folder(root: Path, name: str, only: str | None = None) -> Files | None:
    """The tables of a folder, perhaps of one kind alone; None if it holds none, or at least as many images."""
    files = [f for f in sorted(root.rglob("*")) if f.is_file() and not _hidden(f.relative_to(root))]
    tables = [f for f in files if kind_of(f) and f.name.lower() not in ("license.txt", "readme.txt")]
    images = [f for f in files if f.suffix.lower()[1:] in _IMAGES]
    if not tables or (only is None and len(images) >= len(tables)):
        return None
    kinds = Counter(map(kind_of, tables))
    kind, most = (only, kinds[only]) if only else kinds.most_common(1)[0]
    if not most:
        raise DataError(f"data.data_dir: {name} holds no {kind} files ({listing(kinds)}); set another data.path")
    if only is None and len(kinds) > 1 and kinds.most_common(2)[1][1] == most:
        raise DataError(
            f"data.path: {name} holds as many files of one kind as of another ({listing(kinds)}); list those to read in "
            f"data.data_files"
        )
    chosen = [f for f in tables if kind_of(f) == kind]
    notes = _left_out(name, [f for f in files if f not in chosen], f"not {kind} files, of which {len(chosen)} are read")
    firsts = {f.relative_to(root).parts[0].lower() for f in chosen}
    by_folder = firsts <= set(SPLITS) and all(len(f.relative_to(root).parts) > 1 for f in chosen)
    splits: dict[str, list[Path]] = {}
    rest = []
    for f in chosen:
        split = SPLITS[f.relative_to(root).parts[0].lower()] if by_folder else _split_of(stem(f))
        splits.setdefault(split, []).append(f) if split else rest.append(f)
    if splits and rest:
        notes += _left_out(
            name, rest, "named after no split while others are; list them in data.data_files to read them"
        )
    if not splits:
        words = {SPLITS[word] for f in rest for word in re.split(r"[^a-z]+", stem(f).lower()) if word in SPLITS}
        if len(words) > 1:
            raise DataError(
                f"data.path: {name}: which files are in which split ({listing(f.name for f in rest)})? Name them train, "
                f"validation and test, or list them, as in data.data_files={{train: {rest[-1].name}}}"
            )
        if words:
            notes.append(f"{name}: all {len(rest)} files are read as train: {listing(f.name for f in rest)}")
        splits = {"train": rest}
    order = [*_NAMES, *sorted(set(splits) - set(_NAMES))]
    return Files(str(kind), {split: splits[split] for split in order if split in splits}, notes)


def _split_of(name: str) -> str | None:
    """The split that is the whole name of a file, as in `dev` or `train-00000-of-00002`."""
    if shard := _SHARD.match(name):
        return SPLITS.get(shard[1].lower(), shard[1])
    return SPLITS.get(name.lower())


def _left_out(name: str, files: Sequence[Path], why: str) -> list[str]:
    if not files:
        return []
    return [
        f"{name}: {len(files)} file{'s are' if files[1:] else ' is'} left out ({listing((f.name for f in files), 5)}): {why}"
    ]


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.parts) or path.name.lower() == "readme.md"


def is_table_of_text(path: Path, data: Data | FurtherRows) -> bool:
    """Whether a `.txt` file is a table: its separator is stated, or each of its first lines has as many tabs as its header."""
    if data.sep is not None:
        return True
    text, _, whole = head_text(path, data.encoding)
    lines = [line for line in text.splitlines() if line.strip()]
    lines = lines if whole else lines[:-1]
    names = lines[0].split("\t") if lines else []
    return (
        len(lines) > 1
        and len(set(names)) == len(names) > 1
        and all(name.strip() and len(name) < 40 for name in names)
        and all(line.count("\t") == len(names) - 1 for line in lines)
    )


def missing_path(data: Data | FurtherRows) -> str | None:
    """What is wrong with a path of this machine that does not exist; None if it exists or is a name on the hub.

    It is a path if it begins as one, has a known ending or two `/`, or if the folder that should hold it exists.
    """
    path = Path(data.path).expanduser()
    if path.exists() or is_pattern(data.path):
        return None
    parent = path.parent
    if not (
        data.path.startswith((".", "/", "~", "\\"))
        or kind_of(path)
        or path.suffix.lower() == ".npz"
        or data.path.count("/") > 1
        or data.path.endswith("/")
        or (parent != Path() and parent.exists())
    ):
        return None
    what = "file" if kind_of(path) or path.suffix.lower()[1:] in {*_IMAGES, "npz"} else "folder"
    return f"data.path: no {what} {data.path!r}{_beside(path) or f'; use an existing {what}'}"


def _beside(path: Path) -> str:
    """A suggestion among the names in the same folder."""
    there = [p.name for p in path.parent.iterdir() if p.name != path.name] if path.parent.is_dir() else []
    return nearest(path.name, there)

"""Folders of images or sounds: which folders are splits, which are classes, and which files are left out.

`datasets` takes the words train, val, test and others anywhere in a path for the name of a split, so that a class called
`train` or a file called `test_1.jpg` divides a folder silently. Here the first level alone decides: its folders are
splits if the names of all of them are those of splits, otherwise they are classes.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import datasets
from datasets import ClassLabel, Dataset, DatasetDict, Features, IterableDatasetDict, SplitDict, SplitInfo
from datasets.data_files import SPLIT_KEYWORDS, DataFilesPatternsDict, sanitize_patterns

from hfft.data.file_paths import Listing, Medium, by_ending, ending, list_files, most_frequent, sort_files
from hfft.data.image_paths import IMAGES
from hfft.data.sound_paths import SOUNDS
from hfft.data.source.left_out import is_metadata, left_out_notes
from hfft.data.source.raw import Raw
from hfft.data.source.sound_metadata import SoundMetadata
from hfft.data.spec import Data
from hfft.data.stored_files import FILE
from hfft.errors import DataError
from hfft.hub.errors import reading
from hfft.wording import listing, printable

VERSION = 1  # version of `_examples`: the cache of `datasets` knows its rows by a digest of the files and classes alone
TABLES = {".csv", ".tsv", ".json", ".jsonl", ".parquet", ".arrow", ".txt", ".xlsx"}

Places: TypeAlias = dict[str, tuple[str, ...]]  # path of a file -> the folders between the split and the file

MEDIA = (IMAGES, SOUNDS)
FOLDERS = {medium.folder: medium for medium in MEDIA}  # also names that `datasets.load_dataset` takes for `path`
FEATURES: dict[str, Any] = {"image": datasets.Image(), "sound": FILE}

_SPLITS = {word: str(split) for split, words in SPLIT_KEYWORDS.items() for word in words}
_FILLERS = {"", "set", "split", "data", "dataset", "images", "audio", "sounds"}  # as in training_set or test-images


def load(data: Data) -> Raw | None:
    """Every split of a folder of images, with columns `image` and `label`, or of sounds, with columns `audio` and `label`.

    Where both are there, the kind with more files is read; `data.path=imagefolder` or `audiofolder` names one. With metadata
    files the columns are theirs.

    A class is named by the last folder of its files. If files lie at several depths, or two folders have the same name,
    classes are named by their path below the split. Files beside the folders of classes have no class and are left out;
    files in no folder at all have no column of labels.

    Returns:
        None if the data is not a folder, or has more tables than images or sounds.

    Raises:
        BadInput: no file can be read, or a metadata file cannot be.
    """
    path = Path(data.path).expanduser()
    stated = FOLDERS.get(data.path) if not path.is_dir() else None
    named = stated is not None
    folder = ((Path() if named else path) / Path(data.data_dir or "").expanduser()).resolve()
    if data.name is not None or not folder.is_dir():
        return None
    if data.data_files is not None:
        found_by = (_by_data_files(data, folder, medium) for medium in ([stated] if stated else MEDIA))
        return next((raw for raw in found_by if raw is not None), None)
    if (named and not data.data_dir) or _has_card(folder):
        return None
    with reading(f"data set {data.path}"):
        files = most_frequent([list_files(folder, medium) for medium in ([stated] if stated else MEDIA)])
    tables = sum(ending(path) in TABLES for path in files.others if not is_metadata(path))
    if len(files.files) + len(files.unreadable) < max(1, 0 if named else tables):
        return None
    if not files.files:
        what = f"{by_ending(files.unreadable)}; {files.remedy()}"
        raise DataError(f"data.path: no {files.medium.name} below {data.path} can be read ({what})")
    top = _top(files)
    splits, beside, notes = _splits(files, top)
    metadata = [path for path in files.others if is_metadata(path)]
    if metadata:
        with reading(f"data set {data.path}"):
            found = _by_metadata(folder, top, splits, metadata, files.medium)
        found, more = _with_classes(found, folder, splits, files.medium)
        notes += more
        beside, where = _unnamed(folder, found, files), "named in no metadata file"
    else:
        found, loose, more = _by_folder(folder, splits, files.medium)
        beside, where = sorted(beside + loose), "beside the folders"
        notes += more
    return _raw(data, found, [*notes, *left_out_notes(files, beside, where)])


def _raw(data: Data, found: DatasetDict, notes: list[str]) -> Raw:
    shown = tuple(printable(f"{data.path}: {note}") for note in notes)
    return Raw(_streams(found) if data.streaming else found, notes=shown)


def _by_data_files(data: Data, folder: Path, medium: Medium) -> Raw | None:
    """The splits that the recipe lists, if all their files are of this medium and machine; None otherwise."""
    try:
        patterns = DataFilesPatternsDict.from_patterns(sanitize_patterns(data.data_files))
        stated = {split: list(dict.fromkeys(paths)) for split, paths in patterns.resolve(str(folder)).items()}
    except Exception:  # of the file, or of the client of an address; `datasets` runs into it again and says why
        return None
    files = sort_files((path for paths in stated.values() for path in paths), medium)
    ours = set(files.files)
    if any(map(is_metadata, files.others)) or not all(ours & set(paths) for paths in stated.values()):
        return None
    if any("://" in path or ending(path) in (*TABLES, ".zip") for path in (*ours, *files.others)):
        return None
    splits: dict[str, Places] = {}
    for split, paths in stated.items():
        places = {path: PurePosixPath(path).parent for path in paths if path in ours}
        above = PurePosixPath(os.path.commonpath(places.values()))
        above = above.parent if set(places.values()) == {above} else above  # the folder of one class
        splits[split] = {path: place.relative_to(above).parts for path, place in places.items()}
    found, loose, notes = _by_folder(Path("/"), splits, medium)
    return _raw(data, found, [*notes, *left_out_notes(files, loose, "beside the folders")])


# --- splits


def split_of(folder: str) -> str | None:
    """The split that a folder's name says, such as `validation` for `Val_set`; None for any other name."""
    words = [re.sub("set$", "", word) for word in re.split(r"[\W\d_]+", folder.lower())]
    named = [word for word in words if word not in _FILLERS]
    return _SPLITS.get(named[0]) if len(named) == 1 else None


def _top(files: Listing) -> str:
    """The path to the first level that has more than one folder, or files, with a slash at its end; usually empty."""
    top = ""
    used = [*files.files, *files.unreadable, *(path for path in files.others if is_metadata(path))]
    while True:
        below = [path.removeprefix(top).split("/") for path in used]
        first = {parts[0] for parts in below}
        if len(first) > 1 or any(len(parts) < 3 for parts in below) or split_of(*first):
            return top
        top += f"{first.pop()}/"


def _splits(files: Listing, top: str) -> tuple[dict[str, Places], list[str], list[str]]:
    """Split -> its files, the files beside the folders of splits, and notes."""
    below = {path: path.removeprefix(top).split("/") for path in (*files.files, *files.unreadable)}
    roles = {parts[0]: split_of(parts[0]) for parts in below.values() if len(parts) > 1}
    if not roles or None in roles.values():
        return {"train": {path: tuple(below[path][:-1]) for path in files.files}}, [], []
    found: dict[str, Places] = {str(split): {} for split in SPLIT_KEYWORDS}
    beside = []
    for path in files.files:
        first, *rest = below[path]
        split = roles[first] if rest else None
        if split is None:
            beside.append(path)
        else:
            found[split][path] = tuple(rest[:-1])
    shared = {split: [name for name in roles if roles[name] == split] for split in found}
    notes = [f"folders {listing(names)} are one split, {split}" for split, names in shared.items() if len(names) > 1]
    return {split: places for split, places in found.items() if places}, beside, notes


# --- rows


def _by_folder(folder: Path, splits: dict[str, Places], medium: Medium) -> tuple[DatasetDict, list[str], list[str]]:
    """The rows of each split with the class of each file, the files that have no class, and notes."""
    folders = sorted({place for places in splits.values() for place in places.values() if place})
    loose = [path for places in splits.values() for path, place in places.items() if not place]
    if not folders or (len(folders) == 1 and loose):
        plain = {split: _rows(medium, folder, split, list(places)) for split, places in splits.items()}
        return DatasetDict(plain), [], []
    names, notes = _class_names(folders, medium)
    found, classes = DatasetDict(), sorted(names.values())
    for split, places in splits.items():
        classed = {path: names[place] for path, place in places.items() if place}
        if classed:
            found[split] = _rows(medium, folder, split, list(classed), list(classed.values()), classes)
        else:  # such as a test split whose classes are not known
            found[split] = _rows(medium, folder, split, list(places))
            loose = [path for path in loose if path not in places]
    return found, loose, notes


def _class_names(folders: list[tuple[str, ...]], medium: Medium) -> tuple[dict[tuple[str, ...], str], list[str]]:
    """Folder below a split -> the class that it is, and notes."""
    depths = {len(place) for place in folders}
    short = len(depths) == 1 and len({place[-1] for place in folders}) == len(folders)
    names = {place: place[-1] if short else "/".join(place) for place in folders}
    notes = []
    if not short:
        why = "lie at several depths" if len(depths) > 1 else "have the same names"
        notes = [
            f"the folders of {medium.name}s {why}, so classes are named by their path, such as {names[folders[-1]]!r}; if that "
            f"is not meant, use one folder per class"
        ]
    elif len(folders[0]) > 1:
        notes = [f"classes are named by the last folder: {folders[0][-1]!r} for {'/'.join(folders[0])}"]
    return names, notes


def _with_classes(
    found: DatasetDict, folder: Path, splits: dict[str, Places], medium: Medium
) -> tuple[DatasetDict, list[str]]:
    """The rows of metadata files that name no class, with their files' folders as classes, if all lie in some; and notes."""
    places = {f"{folder}/{path}": place for files in splits.values() for path, place in files.items() if place}
    paths = {split: _paths(rows) for split, rows in found.items()}
    used = {places.get(path, ()) for of_split in paths.values() for path in of_split}
    labelled = any("label" in rows.column_names for rows in found.values())
    if labelled or () in used or len(used) < 2 or any(len(paths[split]) != len(rows) for split, rows in found.items()):
        return found, []
    names, notes = _class_names(sorted(used), medium)
    feature = ClassLabel(names=sorted(names.values()))
    classed = {
        split: rows.add_column("label", [names[places[path]] for path in paths[split]]).cast_column("label", feature)
        for split, rows in found.items()
    }
    note = f"the metadata has no column 'label', so classes are the folders of the {medium.name}s"
    return DatasetDict(classed), [note, *notes]


def _rows(
    medium: Medium,
    folder: Path,
    split: str,
    paths: list[str],
    labels: list[str] | None = None,
    classes: list[str] | None = None,
) -> Dataset:
    """The rows of a split, found by `datasets` in its cache if they are the same files and classes as before."""
    features = Features({medium.column: FEATURES[medium.name]})
    features |= {"label": ClassLabel(names=classes)} if classes else {}
    known = hashlib.sha256(repr((VERSION, str(folder), split, paths, labels, classes)).encode()).hexdigest()[:32]
    return Dataset.from_generator(
        _examples,
        features=features,
        gen_kwargs={
            "column": medium.column,
            "folder": str(folder),
            "paths": tuple(paths),
            "labels": labels and tuple(labels),
        },
        split=datasets.NamedSplit(split),
        fingerprint=known,
    )


def _examples(
    column: str, folder: str, paths: tuple[str, ...], labels: tuple[str, ...] | None
) -> Iterator[dict[str, Any]]:
    for i, path in enumerate(paths):
        stored = {"bytes": None, "path": os.path.join(folder, path)}
        yield {column: stored, **({"label": labels[i]} if labels else {})}


def _by_metadata(folder: Path, top: str, splits: dict[str, Places], metadata: list[str], medium: Medium) -> DatasetDict:
    """The rows that metadata files name, in the split of their files' folder."""
    root = f"{folder}/{top}"
    if list(splits) == ["train"]:
        return _named_rows(medium, {"train": f"{glob.escape(root)}**"})
    if any("/" not in path.removeprefix(top) for path in metadata):  # one file beside the folders names them all
        rows = _named_rows(medium, {"train": f"{glob.escape(root)}**"})["train"]
        roles = [split_of(path.removeprefix(root).split("/")[0]) for path in _paths(rows)]
        return DatasetDict({s: rows.select([i for i, role in enumerate(roles) if role == s]) for s in splits})
    folders = {split: {path.removeprefix(top).split("/")[0] for path in places} for split, places in splits.items()}
    patterns = {split: [f"{glob.escape(root + name)}/**" for name in sorted(names)] for split, names in folders.items()}
    return _named_rows(medium, patterns)


def _named_rows(medium: Medium, patterns: dict[str, Any]) -> DatasetDict:
    """The rows that the metadata files among these files name, as `datasets` reads them."""
    if medium is IMAGES:
        return datasets.load_dataset("imagefolder", data_files=patterns)
    builder = SoundMetadata(data_files=patterns, base_path="")
    builder.download_and_prepare()
    return builder.as_dataset()


def _paths(rows: Dataset) -> list[str]:
    """The paths of all files of the rows."""
    features = {name: feature for name, feature in rows.features.items() if hasattr(feature, "decode")}
    columns, undecoded = list(features), rows.select_columns(list(features))
    for name, feature in features.items():
        undecoded = undecoded.cast_column(name, type(feature)(decode=False))
    return [cell["path"] for name in columns for cell in undecoded[name] if cell]


def _unnamed(folder: Path, found: DatasetDict, files: Listing) -> list[str]:
    """The files that no row has."""
    named = {path for rows in found.values() for path in _paths(rows)}
    return [path for path in files.files if f"{folder}/{path}" not in named]


def _streams(found: DatasetDict) -> IterableDatasetDict:
    """The rows as streams that state their sizes: they hold paths alone, so there is nothing to gain from reading later."""
    sizes = SplitDict({split: SplitInfo(split, num_examples=len(rows)) for split, rows in found.items()})
    streams = IterableDatasetDict({split: rows.to_iterable_dataset() for split, rows in found.items()})
    for rows in streams.values():
        rows.info.splits = sizes
    return streams


def _has_card(folder: Path) -> bool:
    """Whether a README or another file of `datasets` says what the files of the splits are."""
    if any((folder / name).is_file() for name in (".huggingface.yaml", "dataset_dict.json", "state.json")):
        return True
    card = folder / "README.md"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        front = re.match(r"---\s*\n(.*?)\n---", card.read_text(encoding="utf-8"), re.DOTALL) if card.is_file() else None
        return bool(front and re.search(r"^(configs|data_files):", front[1], re.MULTILINE))
    return False

"""Data sets that need no network: handwritten digits, printed letters, docstrings of the Python standard library."""

from __future__ import annotations

import ast
import functools
import importlib.util
import io
import re
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from scipy.spatial import ConvexHull

from hfft.errors import DataError
from hfft.wording import listing, nearest

SEED = 0  # one seed for every draw and split below: a built-in data set is the same on every load

# Letters whose capital and small forms are one shape at one size (c, o, s, ...) come once; no digit is among them.
GLYPHS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghijmnqrtuy#$%&*+=<>?@!(){}^~/\\-"
LETTERS_PER_GLYPH = {"train": 480, "test": 40}
STROKES = (0, 1, 2, 3, 4, 5)  # pixels added around a glyph of 64: from the font's own weight to a felt pen's

# Packages and modules of every CPython since 3.11 that hold enough docstrings for a class: name -> file or folder.
PACKAGES = {"decimal": "_pydecimal.py", "mailbox": "mailbox.py", "turtle": "turtle.py"}
PACKAGES |= {name: name for name in ("asyncio", "email", "http", "importlib", "logging", "multiprocessing")}
PACKAGES |= {name: name for name in ("unittest", "urllib", "xml")}
PACKAGE_NAME = re.compile("|".join(PACKAGES), re.IGNORECASE)
# Not read: tests, what is not part of the library, and what some versions or installations lack.
LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib-dynload", "__pycache__"}
LEFT_OUT |= {"distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "tkinter", "turtledemo"}
MIN_WORDS = 5  # a shorter docstring ("Return the name.") could be anyone's


def load(name: str) -> DatasetDict:
    """Make the built-in data set of that name."""
    if name not in BUILTIN:
        raise DataError(f"no data set {name!r} is built in: use one of {listing(BUILTIN)}{nearest(name, BUILTIN)}")
    return BUILTIN[name]()


def split_names(name: str) -> list[str]:
    """The splits of the built-in data set of that name, told before it is made."""
    return ["train", "validation" if name == "docstrings-unlabelled" else "test"]


def digits() -> DatasetDict:
    """1797 handwritten digits of 8x8 grey pixels: the test part of UCI's optdigits, from scikit-learn (CC BY 4.0)."""
    scores, target = scikit_digits()
    names = [str(digit) for digit in range(10)]
    test = stratified_test(target, share=500 / 1797)
    pixels = to_uint8(scores)
    return DatasetDict(
        train=image_dataset(pixels[~test], target[~test], names),
        test=image_dataset(pixels[test], target[test], names),
    )


def scikit_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 8, 8) from 0 to 16 and digits (1797,), read from scikit-learn's file: importing it takes most of a second."""
    found = importlib.util.find_spec("sklearn")
    file = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz" if found and found.origin else None
    if file is not None and file.is_file():
        table = np.loadtxt(file, delimiter=",")
        return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(int)
    from sklearn.datasets import load_digits  # where another version keeps it elsewhere

    source = load_digits()
    return source.images, source.target


def letters() -> DatasetDict:
    """Printed letters and signs (no digits) of Pillow's own font, bent, and reduced to the look of `digits`."""
    rng = np.random.default_rng(SEED)
    counts = LETTERS_PER_GLYPH
    drawn = np.stack([draw_glyph(glyph, sum(counts.values()), rng) for glyph in GLYPHS])
    splits, start = DatasetDict(), 0
    for split, count in counts.items():
        # glyph by glyph in the drawing, image by image in the data set: any first rows hold all classes
        pixels = drawn[:, start : start + count].swapaxes(0, 1).reshape(-1, 8, 8)
        splits[split] = image_dataset(pixels, np.tile(np.arange(len(GLYPHS)), count), list(GLYPHS))
        start += count
    return splits


def draw_glyph(glyph: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` images (8x8, uint8) of one glyph, each with its own pen, slope, turn, width and bend."""
    masks = np.stack([glyph_mask(glyph, stroke) for stroke in STROKES])
    pen = rng.integers(len(STROKES), size=count)
    turn, slope = rng.normal(0, 0.15, count), rng.normal(0, 0.25, count)
    width, size = np.exp(rng.normal(0, 0.2, count)), rng.uniform(0.9, 1.05, count)
    bend = rng.normal(0, 0.08, (count, 2))
    wave, phase = rng.uniform(np.pi, 4 * np.pi, (count, 2)), rng.uniform(0, 2 * np.pi, (count, 2))
    cos, sin, one, zero = np.cos(turn), np.sin(turn), np.ones(count), np.zeros(count)
    affine = matrices(cos, -sin, sin, cos) @ matrices(one, slope, zero, one) @ matrices(width, zero, zero, one)

    # The digits were cut out at their bounding box and scaled to 32x32: so is the glyph, by where its ink comes to lie.
    ink = np.argwhere(masks.any(0))[:, ::-1]
    hull = ink[ConvexHull(ink).vertices] - masks.shape[-1] / 2  # what lies outermost stays there under any affine map
    moved = hull @ affine.swapaxes(1, 2)
    low, high = moved.min(1), moved.max(1)
    scale = (high - low).max(1) / size

    grid = (np.arange(32) + 0.5) / 32 - 0.5
    x, y = (axis.ravel() for axis in np.meshgrid(grid, grid))
    bent_x = x + bend[:, :1] * np.sin(wave[:, :1] * y + phase[:, :1])
    bent_y = y + bend[:, 1:] * np.sin(wave[:, 1:] * x + phase[:, 1:])
    where = np.stack([bent_x, bent_y], 2) * scale[:, None, None] + ((low + high) / 2)[:, None]
    source = np.rint(where @ np.linalg.inv(affine).swapaxes(1, 2) + masks.shape[-1] / 2).astype(int)
    source = source.clip(0, masks.shape[-1] - 1)  # the rim of a mask is empty
    bitmap = masks[pen[:, None], source[..., 1], source[..., 0]].reshape(count, 8, 4, 8, 4)
    return to_uint8(bitmap.sum((2, 4)))


def glyph_mask(glyph: str, stroke: int) -> np.ndarray:
    """The ink of one glyph, drawn large in the middle of an empty square."""
    from PIL import Image as Picture
    from PIL import ImageDraw, ImageFont

    picture = Picture.new("L", (128, 128))
    font = ImageFont.load_default(64)
    ImageDraw.Draw(picture).text((64, 64), glyph, fill=255, font=font, anchor="mm", stroke_width=stroke)
    return np.asarray(picture) > 127


def matrices(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """One 2x2 matrix per row from its four entries."""
    return np.stack([a, b, c, d], 1).reshape(-1, 2, 2)


def to_uint8(levels: np.ndarray) -> np.ndarray:
    """Grey levels 0..16 (how many of 4x4 pixels are ink) as 0..255."""
    return np.rint(np.asarray(levels) * (255 / 16)).astype(np.uint8)


def image_dataset(pixels: np.ndarray, labels: np.ndarray, names: list[str]) -> Dataset:
    """Grey images as PNG bytes with their labels."""
    features = Features(image=Image(), label=ClassLabel(names=names))
    images = [{"bytes": png(image), "path": None} for image in pixels]
    return Dataset.from_dict({"image": images, "label": labels.tolist()}, features=features)


def png(pixels: np.ndarray) -> bytes:
    """One grey image as the bytes of a PNG file."""
    from PIL import Image as Picture

    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def docstrings() -> DatasetDict:
    """Docstrings of twelve packages of the running Python's standard library, labelled by package (PSF licence)."""
    names, library = sorted(PACKAGES), Path(sysconfig.get_path("stdlib"))
    label_of: dict[str, int] = {}
    for label, name in enumerate(names):
        for text in read_docstrings(library / PACKAGES[name]):
            label_of.setdefault(text, label)
    texts, labels = np.array(list(label_of), object), np.array(list(label_of.values()))
    missing = [name for label, name in enumerate(names) if label not in labels]
    if missing:
        raise DataError(f"{library} has no docstrings of {listing(missing)}: use a Python installed with its sources")
    features = Features(text=Value("string"), label=ClassLabel(names=names))
    test = stratified_test(labels, share=0.2)
    order = np.random.default_rng(SEED).permutation(len(labels))
    splits = DatasetDict()
    for split, rows in (("train", order[~test[order]]), ("test", order[test[order]])):
        columns = {"text": texts[rows].tolist(), "label": labels[rows].tolist()}
        splits[split] = Dataset.from_dict(columns, features=features)
    return splits


def docstrings_unlabelled() -> DatasetDict:
    """The docstrings of the whole standard library for language modelling, less those `docstrings` tests on."""
    library, tested = Path(sysconfig.get_path("stdlib")), set(docstrings()["test"]["text"])
    found = (text for path in sorted(library.iterdir()) for text in read_docstrings(path))
    texts = np.array([text for text in dict.fromkeys(found) if text not in tested], object)
    texts = texts[np.random.default_rng(SEED).permutation(len(texts))]
    held_out, features = len(texts) // 20, Features(text=Value("string"))
    return DatasetDict(
        train=Dataset.from_dict({"text": texts[held_out:].tolist()}, features=features),
        validation=Dataset.from_dict({"text": texts[:held_out].tolist()}, features=features),
    )


@functools.cache
def read_docstrings(path: Path) -> tuple[str, ...]:
    """The docstrings in a file or in a folder's files, parsed, never imported, without their package's name."""
    files = sorted(path.rglob("*.py")) if path.name not in LEFT_OUT and path.is_dir() else [path]
    files = [file for file in files if file.suffix == ".py" and not LEFT_OUT & set(file.relative_to(path.parent).parts)]
    found = (text for file in files if file.is_file() for text in walk_docstrings(ast.parse(file.read_bytes())))
    cleaned = (" ".join(PACKAGE_NAME.sub("_", text).split()) for text in found)
    return tuple(text for text in cleaned if len(text.split()) >= MIN_WORDS)


def walk_docstrings(node: ast.AST) -> Iterator[str]:
    """The docstrings of a module, its classes and functions, at any depth; expressions are not entered, for speed."""
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        yield ast.get_docstring(node) or ""
    for part in ("body", "orelse", "handlers", "finalbody"):
        for child in getattr(node, part, ()):
            yield from walk_docstrings(child)


def stratified_test(labels: np.ndarray, share: float) -> np.ndarray:
    """Which rows are for testing: the same share of every class."""
    rng = np.random.default_rng(SEED)
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        chosen[rows[: round(len(rows) * share)]] = True
    return chosen


BUILTIN: dict[str, Callable[[], DatasetDict]] = {
    "digits": digits,
    "letters": letters,
    "docstrings": docstrings,
    "docstrings-unlabelled": docstrings_unlabelled,
}

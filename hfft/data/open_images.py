"""Images that a command line names: files, and all below folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, ImageOps

from hfft.errors import DataError
from hfft.wording import listing

IMAGE_FILES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"}


def open_images(argument: str, note: Callable[[str], None]) -> Iterator[tuple[str, Image.Image | DataError]]:
    """(path, image) of a file, or of all images below a folder, sorted by name; an image that cannot be read is a DataError.

    Args:
        note: told which files of a folder are left out.

    Raises:
        DataError: there is no such file, or no image in the folder.
    """
    path = Path(argument)
    if not path.exists():
        raise DataError(f"no file or folder {argument!r}; give images, or folders of them")
    files = [path]
    if path.is_dir():
        there = [p for p in sorted(path.rglob("*")) if p.is_file() and not _is_clutter(p.relative_to(path))]
        files = [p for p in there if p.suffix.lower() in IMAGE_FILES]
        others = Counter(p.suffix or p.name for p in there if p.suffix.lower() not in IMAGE_FILES)
        left = f"{listing(f'{count} {kind}' for kind, count in others.items())} left out" if others else ""
        if not files:
            raise DataError(
                f"folder {argument} contains no image{f' ({left})' if left else ''}; expected files such as .png or .jpg"
            )
        if left:
            note(f"{argument}: {left}; images are {listing(sorted(IMAGE_FILES), 20)}")
    return ((str(file), _opened(file)) for file in files)


def _opened(file: Path) -> Image.Image | DataError:
    """The image in a file, or why it cannot be read."""
    try:
        with Image.open(file) as image:
            return ImageOps.exif_transpose(image).convert("RGBA" if "A" in image.mode else "RGB")
    except Exception as error:  # decoders raise any exception on arbitrary bytes
        return DataError(f"{file} is not a readable image ({type(error).__name__})")


def _is_clutter(path: Path) -> bool:
    """Whether a file is one that macOS or Windows leaves in folders."""
    return path.name.startswith(".") or path.name in ("Thumbs.db", "desktop.ini") or "__MACOSX" in path.parts

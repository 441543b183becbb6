"""Images that a command line names: files, and all below folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, ImageOps

from hfft.data.image_paths import by_ending, list_images, unreadable_remedy
from hfft.data.source.left_out import left_out_notes
from hfft.errors import DataError


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
    if not path.is_dir():
        return iter([(str(path), _opened(path))])
    found = list_images(path)
    if not found.images:
        content = by_ending([*found.unreadable, *found.hidden, *found.others])
        remedy = unreadable_remedy(found.unreadable) if found.unreadable else "expected files such as .png or .jpg"
        raise DataError(
            f"folder {argument} contains no image that can be read{f' ({content})' if content else ''}; {remedy}"
        )
    for line in left_out_notes(found, [], ""):
        note(f"{argument}: {line}")
    return ((str(path / name), _opened(path / name)) for name in found.images)


def _opened(file: Path) -> Image.Image | DataError:
    """The image in a file, or why it cannot be read."""
    try:
        with Image.open(file) as image:
            return ImageOps.exif_transpose(image)
    except Exception as error:  # decoders raise any exception on arbitrary bytes
        return DataError(f"{file} is not a readable image ({type(error).__name__})")

"""Texts drawn as lines of pixels, and rows with texts or sounds drawn as images, so that an image network can read them."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import datasets
import PIL
from datasets import Features
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from hfft.data.columns import holds_text
from hfft.data.modality.base import Rows
from hfft.data.render_spec import Render
from hfft.data.sounds import NotASound, is_silent, read_sound
from hfft.data.spectrogram import spectrogram
from hfft.data.stored_files import file_of, is_empty, is_remote, path_of
from hfft.errors import DataError

VERSION = 1  # of the drawings, which are kept on the disk
NOTE = "hfft: note"  # in the file of an image: what its user should know
BAD = "hfft: bad"  # in a blank one: why the row cannot be drawn
CUT = (
    "the text does not fit into its image and is cut; a larger data.render.size or a smaller font_size keeps more of it"
)
LONG = "the sound is longer than data.render.seconds, and only its beginning is drawn"
SILENT = "the sound is silent"
EMPTY = "nothing is to be heard in the part of the sound that is drawn"


def draw(text: str, how: Render) -> Image.Image:
    """A text in Pillow's own font, white on black, in lines from the top; what does not fit into the image is cut.

    Returns:
        A grey image, the same for the same text and Pillow; `info` has a `NOTE` if something was cut.
    """
    height, width = how.size
    font = _font(how.font_size)
    step = sum(font.getmetrics())
    image = Image.new("L", (width, height))
    canvas = ImageDraw.Draw(image)
    found = lines(text, how, -(-height // step))  # of the last, the upper part may be in the image
    for i, line in enumerate(found):
        canvas.text((1, i * step), line, fill=255, font=font)
    if len(found) * step > height:
        image.info[NOTE] = CUT
    return image


def lines(text: str, how: Render, most: int) -> list[str]:
    """The first lines of a text, broken between words where they fit, else within them.

    Args:
        most: number of lines.
    """
    font, width = _font(how.font_size), how.size[1] - 2
    found, line = list[str](), ""
    for word in text.split():
        if len(found) >= most:
            break
        joined = f"{line} {word}" if line else word
        if font.getlength(joined) <= width:
            line = joined
            continue
        if line:
            found.append(line)
        line = word
        while font.getlength(line) > width and len(line) > 1:
            fits = max((n for n in range(1, len(line)) if font.getlength(line[:n]) <= width), default=1)
            found.append(line[:fits])
            line = line[fits:]
    return [*found, *([line] if line else [])][:most]


def draw_sound(stored: Any, how: Render) -> Image.Image:
    """The spectrogram in a sound's file; `info` has a `NOTE` if only a part is drawn, or nothing is to be heard.

    Returns:
        A blank image if the file cannot be read: its `info` says why under `BAD`.
    """
    try:
        sound = read_sound(file_of(stored))
    except (NotASound, OSError) as error:
        image = Image.new("L", (1, 1))
        image.info[BAD] = str(error) if isinstance(error, NotASound) else f"the file cannot be read ({error.strerror})"
        return image
    image = spectrogram(sound, how)
    if is_silent(sound):
        image.info[NOTE] = SILENT
    elif image.getbbox() is None:
        image.info[NOTE] = EMPTY
    elif len(sound["array"]) > round(how.heard[0] * sound["sampling_rate"]):
        image.info[NOTE] = LONG
    return image


def drawn_rows(rows: Rows, column: str, how: Render) -> Rows:
    """The rows with drawn texts or sounds, stored as PNG, in the place of a column of texts, or of sounds' files.

    Raises:
        DataError: the column holds something else.
    """
    feature, sounds = (rows.features or {})[column], how.kind == "spectrogram"
    if not sounds and not holds_text(feature):
        raise DataError(
            f"data.render: draws texts, but column {column!r} has type {feature}; leave it out, or draw sounds with "
            f"data.render.kind=spectrogram"
        )

    def one(value: Any, version: Any) -> dict[str, Any]:
        if is_empty(value) or (not sounds and not value.strip()):
            return {column: None}
        if sounds and is_remote(value):  # what is drawn is kept, a failed download too
            raise DataError(f"data.render: draws files of this machine, not {value['path']}; download the sounds first")
        image = draw_sound(value, how) if sounds else draw(value, how)
        file, marks = io.BytesIO(), PngInfo()
        for key in (NOTE, BAD):  # for the check of the rows, which counts them
            if key in image.info:
                marks.add_text(key, image.info[key])
        image.save(file, "PNG", compress_level=1, pnginfo=marks)
        return {column: {"bytes": file.getvalue(), "path": path_of(value)}}

    features = Features({**(rows.features or {}), column: datasets.Image(decode=False)})
    version = {"version": (VERSION, PIL.__version__)}
    return rows.map(one, input_columns=[column], features=features, fn_kwargs=version)


@lru_cache(maxsize=8)
def _font(size: int | None) -> Any:
    return ImageFont.load_default(size)

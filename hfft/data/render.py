"""Texts drawn as lines of pixels, so that an image network can read them."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import datasets
from datasets import Features
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from hfft.data.columns import holds_text
from hfft.data.modality.base import Rows
from hfft.data.spec import Render
from hfft.errors import DataError

CUT = "hfft: cut"  # in the file of a text that does not fit into its image


def draw(text: str, how: Render) -> Image.Image:
    """A text in Pillow's own font, white on black, in lines from the top; what does not fit into the image is cut.

    Returns:
        A grey image, the same for the same text and Pillow; `info` has `CUT` if something was cut.
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
        image.info[CUT] = "yes"
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


def drawn_rows(rows: Rows, column: str, how: Render) -> Rows:
    """The rows with drawn texts, stored as PNG, in the place of a column of texts.

    Raises:
        DataError: the column holds something else.
    """
    feature = (rows.features or {})[column]
    if not holds_text(feature):
        raise DataError(f"data.render: draws texts, but column {column!r} has type {feature}; leave it out")

    def one(text: str | None) -> dict[str, Any]:
        if text is None or not text.strip():
            return {column: None}
        file = io.BytesIO()
        image, marks = draw(text, how), PngInfo()
        if CUT in image.info:  # so that the check of the rows can count them
            marks.add_text(CUT, image.info[CUT])
        image.save(file, "PNG", compress_level=1, pnginfo=marks)
        return {column: {"bytes": file.getvalue(), "path": None}}

    features = Features({**(rows.features or {}), column: datasets.Image(decode=False)})
    return rows.map(one, input_columns=[column], features=features)


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)

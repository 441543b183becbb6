"""Image processors that are told to take other channels or to deliver another size; images of any depth as they take them."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hfft.data.image_processor import as_input, channels, convert, depth_note, in_mode, levels, rechannel, resize


@pytest.mark.parametrize(
    ("count", "means"), [(1, [2.0]), (2, [1.0, 2.0]), (3, [1.0, 2.0, 3.0]), (4, [1.0, 2.0, 3.0, 1.0])]
)
def test_of_one_channel_the_mean_is_kept_and_of_more_they_repeat(count, means):
    processor = SimpleNamespace(image_mean=[1.0, 2.0, 3.0], image_std=None, do_convert_rgb=True)
    rechannel(processor, count)
    assert (processor.image_mean, processor.image_std) == (means, [0.5] * count)
    assert processor.do_convert_rgb is False
    bare = SimpleNamespace()
    rechannel(bare, count)
    assert vars(bare) == {"image_mean": [0.5] * count, "image_std": [0.5] * count}
    rechannel(None, count)


@pytest.mark.parametrize(
    ("means", "count"), [([0.5], 1), ([0.5] * 2, 3), ((0.1,) * 4, 4), (None, 3), (0.5, 3), ([0.1] * 3, 3)]
)
def test_channels_are_those_that_are_normalised(means, count):
    processor = SimpleNamespace(image_mean=means)
    assert channels(processor) == count
    image = Image.new("RGB", (3, 2), (9, 9, 9))
    assert in_mode(image, processor).mode == {1: "L", 3: "RGB", 4: "RGBA"}[count]
    assert levels(in_mode(image, processor)).shape == (2, 3, count)
    assert isinstance(as_input(image, processor), Image.Image if count == 3 else np.ndarray)


@pytest.mark.parametrize(
    ("before", "size", "after"),
    [
        ({"size": {"height": 32, "width": 32}}, 48, {"size": {"height": 48, "width": 48}}),
        ({"size": {"height": 32, "width": 32}}, [48, 64], {"size": {"height": 48, "width": 64}}),
        ({"size": {"shortest_edge": 32}}, [48, 64], {"size": {"shortest_edge": 48}}),
        (
            {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}},
            112,
            {"size": {"shortest_edge": 128}, "crop_size": {"height": 112, "width": 112}},
        ),
        (
            {"size": {"height": 256, "width": 256}, "crop_size": {"height": 224, "width": 224}},
            [112, 56],
            {"size": {"height": 128, "width": 64}, "crop_size": {"height": 112, "width": 56}},
        ),
        (
            {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "do_center_crop": False},
            112,
            {"size": {"shortest_edge": 112}, "crop_size": {"height": 112, "width": 112}, "do_center_crop": False},
        ),
    ],
)
def test_another_size_keeps_the_share_that_is_cut_away(before, size, after):
    processor = SimpleNamespace(**before)
    resize(processor, size)
    assert vars(processor) == after
    resize(None, size)


# --- depth and transparency

RAMP = np.tile(np.arange(0, 256, 17), (3, 1))  # grey levels 0 to 255 of 16 columns


def reread(image, kind):
    """The image as it is read from a file of this kind."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    found = Image.open(io.BytesIO(buffer.getvalue()))
    found.load()
    return found


DEEP = {  # -> an image that shows the ramp, and how the run describes it
    "16-bit PNG": (lambda: reread(grey(RAMP * 257, "u2"), "PNG"), "16-bit image, scaled to 8 bits from 0..65535"),
    "16-bit TIFF": (lambda: reread(grey(RAMP * 257, "u2"), "TIFF"), "16-bit image, scaled to 8 bits from 0..65535"),
    "16-bit, other byte order": (lambda: grey(RAMP * 257, ">u2"), "16-bit image, scaled to 8 bits from 0..65535"),
    "16-bit PGM": (
        lambda: reread(grey(RAMP * 257, "i4"), "PPM"),
        "32-bit integer image, scaled to 8 bits from 0..65535",
    ),
    "12 bits of 16": (lambda: grey(RAMP * 4095 / 255, "u2"), "16-bit image, scaled to 8 bits from 0..4095"),
    "8 bits of 16": (lambda: grey(RAMP, "u2"), "16-bit image, scaled to 8 bits from 0..255"),
    "few levels of 16 bits": (lambda: grey(RAMP / 17, "u2"), "16-bit image, scaled to 8 bits from its own range"),
    "32 bits": (lambda: reread(grey(RAMP * 257, "i4"), "TIFF"), "32-bit integer image, scaled to 8 bits from 0..65535"),
    "32 bits, large": (lambda: grey(RAMP * 7e6, "i4"), "32-bit integer image, scaled to 8 bits from its own range"),
    "signed": (lambda: grey(RAMP * 4 - 1024, "i4"), "32-bit integer image, scaled to 8 bits from its own range"),
    "float": (lambda: reread(grey(RAMP / 255, "f4"), "TIFF"), "float image, scaled to 8 bits from 0..1"),
    "float of 255": (lambda: grey(RAMP, "f4"), "float image, scaled to 8 bits from 0..255"),
    "float of 65535": (lambda: grey(RAMP * 257, "f4"), "float image, scaled to 8 bits from 0..65535"),
    "float above 1": (lambda: grey(RAMP * 1.02 / 255, "f4"), "float image, scaled to 8 bits from its own range"),
    "float below 0": (lambda: grey(RAMP / 127.5 - 1, "f4"), "float image, scaled to 8 bits from its own range"),
}


def grey(values, kind):
    return Image.fromarray(np.rint(values).astype(kind) if "f" not in kind else values.astype(kind))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("name", DEEP)
def test_deep_levels_are_scaled_to_8_bits_and_the_picture_stays(name, mode):
    make, note = DEEP[name]
    image = make()
    found = convert(image, mode)
    assert found.mode == mode
    assert np.abs(np.asarray(found.convert("L")).astype(int) - RAMP).max() <= 1
    assert depth_note(image) == note


@pytest.mark.parametrize(("value", "expected"), [(0.4, 102), (np.nan, 0), (np.inf, 255), (-np.inf, 0)])
def test_levels_that_are_not_finite_are_black_or_white(value, expected):
    values = np.array([[0.0, 0.5, 1.0, value]], "f4")
    assert np.asarray(convert(Image.fromarray(values), "L"))[0].tolist() == [0, 128, 255, expected]


@pytest.mark.parametrize(
    ("kind", "level"), [("u2", 0), ("u2", 65535), ("i4", -5), ("i4", 10**6), ("f4", np.nan), ("f4", 0.0)]
)
def test_an_image_of_one_level_has_one_level(kind, level):
    found = np.asarray(convert(Image.fromarray(np.full((2, 2), level).astype(kind)), "RGB"))
    assert len(np.unique(found)) == 1


def clear(mode):
    """A picture of this mode: red without, half with and fully with transparency, and black without."""
    image = Image.new("RGBA", (4, 1))
    for x, pixel in enumerate([(255, 0, 0, 255), (255, 0, 0, 128), (255, 0, 0, 0), (0, 0, 0, 255)]):
        image.putpixel((x, 0), pixel)
    if mode == "LA":
        return image.convert("LA"), [76, 165, 255, 0]
    if mode == "RGBA":
        return image, [(255, 0, 0), (255, 127, 127), (255, 255, 255), (0, 0, 0)]
    red, white = (76, 255) if mode == "L" else ((255, 0, 0), (255, 255, 255))
    black = 0 if mode == "L" else (0, 0, 0)
    plain = Image.new("RGB", (4, 1), (255, 0, 0))
    plain.putpixel((3, 0), (0, 0, 0))
    plain.putpixel((2, 0), (9, 90, 9))
    plain = plain.quantize(8) if mode == "P" else plain.convert(mode)
    buffer = io.BytesIO()
    plain.save(buffer, "PNG", transparency=plain.getpixel((2, 0)))
    found = Image.open(buffer)
    found.load()
    return found, [red, red, white, black]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L"])
def test_transparent_pixels_lie_over_white(mode):
    image, expected = clear(mode)
    assert image.mode == mode
    target = "L" if mode in ("L", "LA") else "RGB"
    found = convert(image, target)
    assert [found.getpixel((x, 0)) for x in range(4)] == expected
    kept = convert(image, "RGBA")
    assert kept.getpixel((2, 0))[3] == 0, "where the mode has transparency it is kept"


def test_a_transparent_level_of_16_bits_is_white():
    buffer = io.BytesIO()
    grey(RAMP * 257, "u2").save(buffer, "PNG", transparency=17 * 257)
    found = np.asarray(convert(Image.open(buffer), "RGB"))[0, :, 0].tolist()
    assert found == [0, 255, *RAMP[0][2:]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV"])
def test_other_images_are_converted_as_before(mode):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    for target in ("L", "RGB") if mode != "HSV" else ("RGB",):
        assert convert(image, target).tobytes() == image.convert(target).tobytes()
    assert depth_note(image) == ""

"""Augmentations against numpy and PIL oracles, their distributions, and the recipe grammar."""

import inspect
import itertools
import math
import os
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from hfft.data.augment import grammar

# What is left out of a call: the values of the papers, of torchvision and of timm.
DEFAULTS = {
    "random_crop": {"size": None, "padding": 4, "fill": 0, "padding_mode": "constant"},
    "horizontal_flip": {"p": 0.5},
    "vertical_flip": {"p": 0.5},
    "random_resized_crop": {"size": None, "scale": (0.08, 1.0), "ratio": (3 / 4, 4 / 3), "interpolation": "bilinear"},
    "color_jitter": {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0},
    "random_rotation": {"interpolation": "nearest", "fill": 0},
    "random_grayscale": {"p": 0.1},
    "random_erasing": {"p": 0.25, "scale": (0.02, 0.33), "ratio": (0.3, 3.3), "value": 0},
    "rand_augment": {"num_ops": 2, "magnitude": 9, "num_magnitude_bins": 31},
    "trivial_augment": {"num_magnitude_bins": 31},
    "augmix": {"severity": 3, "mixture_width": 3, "chain_depth": -1, "alpha": 1.0},
}
# Every op as a recipe names it, with arguments that make it act.
CALLS = {
    "random_crop": {},
    "horizontal_flip": {},
    "vertical_flip": {},
    "random_resized_crop": {},
    "color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.2},
    "random_rotation": {"degrees": 30},
    "random_grayscale": {"p": 0.5},
    "random_erasing": {"p": 0.8},
    "rand_augment": {},
    "trivial_augment": {},
    "augmix": {},
}
KNOWN = ", ".join([*grammar.OPS, *grammar.TEXT_OPS, *grammar.WAVE_OPS, *grammar.SPECTROGRAM_OPS])
SHAPES = [(1, 1), (8, 8), (1, 9), (13, 7), (31, 33)]
ops = pytest.mark.parametrize("name", grammar.OPS)
modes = pytest.mark.parametrize("mode", ["RGB", "L"])


def noise(height=24, width=20, mode="RGB", low=20, high=231):
    """An image of independent levels, so that any two windows of it differ."""
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return Image.fromarray(np.random.default_rng(7).integers(low, high, shape, dtype=np.uint8))


def coordinates(side):
    """An image whose red is x and whose green is y; blue 255 tells it from black fill."""
    y, x = np.mgrid[:side, :side].astype(np.uint8)
    return Image.fromarray(np.dstack([x, y, np.full_like(x, 255)]))


def seeded(*seed):
    return np.random.default_rng(seed)


def run(name, image, *seed, **arguments):
    return grammar.OPS[name](image, seeded(*seed), **arguments)


def key(image):
    return image.mode, image.size, image.tobytes()


def exactly(message):
    """The pattern of this one line and no more."""
    return rf"\A{re.escape(message)}\Z"


def assert_counts(counts, probabilities):
    """Pearson's chi-square within five deviations of its mean under the given probabilities."""
    counts, probabilities = np.asarray(counts, float), np.asarray(probabilities, float)
    expected = counts.sum() * probabilities / probabilities.sum()
    freedom = len(counts) - 1
    assert ((counts - expected) ** 2 / expected).sum() < freedom + 5 * math.sqrt(2 * freedom), counts


def test_calls_cover_every_op():
    assert set(CALLS) == set(grammar.OPS)


@modes
@ops
def test_same_seed_same_bytes_and_other_seeds_differ(name, mode):
    if name == "random_grayscale" and mode == "L":
        pytest.skip("a grey image is its own luma")
    image = noise(mode=mode)
    first = [key(run(name, image, seed, 3, 5, **CALLS[name])) for seed in range(12)]
    assert first == [key(run(name, image, seed, 3, 5, **CALLS[name])) for seed in range(12)]
    assert len(set(first)) > 1


@modes
@pytest.mark.parametrize("shape", SHAPES)
@ops
def test_size_and_mode_are_kept_and_the_input_is_untouched(name, shape, mode):
    image = noise(*shape, mode=mode)
    before = image.tobytes()
    for seed in range(60):
        result = run(name, image, seed, **CALLS[name])
        assert (result.size, result.mode) == (image.size, mode)
        assert image.tobytes() == before


@modes
@pytest.mark.parametrize(("name", "axis"), [("horizontal_flip", 1), ("vertical_flip", 0)])
def test_flips_are_exact_and_their_rate_is_p(name, axis, mode):
    image = noise(5, 8, mode)
    flipped = np.flip(np.asarray(image), axis)
    for seed in range(20):
        assert key(run(name, image, seed, p=0)) == key(image)
        np.testing.assert_array_equal(run(name, image, seed, p=1), flipped)
    count = sum(key(run(name, image, seed, p=0.3)) != key(image) for seed in range(3000))
    assert_counts([count, 3000 - count], [0.3, 0.7])


@modes
def test_crop_without_padding_at_own_size_is_identity(mode):
    image = noise(9, 12, mode)
    assert all(key(run("random_crop", image, seed, padding=0)) == key(image) for seed in range(10))


@pytest.mark.slow_but("constant-L")
@modes
@pytest.mark.parametrize("padding_mode", ["constant", "reflect", "edge"])
def test_crop_is_a_window_of_the_padded_image_at_uniform_offsets(padding_mode, mode):
    image = noise(6, 7, mode)
    channels = [(0, 0)] if mode == "RGB" else []
    fill = {"constant_values": 9} if padding_mode == "constant" else {}
    padded = np.pad(np.asarray(image), [(2, 2), (2, 2), *channels], padding_mode, **fill)
    windows = {padded[top : top + 6, left : left + 7].tobytes(): 0 for top in range(5) for left in range(5)}
    assert len(windows) == 25
    for seed in range(2500):
        result = run("random_crop", image, seed, padding=2, fill=9, padding_mode=padding_mode)
        windows[result.tobytes()] += 1
    assert_counts(list(windows.values()), [1 / 25] * 25)


def test_crop_to_a_side_and_beyond_the_padding():
    image = noise(10, 12)
    pixels = np.asarray(image)
    result = np.asarray(run("random_crop", image, 0, size=9, padding=0))
    assert any(np.array_equal(result, pixels[t : t + 9, s : s + 9]) for t in range(2) for s in range(4))
    assert run("random_crop", image, 0, size=18, padding=4).size == (18, 18)
    with pytest.raises(ValueError, match=r"^random_crop: size = 19 exceeds .*20x18 pixels.*raise padding"):
        run("random_crop", image, 0, size=19, padding=4)


@pytest.mark.parametrize(
    ("mode", "fill", "corner"),
    [("RGB", (10, 20, 30), (10, 20, 30)), ("RGB", 77, (77, 77, 77)), ("L", 77, 77), ("L", (50, 50, 50), 50)],
)
def test_fill_reaches_every_channel(mode, fill, corner):
    image = Image.new(mode, (9, 9), "white")
    for result in (
        run("random_crop", image, 0, size=17, fill=fill),
        run("random_erasing", image, 0, p=1, value=fill),
        run("random_rotation", image, 0, degrees=(45, 45), fill=fill),
    ):
        assert {pixel for _, pixel in result.getcolors()} == {image.getpixel((0, 0)), corner}


@pytest.mark.slow
def test_resized_crop_window_keeps_the_area_the_aspect_and_uniform_offsets():
    side = 200
    offsets, aspects = [], []
    for seed in range(1500):
        result = np.asarray(
            run("random_resized_crop", coordinates(side), seed, scale=(0.2, 0.3), interpolation="nearest")
        )
        # Enlarging by nearest neighbour keeps the window's first and last columns and rows.
        (left, top), (right, bottom) = result[0, 0, :2].astype(int), result[-1, -1, :2].astype(int)
        width, height = right - left + 1, bottom - top + 1
        assert 0.195 < width * height / side**2 < 0.305
        assert 0.74 < width / height < 1.35
        aspects.append(math.log(width / height))
        offsets.append(((left + 0.5) / (side - width + 1), (top + 0.5) / (side - height + 1)))
    for offset in zip(*offsets, strict=True):
        assert_counts(np.histogram(offset, 5, (0, 1))[0], [0.2] * 5)
    edge = math.log(4 / 3)
    assert_counts(np.histogram(np.clip(aspects, -edge, edge), 4, (-edge, edge))[0], [0.25] * 4)


def test_ratio_is_width_over_height_for_crops_and_height_over_width_for_erasing():
    crop = run("random_resized_crop", coordinates(100), 0, scale=(0.32, 0.32), ratio=(2, 2), interpolation="nearest")
    assert [high - low + 1 for low, high in crop.getextrema()[:2]] == [80, 40]
    erased = np.asarray(run("random_erasing", coordinates(100), 0, p=1, scale=(0.32, 0.32), ratio=(2, 2)))
    assert [(erased[..., 2] == 0).any(axis=axis).sum() for axis in (1, 0)] == [80, 40]


@modes
def test_resized_crop_of_the_whole_is_a_plain_resize(mode):
    image = noise(12, 12, mode)
    whole = {"scale": (1, 1), "ratio": (1, 1)}
    assert key(run("random_resized_crop", image, 0, **whole)) == key(image)
    resized = run("random_resized_crop", image, 0, size=7, **whole)
    assert key(resized) == key(image.resize((7, 7), Image.Resampling.BILINEAR))


@pytest.mark.parametrize(("shape", "box"), [((60, 6), (0, 26, 6, 34)), ((6, 60), (26, 0, 34, 6))])
def test_resized_crop_falls_back_to_the_central_window(shape, box):
    # Of an image ten times as long as wide, the whole area at these aspects never fits.
    image = noise(*shape)
    result = run("random_resized_crop", image, 0, size=5, scale=(1, 1))
    assert key(result) == key(image.crop(box).resize((5, 5), Image.Resampling.BILINEAR))


@pytest.mark.parametrize(
    ("argument", "enhancer"), [("brightness", "Brightness"), ("contrast", "Contrast"), ("saturation", "Color")]
)
def test_jitter_scales_by_uniform_factors(argument, enhancer):
    image = noise()
    expected = getattr(ImageEnhance, enhancer)(image).enhance(1.3)
    assert key(run("color_jitter", image, 0, **{argument: (1.3, 1.3)})) == key(expected)
    assert key(run("color_jitter", image, 0, **{argument: (1, 1)})) == key(image)


@pytest.mark.parametrize(("brightness", "low", "high"), [(0.4, 0.6, 1.4), (1.5, 0, 2.5), ((0.2, 0.5), 0.2, 0.5)])
def test_brightness_range(brightness, low, high):
    grey = Image.new("L", (1, 1), 100)
    factors = [run("color_jitter", grey, seed, brightness=brightness).getpixel((0, 0)) / 100 for seed in range(2000)]
    assert low - 0.011 <= min(factors) <= low + 0.02
    assert high - 0.02 <= max(factors) <= high + 0.001
    assert_counts(np.histogram(factors, 4, (low - 0.01, high))[0], [0.25] * 4)


@pytest.mark.slow
def test_jitter_takes_every_order_alike():
    image = noise(6, 6, low=0, high=256)
    turns = 60

    def shift(img):
        hsv = np.array(img.convert("HSV"))
        hsv[..., 0] += turns
        return Image.fromarray(hsv, "HSV").convert("RGB")

    steps = [
        lambda img: ImageEnhance.Brightness(img).enhance(1.6),
        lambda img: ImageEnhance.Contrast(img).enhance(0.5),
        lambda img: ImageEnhance.Color(img).enhance(1.8),
        shift,
    ]
    counts = {}
    for order in itertools.permutations(steps):
        result = image
        for step in order:
            result = step(result)
        counts[key(result)] = 0
    assert len(counts) == 24
    for seed in range(2400):
        counts[
            key(
                run(
                    "color_jitter",
                    image,
                    seed,
                    brightness=(1.6, 1.6),
                    contrast=(0.5, 0.5),
                    saturation=(1.8, 1.8),
                    hue=(turns / 255 + 1e-6, turns / 255 + 1e-6),
                )
            )
        ] += 1
    assert_counts(list(counts.values()), [1 / 24] * 24)


def test_hue():
    image = noise()
    assert key(run("color_jitter", image, 0, hue=(0, 0))) == key(image)
    red = Image.new("RGB", (2, 2), (255, 0, 0))
    for turns, colour in ((0.5, (0, 255, 255)), (-0.5, (0, 255, 255)), (1 / 3, (0, 255, 0)), (-1 / 3, (0, 0, 255))):
        # PIL keeps 256 hues, so a step is 6 levels and half a turn falls between two of them.
        np.testing.assert_allclose(run("color_jitter", red, 0, hue=(turns, turns)).getpixel((0, 0)), colour, atol=9)
    grey = noise(mode="L")
    assert key(run("color_jitter", grey, 0, hue=(0.3, 0.3))) == key(grey)


def test_rotation_is_exact_at_right_angles():
    image = noise(9, 9)
    for turns in range(4):
        result = run("random_rotation", image, 0, degrees=(90 * turns, 90 * turns))
        np.testing.assert_array_equal(result, np.rot90(np.asarray(image), turns))
    assert key(run("random_rotation", image, 0, degrees=0)) == key(image)


@pytest.mark.parametrize(("degrees", "low", "high"), [(30, -30, 30), ((10, 40), 10, 40)])
def test_rotation_angles_are_uniform_and_counter_clockwise(degrees, low, high):
    image, centre, arm, angles = coordinates(201), 100, 90, []
    for seed in range(1200):
        x, y, _ = run("random_rotation", image, seed, degrees=degrees).getpixel((centre + arm, centre))
        # The pixel right of the centre came from below it where the image turned counter-clockwise.
        angles.append(math.degrees(math.atan2(y - centre, x - centre)))
    assert low - 0.6 < min(angles) < low + 1
    assert high - 1 < max(angles) < high + 0.6
    assert_counts(np.histogram(np.clip(angles, low, high), 5, (low, high))[0], [0.2] * 5)


def test_grayscale():
    image = noise()
    luma = np.asarray(image.convert("L"))
    np.testing.assert_array_equal(run("random_grayscale", image, 0, p=1), np.dstack([luma] * 3))
    assert key(run("random_grayscale", image, 0, p=0)) == key(image)
    count = sum(key(run("random_grayscale", image, seed)) != key(image) for seed in range(2000))
    assert_counts([count, 2000 - count], [0.1, 0.9])


@modes
def test_erasing_paints_one_rectangle_and_nothing_else(mode):
    image = noise(40, 50, mode)
    pixels, areas, corners = np.asarray(image), [], []
    for seed in range(600):
        result = np.asarray(run("random_erasing", image, seed, p=1, scale=(0.1, 0.3), ratio=(0.5, 2)))
        changed = (result != pixels).reshape(40, 50, -1).all(axis=2)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert changed[box].all()
        assert not result[box].any()
        outside = np.ones((40, 50), bool)
        outside[box] = False
        np.testing.assert_array_equal(result[outside], pixels[outside])
        assert 0.45 < len(rows) / len(columns) < 2.2
        areas.append(len(rows) * len(columns) / 2000)
        corners.append((rows[0] + 0.5) / (41 - len(rows)))
    assert min(areas) > 0.09
    assert max(areas) < 0.315
    assert_counts(np.histogram(areas, [0, 1 / 6, 7 / 30, 1])[0], [1 / 3] * 3)
    assert_counts(np.histogram(corners, 4, (0, 1))[0], [0.25] * 4)


def test_erasing_rate_and_noise():
    image = noise(40, 40)
    assert key(run("random_erasing", image, 0, p=0)) == key(image)
    assert key(run("random_erasing", image, 0, p=1, scale=(1, 1), ratio=(1, 1))) == key(image)  # never all of it
    count = sum(key(run("random_erasing", image, seed)) != key(image) for seed in range(2000))
    assert_counts([count, 2000 - count], [0.25, 0.75])
    black = Image.new("RGB", (200, 200))
    result = np.asarray(run("random_erasing", black, 0, p=1, scale=(0.3, 0.3), value="random"))
    rows, columns = np.flatnonzero(result.any(axis=(1, 2))), np.flatnonzero(result.any(axis=(0, 2)))
    patch = result[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert_counts(np.histogram(patch, 8, (0, 256))[0], [1 / 8] * 8)


def remap(image, source):
    """Nearest-neighbour oracle: output pixel centre (x, y) takes the input pixel that holds source(x, y), or black."""
    pixels = np.asarray(image)
    result = np.zeros_like(pixels)
    for row, column in np.ndindex(pixels.shape[:2]):
        x, y = source(column + 0.5, row + 0.5)
        if 0 <= x < image.width and 0 <= y < image.height:
            result[row, column] = pixels[math.floor(y), math.floor(x)]
    return Image.fromarray(result)


def transforms(image, shear, across, down, rotate, enhance, bits, threshold):
    """The 14 transforms, each as its equally likely results, from the two papers' tables."""
    pixels = np.asarray(image)
    signs = (1, -1)
    return {
        "Identity": [image],
        "ShearX": [remap(image, lambda x, y, s=s: (x + s * shear * y, y)) for s in signs],
        "ShearY": [remap(image, lambda x, y, s=s: (x, y + s * shear * x)) for s in signs],
        "TranslateX": [remap(image, lambda x, y, s=s: (x - s * int(across), y)) for s in signs],
        "TranslateY": [remap(image, lambda x, y, s=s: (x, y - s * int(down))) for s in signs],
        "Rotate": [image.rotate(s * rotate) for s in signs],
        "Brightness": [ImageEnhance.Brightness(image).enhance(1 + s * enhance) for s in signs],
        "Color": [ImageEnhance.Color(image).enhance(1 + s * enhance) for s in signs],
        "Contrast": [ImageEnhance.Contrast(image).enhance(1 + s * enhance) for s in signs],
        "Sharpness": [ImageEnhance.Sharpness(image).enhance(1 + s * enhance) for s in signs],
        "Posterize": [Image.fromarray(pixels >> (8 - bits) << (8 - bits))],
        "Solarize": [Image.fromarray(np.where(pixels < threshold, pixels, 255 - pixels).astype(np.uint8))],
        "AutoContrast": [ImageOps.autocontrast(image)],
        "Equalize": [ImageOps.equalize(image)],
    }


def chances(*tables):
    """Result bytes -> probability, for a uniform table, then a uniform transform, then a uniform sign."""
    odds = {}
    for table in tables:
        for results in table.values():
            for result in results:
                odds[key(result)] = odds.get(key(result), 0) + 1 / len(tables) / len(table) / len(results)
    return odds


@pytest.mark.slow_but("15-6-31-L")
@modes
@pytest.mark.parametrize(("magnitude", "bits", "bins"), [(9, 7, 31), (15, 6, 31), (30, 4, 31), (3, 5, 5)])
def test_rand_augment_draws_the_tables_of_the_paper(magnitude, bits, bins, mode):
    image, t = noise(mode=mode), magnitude / (bins - 1)
    odds = chances(
        transforms(image, 0.3 * t, 150 / 331 * 20 * t, 150 / 331 * 24 * t, 30 * t, 0.9 * t, bits, 255 * (1 - t))
    )
    assert len(odds) == (23 if mode == "RGB" else 21)  # Color leaves a grey image as it is
    counts = dict.fromkeys(odds, 0)
    for seed in range(3000):
        counts[key(run("rand_augment", image, seed, num_ops=1, magnitude=magnitude, num_magnitude_bins=bins))] += 1
    assert_counts(list(counts.values()), list(odds.values()))


@pytest.mark.slow_but("L")
@modes
def test_trivial_augment_draws_the_wide_tables(mode):
    image = noise(50, 40, mode)
    tables = [
        transforms(image, 0.99 * t, 32 * t, 32 * t, 135 * t, 0.99 * t, bits, 255 * (1 - t))
        for t, bits in ((0, 8), (0.5, 5), (1, 2))
    ]
    odds = chances(*tables)
    counts = dict.fromkeys(odds, 0)
    for seed in range(3000):
        counts[key(run("trivial_augment", image, seed, num_magnitude_bins=3))] += 1
    assert_counts(list(counts.values()), list(odds.values()))


def test_rand_augment_at_magnitude_zero_moves_white_at_most():
    # With fewer than 256 pixels Equalize keeps the levels, and with 0 and 255 present AutoContrast does.
    pixels = np.asarray(noise(15, 15)).copy()
    pixels[0, 0], pixels[0, 1] = 0, 255
    image = Image.fromarray(pixels)
    solarized = Image.fromarray(np.where(pixels == 255, 0, pixels))
    counts = {key(image): 0, key(solarized): 0}
    for seed in range(700):
        counts[key(run("rand_augment", image, seed, num_ops=1, magnitude=0))] += 1
    assert_counts(list(counts.values()), [13 / 14, 1 / 14])


def test_rand_augment_applies_num_ops_in_turn():
    image = noise()
    assert key(run("rand_augment", image, 0, num_ops=0)) == key(image)
    twice = seeded(4)
    once = grammar.rand_augment(grammar.rand_augment(image, twice, num_ops=1), twice, num_ops=1)
    assert key(run("rand_augment", image, 4, num_ops=2)) == key(once)


SPEC = ["random_crop", "horizontal_flip", {"rand_augment": {"num_ops": 2, "magnitude": 9}}]


def test_parse_keeps_order_and_given_arguments():
    assert grammar.parse(SPEC) == [
        ("random_crop", {}),
        ("horizontal_flip", {}),
        ("rand_augment", {"num_ops": 2, "magnitude": 9}),
    ]
    assert grammar.parse([{"random_erasing": {"scale": [0.1, 0.2], "value": [1, 2, 3]}}, {"vertical_flip": None}]) == [
        ("random_erasing", {"scale": (0.1, 0.2), "value": (1, 2, 3)}),
        ("vertical_flip", {}),
    ]
    assert grammar.parse([]) == []


@ops
def test_what_is_left_out_has_the_usual_value(name):
    parameters = inspect.signature(grammar.OPS[name]).parameters.values()
    assert {p.name: p.default for p in parameters if p.default is not p.empty} == DEFAULTS[name]


@ops
def test_every_default_satisfies_its_own_annotation(name):
    parameters = list(inspect.signature(grammar.OPS[name]).parameters.values())[2:]
    given = {p.name: p.default for p in parameters if p.default is not p.empty} | CALLS[name]
    as_yaml = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    assert grammar.parse([{name: as_yaml}]) == [(name, given)]


@pytest.mark.parametrize("bad", [1.5, -0.1, math.nan, math.inf, "0.5", True, None, [0.5], 10**400])
@pytest.mark.parametrize("name", [n for n, op in grammar.OPS.items() if "p" in inspect.signature(op).parameters])
def test_a_probability_is_a_number_in_the_unit_interval(name, bad):
    with pytest.raises(ValueError, match=exactly(f"{name}: p = {bad!r}; must be a number in [0, 1]")):
        grammar.parse([{name: {"p": bad}}])
    assert grammar.parse([{name: {"p": edge}} for edge in (0, 1)])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            "horizontal_flp",
            f"unknown augmentation 'horizontal_flp'; did you mean 'horizontal_flip'? known: {KNOWN}",
        ),
        ("xyz", f"unknown augmentation 'xyz'; known: {KNOWN}"),
        ({7: None}, f"unknown augmentation 7; known: {KNOWN}"),
        (
            {"random_crop": {"pading": 4}},
            "random_crop: unknown argument 'pading'; did you mean 'padding'? known: size, padding, fill, padding_mode",
        ),
        ({"random_crop": {"rng": 4}}, "random_crop: unknown argument 'rng'; known: size, padding, fill, padding_mode"),
        (
            "random_rotation",
            "random_rotation: missing 'degrees', it must be a number in [0, inf) or an ordered pair in (-inf, inf)",
        ),
        (
            {"random_rotation": {"degrees": -1}},
            "random_rotation: degrees = -1; must be a number in [0, inf) or an ordered pair in (-inf, inf)",
        ),
        (
            {"random_rotation": {"degrees": math.inf}},
            "random_rotation: degrees = inf; must be a number in [0, inf) or an ordered pair in (-inf, inf)",
        ),
        ({"random_crop": {"size": 0}}, "random_crop: size = 0; must be an integer in [1, inf) or null"),
        ({"random_crop": {"size": 32.0}}, "random_crop: size = 32.0; must be an integer in [1, inf) or null"),
        (
            {"random_crop": {"fill": [1, 2]}},
            "random_crop: fill = [1, 2]; must be an integer in [0, 255] or a list of 3, each an integer in [0, 255]",
        ),
        (
            {"random_crop": {"padding_mode": "wrap"}},
            "random_crop: padding_mode = 'wrap'; must be 'constant' or 'reflect' or 'edge'",
        ),
        (
            {"random_resized_crop": {"scale": [0.5, 0.1]}},
            "random_resized_crop: scale = [0.5, 0.1]; must be an ordered pair in [0, 1]",
        ),
        (
            {"random_resized_crop": {"ratio": [0, 1]}},
            "random_resized_crop: ratio = [0, 1]; must be an ordered pair in [0.001, 1000]",
        ),
        (
            {"color_jitter": {"hue": 0.6}},
            "color_jitter: hue = 0.6; must be a number in [0, 0.5] or an ordered pair in [-0.5, 0.5]",
        ),
        ({"rand_augment": {"magnitude": 31}}, "rand_augment: magnitude = 31; must be below num_magnitude_bins = 31"),
        (
            {"rand_augment": {"num_magnitude_bins": 9}},
            "rand_augment: magnitude = 9; must be below num_magnitude_bins = 9",
        ),
        (
            {"trivial_augment": {"num_magnitude_bins": 1}},
            "trivial_augment: num_magnitude_bins = 1; must be an integer in [2, inf)",
        ),
    ],
)
def test_parse_errors(item, message):
    with pytest.raises(ValueError, match=exactly(message)):
        grammar.parse(["horizontal_flip", item])


@pytest.mark.parametrize(
    "item",
    [
        3,
        None,
        ["random_crop"],
        {},
        {"rand_augment": 9},
        {"rand_augment": ["magnitude"]},
        {"rand_augment": None, "magnitude": 9},
    ],
)
def test_malformed_items_name_the_form(item):
    with pytest.raises(ValueError, match=r"^augment item .*must be a name or \{name: .*indented under the name$"):
        grammar.parse([item])


@pytest.mark.parametrize("spec", [None, "random_crop", {"random_crop": {}}, 3])
def test_a_spec_is_a_list(spec):
    with pytest.raises(ValueError, match=r"^augment = .*; must be a list such as \[random_crop, horizontal_flip\]$"):
        grammar.compose(spec)


def test_compose_runs_the_ops_in_order_on_one_generator():
    image, rng = noise(), seeded(1, 2, 3)
    expected = grammar.rand_augment(grammar.horizontal_flip(grammar.random_crop(image, rng), rng), rng)
    assert key(grammar.compose(SPEC)(image, seeded(1, 2, 3))) == key(expected)
    assert grammar.compose([])(image, rng) is image


def test_compose_survives_pickling():
    spec = [{name: arguments} for name, arguments in CALLS.items()]
    ops = grammar.compose(spec)
    copy = pickle.loads(pickle.dumps(ops))
    assert copy == ops
    assert key(copy(noise(), seeded(9))) == key(ops(noise(), seeded(9)))


@pytest.mark.parametrize("mode", ["P", "RGBA", "1", "CMYK"])
def test_compose_refuses_other_modes(mode):
    with pytest.raises(ValueError, match=f"^image mode '{mode}' cannot be augmented; convert it to 'RGB' or 'L' first"):
        grammar.compose([])(Image.new(mode, (2, 2)), seeded(0))


def test_import_needs_no_torch():
    code = "import sys, hfft.data.augment; sys.exit(any(name in sys.modules for name in ('torch', 'torchvision')))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0

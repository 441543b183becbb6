"""Corruptions of images and texts: more of the same at each severity, of the same shape and range, drawn by seed and row."""

import numpy as np
import pytest
from PIL import Image

from hfft.evaluate.corruptions import images, texts


def picture(height, width, channels, seed):
    """Smooth with an edge, as photographs are."""
    rng = np.random.default_rng(seed)
    x = np.stack([images.plasma((height, width), rng, 1.4) for _ in range(channels)], -1)
    x[height // 4 : height // 2, width // 4 : width // 2] = rng.random(channels)
    return images.as_image(x)


def distance(left, right):
    return np.abs(images.as_pixels(left) - images.as_pixels(right)).mean()


SIZES = {"8": (8, 8, 1, 40), "20x30": (20, 30, 1, 20), "32": (32, 32, 3, 20), "64x96": (64, 96, 3, 8)}


@pytest.mark.parametrize("name", images.CORRUPTIONS)
@pytest.mark.parametrize("size", SIZES)
def test_each_severity_moves_an_image_further_and_keeps_its_size_and_mode(name, size):
    *shape, count = SIZES[size]
    moved = []
    for row in range(count):
        image = picture(*shape, seed=row)
        found = images.corrupted(image, name, 0, row)
        assert {(one.size, one.mode) for one in found} == {(image.size, image.mode)}
        moved.append([distance(image, one) for one in found])
    assert moved[0][0] > 0
    assert (np.diff(np.mean(moved, 0)) > 0).all(), np.mean(moved, 0)


@pytest.mark.parametrize("name", images.CORRUPTIONS)
def test_draws_depend_on_seed_and_row_alone(name):
    image = picture(32, 32, 3, 0)
    first, again = (images.corrupted(image, name, 1, 5) for _ in range(2))
    assert all(distance(*pair) == 0 for pair in zip(first, again, strict=True))
    if name in ("gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "snow", "frost", "fog", "elastic"):
        assert distance(first[2], images.corrupted(image, name, 1, 6)[2]) > 0
        assert distance(first[2], images.corrupted(image, name, 2, 5)[2]) > 0


@pytest.mark.parametrize("name", images.CORRUPTIONS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (5, 300)])
@pytest.mark.parametrize("level", [0, 255])
def test_odd_sizes_and_plain_images_have_no_failure(name, size, level):
    for one in images.corrupted(Image.new("L", size, level), name, 0, 0):
        assert (one.size, one.mode) == (size, "L")


def test_transparent_and_deep_images_become_rgb():
    for mode in ("RGBA", "P", "I;16", "LA"):
        assert images.corrupted(Image.new(mode, (12, 12)), "fog", 0, 0)[0].mode == "RGB"


def test_levels_are_the_stated_ones_at_32_and_224_and_lengths_follow_the_side():
    for name, (small, large) in images.LEVELS.items():
        assert images.levels_of(name, 32) == pytest.approx(small)
        assert images.levels_of(name, 224) == pytest.approx(large)
    assert images.levels_of("defocus_blur", 16) == pytest.approx(
        [level / 2 for level in images.LEVELS["defocus_blur"][0]]
    )
    assert images.levels_of("elastic", 448) == pytest.approx([level * 2 for level in images.LEVELS["elastic"][1]])
    assert images.levels_of("gaussian_noise", 8) == pytest.approx(images.LEVELS["gaussian_noise"][0])
    between = images.levels_of("gaussian_noise", round((32 * 224) ** 0.5))[0]
    assert between == pytest.approx((0.04 * 0.08) ** 0.5, rel=0.01)


def test_a_convolution_is_that_of_scipy_and_a_kernel_keeps_the_sum():
    from scipy import ndimage

    x = np.random.default_rng(0).random((13, 17, 3), np.float32)
    for kernel in (images._disc(1.7), images._line(2.1, 0.4)):
        (found,) = images.filtered(x, [kernel])
        expected = np.stack([ndimage.convolve(x[..., c], kernel, mode="reflect") for c in range(3)], -1)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert kernel.sum() == pytest.approx(1, abs=1e-5)


def test_known_answers():
    x = np.array([[[0.2, 0.4, 0.6], [0.0, 0.0, 0.0]]], np.float32)
    bright, *_ = images.brightness(x, np.random.default_rng(0), [0.3])
    np.testing.assert_allclose(bright, [[[0.3, 0.6, 0.9], [0.3, 0.3, 0.3]]], atol=1e-6)
    flat, *_ = images.contrast(x, np.random.default_rng(0), [0.5])
    np.testing.assert_allclose(flat[0, 0], [0.15, 0.3, 0.45], atol=1e-6)
    four = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    coarse, *_ = images.pixelate(four, np.random.default_rng(0), [2.0])
    np.testing.assert_allclose(coarse[:2, :2, 0], (0 + 1 + 4 + 5) / 4)
    half, *_ = images.pixelate(four, np.random.default_rng(0), [1.5])
    np.testing.assert_allclose(half, (coarse + four) / 2)
    still, *_ = images.elastic(four, np.random.default_rng(0), [0.0])
    np.testing.assert_allclose(still, four)


def test_noise_has_the_stated_size():
    grey = np.full((200, 200, 1), 0.5, np.float32)
    rng = np.random.default_rng(0)
    assert next(images.gaussian_noise(grey, rng, [0.1])).std() == pytest.approx(0.1, rel=0.02)
    assert next(images.shot_noise(grey, rng, [50])).std() == pytest.approx((0.5 / 50) ** 0.5, rel=0.02)
    assert (next(images.impulse_noise(grey, rng, [0.2])) != 0.5).mean() == pytest.approx(0.2, rel=0.05)


def test_a_large_image_is_made_as_small_as_the_model_reads_it():
    assert images.within_side(Image.new("RGB", (300, 200)), 100).size == (150, 100)
    small = Image.new("L", (50, 40))
    assert images.within_side(small, 100) is small
    assert images.within_side(small, None) is small


TEXT = "The quick brown fox jumps over the lazy dog, and nobody in the whole town has seen it do so before."


def edits(left, right):
    """Levenshtein's distance."""
    last = np.arange(len(right) + 1)
    for i, letter in enumerate(left, 1):
        now = np.minimum(last[:-1] + [letter != other for other in right], last[1:] + 1)
        now = np.concatenate([[i], now]) - np.arange(len(last))
        last = np.minimum.accumulate(now) + np.arange(len(last))
    return last[-1]


def test_edits():
    assert edits("kitten", "sitting") == 3


@pytest.mark.parametrize("name", texts.CORRUPTIONS)
def test_each_rate_changes_more_of_a_text(name):
    moved = []
    for row in range(12):
        found = texts.corrupted(TEXT, name, 0, row)
        assert found == texts.corrupted(TEXT, name, 0, row)
        moved.append([edits(TEXT, one) for one in found])
    assert (np.diff(np.mean(moved, 0)) > 0).all()
    assert texts.corrupted(TEXT, name, 0, 1) != texts.corrupted(TEXT, name, 1, 1)


@pytest.mark.parametrize("name", texts.CORRUPTIONS)
def test_a_text_never_becomes_empty_and_a_pair_stays_a_pair(name):
    for text in ("a", "I", "的", "Oh no"):
        assert all(one.strip() for row in range(30) for one in texts.corrupted(text, name, 0, row))
    pairs = texts.corrupted((TEXT, TEXT), name, 0, 0)
    assert len(pairs) == 5
    assert all(isinstance(left, str) and left != right for left, right in pairs)  # each of its own draws


def test_swaps_and_drops_change_letters_at_their_rate_only():
    rng = np.random.default_rng(0)
    letters = "abcdefghij" * 2000
    swapped = texts.character_swap(letters, rng, 0.1)
    assert sorted(swapped) == sorted(letters)
    moved = np.mean([a != b for a, b in zip(letters, swapped, strict=True)])
    assert moved == pytest.approx(2 * 0.1 / 1.1, rel=0.1)  # two letters a swap, which takes both
    assert 1 - len(texts.character_drop(letters, rng, 0.25)) / len(letters) == pytest.approx(0.25, rel=0.05)
    assert texts.character_drop("1 2 3!", rng, 1.0) == "1 2 3!"
    assert texts.character_swap("a b", rng, 1.0) == "a b"

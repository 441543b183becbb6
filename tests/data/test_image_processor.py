"""Image processors that are told to take other channels or to deliver another size."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hfft.data.image_processor import as_input, channels, in_mode, levels, rechannel, resize


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

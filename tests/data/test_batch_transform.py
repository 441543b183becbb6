"""What the device does to uint8 images is what the model's own image processor does to each, to two levels of 255.

In noise single pixels differ by more where PIL resizes in the other direction first and so clips at other places.
"""

import warnings

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from hfft.data import batch_transform, image_processor
from hfft.data.batch_transform import Pixels, cropped, learn, pack, resized, two_passes, unpacked
from hfft.data.modality.image import ImageCollate, ImageStep

transformers.logging.set_verbosity_error()
SIZES = [(32, 32), (48, 64), (199, 100), (61, 240)]

# Class -> settings; the sizes are small, so that the walk is quick, and the rules are the class's own.
PROCESSORS = {
    "ViT": {"size": {"height": 64, "width": 64}},
    "ViT ": {"size": {"height": 64, "width": 64}, "resample": 3, "do_normalize": False},
    "Deit": {"size": {"height": 72, "width": 72}, "crop_size": {"height": 64, "width": 64}, "_class": "DeiT"},
    "Beit": {"size": {"height": 64, "width": 64}, "do_center_crop": False},
    "Beit ": {"size": {"height": 80, "width": 80}, "do_center_crop": True, "crop_size": {"height": 64, "width": 64}},
    "ConvNext": {"size": {"shortest_edge": 64}, "crop_pct": 0.875},
    "ConvNext ": {"size": {"shortest_edge": 384}},
    "CLIP": {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}},
    "Siglip": {"size": {"height": 64, "width": 64}},
    "Bit": {"size": {"shortest_edge": 72}, "crop_size": {"height": 64, "width": 64}},
    "EfficientNet": {"size": {"height": 64, "width": 64}, "rescale_offset": True},
    "EfficientNet ": {"size": {"height": 64, "width": 64}, "include_top": True, "resample": 0},
    "MobileNetV1": {"size": {"shortest_edge": 72}, "crop_size": {"height": 64, "width": 64}},
    "MobileNetV2": {"size": {"shortest_edge": 72}, "crop_size": {"height": 64, "width": 64}},
    "MobileViT": {
        "size": {"shortest_edge": 64},
        "crop_size": {"height": 72, "width": 72},
    },  # pads, and turns RGB to BGR
    "Levit": {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}},
    "PoolFormer": {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}, "crop_pct": 0.9},
    "Pvt": {"size": {"height": 64, "width": 64}},
    "Segformer": {"size": {"height": 64, "width": 64}},
}
OTHERS = {
    "Perceiver": {
        "size": {"height": 64, "width": 64},
        "crop_size": {"height": 80, "width": 80},
    },  # crops before it resizes
    "ImageGPT": {"clusters": [[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]},  # gives colour clusters
    "ViT": {"size": {"height": 64, "width": 64}, "resample": 4},  # a filter that torch has not
}


def processor(name, settings):
    settings = dict(settings)
    kind = settings.pop("_class", name.strip())
    return getattr(transformers, f"{kind}ImageProcessorPil")(**settings)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photograph(height, width):
    """A picture as pictures are: smooth, with an edge."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 100 * np.sin(x / (5 + c)) * np.cos(y / (7 + c)) for c in range(3)]
    return np.where((x > width / 3)[..., None], np.stack(waves, -1), 30).astype(np.uint8)


def levels_apart(found, expected, scale):
    """How far inputs are apart, in levels of 0 to 255: the worst, and the mean."""
    apart = (found - expected).abs() / torch.tensor(scale).abs().view(1, -1, 1, 1)
    return apart.max().item(), apart.mean().item()


@pytest.mark.slow_but("EfficientNet ")
@pytest.mark.parametrize("name", PROCESSORS)
def test_images_of_any_size_become_what_the_processor_makes_of_them(name):
    own = processor(name, PROCESSORS[name])
    found = learn(own)
    assert found is not None
    for make, worst, mean in ((noise, 30, 0.6), (photograph, 2.01, 0.15)):
        images = [make(*size) for size in SIZES]
        expected = torch.cat(
            [own(images=Image.fromarray(image), return_tensors="pt")["pixel_values"] for image in images]
        )
        batch = found(pack(images))
        assert set(batch) == {"pixel_values"}
        assert batch["pixel_values"].dtype == torch.float32
        apart = levels_apart(batch["pixel_values"], expected, found.scale)
        assert apart[0] < worst
        assert apart[1] < mean


@pytest.mark.parametrize("name", OTHERS)
def test_a_processor_that_does_something_else_goes_on_itself(name):
    own = processor(name, OTHERS[name])
    assert learn(own) is None
    image = Image.fromarray(noise(40, 50))
    row = ImageStep(own, "image", "train", None, 42, learn(own))(image, 0)
    for key, value in own(images=image, return_tensors="pt").items():
        assert torch.equal(row[key], value[0])


class Odd(transformers.ViTImageProcessorPil):
    """A ViT's by its name and settings, which brightens dark images: no settings tell."""

    def _preprocess(self, images, **kwargs):
        return super()._preprocess([image + (image.mean() < 127) * np.uint8(9) for image in images], **kwargs)


def test_what_a_processor_does_is_tried_and_not_believed():
    assert learn(Odd(size={"height": 64, "width": 64})) is None


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(64, 64), (30, 90), (7, 200)])
def test_other_devices_resize_as_the_cpu_does(mode, size):
    for image in (noise(61, 83), photograph(61, 83)):
        images = torch.from_numpy(image).permute(2, 0, 1)[None]
        apart = (two_passes(images, size, mode) - resized(images, size, mode).float()).abs()
        assert apart.max() <= 1
        assert apart.mean() < 0.05


def test_a_batch_of_mixed_sizes_is_the_same_as_its_images_alone():
    found = Pixels((16, 16), None, "bicubic", scale=(0.1, 0.2, 0.3))
    images = [noise(20, 30), noise(16, 16, 1), noise(20, 30, 2), noise(5, 9, 3)]
    together = found(pack(images))["pixel_values"]
    for i, image in enumerate(images):
        assert torch.equal(found(pack([image]))["pixel_values"][0], together[i])


def test_packed_images_come_out_as_they_went_in():
    images = [noise(3, 4), noise(5, 2, 1)]
    batch = pack(images)
    assert batch["pixel_values"].dtype == torch.uint8
    for image, found in zip(images, unpacked(batch["pixel_values"], batch["sizes"]), strict=True):
        assert np.array_equal(found.permute(1, 2, 0).numpy(), image)


def test_a_batch_without_images_to_fit_is_left_alone():
    batch = {"pixel_values": torch.zeros(2, 3, 4, 4), "labels": torch.zeros(2)}
    assert Pixels((4, 4), None, "bilinear")(batch) is batch


@pytest.mark.parametrize("shape", [(10, 10), (3, 10), (10, 3), (4, 5), (6, 6), (5, 7)])
def test_the_middle_is_cut_and_padded_as_the_processors_do(shape):
    image = noise(*shape)
    expected = transformers.image_transforms.center_crop(image, (6, 6), input_data_format="channels_last")
    found = cropped(torch.from_numpy(image).permute(2, 0, 1)[None], 6, 6)[0].permute(1, 2, 0)
    assert np.array_equal(found.numpy(), expected)


def test_an_image_much_larger_than_its_input_is_fitted_before_it_travels(monkeypatch):
    own = processor("CLIP", PROCESSORS["CLIP"])
    found, small = learn(own), Image.fromarray(photograph(90, 120))
    monkeypatch.setattr("hfft.data.modality.image.LARGE", 100 * 120)
    step, large = ImageStep(own, "image", "train", None, 42, found), Image.fromarray(photograph(190, 120))
    rows = [{**step(image, 0), "labels": 0} for image in (small, large)]
    assert [row["pixel_values"].shape for row in rows] == [(90, 120, 3), (64, 64, 3)]
    batch = found(ImageCollate("single_label_classification")(rows))
    expected = torch.cat([own(images=image, return_tensors="pt")["pixel_values"] for image in (small, large)])
    assert levels_apart(batch["pixel_values"], expected, found.scale)[0] < 1.01


def test_learning_takes_moments_and_draws_no_random_number():
    torch.manual_seed(3)
    np.random.seed(3)
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learn(processor("ViT", PROCESSORS["ViT"]))
    assert torch.equal(torch.get_rng_state(), state[0])
    assert np.array_equal(np.random.get_state()[1], state[1])
    assert len(batch_transform.PROBES) >= 4


@pytest.mark.parametrize("name", ["ViT", "ConvNext", "CLIP"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_size_and_channels_of_an_edited_model_are_carried_too(name, channels):
    own = processor(name, PROCESSORS[name])
    image_processor.resize(own, 96)
    image_processor.rechannel(own, channels)
    found = learn(own)
    assert (found is None) == (channels == 4)  # PIL weighs colours by alpha as it resizes: the processor itself goes on
    images = [Image.fromarray(photograph(*size)) for size in SIZES]
    images[1].putalpha(Image.fromarray(photograph(*SIZES[1])[..., 0]))
    rows = [{**ImageStep(own, "", "", None, 0, found)(image, 0), "labels": 0} for image in images]
    assert found is None or all(row["pixel_values"].dtype == np.uint8 for row in rows)
    batch = ImageCollate("single_label_classification")(rows)
    batch = batch if found is None else found(batch)
    expected = torch.cat([image_processor.processed([image], own)["pixel_values"] for image in images])
    assert batch["pixel_values"].shape == expected.shape == (4, channels, 96, 96)
    worst, mean = levels_apart(batch["pixel_values"], expected, found.scale if found else (1 / 255,) * channels)
    assert worst <= 2.01
    assert mean <= 0.15


def test_black_and_white_are_the_inputs_for_the_darkest_and_the_brightest_image():
    vit = processor("ViT", PROCESSORS["ViT"] | {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.25, 1.0]})
    for level, expected in zip((0, 255), learn(vit).black_and_white, strict=True):
        found = image_processor.processed([Image.new("RGB", (64, 64), (level,) * 3)], vit)["pixel_values"][0]
        torch.testing.assert_close(found, torch.tensor(expected).view(3, 1, 1).expand_as(found), atol=1e-5, rtol=0)

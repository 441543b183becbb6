"""Masks of images: drawn from (seed, epoch, row) alone, as many as asked for, in squares, and the same as the model's own."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

from hfft.data import load_splits, prepare
from hfft.data.patch_masks import MaskedCollate, MaskedTargets, PatchMasks, patch_masks
from hfft.data.spec import Data
from hfft.errors import ModelError
from hfft.tasks.problem.masked_patches import hidden_patches, patches
from hfft.tasks.table import TASKS
from tests import stand_ins

TASK = TASKS["masked-image-modeling"]


def config(image=224, patch=16, kind="vit", **more):
    return SimpleNamespace(image_size=image, patch_size=patch, model_type=kind, **more)


def test_simmim_hides_squares_of_32_pixels_and_60_percent():
    masks = patch_masks(config(), Data(path="x"))
    assert masks == PatchMasks(patch=16, scale=2, units=7, hidden=30)  # ceil(0.6 * 49)
    assert patch_masks(config(patch=4, kind="swin"), Data(path="x")) == PatchMasks(4, 8, 7, 30)
    assert patch_masks(config(8, 2), Data(path="x", mask_ratio=0.5)) == PatchMasks(2, 1, 4, 8)
    assert patch_masks(config((8, 8), [2, 2]), Data(path="x", mask_patch_size=4)) == PatchMasks(2, 2, 2, 3)
    found = masks.masks(masks.ranks(np.arange(5))).reshape(5, 7, 2, 7, 2)
    assert found.sum((1, 2, 3, 4)).tolist() == [4 * 30] * 5
    assert (found == found[:, :, :1, :, :1]).all()


def test_a_vitmae_hides_what_we_say():
    mae = transformers.ViTMAEConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=8, patch_size=2
    )
    for ratio in (0.75, 0.6, 0.1):
        mae.mask_ratio = ratio
        masks = patch_masks(mae, Data(path="x"))
        batch = MaskedCollate(lambda rows: {"pixel_values": torch.randn(len(rows), 3, 8, 8)}, masks)(
            [{"draw": 7}, {"draw": 8}]
        )
        with torch.no_grad():
            own = transformers.ViTMAEModel(mae)(batch["pixel_values"], noise=batch["noise"]).mask
        assert torch.equal(own.bool(), batch["labels"])


def test_the_targets_are_the_pixels_that_are_hidden():
    masks = PatchMasks(2, 1, 4, 10)
    images = torch.randn(2, 3, 8, 8)
    batch = MaskedCollate(lambda rows: {"pixel_values": images}, masks)([{"draw": 1}, {"draw": 2}])
    made = MaskedTargets(None, masks)(batch)
    hidden = batch["bool_masked_pos"]
    assert torch.equal(hidden_patches(made["labels"]), hidden)
    assert torch.equal(made["labels"][hidden], patches(images, 2)[hidden])
    assert torch.equal(made["pixel_values"], images)
    again = MaskedTargets(None, masks)(made)
    assert again["labels"] is made["labels"]
    normed = MaskedTargets(None, PatchMasks(2, 1, 4, 10, normed=True))(batch)["labels"][hidden]
    torch.testing.assert_close(normed.mean(-1), torch.zeros(20), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.std(-1), torch.ones(20), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("given", "data", "told"),
    [
        (config(8, 2), {"mask_patch_size": 3}, "mask_patch_size: is 3, but vit reads 8 x 8 pixels in patches of 2; use 2, 4"),
        (config(8, 2), {"mask_patch_size": 8}, "use 2, 4"),
        (config(8, 2, "vit_mae", mask_ratio=0.75), {"mask_patch_size": 4}, "but vit_mae reads 8 x 8 pixels in patches of 2"),
        (config(8, 2), {"mask_ratio": 0.99}, "data.mask_ratio: is 0.99, which hides 16 of the 16 squares of 2 pixels"),
    ],
)  # fmt: skip
def test_masks_that_do_not_fit_are_refused_in_one_line(given, data, told):
    with pytest.raises(ModelError) as caught:
        patch_masks(given, Data(path="x", **data))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def ready(path, seed=1, streaming=False, augment=(), **more):
    data = Data(path=str(path), validation="test", streaming=streaming, augment=list(augment), **more)
    splits, labels = load_splits(data, TASK, seed)
    processor = transformers.ViTImageProcessorPil(size={"height": 8, "width": 8})
    return prepare(splits, data, TASK, labels, processor, seed, PatchMasks(2, 1, 4, 10))


@pytest.fixture
def folder(tmp_path):
    rows = stand_ins.images(12, "image", "label", ["a", "b"])
    return stand_ins.save_splits(tmp_path / "data", train=rows, test=rows)


def labels_of(prepared, rows, places):
    return prepared.collate(rows.__getitems__(list(places)))["labels"]


def test_a_rows_mask_depends_on_nothing_but_seed_epoch_and_row(folder):
    one = ready(folder)
    first, other = labels_of(one, one.train, range(8)), labels_of(one, one.train, [5, 0])
    assert torch.equal(first[[5, 0]], other)
    assert torch.equal(first, labels_of(ready(folder), ready(folder).train, range(8)))
    assert not torch.equal(first, labels_of(ready(folder, seed=2), ready(folder, seed=2).train, range(8)))
    augmented = ready(folder, augment=["horizontal_flip"])
    assert torch.equal(first, labels_of(augmented, augmented.train, range(8)))
    one.train.set_epoch(1)
    assert not torch.equal(first, labels_of(one, one.train, range(8)))
    assert first.sum(1).tolist() == [10] * 8


def test_held_out_rows_keep_their_mask(folder):
    one = ready(folder)
    before = labels_of(one, one.validation, range(8))
    one.validation.set_epoch(5)
    assert torch.equal(before, labels_of(one, one.validation, range(8)))


def test_a_stream_is_masked_too(folder):
    rows = list(ready(folder, streaming=True).train)
    assert all("draw" in row and "labels" not in row for row in rows)
    batch = ready(folder).collate(rows[:4])
    assert batch["labels"].shape == (4, 16)
    assert len({row["draw"] for row in rows}) == 12

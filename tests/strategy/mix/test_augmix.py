"""AugMix: the divergence over three views, which are the row's own image, mixed with chains of transforms in two draws."""

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTImageProcessorPil

from hfft.data.augment import augmix as operation
from hfft.data.augment import grammar
from hfft.data.modality.image import ImageCollate, ImageRows, ImageStep
from hfft.strategy.method import At, Pass
from hfft.strategy.mix.augmix import VIEWS, augmix
from hfft.strategy.needs import Situation, refusals, uncacheable
from hfft.train.companions import AccompaniedRows
from tests.examples import REGRESSION, SIDE, SINGLE
from tests.training import methods_of


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def rows_of(augment=("horizontal_flip",), count=6):
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)) for _ in range(count)]
    columns = {"image": pictures, "labels": [i % 3 for i in range(count)], "row": list(range(count))}
    rows = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())
    processor = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return ImageRows(rows, ImageStep(processor, "image", "train", grammar.compose([*augment]), 42))


def parts_of(rows, indices, method, epoch=0):
    accompanied = AccompaniedRows(rows, ImageCollate(SINGLE), [method], {}, 42)
    accompanied.set_epoch(epoch)
    rows.set_epoch(epoch)
    batch = accompanied.collate(accompanied.__getitems__(indices))
    return batch["pixel_values"].chunk(3), batch["labels"].chunk(3)


def test_the_loss_against_numpy():
    logits = [np.random.default_rng(i).normal(size=(4, 5)) for i in range(3)]
    parts = [softmax(x) for x in logits]
    mean = np.clip(sum(parts) / 3, 1e-7, 1)  # as in the paper's code
    expected = sum((p * (np.log(p) - np.log(mean))).sum(1) for p in parts) / 3
    np.testing.assert_allclose(augmix(*map(torch.from_numpy, logits)), expected, rtol=1e-6)
    [method] = methods_of(augmix={"weight": {"start": 2.0, "end": 4.0}})
    method.multi_label = False
    named = dict(zip(("task", *VIEWS), map(torch.from_numpy, logits), strict=True))
    seen = Pass(named, {}, {}, torch.zeros(4), None, {}, At(5, 0, 0.5, 0))
    np.testing.assert_allclose(method.losses(seen)["augmix"], 3 * expected, rtol=1e-6)


def test_views_are_the_rows_own_image_in_two_draws_with_its_labels():
    [method] = methods_of(augmix=12.0)
    rows = rows_of()
    (clean, first, second), labels = parts_of(rows, [3, 0, 5], method)
    plain = torch.stack([rows[i]["pixel_values"] for i in (3, 0, 5)])
    assert torch.equal(clean, plain), "what is learned is the row itself"
    assert not torch.equal(first, second)
    assert (first != clean).flatten(1).any(1).all()
    assert [part.tolist() for part in labels] == [[0, 0, 2]] * 3
    (_, alone, _), _ = parts_of(rows, [5], method)
    assert torch.equal(alone[0], first[2]), "drawn by seed, epoch and row"
    (_, later, _), _ = parts_of(rows, [5], method, epoch=1)
    assert not torch.equal(alone, later)


def test_a_view_keeps_the_flip_of_its_row():
    """The chains act on the image that is learned, not on another crop or flip of it."""
    [method] = methods_of(augmix={"weight": 1.0, "severity": 1, "mixture_width": 1, "chain_depth": 1})
    rows = rows_of(({"horizontal_flip": {"p": 0.5}},), 40)
    (clean, first, _), _ = parts_of(rows, list(range(40)), method)
    apart = (first - clean).square().flatten(1).mean(1)
    flipped = (first - clean.flip(-1)).square().flatten(1).mean(1)
    assert (apart < flipped).float().mean() > 0.8


def test_the_operation_averages_the_image_and_its_chains():
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    found = [np.asarray(operation(image, np.random.default_rng(seed)), float) for seed in range(200)]
    shares = [np.corrcoef(view.ravel(), np.asarray(image).ravel())[0, 1] for view in found]
    assert 0.3 < np.mean(shares) < 0.95
    strong = [np.asarray(operation(image, np.random.default_rng(s), severity=10), float) for s in range(200)]
    moved = [np.abs(view - np.asarray(image)).mean() for view in found]
    assert np.mean([np.abs(view - np.asarray(image)).mean() for view in strong]) > np.mean(moved)
    plain = Image.new("L", (9, 5), 128)
    assert operation(plain, np.random.default_rng(0)).size == (9, 5)


def test_rows_that_are_mixed_have_no_views():
    [(key, why)] = refusals(methods_of(mixup=0.2, augmix=12.0), Situation(SINGLE))
    assert (key, why) == (
        "augmix",
        "needs rows that are not mixed, but mixup mixes them; leave one of them out",
    )


@pytest.mark.parametrize(
    ("situation", "reason"),
    [
        (Situation(REGRESSION), "which regression does not have"),
        (Situation(SINGLE, continuous=False), "impossible for text"),
        (Situation(SINGLE, streaming=True), "row numbers"),
    ],
)
def test_what_cannot_be_is_refused(situation, reason):
    [(key, why)] = refusals(methods_of(augmix=12.0), situation)
    assert key == "augmix"
    assert reason in why


def test_nothing_is_kept_of_frozen_layers():
    assert "strategy.augmix" in uncacheable(methods_of(augmix=12.0))

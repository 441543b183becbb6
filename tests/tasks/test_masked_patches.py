"""The error of hidden pixels: against NumPy, and against the loss of transformers' own heads."""

import numpy as np
import pytest
import torch
import transformers

from hfft.strategy import logits_of
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.problem.masked_patches import hidden_patches, patches

PROBLEM = PROBLEMS["masked_image_modelling"]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SMALL |= {"image_size": 8, "patch_size": 2, "initializer_range": 0.2}


def rows(seed=0, edge=2):
    """Images (3, 3, 8, 6), what a model completed, and labels with 4, 0 and 12 hidden patches."""
    draw = torch.Generator().manual_seed(seed)
    images, completed = torch.randn(2, 3, 3, 8, 6, generator=draw)
    hidden = torch.zeros(3, 12, dtype=torch.bool)
    hidden[0, [0, 3, 7, 11]] = True
    hidden[2] = True
    return images, completed, hidden, patches(images, edge).masked_fill(~hidden[..., None], float("nan"))


def test_the_loss_is_that_of_a_loop_over_pixels():
    images, completed, hidden, labels = rows()
    expected = []
    for image, other, places in zip(images.numpy(), completed.numpy(), hidden.numpy(), strict=True):
        total = 0.0
        for place in np.flatnonzero(places):
            down, across = 2 * (place // 3), 2 * (place % 3)
            here = (slice(None), slice(down, down + 2), slice(across, across + 2))
            total += np.abs(image[here] - other[here]).mean()
        expected.append(total)
    np.testing.assert_allclose(PROBLEM.loss(completed, labels).numpy(), expected, rtol=1e-5)
    assert PROBLEM.targets(labels).tolist() == PROBLEM.targets(hidden).tolist() == [4, 0, 12]
    assert PROBLEM.count(labels) == PROBLEM.count(hidden) == 16
    assert torch.equal(hidden_patches(labels), hidden)


def test_of_patches_the_error_is_squared():
    _, completed, hidden, labels = rows()
    squared = np.where(hidden.numpy()[..., None], (patches(completed, 2) - labels).numpy() ** 2, 0).mean(-1).sum(1)
    np.testing.assert_allclose(PROBLEM.loss(patches(completed, 2), labels).numpy(), squared, rtol=1e-5)


@pytest.mark.parametrize("of_patches", [False, True])
def test_what_is_visible_has_no_gradient_and_no_gradient_is_nan(of_patches):
    _, completed, hidden, labels = rows()
    predicted = (patches(completed, 2) if of_patches else completed).requires_grad_()
    PROBLEM.loss(predicted, labels).sum().backward()
    slope = predicted.grad if of_patches else patches(predicted.grad, 2)
    assert torch.equal(slope.ne(0).all(-1), hidden)
    assert torch.equal(slope.eq(0).all(-1), ~hidden)


@pytest.mark.parametrize("normed", [False, True])
def test_a_vitmae_has_the_loss_of_its_own_head(normed):
    torch.manual_seed(0)
    decoder = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    config = transformers.ViTMAEConfig(**SMALL, **decoder, decoder_intermediate_size=32, norm_pix_loss=normed)
    model = transformers.ViTMAEForPreTraining(config).eval()
    images, noise = torch.randn(3, 3, 8, 8), torch.rand(3, 16)
    with torch.no_grad():
        found = model(images, noise=noise)
    values = model.patchify(images)
    assert torch.equal(values, patches(images, 2))
    if normed:
        values = (values - values.mean(-1, keepdim=True)) / (values.var(-1, keepdim=True) + 1e-6).sqrt()
    labels = values.masked_fill(~found.mask.bool()[..., None], float("nan"))
    ours = PROBLEM.loss(logits_of(found), labels).sum() / PROBLEM.count(labels)
    assert ours.item() == pytest.approx(found.loss.item(), rel=1e-5)


def test_a_vit_has_the_loss_of_its_own_head():
    torch.manual_seed(0)
    model = transformers.ViTForMaskedImageModeling(transformers.ViTConfig(**SMALL, encoder_stride=2)).eval()
    images, hidden = torch.randn(3, 3, 8, 8), torch.rand(3, 16) < 0.6
    with torch.no_grad():
        found = model(images, bool_masked_pos=hidden)
    labels = patches(images, 2).masked_fill(~hidden[..., None], float("nan"))
    ours = PROBLEM.loss(logits_of(found), labels).sum() / PROBLEM.count(labels)
    assert ours.item() == pytest.approx(found.loss.item(), rel=1e-5)


def test_two_answers_are_as_far_apart_as_their_pixels():
    _, completed, _, labels = rows()
    assert PROBLEM.divergence(completed, completed + 2).tolist() == pytest.approx([4.0] * 3)
    assert torch.equal(PROBLEM.probabilities(completed), completed)
    stored = PROBLEM.answers(torch.tensor([[1.5, 4.0]]), torch.zeros(1))
    assert {name: value.tolist() for name, value in stored.items()} == {"losses": [1.5], "targets": [4.0]}
    assert PROBLEM.uniform(3) is None
    assert labels.isnan().any()

"""Predict the pixels of hidden patches; the targets are made from the inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.tasks.measure import Measure
from hfft.tasks.problem.base import Problem, precise

if TYPE_CHECKING:
    from torch import Tensor


class MaskedPatches(Problem):
    """Completed images `(B, C, H, W)` or patches `(B, N, D)`, labels `(B, N, D)`: pixels of hidden patches, NaN in all others.

    Before a batch is on its device, labels say only which patches are hidden: `(B, N)` bool. The error is that of transformers'
    own heads: absolute for images (SimMIM, arXiv:2111.09886), squared for patches (MAE, arXiv:2111.06377).
    """

    name = "masked_image_modelling"
    per_token = True
    unit = "error of a hidden pixel"
    metrics = {"reconstruction_loss": Measure("reconstruction_loss", smaller_is_better=True)}
    default_metrics = ("reconstruction_loss",)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Error of each row, `(B,)`: the mean over the pixels of a patch, summed over the hidden patches."""
        hidden, predicted = hidden_patches(labels), precise(logits)
        whole = predicted.ndim == 4
        if whole:
            edge = round((labels.shape[-1] / predicted.shape[1]) ** 0.5)
            predicted = patches(predicted, edge)
        # not multiplied by the mask: the gradient of a NaN stays one
        apart = predicted - torch.where(hidden[..., None], labels.to(predicted.dtype), predicted.detach())
        return (apart.abs() if whole else apart.square()).mean(-1).sum(1)

    def targets(self, labels: Tensor) -> Tensor:
        """Number of hidden patches in each row."""
        return hidden_patches(labels).sum(1).float()

    def count(self, labels: Tensor) -> Tensor:
        """Number of hidden patches in the batch."""
        return hidden_patches(labels).sum()

    def divergence(self, p: Tensor, q: Tensor) -> Tensor:
        """Squared distance, averaged over the pixels, as for numbers."""
        return (precise(p) - precise(q)).square().flatten(1).mean(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """The pixels themselves."""
        return precise(logits)

    def answers(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Error and number of hidden patches of each row, stored instead of its pixels: `(B, 2)`."""
        return {"losses": logits[:, 0], "targets": logits[:, 1]}


def hidden_patches(labels: Tensor) -> Tensor:
    """Which patches of each row are hidden, `(B, N)` bool, from labels of either form."""
    return labels if labels.dtype == torch.bool else ~labels[..., 0].isnan()


def patches(images: Tensor, edge: int) -> Tensor:
    """Images `(B, C, H, W)` cut into patches `(B, N, edge * edge * C)`, row by row; the order in a patch is that of ViTMAE."""
    batch, channels, height, width = images.shape
    cut = images.reshape(batch, channels, height // edge, edge, width // edge, edge)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, edge * edge * channels)

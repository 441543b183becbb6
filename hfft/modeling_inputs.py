"""Models that read another input: text transformers by a layer in the place of their table of tokens, and models of series.

The source of these classes is saved beside a model, behind that of `hfft.modeling`, and uses only what that module imports.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization as init

from hfft.modeling import on_first_tensor


class Patches(nn.Module):
    """Patches of an image, or pieces of a series, each as one embedding by one linear layer (Lu et al., arXiv:2103.05247).

    Args:
        features: width of an embedding.
        patch: side of a square patch in pixels, or time steps of a piece.
        channels: channels of the input.
        size: height and width of the image, or time steps of the series.
    """

    def __init__(self, features: int, patch: int, channels: int, size: list[int]):
        super().__init__()
        self.patch, self.size = patch, list(size)
        self.projection = nn.Linear(channels * patch ** len(size), features)
        self.reset()

    def reset(self) -> None:
        """Initialise as the paper's code does: orthogonal rows with gain 1.41, so that embeddings have the scale of tokens'."""
        init.orthogonal_(self.projection.weight, gain=1.41)
        init.zeros_(self.projection.bias)

    def forward(self, values: Tensor) -> Tensor:
        """Images `(B, C, H, W)`, row by row, or series `(B, T, C)`, to `(B, N, features)`; ends are filled up with zeros."""
        p = self.patch
        values = values.to(self.projection.weight.dtype)
        if values.ndim == 4:
            values = F.pad(values, (0, -values.shape[3] % p, 0, -values.shape[2] % p))
            pieces = F.unfold(values, p, stride=p).transpose(1, 2)
        else:
            values = F.pad(values, (0, 0, 0, -values.shape[1] % p))
            pieces = values.unflatten(1, (-1, p)).flatten(2)
        return self.projection(pieces)


class CrossModal:
    """Mixed into a bare text transformer: it reads `main_input_name` by `Patches`, as its config's `cross_modal` says."""

    def __init__(self, config: Any, **kwargs: Any):
        if "add_pooling_layer" in inspect.signature(super().__init__).parameters:
            kwargs["add_pooling_layer"] = False
        super().__init__(config, **kwargs)  # type: ignore[call-arg]
        base: Any = self
        width = base.get_input_embeddings().weight.shape[1]
        base.set_input_embeddings(Patches(width, **config.cross_modal))

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[misc]
        if isinstance(module, Patches):
            module.reset()

    def forward(self, pixel_values: Tensor | None = None, past_values: Tensor | None = None, **kwargs: Any) -> Any:
        """The states `(B, N, C)` of all patches of images `(B, channels, H, W)` or series `(B, T, channels)`."""
        base: Any = self
        embedded = base.get_input_embeddings()(past_values if pixel_values is None else pixel_values)
        return super().forward(inputs_embeds=embedded, **kwargs)  # type: ignore[misc]


class ChannelSeries:
    """Mixed into a bare transformer of series that keeps their channels apart (PatchTST, arXiv:2211.14730; PatchTSMixer).

    Its states `(B, C, N, D)` become those of N positions, each with the states of all channels one behind the other.
    """

    def __init__(self, config: Any, **kwargs: Any):
        if getattr(config, "do_mask_input", False):  # set by pretraining, as transformers' own classifier knows
            config.do_mask_input = False
        super().__init__(config, **kwargs)  # type: ignore[call-arg]

    def forward(self, past_values: Tensor, **kwargs: Any) -> Any:
        """States `(B, N, C * D)` of series `(B, T, C)`."""
        output = super().forward(past_values=past_values, **kwargs)  # type: ignore[misc]
        return on_first_tensor(output, lambda x: x.transpose(1, 2).flatten(2) if x.ndim == 4 else x)


SAVED = {CrossModal: (Patches, CrossModal), ChannelSeries: (ChannelSeries,)}

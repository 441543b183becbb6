"""Let rows skip random blocks (stochastic depth; Huang et al. 2016, arXiv:1603.09382), as DeiT, BEiT and MAE are fine-tuned."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hfft.errors import BadInput
from hfft.eval_mode import eval_mode
from hfft.lazy import torch
from hfft.strategy.method import Batch, Method, MethodSpec, Setting
from hfft.strategy.tensors import states_of, with_states

if TYPE_CHECKING:
    from torch import Tensor, nn

OWN = ("drop_path_rate", "drop_path")  # entries of configs


class DropPath(MethodSpec):
    """Probability that a row skips the last block in a step; it falls evenly to 0 at the first block.

    For images and a backbone whose blocks add to what they read, such as a ViT's. A skipped block is skipped whole, its
    attention and its MLP; a frozen one always runs. MAE fine-tunes ViT-B with 0.1, ViT-L with 0.2 and ViT-H with 0.3.
    """

    main = "rate"
    rate: float = Field(default=0.1, ge=0, lt=1)

    def build(self) -> Method | None:
        """The method; None if the rate is 0."""
        return Skipping(self) if self.rate else None


class Skipping(Method):
    """Blocks pass on what they read, or their output, during training passes; never in evaluation.

    What a row skips depends on (seed, epoch, row) and the part of the batch alone, so that any split of it is the same step.
    """

    needs = frozenset({"images", "rows"})
    salt = 11

    def __init__(self, spec: DropPath):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Find the blocks.

        Raises:
            BadInput: the model has drop path of its own, or blocks that return another shape than they read.
        """
        config: Any = getattr(setting.model, "config", None)
        for name in OWN:
            if hasattr(config, name):
                raise BadInput(
                    f"strategy.drop_path: a {config.model_type} has drop path of its own; set "
                    f"backbone.config={{{name}: {self.spec.rate:g}}} instead"
                )
        self.inspector = setting.inspector
        blocks = self.inspector.blocks_of(setting.model)
        if unlike := _changing_shape(setting.model, blocks, self.inspector.sample()):
            raise BadInput(
                f"strategy.drop_path: block {unlike[0] + 1} of {len(blocks)} returns another shape than it reads, so no row "
                f"can skip it; leave it out"
            )

    @contextlib.contextmanager
    def around(self, model: nn.Module, batch: Batch) -> Iterator[None]:
        """Let each block that learns be skipped by its rows."""
        assert batch.rows is not None
        blocks = self.inspector.blocks_of(model)
        parts = [batch.at.draws(batch.rows, len(blocks), self.salt + 100 * k) for k in range(len(batch.parts))]
        draws = torch.cat([torch.from_numpy(part) for part in parts])
        handles = [
            block.register_forward_hook(_skipped(draws[:, i], rate), with_kwargs=True)
            for i, (block, rate) in enumerate(zip(blocks, rates(self.spec.rate, len(blocks)), strict=True))
            if rate and any(p.requires_grad for p in block.parameters())
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _skipped(draws: Tensor, rate: float) -> Any:
    """A hook of a block; where only the first positions are computed, as of a last block, only those are returned."""

    def hook(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
        before, after = _read(inputs, named), states_of(output)
        if not module.training or len(after) != len(draws):  # another number of rows: the search for a frozen prefix
            return output
        return with_states(output, drop_path(before[:, : after.shape[1]], after, draws.to(after.device), rate))

    return hook


def _read(inputs: tuple[Any, ...], named: dict[str, Any]) -> Tensor:
    return inputs[0] if inputs else next(value for value in named.values() if torch.is_tensor(value))


def _changing_shape(model: nn.Module, blocks: list[nn.Module], sample: dict[str, Any]) -> list[int]:
    """The blocks that return another shape than they read."""
    found = []

    def compare(i: int) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            if states_of(output).shape != _read(inputs, named).shape:
                found.append(i)

        return hook

    handles = [block.register_forward_hook(compare(i), with_kwargs=True) for i, block in enumerate(blocks)]
    try:
        with torch.no_grad(), eval_mode(model):
            model(**{name: value for name, value in sample.items() if name != "labels"})
    finally:
        for handle in handles:
            handle.remove()
    return found


def rates(rate: float, blocks: int) -> list[float]:
    """The probability of each block: from 0 at the first one to `rate` at the last one."""
    return [rate * i / (blocks - 1) for i in range(blocks)] if blocks > 1 else [rate]


def drop_path(before: Tensor, after: Tensor, draws: Tensor, rate: float) -> Tensor:
    """`before + m * (after - before) / (1 - rate)` of each row, m being 0 where its draw is below the rate and otherwise 1.

    Args:
        before, after: what a block reads and returns, `(B, …)`; its mean over draws is `after`.
        draws: `(B,)` in [0, 1).
        rate: in [0, 1).
    """
    kept = (draws >= rate).to(after.dtype).view(-1, *[1] * (after.ndim - 1))
    return before + (after - before) * kept / (1 - rate)

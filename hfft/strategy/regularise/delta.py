"""Keep the outputs of blocks near those of the pretrained model (DELTA; Li et al. 2019, arXiv:1901.09229)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.strategy.method import TASK, At, Batch, Method, MethodSpec, Pass, Setting
from hfft.strategy.tensors import states_of, with_states
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hfft.tasks.problem import Problem

SALT = 19  # of the rows that are drawn
DECAY = 1e-3  # of the classifier on the start's features, so that it is unique


class DELTA(MethodSpec):
    """Penalise how far the outputs of blocks have moved from the pretrained model's, which runs beside the model.

    Attributes:
        weight: factor of the distance. The paper's code uses 0.01, for images; in short runs on texts that costs points.
        blocks: depths of the blocks, from 1 at the input, or from -1 at the head; None for four, evenly spaced up to the last.
        attention: weight each channel by how much the loss rises without it. Measured once, with a pass for each channel.
        rows: number of training rows, drawn at random, on which attention is measured.
    """

    main = "weight"
    weight: WeightSpec = 0.001
    blocks: list[int] | None = Field(default=None, min_length=1)
    attention: bool = False
    rows: int = Field(default=64, ge=1)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else NearOutputs(self)


class NearOutputs(Method):
    """Adds the distance of each row's outputs from the pretrained model's, which runs in `eval()`: no dropout, its own norms.

    The distance is the mean over positions, as in the paper's code with attention, so that one weight suits all sizes of
    inputs. Its second term, the decay of the head, is left to weight decay.
    """

    def __init__(self, spec: DELTA):
        self.spec, self.weight = spec, Weight(spec.weight, default=0.001)
        self.needs = frozenset({"states", "rows"} if spec.attention else {"states"})
        self.attention: dict[int, Tensor] = {}  # depth -> a factor per channel

    def start(self, setting: Setting) -> None:
        """Copy the pretrained model.

        Raises:
            BadInput: it does not have the blocks.
        """
        self.setting, total = setting, len(setting.inspector.blocks_of(setting.model))
        self.states = tuple(self.spec.blocks or evenly(total))
        wrong = [depth for depth in self.states if depth == 0 or abs(depth) > total]
        if wrong or not self.states:
            raise BadInput(
                f"strategy.delta.blocks: {wrong[0] if wrong else 'none'}, but the model has {total} blocks; choose from "
                f"1 to {total}, or leave delta out"
            )
        self.before = copy.deepcopy(setting.model).requires_grad_(False).eval().to(setting.device)
        self.reader = setting.inspector.reader(self.before, states=self.states)

    def epoch(self, model: nn.Module, outputs_of: Callable[[str], Any], at: At) -> None:
        """Measure the attention, once; a checkpoint contains it."""
        if self.spec.attention and not self.attention:
            self.attention = self._measured()

    def batch(self, batch: Batch) -> None:
        """Run the pretrained model on the rows as they are now, mixed or not."""
        inputs = batch.part(TASK)
        with torch.no_grad(), self.reader.on():
            self.before(**inputs)
            batch.notes[self.name] = self.reader.take()[1], inputs.get("attention_mask")

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted distance, summed over the blocks.

        Raises:
            BadInput: a block's output has not one position per token.
        """
        before, mask = seen.notes[self.name]
        n, total = len(seen.labels), torch.zeros((), device=seen.labels.device)
        for depth in self.states:
            now, then = seen.states[TASK][depth], before[depth][:n]
            if mask is not None and mask.shape[1:] != now.shape[1:2]:
                raise BadInput(
                    f"strategy.delta.blocks: {depth}, but the output of that block has not one position per token; choose "
                    "others, or leave delta out"
                )
            factors = self.attention.get(depth)
            total = total + delta(now, then, None if mask is None else mask[:n], factors)
        return {"delta": self.weight(seen.at) * total}

    def state(self) -> dict[str, Tensor]:
        """The attention."""
        return {str(depth): factors for depth, factors in self.attention.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore it."""
        self.attention = {int(depth): factors.to(self.setting.device) for depth, factors in state.items()}

    def _measured(self) -> dict[int, Tensor]:
        """Depth -> attention of its channels: the loss of a classifier on the start's features, with each channel at zero."""
        setting, inspector = self.setting, self.setting.inspector
        assert setting.rows is not None
        found = inspector.outputs_of(self.before)
        weight = classifier(setting.problem, found.features, found.labels, setting.outputs)
        chosen = np.sort(np.random.default_rng((setting.seed, SALT)).permutation(setting.rows)[: self.spec.rows])
        inputs = inspector.inputs_of(chosen.tolist())
        labels = inputs.pop("labels").cpu()
        reader = inspector.reader(self.before, features=True)

        def loss() -> Tensor:
            with torch.no_grad(), reader.on():
                self.before(**inputs)
                features = with_one(reader.take()[0].double().cpu())
            return setting.problem.loss(features @ weight, labels).mean()

        whole, measured = loss(), {}
        for depth in self.states:
            block, rises = inspector.blocks_of(self.before)[depth - 1 if depth > 0 else depth], []
            for channel in range(found_channels(self.reader, self.before, inputs, depth)):
                handle = block.register_forward_hook(without(channel))
                rises.append(loss() - whole)
                handle.remove()
            measured[depth] = channel_attention(torch.stack(rises)).float().to(setting.device)
        return measured


def evenly(blocks: int, count: int = 4) -> list[int]:
    """At most `count` depths from 1 to `blocks`, evenly spaced up to the last."""
    return sorted({-(-blocks * part // count) for part in range(1, count + 1)} - {0})


def channels_last(states: Tensor) -> Tensor:
    """States of a block, `(B, T, D)`, `(B, C, H, W)` or `(B, D)`, as `(B, positions, channels)`."""
    return states.flatten(2).transpose(1, 2) if states.ndim == 4 else states[:, None] if states.ndim == 2 else states


def found_channels(reader: Any, model: nn.Module, inputs: Mapping[str, Any], depth: int) -> int:
    """Number of channels of a block's output."""
    with torch.no_grad(), reader.on():
        model(**inputs)
        return channels_last(reader.take()[1][depth]).shape[-1]


def without(channel: int) -> Callable[[nn.Module, Any, Any], Any]:
    """A forward hook that sets a channel of a block's output to zero."""

    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        masked = states_of(output).clone()
        masked.select(1 if masked.ndim == 4 else -1, channel).zero_()
        return with_states(output, masked)

    return hook


def with_one(features: Tensor) -> Tensor:
    """Features `(N, D)` with a column of ones, for a bias: `(N, D + 1)`."""
    return torch.cat([features, torch.ones_like(features[:, :1])], 1)


def classifier(problem: Problem, features: Tensor, labels: Tensor, outputs: int) -> Tensor:
    """The linear model of labels on features `(N, D)` with the least mean loss and a small weight decay: `(D + 1, outputs)`."""
    rows = with_one(features.double())
    weight = torch.zeros(rows.shape[1], outputs, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = problem.loss(rows @ weight, labels).mean() + DECAY * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach()


def channel_attention(rises: Tensor) -> Tensor:
    """Weights of channels from how much the loss rises without each, `(C,)`: a softmax, times C, so that their mean is 1.

    As in the authors' code, of the standardised rises divided by 5. The paper's equation takes the rises themselves; without
    one of many channels the loss hardly rises, and the weights would all be close to 1.
    """
    standard = (rises - rises.mean()) / rises.std(correction=0).clamp(min=torch.finfo(rises.dtype).tiny)
    return len(rises) * (standard / 5).softmax(0)


def delta(states: Tensor, start: Tensor, mask: Tensor | None = None, attention: Tensor | None = None) -> Tensor:
    """Half the squared distance between outputs of a block, `1/2 * sum_c a_c mean_t (z - z0)^2`: `(B,)`.

    Args:
        states, start: of the model and of the pretrained one, `(B, T, D)`, `(B, C, H, W)` or `(B, D)`.
        mask: `(B, T)`, 1 where a position counts and 0 for padding; None if all do.
        attention: `(C,)` factors of the channels, of mean 1; None for the same factor.
    """
    apart = channels_last((states - start.to(states)).square())
    if mask is None:
        mean = apart.mean(1)
    else:
        counts = mask.to(apart)[:, :, None]
        mean = (apart * counts).sum(1) / counts.sum(1).clamp(min=1)
    return (mean if attention is None else mean * attention.to(mean)).sum(1) / 2

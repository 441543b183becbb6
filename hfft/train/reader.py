"""Captures what methods need from a forward pass besides the logits: the head's input features, and states of blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from hfft import head, layers
from hfft.errors import BadInput


class Reader:
    """Captures tensors inside a model.

    Features are captured in the `forward` of the head's last layer, inside the wrapper through which the frozen cache
    supplies its inputs: a hook would see the placeholder that a cached row passes through the layers before the cut.

    Args:
        features: whether to capture the input of the head's last layer.
        states: depths of blocks whose outputs to capture; negative ones count from the head.
    """

    def __init__(self, model: nn.Module, features: bool, states: Sequence[int] = ()):
        self.model = model
        self._features: Tensor | None = None
        self._states: dict[int, Tensor] = {}
        self._last = last_layer(model) if features else None
        self._blocks: dict[int, nn.Module] = {}
        if states:
            base: Any = model.get_base_model() if hasattr(model, "peft_config") else model  # type: ignore[operator]
            paths = layers.block_paths(base)
            for depth in states:
                block = paths[depth - 1 if depth > 0 else depth]
                self._blocks[depth] = base.get_submodule(block[0])

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Inside, forward passes are captured. A backward pass that recomputes must also run inside."""
        if self._last is None and not self._blocks:
            yield
            return
        handles = [block.register_forward_hook(self._state(depth)) for depth, block in self._blocks.items()]
        own = None if self._last is None else self._last.__dict__
        before = None if own is None else own.get("forward")
        if own is not None:
            own["forward"] = self._catching(self._last.forward)  # type: ignore[union-attr]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            if own is not None and before is None:
                del own["forward"]
            elif own is not None:
                own["forward"] = before
            self._features, self._states = None, {}

    def forget(self) -> None:
        """Discard what earlier passes captured."""
        self._features, self._states = None, {}

    def take(self) -> tuple[Tensor | None, dict[int, Tensor]]:
        """Return and discard what was captured: features `(B, D)`, and depth -> states.

        Raises:
            BadInput: the head's input is not one vector per row.
        """
        features, states, self._features, self._states = self._features, self._states, None, {}
        if features is not None and features.ndim != 2:
            raise BadInput(
                f"strategy: the head of {type(self.model).__name__} reads features of each position, "
                f"{tuple(features.shape)}, but a method needs one vector per row; leave the method out"
            )
        return features, states

    def _catching(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(features: Tensor, *args: Any, **kwargs: Any) -> Any:
            if self._features is None:  # if the pass is recomputed, the first one counts
                self._features = features
            return forward(features, *args, **kwargs)

        return run

    def _state(self, depth: int) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            self._states.setdefault(depth, output if isinstance(output, Tensor) else output[0])

        return hook


def last_layer(model: nn.Module) -> nn.Module:
    """The module of the head whose outputs are the logits, even inside an adapter's copy of it."""
    base: Any = model.get_base_model() if hasattr(model, "peft_config") else model  # type: ignore[operator]
    path = next(iter(head.output_parameters(base))).rpartition(".")[0]
    found = None
    for name, module in base.named_modules():
        plain = name.replace(".modules_to_save.default", "").replace(".base_layer", "")
        if plain == path and "original_module" not in name and next(module.parameters(recurse=False), None) is not None:
            found = module
    assert found is not None, path
    return found

"""The state of methods in checkpoints: a safetensors file beside the model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from hfft.strategy.method import Method
from hfft.strategy.tensors import whole

FILE = "methods.safetensors"
_MODULES = "modules/"  # prefix of the tensors of a method's modules
_WEIGHT = "weight/"  # of the state of its weight, if that adapts


def state_of(methods: Sequence[Method]) -> dict[str, Tensor]:
    """`method/name` -> tensor, gathered if FSDP shards it; all processes must call this."""
    found: dict[str, Tensor] = {}
    for method in methods:
        own = dict(method.state())
        own |= {f"{_WEIGHT}{name}": tensor for name, tensor in method.weight.state().items()}
        if (modules := method.modules()) is not None:
            own |= {f"{_MODULES}{name}": tensor for name, tensor in modules.state_dict().items()}
        found |= {f"{method.name}/{name}": whole(tensor).detach().contiguous() for name, tensor in own.items()}
    return found


def load_state(methods: Sequence[Method], state: Mapping[str, Tensor]) -> None:
    """Restore each method from what `state_of` returned."""
    for method in methods:
        own = {key.partition("/")[2]: tensor for key, tensor in state.items() if key.partition("/")[0] == method.name}
        inside = {key.removeprefix(_MODULES): tensor for key, tensor in own.items() if key.startswith(_MODULES)}
        if inside and (modules := method.modules()) is not None:
            modules.load_state_dict(inside)
        current = {key.removeprefix(_WEIGHT): tensor for key, tensor in own.items() if key.startswith(_WEIGHT)}
        if current:
            method.weight.load(current)
        if rest := {key: tensor for key, tensor in own.items() if not key.startswith((_MODULES, _WEIGHT))}:
            method.load(rest)


def save(methods: Sequence[Method], folder: Path, writes: bool) -> None:
    """Write the state, if there is any, into a checkpoint; all processes must call this, and those with `writes` set write."""
    if (state := state_of(methods)) and writes:
        save_file(state, folder / FILE)


def load(methods: Sequence[Method], folder: str | None) -> None:
    """Restore what `save` wrote, from tensors on the CPU; does nothing if there is no file."""
    path = Path(folder or "") / FILE
    if folder and path.is_file():
        load_state(methods, load_file(path))

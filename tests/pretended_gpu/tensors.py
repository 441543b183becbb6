"""Tensors that say they are on a GPU, and what becomes of each operation on them."""

from __future__ import annotations

from typing import Any

import torch
import torch.cuda
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from tests.pretended_gpu.cuda import GPU, Waits, stand_ins

CROSSING = {"aten::copy_", "aten::_to_copy"}
READING = {"aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero"}  # answer in the host's memory
SIZING = {"aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::unique_dim"}  # as large as values say
INDEXING = {"aten::index", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_"}
waits = Waits()


class OnGPU(Tensor):
    """A tensor of the device; `numbers` is where its values really are."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor) -> OnGPU:
        """Wrap them."""
        places = {"strides": numbers.stride(), "storage_offset": numbers.storage_offset()}
        kind = {"dtype": numbers.dtype, "layout": numbers.layout, "device": GPU}
        made = torch.Tensor._make_wrapper_subclass(cls, numbers.shape, **places, **kind)
        made.numbers = numbers
        return made

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation."""
        return run(operation, args, kwargs or {})

    def __repr__(self) -> str:
        return f"on_gpu({self.numbers})"

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")

    __array__ = numpy

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def untyped_storage(self) -> Any:
        return self.numbers.untyped_storage()

    def data_ptr(self) -> int:
        return self.numbers.data_ptr()

    def __deepcopy__(self, memo: dict[int, Any]) -> OnGPU:
        if id(self) not in memo:
            memo[id(self)] = made = OnGPU(self.numbers.detach().clone()).requires_grad_(self.requires_grad)
            if getattr(self, "_is_param", False):
                made._is_param = True
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return OnGPU, (self.numbers.detach(),)


class Watching(TorchDispatchMode):
    """Sees the operations that no tensor of the GPU goes into, such as those that make one."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation."""
        return run(operation, args, kwargs or {})


def run(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute on the CPU what would be computed on the GPU, or crosses between them.

    Raises:
        RuntimeError: tensors of both devices, which a GPU would refuse.
    """
    name = operation._schema.name
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    on_gpu = [tensor for tensor in given if isinstance(tensor, OnGPU)]
    on_host = [tensor for tensor in given if not isinstance(tensor, OnGPU)]
    if name == "aten::is_pinned":
        return not on_gpu and getattr(given[0], "pinned", False)
    wanted = kwargs.get("device")
    there = bool(on_gpu) if wanted is None else torch.device(wanted).type == "cuda"
    _judge(name, args, kwargs, on_gpu, on_host, there)
    plain = tree_map(lambda leaf: leaf.numbers if isinstance(leaf, OnGPU) else leaf, (args, kwargs))
    pinned = plain[1].pop("pin_memory", None)
    if there and wanted is not None:
        plain[1]["device"] = torch.device("cpu")
    found = operation(*plain[0], **plain[1])
    known = {id(tensor.numbers): tensor for tensor in on_gpu} | {id(tensor): tensor for tensor in on_host}
    there = there and name not in READING

    def back(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        leaf = known.get(id(leaf)) if id(leaf) in known else OnGPU(leaf) if there else leaf
        if pinned:
            leaf.pinned = True
        return leaf

    return tree_map(back, found)


def _judge(name: str, args: Any, kwargs: Any, on_gpu: list[OnGPU], on_host: list[Tensor], there: bool) -> None:
    """Refuse what a GPU refuses, and note what the host waits for."""
    later = kwargs.get("non_blocking") or (name == "aten::copy_" and len(args) > 2 and args[2])
    indices = [i for i in tree_leaves(args[1]) if isinstance(i, Tensor)] if name in INDEXING else []
    if name in CROSSING:
        if ((on_gpu and on_host) or (on_gpu and not there) or (on_host and there)) and not later:
            waits.note("copy between host and GPU")
        return
    if on_gpu and any(tensor.ndim for tensor in on_host):
        if not (name in INDEXING and isinstance(args[0], OnGPU)):
            raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got cuda:0 and cpu")
        waits.note("index from the host's memory")
    if on_gpu and (name in READING | SIZING or (name == "aten::index" and any(i.dtype == torch.bool for i in indices))):
        waits.note(name.removeprefix("aten::"))


def begin() -> None:
    """Let torch have the device."""
    for name, stand_in in stand_ins(waits).items():
        setattr(torch.cuda, name, stand_in)
        if hasattr(torch.cuda.random, name):
            setattr(torch.cuda.random, name, stand_in)
    torch.version.cuda = "13.0"
    torch.accelerator.current_device_index = lambda: 0
    torch.accelerator.set_device_index = lambda *_: None
    torch.accelerator.is_available = lambda: True
    torch.accelerator.current_accelerator = lambda *_, **__: torch.device("cuda")
    torch.Tensor.pin_memory = _pinned
    torch.nn.Module.to = _moved(torch.nn.Module.to)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor(…, device="cuda")` is made here and then moved
    torch.serialization.add_safe_globals([OnGPU])
    Watching().__enter__()


def _pinned(tensor: Tensor, *_: Any) -> Tensor:
    if isinstance(tensor, OnGPU):
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
    copy = tensor.clone()
    copy.pinned = True
    return copy


def _moved(to: Any) -> Any:
    """`Module.to` that leaves parameters that are there already as they are: an optimiser may hold them."""

    def moved(module: Any, *args: Any, **kwargs: Any) -> Any:
        device, dtype, _, memory_format = torch._C._nn._parse_to(*args, **kwargs)
        tensors = [*module.parameters(), *module.buffers()]
        there = device is not None and all(tensor.device.type == device.type for tensor in tensors)
        return module if there and dtype is None and memory_format is None else to(module, *args, **kwargs)

    return moved

"""Put a PEFT adapter on a model: what its type needs is found from the model's structure, and the head is trained in full."""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from hfft import head
from hfft.errors import ModelError
from hfft.layers.adapters.arguments import PROMPTS, plain
from hfft.layers.adapters.arguments import arguments as known_arguments
from hfft.layers.adapters.names_check import check_named
from hfft.layers.depth import Depths
from hfft.layers.select import norms
from hfft.modeling import INSERTED
from hfft.modeling_inputs import Patches
from hfft.wording import first_line

Shapes = Sequence[tuple[int, int]]  # (inputs, outputs) of each adapted layer


def add_adapter(
    model: PreTrainedModel,
    adapter: dict[str, Any],
    depths: Depths,
    head_names: set[str],
    new_tokens: Sequence[int] = (),
) -> nn.Module:
    """Wrap a model in a new adapter of the given type and arguments; arguments left out are found from the model's structure.

    Args:
        new_tokens: rows of the embedding table that are trained with the adapter, if its type can.

    Raises:
        ModelError: the architecture cannot take the adapter.
    """
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kind, given = plain(adapter)
    config_class = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(kind.upper())]
    check_named(model, given, head_names)
    with fitting(model):
        settled = {key: value for key, value in given.items() if value is not None and key != "target_modules"}
        found = _found(model, kind, given, depths, head_names)
        if new_tokens and "trainable_token_indices" in known_arguments(kind):
            found["trainable_token_indices"] = list(new_tokens)
        arguments = {**found, **settled}
        return wrap(model, config_class(**arguments), head_names, given.get("modules_to_save") or [])


def wrap(model: PreTrainedModel, config: Any, head_names: set[str], named: Sequence[str] = ()) -> nn.Module:
    """Wrap a model according to a PEFT config; the adapter also trains and saves the head, the inserted modules
    (`hfft.modeling`), a new input layer and the modules in `named`.

    Raises:
        ModelError: the architecture cannot take the adapter, or no parameter of the adapter learns.
    """
    from peft import get_peft_model

    tops = [
        *head.top_modules(model, head_names),
        *(path for path, module in model.named_modules() if _is_inserted(path) or isinstance(module, Patches)),
    ]
    config.modules_to_save = [*tops, *named]
    with fitting(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT detects on its own that GPT-2's layers store their weights transposed
        adapted = get_peft_model(model, config)
        _hold_namesakes(adapted.get_base_model(), tops, list(named))
        saved = tuple(f".{path}.modules_to_save" for path in tops)
        if not any(p.requires_grad and not any(s in name for s in saved) for name, p in adapted.named_parameters()):
            raise ValueError("the model has no layer of a kind that this adapter type adapts")
    mend_convolutions(adapted)
    return adapted


@contextlib.contextmanager
def fitting(model: PreTrainedModel) -> Iterator[None]:
    """Turn any error that PEFT raises inside the block, when an architecture cannot take an adapter, into one clear error."""
    try:
        yield
    except (TypeError, ValueError, KeyError, AttributeError, NotImplementedError, RuntimeError) as error:
        raise ModelError(
            f"layers.adapter: {model.config.model_type} cannot take this adapter: {first_line(error)}"
        ) from error


def mend_convolutions(adapted: nn.Module) -> None:
    """Copy stride, padding and the like to adapted convolutions: some architectures (MobileNet) read them to compute padding."""
    for module in adapted.modules():
        if isinstance(base := getattr(module, "base_layer", None), nn.Conv2d):
            for entry in ("kernel_size", "stride", "padding", "dilation", "groups"):
                setattr(module, entry, getattr(base, entry))


def merged(adapted: Any) -> PreTrainedModel:
    """The plain model with the adapter merged into its weights; the adapted model must not be used afterwards."""
    from peft.utils import ModulesToSaveWrapper

    # When PEFT restores a merged layer, some types read the layer's weight, which a head of several layers does not have.
    adapted.base_model._replace_module = lambda parent, name, new, _: setattr(parent, name, new)
    model = adapted.merge_and_unload()
    for path, module in list(model.named_modules()):  # one adapter type leaves these wrappers in place
        if isinstance(module, ModulesToSaveWrapper):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, module.modules_to_save[module.active_adapters[0]])
    return model


def virtual_tokens(model: nn.Module) -> int:
    """The number of learned tokens that an adapter prepends to every text: positions that the text itself does not have."""
    configs = getattr(model, "peft_config", {}).values()
    return sum(config.num_virtual_tokens for config in configs if config.is_prompt_learning)


# --- arguments that an adapter type needs


def _divisor(numbers: Sequence[int], most: int) -> int:
    """The largest number up to `most` that divides them all."""
    common = math.gcd(*numbers)
    return max(n for n in range(1, min(most, common) + 1) if common % n == 0)


def _smallest(shapes: Shapes) -> int:
    return min(min(shape) for shape in shapes)


def _all(shapes: Shapes) -> list[int]:
    return [n for shape in shapes for n in shape]


# PEFT's default if it fits, otherwise the nearest value that fits all layers: PEFT checks these only while it builds the layers.
_SIZES: dict[str, Callable[[Shapes], dict[str, Any]]] = {
    "boft": lambda s: {"boft_block_size": _divisor([n for n, _ in s], 4)},
    "c3a": lambda s: {"block_size": _divisor(_all(s), 256)},
    "fourierft": lambda s: {"n_frequency": min(1000, *(n * m for n, m in s))},
    "gralora": lambda s: {"gralora_k": _divisor(_all(s), 2)},
    "miss": lambda s: {"r": min(64, *(n for n, _ in s))},
    "oft": lambda s: {"oft_block_size": _divisor([n for n, _ in s], 32)},
    "psoft": lambda s: {"r": min(32, _smallest(s))},
    "road": lambda s: {"group_size": 2 * _divisor([m // 2 for _, m in s], 32)},
    "shira": lambda s: {"r": min(32, *(n * m // (n + m) for n, m in s))},
    "vblora": lambda s: {"vector_length": _divisor(_all(s), 256)},
    "waveft": lambda s: {"n_frequency": min(2592, *(n * m for n, m in s))},
}
_ALWAYS: dict[str, dict[str, Any]] = {
    "adalora": {"total_step": 10**9},  # the trainer sets the real value when training begins
    "frod": {"progressbar": False},
    **{kind: {"num_virtual_tokens": 20, "task_type": "SEQ_CLS"} for kind in PROMPTS},
}


def _found(
    model: PreTrainedModel, kind: str, given: dict[str, Any], depths: Depths, head_names: set[str]
) -> dict[str, Any]:
    """The arguments that an adapter type needs and that follow from the model's structure."""
    if kind in PROMPTS:
        if (
            kind in ("prefix_tuning", "cartridge")
            and "past_key_values" not in inspect.signature(model.forward).parameters
        ):
            raise ValueError("its forward pass takes no past_key_values to hold a prefix; use prompt_tuning or lora")
        config, table = model.config.get_text_config(), model.get_input_embeddings()
        sizes = {
            "token_dim": table.weight.shape[1] if kind in ("prompt_tuning", "p_tuning") else None,
            "num_layers": getattr(config, "num_hidden_layers", None),
            "num_attention_heads": getattr(config, "num_attention_heads", None),
        }
        return {**_ALWAYS[kind], **{key: size for key, size in sizes.items() if size is not None}}
    modules = dict(model.named_modules())
    named = given.get("target_modules")
    if kind == "ln_tuning":
        scales = [path for path, module in norms(model) if _may_be_adapted(path, module)]
        return {"target_modules": [path for path in scales if f"{path}.weight" not in head_names]}
    paths = adapter_targets(model, depths) if named is None else _named(modules, named, head_names)
    if not paths and named is None and kind == "lora" and (matrices := adapter_parameters(model, depths)):
        return {"target_modules": [], "target_parameters": matrices}
    if not paths:
        what = (
            "its blocks have no plain linear layer or convolution"
            if named is None
            else "none of the layers in target_modules can be adapted"
        )
        raise ValueError(what)
    shapes = {path: shape for path in paths if (shape := _shape(modules[path]))}
    found: dict[str, Any] = {**_ALWAYS.get(kind, {}), "target_modules": paths}
    if given.get("layers_to_transform") is not None:  # PEFT ignores it when targets are given as full paths
        found["target_modules"] = sorted({path.rpartition(".")[2] for path in paths})
        found["exclude_modules"] = [path for path in modules if path and f"{path}.weight" in head_names]
    if kind == "ia3":  # scales the inputs of layers that project back from a wider space, and the outputs of all others
        found["feedforward_modules"] = [path for path, (inputs, outputs) in shapes.items() if inputs > outputs]
    if kind == "oft" and any(isinstance(modules[path], nn.Conv2d) for path in paths):
        raise ValueError("OFT on convolutions fails when feature maps are smaller than the kernel; use boft or lora")
    if shapes and kind in _SIZES:
        found |= _SIZES[kind](list(shapes.values()))
    return found


def _named(modules: dict[str, nn.Module], named: str | list[str], head_names: set[str]) -> list[str]:
    """The layers outside the head that PEFT would select for a list of names, a pattern or `all-linear`."""
    outside = [path for path in modules if path and not any(name.startswith(f"{path}.") for name in head_names)]
    outside = [path for path in outside if _may_be_adapted(path, modules[path])]
    if named == "all-linear":
        return [path for path in outside if isinstance(modules[path], (nn.Linear, Conv1D))]
    if isinstance(named, str):
        return [path for path in outside if re.fullmatch(named, path)]
    return [path for path in outside if any(path == name or path.endswith(f".{name}") for name in named)]


def _shape(module: nn.Module) -> tuple[int, int] | None:
    """Inputs and outputs of a layer as PEFT counts them: a convolution's inputs are multiplied by its kernel size."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):
        return module.nx, module.nf
    if isinstance(module, nn.Conv2d):
        return module.in_channels * math.prod(module.kernel_size), module.out_channels
    return None


def _hold_namesakes(model: nn.Module, tops: list[str], named: list[str]) -> None:
    """Freeze modules that PEFT made trainable only because their name ends like one of the head's: many names end in `norm`.

    The copies stay, because PEFT expects them when it loads the adapter.
    """
    from peft.utils import ModulesToSaveWrapper

    for path, module in model.named_modules():
        if isinstance(module, ModulesToSaveWrapper) and path not in tops and not path.endswith(tuple(named)):
            module.modules_to_save.requires_grad_(False)


# These layers are never called: Mamba reads the weight of its step projection and does the multiplication itself.
_READ_DIRECTLY = ("dt_proj",)


def adapter_targets(model: nn.Module, depths: Depths) -> list[str]:
    """The layers that an adapter goes to: the linear layers of the blocks, or the convolutions if there are none.

    Layers that share weights with others are left out, because they could not be merged one by one.
    """
    owners = Counter(id(p) for module in model.modules() for p in module.parameters(recurse=False))
    blocks = [
        (path, module)
        for path, module in model.named_modules()
        if 1 <= depths.modules.get(path, 0) <= depths.blocks
        and all(owners[id(p)] == 1 for p in module.parameters(recurse=False))
        and path.rpartition(".")[2] not in _READ_DIRECTLY
        and _may_be_adapted(path, module)
    ]
    linear = [path for path, module in blocks if _is_plain(module, nn.Linear) or _is_plain(module, Conv1D)]
    return linear or [path for path, module in blocks if _is_plain(module, nn.Conv2d) and module.groups == 1]


def adapter_parameters(model: nn.Module, depths: Depths) -> list[str]:
    """The matrices of the blocks that LoRA can adapt when no layer is a plain linear layer (I-BERT's are not)."""
    return [
        f"{path}.{name}"
        for path, module in model.named_modules()
        if 1 <= depths.modules.get(path, 0) <= depths.blocks
        and not isinstance(module, nn.Embedding)
        and _may_be_adapted(path, module)
        for name, parameter in module.named_parameters(recurse=False)
        if name == "weight" and parameter.ndim == 2
    ]


def _is_inserted(path: str) -> bool:
    return path.rpartition(".")[2] == INSERTED


def _may_be_adapted(path: str, module: nn.Module) -> bool:
    """False for inserted modules, which are trained in full, and for the module they follow, which would bypass an adapter."""
    return INSERTED not in path.split(".") and not hasattr(module, INSERTED)


def _is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a layer computes what its class does; an architecture's own subclass (such as a router) may not."""
    own = type(module).__module__.startswith("transformers.models.") and type(module).forward is not kind.forward
    if not isinstance(module, kind) or not own:
        return isinstance(module, kind)
    if not isinstance(module, nn.Linear):
        return False
    if module.weight.is_meta:  # no weights loaded: random ones are enough to compare outputs
        module = copy.deepcopy(module).to_empty(device="cpu")
        for parameter in module.parameters():
            nn.init.normal_(parameter)
    rows = torch.ones(1, module.in_features, dtype=module.weight.dtype, device=module.weight.device)
    with torch.no_grad():
        found = module(rows)
        return isinstance(found, torch.Tensor) and torch.allclose(found, nn.Linear.forward(module, rows), atol=1e-5)

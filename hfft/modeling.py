"""Parts of edited models: modules to insert or to replace others with, custom heads, and two classes.

Imports only torch and transformers: saved beside a model as `modeling_hfft.py`, it loads the model without hfft.
The changes are stored in the model's config as plain data: `edits`, a list, and `own_head`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.loss.loss_utils import ForSequenceClassificationLoss
from transformers.modeling_outputs import ImageClassifierOutput, SequenceClassifierOutput
from transformers.utils import ModelOutput

INSERTED = "inserted"  # the child of a module that contains the modules inserted after it
STD = 0.02

# --- modules to insert: before training, each returns its input bit for bit


def _over_features(x: Tensor, first: bool, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function of `(B, …, C)`, even if the features of `x` come first, `(B, C, …)`."""
    return change(x.movedim(1, -1)).movedim(-1, 1) if first else change(x)


def _zeros(*modules: nn.Module) -> None:
    for module in modules:
        for tensor in module.parameters():
            init.zeros_(tensor)


class Bottleneck(nn.Module):
    """Adapter `x + up(act(down(x)))` over the features, with `up` initially zero (Houlsby et al., arXiv:1902.00751)."""

    def __init__(self, features: int, size: int, first: bool = False, activation: str = "gelu"):
        super().__init__()
        self.first = first
        self.down, self.act, self.up = nn.Linear(features, size), ACT2FN[activation], nn.Linear(size, features)
        self.reset()

    def reset(self) -> None:
        """Initialise as the identity."""
        init.normal_(self.down.weight, std=STD)
        init.zeros_(self.down.bias)
        _zeros(self.up)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, …, C)`, or `(B, C, …)` if features come first, to the same shape."""
        return x + _over_features(x, self.first, lambda x: self.up(self.act(self.down(x))))


class SqueezeExcite(nn.Module):
    """Each feature times a gate computed from the means of all, initially one (arXiv:1709.01507, here `2 sigmoid`)."""

    def __init__(self, features: int, size: int, first: bool = False):
        super().__init__()
        self.first = first
        self.down, self.up = nn.Linear(features, size), nn.Linear(size, features)
        self.reset()

    def reset(self) -> None:
        """Initialise as the identity."""
        init.kaiming_normal_(self.down.weight, nonlinearity="relu")
        init.zeros_(self.down.bias)
        _zeros(self.up)

    def _gated(self, x: Tensor) -> Tensor:
        means = x.flatten(1, -2).mean(1) if x.ndim > 2 else x
        gate = 2 * self.up(F.relu(self.down(means))).sigmoid()
        return x * gate[:, *[None] * (x.ndim - 2)]

    def forward(self, x: Tensor) -> Tensor:
        """`(B, …, C)`, or `(B, C, …)` if features come first, to the same shape."""
        return _over_features(x, self.first, self._gated)


class Conv(nn.Module):
    """`x` plus a depthwise convolution over positions, initially zero."""

    def __init__(self, features: int, kernel_size: int, first: bool = False, dims: int = 2):
        super().__init__()
        kind = nn.Conv2d if dims == 2 else nn.Conv1d
        self.first = first
        self.conv = kind(features, features, kernel_size, padding=kernel_size // 2, groups=features)
        self.reset()

    def reset(self) -> None:
        """Initialise as the identity."""
        _zeros(self)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, N, C)`, `(B, H, W, C)` or `(B, C, H, W)` to the same shape."""
        return x + (self.conv(x) if self.first else self.conv(x.movedim(-1, 1)).movedim(1, -1))


class Linear(nn.Module):
    """`x` plus a linear layer over the features, initially zero."""

    def __init__(self, features: int, first: bool = False):
        super().__init__()
        self.first, self.linear = first, nn.Linear(features, features)
        self.reset()

    def reset(self) -> None:
        """Initialise as the identity."""
        _zeros(self)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, …, C)`, or `(B, C, …)` if features come first, to the same shape."""
        return x + _over_features(x, self.first, self.linear)


class Prompt(nn.Module):
    """Learned tokens after the first one: added, or in place of earlier ones (visual prompt tuning, arXiv:2203.12119)."""

    def __init__(self, features: int, tokens: int, renew: bool = False):
        super().__init__()
        self.renew, self.prompt = renew, nn.Parameter(torch.empty(tokens, features))
        self.reset()

    def reset(self) -> None:
        """Initialise the tokens at random."""
        init.normal_(self.prompt, std=STD)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, N, C)` to `(B, N + tokens, C)`, or to `(B, N, C)` if tokens are replaced."""
        prompt = self.prompt.to(x.dtype).expand(len(x), -1, -1)
        return torch.cat([x[:, :1], prompt, x[:, 1 + (prompt.shape[1] if self.renew else 0) :]], 1)


MODULES: dict[str, Callable[..., nn.Module]] = {
    "bottleneck": Bottleneck,
    "squeeze_excite": SqueezeExcite,
    "conv": Conv,
    "linear": Linear,
    "dropout": nn.Dropout,
    "prompt": Prompt,
}


class Inserted(nn.Module):
    """The modules inserted after a module, in order."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply them one after the other."""
        for module in self.children():
            x = module(x)
        return x


def on_first_tensor(output: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """A module's output with its first tensor changed: a tensor, a tuple or a ModelOutput."""
    if isinstance(output, Tensor):
        return function(output)
    if isinstance(output, ModelOutput):
        key = next(key for key, value in output.items() if isinstance(value, Tensor))
        return type(output)(**{**output, key: function(output[key])})
    at = next(i for i, value in enumerate(output) if isinstance(value, Tensor))
    return type(output)([*output[:at], function(output[at]), *output[at + 1 :]])


def _pass_on(module: nn.Module, args: Any, output: Any) -> Any:
    return on_first_tensor(output, getattr(module, INSERTED))


def apply(model: nn.Module, edits: list[dict[str, Any]]) -> None:
    """Insert and replace modules in place, according to `config.edits`; all existing names are unchanged."""
    anchor = next(model.parameters())
    for edit in edits:
        path = edit["insert"] if "insert" in edit else edit["replace"]
        target = model.get_submodule(path)
        if "insert" in edit:
            arguments = dict(edit["module"])
            new = MODULES[arguments.pop("type")](**arguments).to(anchor.device, anchor.dtype)
            if not hasattr(target, INSERTED):
                target.add_module(INSERTED, Inserted())
                if not isinstance(target, nn.Sequential):  # a Sequential runs all of its children by itself
                    target.register_forward_hook(_pass_on)
            inserted = target.get_submodule(INSERTED)
            inserted.add_module(str(len(list(inserted.children()))), new)
        else:
            new = replacement(**edit["with"]).to(anchor.device, anchor.dtype)
            if hasattr(target, INSERTED):
                new.add_module(INSERTED, target.get_submodule(INSERTED))
                new.register_forward_hook(_pass_on)
            model.set_submodule(path, new.train(target.training))


def replacement(type: str, **arguments: Any) -> nn.Module:
    """The module that replaces another."""
    kinds: dict[str, Callable[..., nn.Module]] = {
        "activation": lambda name: ACT2FN[name],
        "dropout": nn.Dropout,
        "layer_norm": nn.LayerNorm,
        "rms_norm": nn.RMSNorm,
        "batch_norm": nn.BatchNorm2d,
        "group_norm": nn.GroupNorm,
        "avg_pool": nn.AdaptiveAvgPool2d,
        "max_pool": nn.AdaptiveMaxPool2d,
        "identity": nn.Identity,
    }
    return kinds[type](**arguments)


# --- heads


def pool(states: Tensor, mask: Tensor | None, pooling: str) -> Tensor:
    """States `(B, N, C)` with a mask `(B, N)` of non-padding, pooled to `(B, C)`: `cls`, `mean`, `max` or `last`."""
    if mask is None:
        mask = torch.ones(states.shape[:2], device=states.device)
    rows, kept = torch.arange(len(states), device=states.device), mask.bool()[..., None]
    if pooling == "cls":
        return states[rows, mask.int().argmax(1)]
    if pooling == "last":
        return states[rows, mask.shape[1] - 1 - mask.int().flip(1).argmax(1)]
    if pooling == "max":
        return states.masked_fill(~kept, torch.finfo(states.dtype).min).amax(1)
    return (states * kept).sum(1) / kept.sum(1).clamp(min=1)


class BatchNorm(nn.BatchNorm1d):
    """Normalises over the rows of a batch; a batch of one row by the running statistics, because it has none of its own."""

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C)`."""
        if self.training and len(x) < 2:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


class OwnHead(nn.Module):
    """States `(B, N, C)`, `(B, C, H, W)` or `(B, C)` to outputs.

    Args:
        kind: `linear`, `mlp` (hidden layers), `cosine` (scaled cosine to a prototype per output, arXiv:1804.09501) or
            `attention-pool` (a linear layer over an attention-weighted mean, with a learned query).
        mlp: `hidden`, a width or several, `activation`, and `norm`, `layer` or `batch`, before each activation.
    """

    def __init__(self, outputs: int, features: int, kind: str, pooling: str, dropout: float = 0.0, **mlp: Any):
        super().__init__()
        self.kind, self.pooling = kind, pooling
        if kind == "attention-pool":
            self.query = nn.Parameter(torch.empty(features))
            self.key = nn.Linear(features, features, bias=False)  # a bias would add the same to all scores
        self.widths: list[int] = []
        if kind == "mlp":
            features = self._add_hidden(features, **mlp)
        if kind == "cosine":
            self.scale = nn.Parameter(torch.empty(()))
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(features, outputs, bias=kind != "cosine")
        self.reset()

    def _add_hidden(self, features: int, hidden: Any = None, activation: str = "gelu", norm: str | None = None) -> int:
        kind = {None: nn.Identity, "layer": nn.LayerNorm, "batch": BatchNorm}[norm]
        self.act, self.widths = ACT2FN[activation], hidden if isinstance(hidden, list) else [hidden or features]
        for i, width in enumerate(self.widths):
            self.add_module(f"dense{i or ''}", nn.Linear(features, width))
            self.add_module(f"norm{i or ''}", kind(width))
            features = width
        return features

    def reset(self) -> None:
        """Initialise parameters outside linear layers and norms; the architecture initialises the linear layers."""
        if self.kind == "attention-pool":
            init.normal_(self.query, std=STD)
        if self.kind == "cosine":
            init.constant_(self.scale, 10.0)

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """`(B, outputs)`."""
        if states.ndim == 4:
            states, mask = states.flatten(2).transpose(1, 2), None
        if mask is not None and (mask.ndim != 2 or mask.shape[1] != states.shape[1]):
            mask = None
        if states.ndim == 3 and self.kind == "attention-pool":
            scores = self.key(states) @ self.query / states.shape[-1] ** 0.5
            if mask is not None:
                scores = scores.masked_fill(~mask.bool(), torch.finfo(scores.dtype).min)
            states = (states * scores.softmax(1)[..., None]).sum(1)
        elif states.ndim == 3:
            states = pool(states, mask, self.pooling)
        for i in range(len(self.widths)):
            dense, norm = self.get_submodule(f"dense{i or ''}"), self.get_submodule(f"norm{i or ''}")
            states = self.dropout(self.act(norm(dense(states))))
        states = states if self.widths else self.dropout(states)
        if self.kind == "cosine":
            return self.scale * F.normalize(states, dim=-1) @ F.normalize(self.out.weight, dim=-1).T
        return self.out(states)


class WithHead:
    """A bare transformers model with a custom head; mixed into its PreTrainedModel class, with `bare` as the model's class."""

    bare: Any
    base_model_prefix: str
    head_class: Any = OwnHead

    def __init__(self, config: Any):
        super().__init__(config)  # type: ignore[call-arg]
        pooler = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(self.bare).parameters else {}
        setattr(self, self.base_model_prefix, self.bare(config, **pooler))
        self.head = self.head_class(config.num_labels, **config.own_head)
        self.post_init()  # type: ignore[attr-defined]

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput | ImageClassifierOutput:
        """Logits `(B, C)` from token ids `(B, N)` or pixels `(B, channels, H, W)`, and the loss if labels are given."""
        if pixel_values is None and self.bare.main_input_name == "pixel_values":
            input_ids, pixel_values = None, input_ids  # given by position, as to the stock classes
        given = {"input_ids": input_ids, "pixel_values": pixel_values, "attention_mask": attention_mask, **kwargs}
        kwargs = {key: value for key, value in given.items() if value is not None and key != "return_dict"}
        states = getattr(self, self.base_model_prefix)(**kwargs)[0]
        logits = self.head(states, attention_mask)
        loss = None if labels is None else ForSequenceClassificationLoss(labels, logits, self.config)  # type: ignore[attr-defined]
        return (SequenceClassifierOutput if pixel_values is None else ImageClassifierOutput)(loss=loss, logits=logits)


class Edited:
    """Mixed into a transformers class: applies the config's edits when a model is built."""

    config: Any

    def __init__(self, config: Any, *args: Any, **kwargs: Any):
        super().__init__(config, *args, **kwargs)  # type: ignore[call-arg]
        apply(self, getattr(config, "edits", None) or [])  # type: ignore[arg-type]

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[misc]
        if isinstance(module, (Bottleneck, SqueezeExcite, Conv, Linear, Prompt, OwnHead)):
            module.reset()

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Like transformers', but with the tensor names used in memory: older naming schemes do not cover new tensors."""
        super().save_pretrained(*args, **{"save_original_format": False, **kwargs})  # type: ignore[misc]

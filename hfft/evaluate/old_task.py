"""How much of the old task a trained backbone still does: the head that it was pretrained with, on the features of today."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from hfft import head
from hfft.errors import ModelError


def retention(before: Tensor, after: Tensor) -> dict[str, float]:
    """How far the answers of the old head after training agree with those before.

    Args:
        before, after: logits `(B, C)` of the same rows over the old classes.

    Returns:
        `agreement`: share of rows with the same class; `divergence`: mean KL divergence of the answers after training from
        those before, in nats.
    """
    p, q = before.double().log_softmax(1), after.double().log_softmax(1)
    same = (before.argmax(1) == after.argmax(1)).double()
    return {
        "agreement": same.mean().item(),
        "divergence": F.kl_div(q, p, reduction="batchmean", log_target=True).item(),
    }


def with_old_head(model: PreTrainedModel, old: PreTrainedModel) -> PreTrainedModel:
    """A copy of a trained model, edited or not, with the head of the model that it was trained from.

    Args:
        model: without an adapter; merge one before.
        old: the pretrained model with the classifier that it was published with.

    Raises:
        ModelError: the model has another kind of head, such as hfft's own, or the width of its features has changed.
    """
    found = copy.deepcopy(model)
    now, before = _head_shapes(found), _head_shapes(old)
    if now != before:
        raise ModelError(
            "retention: the old head does not fit; the model has a head of another kind, or features of another width"
        )
    for path in head.top_modules(old, set(before)):
        found.set_submodule(path, copy.deepcopy(old.get_submodule(path)).to(found.device))
    found.config.id2label, found.config.label2id = dict(old.config.id2label), dict(old.config.label2id)
    return found.eval()


def _head_shapes(model: PreTrainedModel) -> dict[str, tuple[int, ...]]:
    """Name of each parameter of the head -> its shape, without the dimension of the classes."""
    outputs, names = head.output_parameters(model), head.parameter_names(model)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if name in names}
    return {n: tuple(size for d, size in enumerate(shape) if d != outputs.get(n)) for n, shape in shapes.items()}


@torch.no_grad()
def measure_retention(
    model: PreTrainedModel, old: PreTrainedModel, batches: list[dict[str, Tensor]]
) -> dict[str, float]:
    """`retention` of a trained model on batches of inputs, which may be any rows that the old task knows.

    Raises:
        ModelError: the old head does not fit the model.
    """
    after, before = with_old_head(model, old), copy.deepcopy(old).eval().to(model.device)
    inputs = [{key: value.to(model.device) for key, value in batch.items() if key != "labels"} for batch in batches]
    answers = [torch.cat([one(**batch).logits for batch in inputs]) for one in (before, after)]
    return retention(*answers)

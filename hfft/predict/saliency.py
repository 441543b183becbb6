"""What an answer rests on: gradient times input of a text's tokens, and attention rollout of an image's patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hfft.errors import BadInput
from hfft.predict.predictor import Predictor
from hfft.strategy import logits_of


def text_weights(predictor: Predictor, text: str) -> list[tuple[str, float]]:
    """The text in pieces, each with how much it speaks for the predicted class, from -1 to 1 (0 for what is no token).

    Raises:
        BadInput: it is a pair of texts, the tokenizer does not say where its tokens stand, or the model has no input
            embedding or no gradient.
    """
    if not isinstance(text, str):
        raise BadInput("pairs of texts are not explained")
    processor, device = predictor.processor, predictor.model.device
    if not getattr(processor, "is_fast", False):
        raise BadInput(f"{type(processor).__name__} does not say where its tokens stand in a text")
    found = processor(text, truncation=True, return_offsets_mapping=True, return_tensors="pt")
    places = [tuple(map(int, pair)) for pair in found.pop("offset_mapping")[0]]
    weights = gradient_times_input(predictor.model, {name: value.to(device) for name, value in found.items()})
    return pieces(text, places, weights.tolist())


def gradient_times_input(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """Gradient of the largest logit times the embedding, summed over its entries: `(T,)`, divided by the largest of them.

    Batch of one text (Shrikumar et al. 2016, arXiv:1605.01713). A positive weight speaks for the class.

    Raises:
        BadInput: the model has no input embedding, or no gradient reaches it.
    """
    table = model.get_input_embeddings() if hasattr(model, "get_input_embeddings") else None
    if table is None:
        raise BadInput(f"{type(model).__name__} has no input embedding")
    seen: list[Tensor] = []

    def keep(module: Any, inputs: Any, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[-1]

    hook = table.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits = logits_of(model(**batch))[0]
            (gradient,) = torch.autograd.grad(logits.max(), seen[0], allow_unused=True)
    finally:
        hook.remove()
    if gradient is None:
        raise BadInput("no gradient reaches the embeddings")
    weights = (gradient[0] * seen[0][0]).sum(-1).detach().double().cpu()
    return weights / weights.abs().max().clamp_min(1e-12)


def pieces(text: str, places: Sequence[tuple[int, ...]], weights: Sequence[float]) -> list[tuple[str, float]]:
    """The whole text in order, each token with its weight and what is between tokens with 0.

    Args:
        places: (begin, end) of each token in the text; empty ones are special tokens.
    """
    found, done = [], 0
    for (begin, end), weight in zip(places, weights, strict=True):
        if end <= begin or begin < done:
            continue
        if begin > done:
            found.append((text[done:begin], 0.0))
        found.append((text[begin:end], round(weight, 4)))
        done = end
    return [*found, (text[done:], 0.0)] if done < len(text) else found


def rollout(attentions: Sequence[Tensor]) -> Tensor:
    """Attention rollout (Abnar and Zuidema 2020, arXiv:2005.00928): how much each position reads of each input, `(T, T)`.

    Args:
        attentions: of each layer, `(heads, T, T)`, each row summing to 1.
    """
    found = torch.eye(attentions[0].shape[-1], dtype=torch.float64)
    for layer in attentions:
        mean = layer.double().mean(0).cpu()
        mixed = 0.5 * mean + 0.5 * torch.eye(len(mean), dtype=torch.float64)  # the residual connection
        found = (mixed / mixed.sum(-1, keepdim=True)) @ found
    return found


@torch.no_grad()
def image_weights(predictor: Predictor, image: Any) -> Tensor:
    """What the first token reads of each patch, `(side, side)`, from 0 to 1; of a ViT with square images.

    Raises:
        BadInput: the model returns no attention, or its tokens are not one of the class and a square of patches.
    """
    model = predictor.model
    before = getattr(model.config, "_attn_implementation", None)
    (_, batch), *_ = predictor.modality.inputs.batches([image], 1, predictor.processor, predictor.on_device)
    batch = {name: value.to(model.device) if isinstance(value, Tensor) else value for name, value in batch.items()}
    if predictor.on_device is not None:
        batch = predictor.on_device(batch)
    try:
        model.set_attn_implementation("eager")  # others do not return their weights
        layers = [layer[0] for layer in model(**batch, output_attentions=True).attentions or ()]
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise BadInput(f"{type(model).__name__} returns no attention") from error
    finally:
        if before is not None:
            model.set_attn_implementation(before)
    side = round((layers[0].shape[-1] - 1) ** 0.5) if layers else 0
    if not layers or any(layer.ndim != 3 or layer.shape[-1] != side * side + 1 for layer in layers):
        raise BadInput(f"the tokens of {type(model).__name__} are not one of the class and a square of patches")
    weights = rollout(layers)[0, 1:].view(side, side)
    weights = weights - weights.min()
    return weights / weights.max().clamp_min(1e-12)


def explainer(predictor: Predictor) -> Callable[[Any], Tensor | list[tuple[str, float]]] | None:
    """The function for a modality's inputs: pieces of a text, or weights of patches; None for other inputs."""
    functions: dict[str, Callable[[Predictor, Any], Any]] = {"image": image_weights, "text": text_weights}
    chosen = functions.get(predictor.modality.name)
    return None if chosen is None or predictor.hypotheses else lambda value: chosen(predictor, value)

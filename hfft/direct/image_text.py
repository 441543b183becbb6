"""Zero-shot classes of images: an image-text model such as CLIP compares an image with a text for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hfft.data.modality.base import Inputs
from hfft.direct.base import Answering, Around, save_as_published
from hfft.errors import ModelError
from hfft.tasks.labels import Labels
from hfft.wording import first_line, listing

KIND = "image-text"
PROMPT = "a photo of a {}"
BATCH = 64  # texts at once
UNLIMITED = 100_000  # a tokenizer without a limit states a huge number


class ImageText(Around):
    """Scaled cosine of an image's embedding to the text embedding of each class (Radford et al., arXiv:2103.00020).

    Args:
        texts: text embeddings of the classes, `(C, D)`, of length 1.
    """

    def __init__(self, inner: Any, labels: Labels, texts: Tensor):
        super().__init__(inner, labels)
        self.texts, self.scale, self.bias = torch.nn.Buffer(texts, persistent=False), scale(inner), bias(inner)

    def forward(self, **batch: Any) -> Tensor:
        """Logits `(B, C)` from `pixel_values`."""
        images = embedded(self.inner.get_image_features(**batch))
        return images @ self.texts.to(images.dtype).T * self.scale + self.bias


def image_text(
    model: Any, processor: Any, tokenizer: Any, labels: Labels, prompts: Sequence[str], words: Mapping[str, str],
    inputs: Inputs,
) -> Answering:  # fmt: skip
    """An image-text model that answers for the classes of the data.

    Args:
        prompts: texts with `{}` in place of a class; the embeddings of several are averaged.
        words: class -> its words in the prompts.
        inputs: makes a blank image, on which the result is compared with the model's own.

    Raises:
        ModelError: the architecture computes its answers in another way.
    """
    named = [words[name] for name in labels.names]
    try:
        texts = text_embeddings(model, tokenizer, prompts, named)
        one = text_embeddings(model, tokenizer, prompts[:1], named)
        check(model, processor, tokenizer, ImageText(model, labels, one), [prompts[0].format(w) for w in named], inputs)
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError) as error:
        raise ModelError(
            f"{model.config.model_type} cannot compare images with texts as CLIP does ({first_line(error)}); use another model"
        ) from error
    says = {"kind": KIND, "problem": labels.problem, "classes": dict(words), "prompts": list(prompts)}
    how = f"zero-shot, by the similarity of an image to {listing(map(repr, prompts), 3)}"
    save = partial(save_as_published, model, says, [tokenizer, processor])
    stands_for = {name: [prompt.format(words[name]) for prompt in prompts] for name in labels.names}
    return Answering(ImageText(model, labels, texts).eval(), processor, how, save, stands_for=stands_for)


@torch.no_grad()
def text_embeddings(model: Any, tokenizer: Any, prompts: Sequence[str], words: Sequence[str]) -> Tensor:
    """One embedding of length 1 for each class, `(C, D)`: the mean over the prompts of embeddings of length 1."""
    texts = [prompt.format(word) for word in words for prompt in prompts]
    found = [
        embedded(model.get_text_features(**tokens(model, tokenizer, texts[i : i + BATCH])))
        for i in range(0, len(texts), BATCH)
    ]
    return F.normalize(torch.cat(found).view(len(words), len(prompts), -1).mean(1), dim=-1)


def tokens(model: Any, tokenizer: Any, texts: Sequence[str]) -> Any:
    """The texts as inputs of the model; SigLIP was trained on texts padded to 64 tokens."""
    padded: dict[str, Any] = {"padding": True, "truncation": tokenizer.model_max_length < UNLIMITED}
    if "siglip" in model.config.model_type:
        padded = {"padding": "max_length", "max_length": 64, "truncation": True}
    return tokenizer(list(texts), return_tensors="pt", **padded).to(model.device)


def embedded(output: Any) -> Tensor:
    """Embeddings `(B, D)` of length 1 from what a model returns as features."""
    return F.normalize(output if torch.is_tensor(output) else output.pooler_output, dim=-1)


def scale(model: Any) -> float:
    """What an architecture multiplies cosines by."""
    if hasattr(model, "temperature"):  # ALIGN divides by it
        return 1 / float(model.temperature.detach())
    return float(model.logit_scale.detach().exp())


def bias(model: Any) -> float:
    """What it adds to them: SigLIP's bias, otherwise 0."""
    found = getattr(model, "logit_bias", None)
    return 0.0 if found is None else float(found.detach())


@torch.no_grad()
def check(model: Any, processor: Any, tokenizer: Any, found: ImageText, texts: Sequence[str], inputs: Inputs) -> None:
    """Compare with what the model itself makes of a blank image and the texts.

    Raises:
        ModelError: the two differ.
    """
    found.eval()
    batch = {key: value.to(found.device) for key, value in inputs.blank(processor).items()}
    own = model(**batch, **tokens(model, tokenizer, texts)).logits_per_image
    off = float((own - found(**batch)).abs().max() / own.abs().max().clamp(min=1.0))
    if not off < (1e-3 if own.dtype == torch.float32 else 5e-2):
        raise ModelError(f"its logits are not the scaled cosines of its embeddings (off by {off:.0e})")

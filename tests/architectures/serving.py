"""What must hold of a model that is saved: plain transformers loads and serves it; None, or in one line what does not hold."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tests.architectures.case import Case, logits
from tests.architectures.overrides import PROCESSORS
from tests.architectures.tiny import VOCABULARY, side_of

NAMES = ("red", "green", "blue")
LETTERS = [chr(ord("!") + i) for i in range(VOCABULARY)]


def pipeline(case: Case) -> str | None:
    """Saved beside a processor, the model answers in `transformers.pipeline` with its classes and its own scores."""
    model = case.fresh()
    model.config.id2label = dict(enumerate(NAMES))
    model.config.label2id = {name: i for i, name in enumerate(NAMES)}
    given, inputs = image(case) if case.modality == "image" else text(case)
    with torch.no_grad():
        expected = logits(model, inputs)[0].float().softmax(-1)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        processor(case).save_pretrained(folder)
        serve = transformers.pipeline(f"{case.modality}-classification", model=folder, device="cpu")
        answers = serve(given, top_k=None)
    scores = {answer["label"]: answer["score"] for answer in answers}
    if scores.keys() != set(NAMES):
        return f"answers with {', '.join(scores)}"
    off = max(abs(scores[name] - expected[i].item()) for i, name in enumerate(NAMES))
    return None if off <= 1e-5 else f"the scores differ by {off:.1e}"


def processor(case: Case, ends: bool = False) -> Any:
    """A tokenizer of which each letter is a token; or an image processor of the model's size.

    Args:
        ends: whether it does what the type's own does: an end token for an encoder and decoder, another kind of input.
    """
    config = case.tiny.model.config
    if case.modality == "image":
        side = side_of(config)
        make = PROCESSORS.get(case.name)
        return make(config) if make else transformers.ViTImageProcessorPil(size={"height": side, "width": side})
    # By bytes and without merges, as the classes that transformers takes for some types whatever was saved (Qwen).
    if ends and case.name in PROCESSORS:
        return PROCESSORS[case.name](config)
    backend = Tokenizer(models.BPE({letter: i for i, letter in enumerate(LETTERS)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pad, end = LETTERS[config.get_text_config().pad_token_id], getattr(config.get_text_config(), "eos_token_id", None)
    if ends and config.is_encoder_decoder:
        letter = LETTERS[end]
        backend.post_processor = processors.TemplateProcessing(single=f"$A {letter}", special_tokens=[(letter, end)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=pad,
        eos_token=LETTERS[2],  # Qwen's class would add one
        unk_token=LETTERS[3],
        padding_side="left" if case.name == "xlnet" else "right",
        model_input_names=["input_ids", "attention_mask"],
    )


def text(case: Case) -> tuple[str, dict[str, torch.Tensor]]:
    """The first of the texts that the model is tried on, in letters and as its inputs: the words alone, no boxes."""
    inputs = {name: case.tiny.inputs[name][:1] for name in ("input_ids", "attention_mask")}
    return "".join(LETTERS[i] for i in inputs["input_ids"][0].tolist()), inputs


def image(case: Case) -> tuple[Image.Image, dict[str, torch.Tensor]]:
    """An image, and what the processor makes of it."""
    draw = np.random.default_rng(0)
    picture = Image.fromarray(draw.integers(0, 256, (80, 72, 3), dtype=np.uint8))
    return picture, dict(processor(case)(images=picture, return_tensors="pt"))

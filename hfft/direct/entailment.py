"""Zero-shot classes of texts: a model for natural-language inference says whether a text entails a sentence about each class."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor
from transformers import PretrainedConfig

from hfft.direct.base import Answering, Around, save_as_published
from hfft.errors import ModelError
from hfft.strategy import logits_of
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.wording import listing

KIND = "entailment"
HYPOTHESIS = "This example is {}."  # as in transformers' pipeline


class Entailment(Around):
    """The logit of a pair of texts: that of entailment, or for several labels a text its difference to contradiction's.

    With the softmax over the classes, or the sigmoid of each, these are the scores of Yin et al. (arXiv:1909.00161) as
    transformers' pipeline computes them.
    """

    def __init__(self, inner: Any, labels: Labels):
        super().__init__(inner, labels)
        self.yes = entailment_of(inner.config)
        self.no = contradiction_of(inner.config) if PROBLEMS[labels.problem].multi_label else None

    def forward(self, **batch: Any) -> Tensor:
        """One logit `(B, 1)` for each pair."""
        logits = logits_of(self.inner(**batch)).float()
        return logits[:, [self.yes]] if self.no is None else logits[:, [self.yes]] - logits[:, [self.no]]


def entailment(model: Any, processor: Any, labels: Labels, hypothesis: str, words: Mapping[str, str]) -> Answering:
    """A model for natural-language inference that answers for the classes of the data.

    Args:
        hypothesis: a sentence with `{}` in place of a class.
        words: class -> its words in the sentence.
    """
    says = {"kind": KIND, "problem": labels.problem, "classes": dict(words), "hypothesis": hypothesis}
    save = partial(save_as_published, model, says, [processor])
    sentences = tuple(hypothesis.format(words[name]) for name in labels.names)
    how = f"zero-shot, by whether a text entails {hypothesis!r}"
    stands_for = {name: [sentence] for name, sentence in zip(labels.names, sentences, strict=True)}
    return Answering(
        Entailment(model, labels).eval(), processor, how, save, hypotheses=sentences, stands_for=stands_for
    )


def entailment_of(config: PretrainedConfig) -> int:
    """The output of entailment.

    Raises:
        ModelError: the model has none of that name.
    """
    return _named(config, "entail")


def contradiction_of(config: PretrainedConfig) -> int:
    """The output of contradiction.

    Raises:
        ModelError: the model has none of that name.
    """
    try:
        return _named(config, "contra")
    except ModelError:
        return _named(config, "not")  # of models that tell only entailment and not_entailment


def infers(config: PretrainedConfig) -> bool:
    """Whether a model has an output of entailment."""
    return any(str(name).lower().startswith("entail") for name in (config.id2label or {}).values())


def _named(config: PretrainedConfig, word: str) -> int:
    found = [i for i, name in config.id2label.items() if str(name).lower().startswith(word)]
    if len(found) != 1:
        what = {"entail": "entailment", "contra": "contradiction", "not": "contradiction"}[word]
        raise ModelError(
            f"head.hypothesis: needs a model for natural-language inference, with one output of {what}; this one's are "
            f"{listing(config.id2label.values())}"
        )
    return int(found[0])

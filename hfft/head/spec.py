"""The recipe section for part 2, the new task layer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hfft.spec import Spec, check_pattern


def _template(text: str) -> str:
    if text.count("{}") != 1 or text.replace("{}", "").count("{") or text.replace("{}", "").count("}"):
        raise ValueError(f"is {text!r:.60}; expected one {{}} in place of the class, as in 'a photo of a {{}}'")
    return text


def _words(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; describe the class in words, or leave it out")
    return text


_Width = Annotated[int, Field(ge=1)]
_Template = Annotated[str, AfterValidator(_template)]
_Source = Annotated[str, Field(min_length=1), AfterValidator(check_pattern)]


class Head(Spec):
    """Part 2: the new task layer.

    Attributes:
        kind: a head of hfft's in place of the architecture's; `linear` if only `pooling` is set.
        pooling: how the states of all positions, without padding, are reduced to one; default: as the checkpoint was trained,
            that of a sentence encoder or of the architecture's head, and the mean if that needs a pooler that was not trained.
        hidden: width of the hidden layer of `mlp`, or of each of several; default: as wide as the features.
        activation: after each hidden layer of `mlp`; default: `gelu`.
        norm: between each hidden layer of `mlp` and its activation: over the features of a row, or over a batch; default: none.
        per_task: each of several tasks has hidden layers, or a query of `attention-pool`, of its own instead of shared ones.
        init: `zeros` starts from equal probabilities for all classes; the others from a classifier that is fitted on what
            the head's last layer reads of the training rows: `logistic-regression` (C 0.1 on standardised features), `lda`, or
            `centroid`, the nearest class mean.
        dropout: dropout before the last layer of the head, overriding the config's; for `mlp`, after each hidden layer.
        keep_known: start from the checkpoint's own head for the classes that it knows by name.
        new: modules besides the head that start untrained, such as an untrained pooler.
        map: class of the data -> classes of the model, or `/regex/`, whose probabilities are summed for it (`use: directly`).
        prompts: one text or several with `{}` in place of a class, which an image-text model compares with an image
            (`use: directly`); their embeddings are averaged.
        hypothesis: the sentence with `{}` in place of a class that a text may entail (`use: directly`, with a model for
            natural-language inference).
        descriptions: class of the data -> the words that stand for it, instead of its name, wherever a model reads classes
            as texts (`use: directly`).
    """

    kind: Literal["linear", "mlp", "cosine", "attention-pool"] | None = None
    pooling: Literal["cls", "mean", "max", "last"] | None = None
    hidden: _Width | Annotated[list[_Width], Field(min_length=1)] | None = None
    activation: Literal["gelu", "relu", "silu", "tanh"] | None = None
    norm: Literal["layer", "batch"] | None = None
    per_task: bool = False
    init: Literal["default", "zeros", "logistic-regression", "lda", "centroid"] = "default"
    dropout: float | None = Field(default=None, ge=0, lt=1)
    keep_known: bool = False
    new: list[str] = []
    map: dict[str, _Source | Annotated[list[_Source], Field(min_length=1)]] | None = Field(default=None, min_length=1)
    prompts: _Template | Annotated[list[_Template], Field(min_length=1)] | None = None
    hypothesis: _Template | None = None
    descriptions: dict[str, Annotated[str, AfterValidator(_words)]] | None = Field(default=None, min_length=1)

    @property
    def fitted(self) -> bool:
        """Whether the head starts from a fitted classifier."""
        return self.init not in ("default", "zeros")

    @property
    def own(self) -> bool:
        """Whether the recipe asks for one of hfft's own heads."""
        return self.kind is not None or self.pooling is not None

"""The sections of a recipe: the five parts of fine-tuning, scoring and publishing, each a frozen, checked model."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from hfft.cache import size_in_bytes
from hfft.data import augment
from hfft.edits import check_edit, check_pattern
from hfft.errors import listing, nearest
from hfft.tasks import known_metrics


def _augmentation(value: Any) -> Any:
    augment.parse([value])
    return value


def _metric(value: str) -> str:
    known = known_metrics()
    if value not in known:
        raise ValueError(f"unknown metric {value!r}{nearest(value, known)} (known: {listing(known, 30)})")
    return value


class Section(BaseModel):
    """A section of a recipe: frozen, unknown keys refused, values never converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())

    def plain(self) -> dict[str, Any]:
        """The section as plain values, as a recipe writes it; options that are not set are left out."""
        values = {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}
        return {k: v.plain() if isinstance(v, Section) else v for k, v in values.items() if v is not None}


class Backbone(Section):
    """Part 1: the pretrained model. `config` and `processor` override entries of its own config and processor.

    Attributes:
        edit: what is removed, replaced and inserted, in order (`hfft.edits`).
        memory_format: how the weights lie in memory, by torch's names; `auto` is channels-last for convolutional nets.
    """

    name: str = Field(min_length=1)
    revision: str | None = None
    init: Literal["pretrained", "random"] = "pretrained"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    memory_format: Literal["auto", "contiguous_format", "channels_last"] = "auto"
    edit: list[Annotated[dict[str, Any], AfterValidator(check_edit)]] = []
    config: dict[str, Any] = {}
    processor: dict[str, Any] = {}


class Head(Section):
    """Part 2: the new task layer. `new` names modules beside the head that start fresh, such as an untrained pooler.

    Attributes:
        kind: an own head in the place of the architecture's; `linear` where only `pooling` is given.
        pooling: how states of positions become one; padding left out.
        hidden: width of the hidden layer of `mlp`.
    """

    kind: Literal["linear", "mlp", "cosine", "attention-pool"] | None = None
    pooling: Literal["cls", "mean", "max", "last"] | None = None
    hidden: int | None = Field(default=None, ge=1)
    init: Literal["default", "zeros"] = "default"
    dropout: float | None = Field(default=None, ge=0, lt=1)
    keep_known: bool = False
    new: list[str] = []

    @property
    def own(self) -> bool:
        """Whether the recipe asks for a head of its own."""
        return self.kind is not None or self.pooling is not None


_LAYERS = re.compile(r"all|head|embeddings|norms|biases|(first|last)-[1-9][0-9]*|/.+/")


def _check_layers(entries: list[str]) -> None:
    for entry in entries:
        if not _LAYERS.fullmatch(entry):
            known = "all, head, embeddings, norms, biases, last-N or first-N such as last-4, or /regex/"
            raise ValueError(f"is {entry!r}; expected {known}{nearest(entry, known.split(', '))}")
        check_pattern(entry)


class Schedule(Section):
    """What learns when. Each key but `type` belongs to some types only, see `hfft.mistakes.SCHEDULES`.

    Attributes:
        type: `head-then-all` is LP-FT (Kumar et al., arXiv:2202.10054): the head alone, then what `layers.train` names;
            `gradual` (ULMFiT, arXiv:1801.06146): the head, then block by block from the top, the embeddings last;
            `surgical` (Auto-RGN, arXiv:2210.11466): each block in proportion to its relative gradient.
        head_epochs, head_steps: how long the head learns alone, in epochs (or a part of one) or steps; default 1 epoch.
        head_learning_rate: the peak of the head's rate meanwhile; default: as without a schedule.
        every, every_steps: how long until the next blocks begin, in epochs or steps; default 1 epoch.
        blocks: of `gradual`, how many begin at a time (default 1); of `surgical`, how many learn, those with the largest
            relative gradients before the first step, at the full rate (default: all, each at a share of its rate).
        batches: on how many training batches the relative gradients are measured (default 5).
    """

    type: Literal["head-then-all", "gradual", "surgical"]
    head_epochs: float | None = Field(default=None, gt=0)
    head_steps: int | None = Field(default=None, ge=1)
    head_learning_rate: float | None = Field(default=None, gt=0)
    every: float | None = Field(default=None, gt=0)
    every_steps: int | None = Field(default=None, ge=1)
    blocks: int | None = Field(default=None, ge=1)
    batches: int | None = Field(default=None, ge=1)


class Cache(Section):
    """What is kept of the part of the model that does not learn. `limit`: what the whole cache may take.

    Attributes:
        views: augmented views of each training row that are kept and shown in turn; without it augmented rows are not kept.
        dir: another folder than `$HFFT_CACHE`.
    """

    limit: str = "20GB"
    views: int | None = Field(default=None, ge=1)
    dir: str | None = None

    @field_validator("limit")
    @classmethod
    def _size(cls, value: str) -> str:
        size_in_bytes(value)
        return value


class Layers(Section):
    """Part 3: what learns, how fast, when, through which adapter. Default of `train`: `all`, and `head` with an adapter.

    Attributes:
        train: layers that learn, one or a list; the head always does, unless `freeze` names it.
        freeze: layers that do not, even where `train` names them.
        schedule: when they begin to, by name or with options; by default all at once.
        norms: whether statistics of frozen norms (BatchNorm's) stand still too, or go on living.
        lr: pattern over parameter names -> learning rate, above depth and head_lr_scale.
        weight_decay: pattern over parameter names -> weight decay.
        cache: whether what does not learn runs once per row (`auto`: where it can), and what is kept of it.
        last_block: whether it computes only what is read of it (`auto`: where the head reads one token), or the `whole`.
    """

    train: str | list[str] | None = None
    freeze: str | list[str] = []
    schedule: Schedule | None = None
    norms: Literal["held", "live"] = "held"
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    head_lr_scale: float = Field(default=1.0, gt=0)
    lr: dict[str, float] = {}
    weight_decay: dict[str, float] = {}
    adapter: dict[str, Any] | None = None
    cache: Literal["auto", "off"] | Cache = "auto"
    last_block: Literal["auto", "whole"] = "auto"

    @field_validator("train", "freeze")
    @classmethod
    def _known(cls, value: str | list[str] | None) -> str | list[str] | None:
        _check_layers(as_list(value))
        return value

    @field_validator("train")
    @classmethod
    def _some(cls, value: str | list[str] | None) -> str | list[str] | None:
        if value == []:
            raise ValueError("names no layers; write head for the head alone, or leave it out for all")
        return value

    @field_validator("schedule", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value

    @field_validator("lr", "weight_decay")
    @classmethod
    def _patterns(cls, value: dict[str, float]) -> dict[str, float]:
        for pattern, number in value.items():
            if not re.fullmatch("/.+/", pattern):
                raise ValueError(f"{pattern!r} is no pattern; write /{pattern}/")
            if not 0 <= number < float("inf"):
                raise ValueError(f"{pattern} is {number}; expected a finite number of at least 0")
        _check_layers(list(value))
        return value


def as_list(value: str | list[str] | None) -> list[str]:
    """One entry or several, as a list."""
    return [] if value is None else [value] if isinstance(value, str) else value


class Columns(Section):
    """Which column of the data plays which part; what is left out has the task's usual name. No `id` may stand twice."""

    image: str | None = None
    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    id: str | None = None


class Data(Section):
    """Part 5: the data. `path`, `name`, `data_files`, `data_dir` and `revision` are those of `datasets.load_dataset`.

    Attributes:
        validation: a split's name, or the share of the training rows that is set aside (stratified, seeded).
        classes: keep only these classes, in this order.
        on_bad_rows: refuse data with rows that cannot be used, or leave these out, count and report them.
        max_bad_rows: the share of a split's rows that may be left out so.
    """

    path: str = Field(min_length=1)
    name: str | None = None
    data_files: str | list[str] | dict[str, str | list[str]] | None = None
    data_dir: str | None = None
    revision: str | None = None
    columns: Columns = Columns()
    train: str = "train"
    validation: str | float | None = None
    test: str | float | None = None
    classes: list[str] | None = Field(default=None, min_length=2)
    max_train_samples: int | None = Field(default=None, ge=1)
    max_eval_samples: int | None = Field(default=None, ge=1)
    on_bad_rows: Literal["error", "skip"] = "error"
    max_bad_rows: float = Field(default=0.01, gt=0, le=1)
    streaming: bool = False
    shuffle_buffer: int = Field(default=1000, ge=1)
    max_length: int | None = Field(default=None, ge=2)
    mlm_probability: float = Field(default=0.15, gt=0, lt=1)
    augment: list[Annotated[str | dict[str, dict[str, Any] | None], AfterValidator(_augmentation)]] = []

    @field_validator("validation", "test")
    @classmethod
    def _share(cls, value: str | float | None) -> str | float | None:
        if isinstance(value, float) and not 0 < value < 1:
            raise ValueError(f"is {value}; expected a split's name or a share between 0 and 1")
        return value


class L2SP(Section):
    """Pull towards the pretrained weights."""

    weight: float = Field(ge=0)


class NonFinite(Section):
    """Leave out the update of a step whose loss or gradient is not finite, at most `skip` times in a run."""

    skip: int = Field(ge=1)


class Strategy(Section):
    """Part 4: what is minimised beside the task loss, and what happens where it is not finite."""

    l2_sp: L2SP | None = None
    non_finite: Literal["stop"] | NonFinite = "stop"
    class_weights: Literal["balanced"] | dict[str, Annotated[float, Field(ge=0)]] | None = None


class Score(Section):
    """How the result is measured. `from_scratch` trains the same recipe from random weights beside it."""

    metrics: list[Annotated[str, AfterValidator(_metric)]] = []
    from_scratch: bool = False


class Publish(Section):
    """Where the finished model goes: `name/model`, or `model` in the account of the token.

    Attributes:
        as_: an adapter `merged` into the weights, or apart as an `adapter`; merged where its type can be.
    """

    hub_model_id: str | None = Field(default=None, pattern=r"^\w[\w.-]*(/\w[\w.-]*)?$")
    private: bool = False
    license: str | None = None
    as_: Literal["merged", "adapter"] | None = Field(default=None, alias="as")

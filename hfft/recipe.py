"""The whole grammar of a recipe: the five parts of fine-tuning, the training arguments, scoring and publishing.

Torch-free, so that a recipe is checked in a fraction of a second. Every mistake is found at once, each with file, line,
constraint and suggestion.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from hfft import document
from hfft.data import augment
from hfft.errors import BadInput, RecipeError, listing, nearest
from hfft.mistakes import cross_checks, explain
from hfft.tasks import DEFAULT_METRICS, TASKS, ProblemType, Task, known_metrics


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

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=(), populate_by_name=True
    )

    def plain(self) -> dict[str, Any]:
        """The section as plain values, as a recipe writes it; options that are not set are left out."""
        values = {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}
        return {k: v.plain() if isinstance(v, Section) else v for k, v in values.items() if v is not None}


class Backbone(Section):
    """Part 1: the pretrained model. `config` and `processor` override entries of its own config and processor."""

    name: str = Field(min_length=1)
    revision: str | None = None
    init: Literal["pretrained", "random"] = "pretrained"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    config: dict[str, Any] = {}
    processor: dict[str, Any] = {}


class Head(Section):
    """Part 2: the new task layer. `new` names modules beside the head that start fresh, such as an untrained pooler."""

    init: Literal["default", "zeros"] = "default"
    dropout: float | None = Field(default=None, ge=0, lt=1)
    keep_known: bool = False
    new: list[str] = []


_LAYERS = re.compile(r"all|head|embeddings|norms|biases|(first|last)-[1-9][0-9]*|/.+/")


def _check_layers(entries: list[str]) -> None:
    for entry in entries:
        if not _LAYERS.fullmatch(entry):
            known = "all, head, embeddings, norms, biases, last-N or first-N such as last-4, or /regex/"
            raise ValueError(f"is {entry!r}; expected {known}{nearest(entry, known.split(', '))}")
        if entry.startswith("/"):
            try:
                re.compile(entry.strip("/"))
            except re.error as error:
                raise ValueError(f"{entry} is no regular expression: {error}") from None


class Layers(Section):
    """Part 3: what learns, how fast, through which adapter. Default of `train`: `all`, and `head` with an adapter.

    Attributes:
        train: layers that learn, one or a list; the head always does, unless `freeze` names it.
        freeze: layers that do not, even where `train` names them.
        norms: whether statistics of frozen norms (BatchNorm's) stand still too, or go on living.
        lr: pattern over parameter names -> learning rate, above depth and head_lr_scale.
        weight_decay: pattern over parameter names -> weight decay.
    """

    train: str | list[str] | None = None
    freeze: str | list[str] = []
    norms: Literal["held", "live"] = "held"
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    head_lr_scale: float = Field(default=1.0, gt=0)
    lr: dict[str, float] = {}
    weight_decay: dict[str, float] = {}
    adapter: dict[str, Any] | None = None

    @field_validator("train", "freeze")
    @classmethod
    def _known(cls, value: str | list[str] | None) -> str | list[str] | None:
        _check_layers(as_list(value))
        return value

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
    """Which column of the data plays which part; what is left out has the task's usual name."""

    image: str | None = None
    text: str | None = None
    text_pair: str | None = None
    label: str | None = None


class Data(Section):
    """Part 5: the data. `path`, `name`, `data_files`, `data_dir` and `revision` are those of `datasets.load_dataset`.

    Attributes:
        validation: a split's name, or the share of the training rows that is set aside (stratified, seeded).
        classes: keep only these classes, in this order.
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


class Strategy(Section):
    """Part 4: what is minimised beside the task loss."""

    l2_sp: L2SP | None = None
    class_weights: Literal["balanced"] | dict[str, Annotated[float, Field(ge=0)]] | None = None


class Score(Section):
    """How the result is measured. `from_scratch` trains the same recipe from random weights beside it."""

    metrics: list[Annotated[str, AfterValidator(_metric)]] = []
    from_scratch: bool = False


class Publish(Section):
    """Where the finished model goes: `name/model`, or `model` in the account of the token.

    `as: merged` writes an adapter into the weights, `as: adapter` keeps it apart.
    """

    hub_model_id: str | None = Field(default=None, pattern=r"^[\w.-]+(/[\w.-]+)?$")
    private: bool = False
    license: str | None = None
    as_: Literal["merged", "adapter"] = Field(default="merged", alias="as")


class Recipe(Section):
    """A whole fine-tune. `training` holds arguments of `transformers.TrainingArguments`, verbatim."""

    name: str = Field(pattern=r"^[\w][\w.-]*$")
    task: Literal[tuple(TASKS)]  # type: ignore[valid-type]
    problem_type: ProblemType = "single_label_classification"
    backbone: Backbone
    head: Head = Head()
    layers: Layers = Layers()
    data: Data
    strategy: Strategy = Strategy()
    training: dict[str, Any] = {}
    score: Score = Score()
    publish: Publish = Publish()

    @property
    def the_task(self) -> Task:
        """The row of the table of tasks."""
        return TASKS[self.task]

    @property
    def problem(self) -> str:
        """The kind of target: the `problem_type`, or `masked_language_modelling` for a task without labels."""
        return self.problem_type if self.the_task.labelled else "masked_language_modelling"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics asked for, or the usual ones of the problem."""
        return tuple(self.score.metrics) or DEFAULT_METRICS[self.problem]

    @property
    def output_dir(self) -> Path:
        """The run folder."""
        return Path(self.training.get("output_dir") or f"runs/{self.name}")

    @property
    def train_layers(self) -> list[str]:
        """`layers.train` with its default filled in."""
        return as_list(self.layers.train) or ["head" if self.layers.adapter else "all"]

    def column(self, role: str) -> str | None:
        """The column of the data that plays `role`, by the recipe or by the task's default."""
        return getattr(self.data.columns, role) or self.the_task.columns.get(role)

    def resolved(self) -> dict[str, Any]:
        """Everything the recipe says and leaves to defaults, as plain values; loading it gives the recipe again."""
        return {**self.plain(), "training": {**self.training, "output_dir": str(self.output_dir)}}


def shipped() -> dict[str, Path]:
    """Name -> file of the recipes that come with the package (installed, or beside it in a checkout)."""
    here = Path(__file__).parent
    folder = here / "recipes" if (here / "recipes").is_dir() else here.parent / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(name_or_path: str | Path) -> Path:
    """The file of a recipe, given its name or its path.

    Raises:
        BadInput: neither a shipped recipe nor a readable file.
    """
    known = shipped()
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    path = Path(name_or_path)
    if os.path.isfile(path / "recipe.yaml"):
        return path / "recipe.yaml"
    if not os.path.isfile(path):  # pathlib's own raises where the name is longer than a file's may be
        raise BadInput(
            f"recipe {str(name_or_path)!r} is neither a shipped recipe nor a file"
            f"{nearest(str(name_or_path), known)} (shipped: {listing(known, 30)})"
        )
    return path


def load_recipe(name_or_path: str | Path, *overrides: str) -> Recipe:
    """The checked recipe of a name or file, with `section.key=value` overrides applied (values read as YAML).

    Raises:
        RecipeError: every mistake at once, a line each.
        BadInput: there is no such recipe.
    """
    path = find(name_or_path)
    source = str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise RecipeError([f"{source}:{line}  byte 0x{byte:02x} is no UTF-8; save the file as UTF-8 text"]) from None
    except OSError as error:
        raise BadInput(f"recipe {source!r} cannot be read: {error.strerror}") from None
    return build(text, source=source, name=path.stem, overrides=overrides)


_LAST = 10**9


def build(text: str, source: str, name: str, overrides: tuple[str, ...] = ()) -> Recipe:
    """The checked recipe of a YAML text; `source` and line numbers head each mistake."""
    problems: list[tuple[int, str]] = []  # with the line, by which they are told; the command line comes last
    lines: dict[document.Path, int] = {}
    changed: set[document.Path] = set()

    def say(path: document.Path, what: str, line: int | None = None) -> None:
        at, known = path, line
        while at and known is None and at not in changed:
            known, at = lines.get(at), at[:-1]
        made = path not in lines and any(c[: len(path)] == path for c in changed)  # a section that an override began
        given = made or any(path[: len(c)] == c for c in changed)
        where = "command line" if path and given else f"{source}:{known or 1}"
        order = _LAST if path and given else known or 1
        problems.append((order, f"{where}  {'.'.join(map(str, path))}{': ' if path else ''}{what}"))

    def refuse() -> RecipeError:
        return RecipeError(dict.fromkeys(text for _, text in sorted(problems, key=lambda problem: problem[0])))

    try:
        values, lines = document.parse(text)
    except document.DocumentError as error:
        for problem in error.problems:
            say(problem.path, problem.text, problem.line)
        raise refuse() from None
    if not isinstance(values, dict):
        found = "nothing" if values is None else type(values).__name__
        raise RecipeError([f"{source}:1  expected sections such as task, backbone and data, not {found}"])
    for override in overrides:
        path, wrong = _override(values, override)
        if wrong:
            problems.append((_LAST, f"command line  {wrong}"))
        else:
            changed.add(path)
    # A section left empty, such as `publish:`, is its default.
    values = {key: value for key, value in values.items() if value is not None or key not in Recipe.model_fields}
    values.setdefault("name", re.sub(r"[^\w.-]+", "-", name).strip("-.") or "recipe")
    recipe = None
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        for path, what in explain(error, Recipe, values):
            say(path, what)
    for path, what in cross_checks(values, recipe):
        say(path, what)
    if problems:
        raise refuse()
    assert recipe is not None
    return recipe


def _override(values: dict[str, Any], override: str) -> tuple[document.Path, str | None]:
    """Set `section.key=value` in `values`; the path that was set and what was wrong with it."""
    key, equals, text = override.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        return (), f"{override!r} is no override; write section.key=value"
    try:
        value, _ = document.parse(text)
    except document.DocumentError as error:
        return path, f"{key}: {error}"
    target = values
    for part in path[:-1]:
        inside = target.get(part)
        if not isinstance(inside, dict | None):
            return path, f"{key}: {part} holds a plain value, not a section"
        target[part] = {**(inside or {})}  # a copy: an anchor may have put the same section in several places
        target = target[part]
    target[path[-1]] = value
    return path, None

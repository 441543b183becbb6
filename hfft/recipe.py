"""The whole grammar of a recipe: the five parts of fine-tuning, the training arguments, scoring and publishing.

Torch-free, so that a recipe is checked in a fraction of a second. Every mistake is found at once, each with file, line,
constraint and suggestion.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hfft import document
from hfft.arguments import adapter_problems, training_problem
from hfft.data import augment
from hfft.errors import BadInput, RecipeError, listing, nearest
from hfft.tasks import DEFAULT_METRICS, METRICS, SMALLER_IS_BETTER, TASKS, ProblemType, Task, known_metrics


class Section(BaseModel):
    """A section of a recipe: frozen, unknown keys refused, values never converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class Backbone(Section):
    """Part 1: the pretrained model. `config` overrides entries of the model's own config."""

    name: str = Field(min_length=1)
    revision: str | None = None
    init: Literal["pretrained", "random"] = "pretrained"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    config: dict[str, Any] = {}


class Head(Section):
    """Part 2: the new task layer. `new` names modules beside the head that start fresh, such as an untrained pooler."""

    init: Literal["default", "zeros"] = "default"
    dropout: float | None = Field(default=None, ge=0, lt=1)
    keep_known: bool = False
    new: list[str] = []


class Layers(Section):
    """Part 3: what learns, how fast, through which adapter. Default of `train`: `all`, and `head` with an adapter."""

    train: str | None = None
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    head_lr_scale: float = Field(default=1.0, gt=0)
    adapter: dict[str, Any] | None = None

    @field_validator("train")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"all|head|last-[1-9][0-9]*", value):
            raise ValueError(f"is {value!r}; expected all, head or last-N such as last-4")
        return value


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
    augment: list[str | dict[str, dict[str, Any] | None]] = []

    @field_validator("validation", "test")
    @classmethod
    def _share(cls, value: str | float | None) -> str | float | None:
        if isinstance(value, float) and not 0 < value < 1:
            raise ValueError(f"is {value}; expected a split's name or a share between 0 and 1")
        return value

    @field_validator("augment")
    @classmethod
    def _augmentations(cls, value: list[Any]) -> list[Any]:
        augment.parse(value)
        return value


class L2SP(Section):
    """Pull towards the pretrained weights."""

    weight: float = Field(ge=0)


class Strategy(Section):
    """Part 4: what is minimised beside the task loss."""

    l2_sp: L2SP | None = None
    class_weights: Literal["balanced"] | dict[str, float] | None = None


class Score(Section):
    """How the result is measured. `from_scratch` trains the same recipe from random weights beside it."""

    metrics: list[str] = []
    from_scratch: bool = False

    @field_validator("metrics")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        for name in value:
            if name not in known_metrics():
                raise ValueError(
                    f"unknown metric {name!r}{nearest(name, known_metrics())} (known: {listing(known_metrics(), 30)})"
                )
        return value


class Publish(Section):
    """Where the finished model goes. `as: merged` writes an adapter into the weights, `as: adapter` keeps it apart."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    hub_model_id: str | None = Field(default=None, pattern=r"^[\w.-]+/[\w.-]+$")
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
    def train_layers(self) -> str:
        """`layers.train` with its default filled in."""
        return self.layers.train or ("head" if self.layers.adapter else "all")

    def column(self, role: str) -> str | None:
        """The column of the data that plays `role`, by the recipe or by the task's default."""
        return getattr(self.data.columns, role) or self.the_task.columns.get(role)

    def resolved(self) -> dict[str, Any]:
        """Everything the recipe says and leaves to defaults, as plain values; loading it gives the recipe again."""
        values = self.model_dump(by_alias=True, exclude_none=True)
        values["training"] = {**self.training, "output_dir": str(self.output_dir)}
        return values


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
    if path.is_dir() and (path / "recipe.yaml").is_file():
        return path / "recipe.yaml"
    if not path.is_file():
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
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"recipe {path} cannot be read: {error}; expected a UTF-8 text file") from None
    source = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return build(text, source=str(source), name=path.stem, overrides=overrides)


def build(text: str, source: str, name: str, overrides: tuple[str, ...] = ()) -> Recipe:
    """The checked recipe of a YAML text; `source` and line numbers head each mistake."""
    problems: list[str] = []
    lines: dict[document.Path, int] = {}
    changed: set[document.Path] = set()

    def say(path: document.Path, what: str, line: int | None = None) -> None:
        at, known = path, line
        while at and known is None and at not in changed:
            known, at = lines.get(at), at[:-1]
        where = "command line" if any(path[: len(c)] == c for c in changed) else f"{source}:{known or 1}"
        problems.append(f"{where}  {'.'.join(map(str, path))}{': ' if path else ''}{what}")

    try:
        values, lines = document.parse(text)
    except document.DocumentError as error:
        for problem in error.problems:
            say(problem.path, problem.text, problem.line)
        raise RecipeError(problems) from None
    if not isinstance(values, dict):
        raise RecipeError(
            [f"{source}:1  expected sections such as task, backbone and data, not {type(values).__name__}"]
        )
    for override in overrides:
        path, error = _override(values, override)
        if path:
            changed.add(path)
        if error:
            problems.append(f"command line  {error}")
    values = {key: value for key, value in values.items() if value is not None}  # `publish:` left empty is its default
    values.setdefault("name", re.sub(r"[^\w.-]", "-", name))
    recipe = None
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        for item in error.errors():
            say(*_explain(item))
    for path, what in _cross_checks(values, recipe):
        say(path, what)
    if problems:
        raise RecipeError(dict.fromkeys(problems))
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
        if target.get(part) is None:
            target[part] = {}
        target = target[part]
        if not isinstance(target, dict):
            return path, f"{key}: {part} holds a plain value, not a section"
    target[path[-1]] = value
    return path, None


def _section(path: document.Path) -> type[Section] | None:
    """The section class at a path, for the names it knows."""
    found: Any = Recipe
    for part in path:
        field = found.model_fields.get(part) if isinstance(found, type) and issubclass(found, Section) else None
        options = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        found = next((o for o in options if isinstance(o, type) and issubclass(o, Section)), None)
    return found


def _explain(item: Any) -> tuple[document.Path, str]:
    """Path and message of one pydantic error, in the words of a recipe."""
    # The path pydantic gives also names the branch of a union it tried; keys of the recipe are what a reader can find.
    path = tuple(p for p in item["loc"] if isinstance(p, int) or re.fullmatch(r"[\w-]+", str(p)))
    while path and path[-1] in ("str", "float", "int", "dict", "list", "bool"):
        path = path[:-1]
    kind, value = item["type"], item["input"]
    if kind == "extra_forbidden":
        section = _section(path[:-1])
        known = [f.alias or n for n, f in section.model_fields.items()] if section else []
        return path, f"unknown key{nearest(str(path[-1]), known)} (known: {listing(known, 30)})"
    if kind == "missing":
        return path, "missing; every recipe needs it"
    if kind == "literal_error":
        choices = re.findall(r"'([^']+)'", item["ctx"]["expected"])
        return path, f"is {value!r}; expected {item['ctx']['expected']}{nearest(str(value), choices)}"
    if kind == "value_error":
        return path, str(item["ctx"]["error"])
    message = item["msg"][0].lower() + item["msg"][1:]
    return path, f"is {value!r:.80}; {message}"


def _cross_checks(values: dict[str, Any], recipe: Recipe | None) -> list[tuple[document.Path, str]]:
    """What no single field can tell: training arguments, adapters, and sections that must agree."""
    found: list[tuple[document.Path, str]] = []
    training = values.get("training")
    for key, value in (training if isinstance(training, dict) else {}).items():
        problem = training_problem(str(key), value)
        if problem:
            found.append((("training", str(key)), problem))
    if recipe is None:
        return found
    if recipe.layers.adapter is not None:
        found += [(("layers", "adapter", key), problem) for key, problem in adapter_problems(recipe.layers.adapter)]
        if recipe.layers.train not in (None, "head"):
            found.append((("layers", "train"), f"is {recipe.layers.train!r}; beside an adapter only the head learns"))
    if recipe.data.augment and recipe.the_task.modality != "image":
        found.append((("data", "augment"), f"is for images; task {recipe.task} reads {recipe.the_task.modality}"))
    for role in recipe.data.columns.model_fields_set:
        if role not in recipe.the_task.columns:
            found.append((("data", "columns", role), f"task {recipe.task} reads {listing(recipe.the_task.columns)}"))
    for i, metric in enumerate(recipe.score.metrics):
        if metric not in METRICS[recipe.problem]:
            fitting = listing(METRICS[recipe.problem], 30)
            found.append(
                (("score", "metrics", i), f"{metric!r} does not measure {recipe.problem}; choose from {fitting}")
            )
    if recipe.backbone.init == "random" and (recipe.layers.adapter or recipe.train_layers != "all"):
        found.append((("backbone", "init"), "is random; with frozen layers it would never learn: use layers.train=all"))
    if recipe.head.keep_known and recipe.problem != "single_label_classification":
        found.append((("head", "keep_known"), f"needs classes with names, which {recipe.problem} has not"))
    if recipe.strategy.class_weights and recipe.problem != "single_label_classification":
        found.append((("strategy", "class_weights"), f"needs classes, which {recipe.problem} has not"))
    if recipe.data.streaming and isinstance(recipe.data.validation, float):
        found.append((("data", "validation"), "is a share; a streamed set has no rows to set aside: name a split"))
    return found + _training_checks(recipe)


def _training_checks(recipe: Recipe) -> list[tuple[document.Path, str]]:
    """Arguments of TrainingArguments that must agree, told before anything is loaded."""
    found: list[tuple[document.Path, str]] = []
    given = recipe.training
    metric = str(given.get("metric_for_best_model", "")).removeprefix("eval_")
    if metric and metric != "loss" and metric not in recipe.metrics:
        text = f"is {metric!r}, which is not scored; add it to score.metrics or choose from {listing(recipe.metrics)}, loss"
        found.append((("training", "metric_for_best_model"), text))
    if given.get("load_best_model_at_end"):
        evaluate, save = given.get("eval_strategy", "epoch"), given.get("save_strategy", "epoch")
        if save != "best" and evaluate != save:
            text = f"needs eval_strategy ({evaluate}) and save_strategy ({save}) to be the same"
            found.append((("training", "load_best_model_at_end"), text))
    if given.get("label_smoothing_factor") and recipe.problem != "single_label_classification":
        found.append((("training", "label_smoothing_factor"), f"smooths classes, which {recipe.problem} has not"))
    bigger = given.get("greater_is_better")
    if bigger is not None and metric and bigger == (metric in SMALLER_IS_BETTER):
        found.append((("training", "greater_is_better"), f"is {bigger}, the wrong way round for {metric}"))
    return found

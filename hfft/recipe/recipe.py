"""A whole recipe: its parts' specs together. Needs no torch, so that checking takes a fraction of a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from hfft.backbone.spec import UNTRAINED, Backbone
from hfft.classifier.spec import ClassifierSpec
from hfft.data.spec import Data
from hfft.evaluate.spec import Score
from hfft.head.spec import Head
from hfft.layers.adapters.arguments import merges
from hfft.layers.spec import Layers
from hfft.publish.spec import Publish
from hfft.recipe.several_tasks import TaskEntry, spread
from hfft.recipe.training_keys import TrainingKeys, own
from hfft.recipe.uses import DEFAULT, Use, kept
from hfft.recipe.validate import validated
from hfft.report.spec import ReportSpec
from hfft.spec import Spec, as_list
from hfft.strategy.spec import Strategy
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.table import TASKS, ProblemType, Task


def _task(name: str) -> str:
    if name not in TASKS:  # looked up at read time, so that user code can add tasks
        *others, last = map(repr, TASKS)
        raise PydanticCustomError("literal_error", "unknown", {"expected": f"{', '.join(others)} or {last}"})
    return name


class Recipe(Spec):
    """A whole run: a fine-tune, or another use of a pretrained model.

    `Recipe(**sections)` makes every check that a YAML file gets; `model_validate` checks each section by itself.

    Attributes:
        name: name of the run and of its folder; default: the file's.
        task: `image-classification`, `text-classification`, `audio-classification`, `time-series-classification`, `fill-mask` or
            `masked-image-modeling`.
        problem_type: kind of target, by the config's `problem_type`.
        tasks: several tasks on one backbone, each with its own data and labels (`TaskEntry`); `data` is what they share then.
        use: what is done with the pretrained model: `fine-tune` trains it, `directly` scores it as it is, with its own head
            or zero-shot, and `classifier` fits a classifier of another kind on its features.
        training: arguments of `transformers.TrainingArguments`, verbatim, and hfft's own: see `TrainingKeys`.

    Raises:
        RecipeError: all mistakes together, one line each.
    """

    name: str = Field(pattern=r"^[\w][\w.-]*$")
    task: Annotated[str, AfterValidator(_task)]
    problem_type: ProblemType = "single_label_classification"
    use: Use = DEFAULT
    backbone: Backbone
    head: Head = Head()
    classifier: ClassifierSpec | None = None
    layers: Layers = Layers()
    data: Data
    strategy: Strategy = Strategy()
    tasks: list[TaskEntry] = Field(default=[])
    training: dict[str, Any] = Field(default={})
    score: Score = Score()
    report: ReportSpec = ReportSpec()
    publish: Publish = Publish()

    def __init__(self, /, **sections: Any):
        super().__init__(**dict(validated(Recipe, sections, source="recipe", name="recipe")))

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # so that model_validate does not call it

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, values: Any) -> Any:
        return spread(values)

    @model_validator(mode="after")
    def _with_untrained(self) -> Self:
        """Add to `head.new` what the package's own checkpoint was pretrained without, if the task's model has it."""
        whole = self.the_task.labelled and not self.head.own and self.backbone.rnn is None
        lacking = UNTRAINED.get(self.backbone.name, ()) if whole else ()
        if more := [module for module in lacking if module not in self.head.new]:
            head = self.head.model_copy(update={"new": [*self.head.new, *more]})
            object.__setattr__(self, "head", head)  # the section is frozen for everyone else
        return self

    @property
    def the_task(self) -> Task:
        """The task's row of the table of tasks, with the recipe's problem."""
        task = TASKS[self.task]
        problem = "several_tasks" if self.tasks else self.problem_type
        return replace(task, problem=problem) if task.labelled else task

    @property
    def problem(self) -> str:
        """The kind of target: the `problem_type`, `several_tasks`, or that of a task without labels."""
        return self.the_task.problem

    @property
    def metrics(self) -> tuple[str, ...]:
        """The requested metrics, or the usual ones for the problem; for several tasks see `task_metrics`."""
        return tuple(self.score.metrics) or PROBLEMS[self.problem].default_metrics

    @property
    def task_metrics(self) -> dict[str, str]:
        """`task_metric`, as a run of several tasks names it -> the metric."""
        metrics = {one.name: one.metrics or PROBLEMS[one.problem_type].default_metrics for one in self.tasks}
        return {f"{task}_{metric}": metric for task, own in metrics.items() for metric in own}

    @property
    def seed(self) -> int:
        """The seed of the run, from the recipe or transformers' default."""
        return self.training.get("seed", 42)

    @property
    def training_keys(self) -> TrainingKeys:
        """hfft's own keys of `training`."""
        return own(self.training)

    @property
    def output_dir(self) -> Path:
        """The run folder."""
        return Path(self.training.get("output_dir") or f"runs/{self.name}").expanduser()

    @property
    def train_layers(self) -> list[str]:
        """`layers.train` with its default filled in."""
        if self.layers.train is not None:
            return as_list(self.layers.train)
        if self.layers.adapter is not None:
            return ["head"]
        return ["all"] if self.backbone.cross_modal is None else ["embeddings", "norms"]

    @property
    def published_as(self) -> str | None:
        """How an adapter is published: `merged` unless its type cannot be merged; None without one."""
        adapter = self.layers.adapter
        if adapter is None:
            return None
        return self.publish.as_ or ("adapter" if merges(adapter) is False else "merged")

    def column(self, role: str) -> str | None:
        """The data column for `role`, from the recipe or the task's default."""
        return getattr(self.data.columns, role, None) or self.the_task.columns.get(role)

    def resolved(self) -> dict[str, Any]:
        """The recipe with all defaults of what its use reads, as plain values; loading them gives the same recipe."""
        values = {**self.plain(), "training": {**self.training, "output_dir": str(self.output_dir)}}
        for key in ("data", "problem_type") if self.tasks else ("tasks",):  # each task has all of its own
            del values[key]
        return kept(values, self.use)

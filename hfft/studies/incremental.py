"""Tasks that come one after another: what each way of learning them keeps of the earlier ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from hfft.errors import BadInput
from hfft.scenarios.incremental import runs
from hfft.scenarios.incremental.runs import ANSWERED_BY_STORE, CLASSES_ALONE, DOES, FROZEN, STORE
from hfft.scenarios.incremental.sequence import TaskSequence
from hfft.studies.study import CHILDREN, Child, Done, Figures, Study, as_items, recipe_of
from hfft.studies.table import Table
from hfft.wording import first_line

Way = Literal["lwf", "ewc", "replay", "der", "icarl", "slca", "l2p", "ncm", "lda"]
WAYS: tuple[Way, ...] = ("lwf", "ewc", "replay", "der", "icarl", "slca", "l2p", "ncm", "lda")
DOMAINS = "domains"
Domains = dict[Literal["domains"], list[str]]
Tasks = int | Literal["domains"] | Domains | list[list[str]] | list[str]


class Incremental(Study):
    """Tasks learned one after another, beside all at once (`joint`) and plain fine-tuning: classes, domains, or data sets.

    Classes come in their order; domains are the values of `data.columns.domain`, in an order that each seed draws. `joint` and
    `plain` are always among the methods. After each task the test rows of all tasks so far are answered by one head over all
    their classes: the model is never told the task of a row, unless `task_incremental` says so.

    Attributes:
        tasks: a number of tasks, the classes of each, a data set for each, or `domains` (in order: `{domains: [a, b]}`).
        methods: of `lwf`, `ewc`, `replay`, `der`, `icarl`, `slca`, `l2p`, `ncm`, `lda`; default: all that suit tasks and recipe.
        memory: rows of earlier tasks that `replay`, `der` and `icarl` may keep, of all classes together.
        keys: of each task, by which `l2p` chooses an adapter: so many centres by k-means, or the means of its `classes`.
        task_incremental: choose among the classes of a row's own task, which is an easier question.
        settings: method -> `section.key` -> value, for the runs of that method beside its own keys.
    """

    name: ClassVar[str] = "incremental"
    question: str = "What is kept of earlier tasks when others are learned one after another?"
    seeds: int | list[int] = 3
    tasks: Tasks = Field(default=5)
    methods: Annotated[list[Way], BeforeValidator(as_items), Field(min_length=1)] = Field(default=list(WAYS))
    memory: int = Field(default=200, ge=1)
    keys: Annotated[int, Field(ge=1)] | Literal["classes"] = 5
    task_incremental: bool = False
    settings: dict[str, dict[str, Any]] = Field(default={})

    @field_validator("tasks", mode="before")
    @classmethod
    def _as_texts(cls, value: Any) -> Any:
        if isinstance(value, str) and value != DOMAINS:
            raise ValueError(f"is {value!r}; expected a number of tasks, the classes of each, data sets, or {DOMAINS}")
        if isinstance(value, dict):
            given = value.get(DOMAINS)
            if set(value) != {DOMAINS} or not isinstance(given, list | tuple):
                raise ValueError(f"is {value}; expected {{{DOMAINS}: [a, b, c]}}")
            return {DOMAINS: [str(name) for name in given]}
        if isinstance(value, list | tuple):
            return [[str(name) for name in group] if isinstance(group, list | tuple) else group for group in value]
        return value

    @field_validator("tasks")
    @classmethod
    def _apart(cls, value: Tasks) -> Tasks:
        if isinstance(value, str):
            return value
        if isinstance(value, dict):
            if len(named := value["domains"]) < 2 or len(set(named)) < len(named):
                raise ValueError(f"is {value}; expected two different domains or more")
            return value
        if isinstance(value, int):
            if value < 2 or isinstance(value, bool):
                raise ValueError(f"is {value}; expected 2 tasks or more, or the classes of each task")
            return value
        if all(isinstance(group, str) for group in value):
            if len(value) < 2 or len(set(map(str, value))) < len(value):
                raise ValueError(f"is {value}; expected two different data sets or more, or a number of tasks")
            return value
        names = [name for group in value for name in group]
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise ValueError(f"has class {twice!r} twice; each class belongs to one task")
        if len(value) < 2 or not all(value):
            raise ValueError(
                f"has {len(value)} tasks, {sum(map(bool, value))} with classes; expected 2 or more, none empty"
            )
        if len(value[0]) < 2:
            raise ValueError(f"begins with a task of the one class {value[0][0]!r}; a classifier needs two or more")
        return value

    @field_validator("methods")
    @classmethod
    def _once(cls, value: list[Way]) -> list[Way]:
        if len(set(value)) < len(value):
            raise ValueError(f"is {value}; name each method once")
        return value

    @field_validator("settings")
    @classmethod
    def _of_methods(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        known = ("joint", "plain", *WAYS)
        for name in value:
            if name not in known:
                raise ValueError(f"names {name!r}; expected one of {', '.join(known)}")
        return value

    @model_validator(mode="after")
    def _grows(self) -> Incremental:
        if self.recipe.head.own or self.recipe.head.fitted:
            key = next(name for name in ("kind", "pooling", "init") if name in self.recipe.head.model_fields_set)
            raise ValueError(
                f"grows the head from task to task and keeps its rows, but head.{key} is set; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _of_domains(self) -> Incremental:
        if not self.by_domain:
            return self
        if self.recipe.data.columns.domain is None:
            raise ValueError("has tasks by domain; name the column of each row's domain in data.columns.domain")
        if self.task_incremental:
            raise ValueError("has task_incremental, but tasks by domain, which have the same classes; leave it out")
        if "methods" in self.model_fields_set:
            for way in (way for way in self.methods if way in CLASSES_ALONE):
                raise ValueError(f"has {way} in methods, but tasks by domain: {CLASSES_ALONE[way]}; leave it out")
        return self

    @property
    def by_domain(self) -> bool:
        """Whether tasks are domains, each with all classes."""
        return isinstance(self.tasks, str | dict)

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Methods that no one asked for by name and that do not suit the tasks or the recipe -> why."""
        if "methods" in self.model_fields_set:
            return {}
        found = dict(CLASSES_ALONE) if self.by_domain else {}
        if why := self._no_pool():
            found["l2p"] = why
        return found

    @property
    def ways(self) -> list[Way]:
        """The methods that are run."""
        return [way for way in self.methods if way not in self.left_out]

    def _no_pool(self) -> str | None:
        """Why tasks cannot have adapters on the recipe's backbone; None if they can."""
        run = runs.pools(self, TaskSequence([["a", "b"]]), self.all_seeds[0])[0]
        rest = {key: value for key, value in run.overrides.items() if not key.startswith("data.")}
        try:
            recipe_of(self, replace(run, overrides=rest), Path(CHILDREN))
        except BadInput as error:
            return first_line(error).removeprefix(f"child {run.name}: ")
        return None

    def check(self) -> None:
        """Divide the data into tasks.

        Raises:
            BadInput: it cannot be divided so, or the memory is too small.
        """
        from hfft.scenarios.incremental.domains import domain_tasks
        from hfft.scenarios.incremental.memory import check_capacity
        from hfft.scenarios.incremental.tasks import tasks_of

        if "l2p" in self.ways and (why := self._no_pool()):
            raise BadInput(f"methods: l2p does not suit the recipe ({why}); leave it out")
        if self.by_domain:
            domain_tasks(self.recipe, self._named(), write=False)
            return
        groups = tasks_of(self.recipe, self.tasks, write=False)["tasks"]  # type: ignore[arg-type]
        if "icarl" in self.methods:
            check_capacity(self.memory, sum(map(len, groups)), "herding")

    @property
    def sets(self) -> bool:
        """Whether each task is a data set."""
        return isinstance(self.tasks, list) and all(isinstance(one, str) for one in self.tasks)

    def _named(self) -> list[str] | None:
        """The domains in the order that is given, if one is."""
        return self.tasks["domains"] if isinstance(self.tasks, dict) else None

    def asked(self, seed: int) -> str:
        """The child that looks at the data for a seed: domains have an order of its own with each."""
        return f"tasks-{seed if self.by_domain else self.all_seeds[0]}"

    def sequence(self, done: Done, seed: int) -> TaskSequence | None:
        """The tasks of a seed; None until the data was looked at, unless the classes of each are given."""
        if isinstance(self.tasks, list) and not self.sets:
            return TaskSequence(self.tasks)
        found = done.get(self.asked(seed), Figures()).metrics
        return TaskSequence(found["tasks"], found.get("domains", ())) if "tasks" in found else None

    def plan(self, done: Done) -> list[Child]:
        """The tasks of the data, and then, for each seed, joint training and each method's sequence."""
        children: list[Child] = []
        for seed in self.all_seeds:
            what = DOMAINS if self.by_domain else "tasks"
            options = {"wanted": self._named()} if self.by_domain else {"tasks": self.tasks}
            overrides = {"data.validation": "none"} if self.by_domain else {}
            first = Child("tasks", seed, overrides, None, DOES[what], options)
            if first.name == self.asked(seed):
                children.append(first)
            children += self._of_seed(done, seed)
        return list({child.name: child for child in children}.values())

    def _of_seed(self, done: Done, seed: int) -> Iterator[Child]:
        tasks = self.sequence(done, seed)
        if tasks is None:
            return
        base: dict[str, Any] = {}
        if self.sets:
            inputs = done[self.asked(seed)].metrics["columns"]
            base = {
                "data.path": f"{CHILDREN}/{self.asked(seed)}/data",
                "data.columns": {**inputs, "label": "label"},
            }
            base |= dict.fromkeys(("data.name", "data.data_files", "data.data_dir", "data.revision"))
            base |= {"data.train": "train", "data.test": "test", "data.validation": "none"}
        for child in runs.all_runs(self, tasks, seed):
            yield replace(child, overrides={**base, **child.overrides})

    def table(self, done: Done) -> Table:
        """Last and average accuracy, forgetting, transfer and what is kept of each method; a matrix for each."""
        from hfft.scenarios.incremental.page import page

        return page(self, done)

    # --- what the page reads

    def files(self, way: str, t: int, seed: int, done: Done) -> tuple[Path, list[Figures]] | None:
        """The outputs of a method after a task, counted from 1, and the figures of the children that made them; None before."""
        names = self.steps_of(way, t, seed)
        if not all(name in done and done[name].failed is None for name in names):
            return None
        folder = done[names[-1]].folder
        name = f"{way}-{t}" if way in FROZEN else "test"
        path = folder / "outputs" / f"{name}.safetensors"
        return (path, [done[name] for name in names]) if path.is_file() else None

    def steps_of(self, way: str, t: int, seed: int) -> list[str]:
        """The children of a method's task, the one that is scored last."""
        if way in FROZEN:
            return [f"frozen-{seed}"]
        if way == "joint":
            return [f"joint-{seed}"]
        own = f"{way}-1" if way == "l2p" or runs.alone(self, way) else "first"
        run = f"{own if t == 1 else f'{way}-{t}'}-{seed}"
        return [run, f"{way}-{STORE[way]}-{t}-{seed}"] if way in ANSWERED_BY_STORE else [run]

    def stores_of(self, way: str, t: int, seed: int) -> list[str]:
        """The children that only keep something, of all tasks before this one."""
        if way not in STORE or way in ANSWERED_BY_STORE:
            return []
        return [f"{way}-{STORE[way]}-{k}-{seed}" for k in range(1, t)]

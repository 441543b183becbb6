"""Classes that come in tasks: what each way of learning them one after another keeps of the earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from hfft.studies.study import CHILDREN, Child, Done, Figures, Study, as_items
from hfft.studies.table import Table

Way = Literal["lwf", "ewc", "replay", "der", "icarl", "slca", "ncm", "lda"]
WAYS: tuple[Way, ...] = ("lwf", "ewc", "replay", "der", "icarl", "slca", "ncm", "lda")
FROZEN = ("ncm", "lda")
# The module whose functions are children of this study, by what they do.
_DOES = {
    "tasks": "hfft.scenarios.incremental.tasks:tasks_of",
    "frozen": "hfft.scenarios.incremental.frozen:class_sums",
    "memory": "hfft.scenarios.incremental.memory:fill",
    "align": "hfft.scenarios.incremental.align:aligned",
    "information": "hfft.scenarios.incremental.information:consolidate",
}
STORE = {"replay": "memory", "der": "memory", "icarl": "memory", "slca": "align", "ewc": "information"}
Tasks = int | list[list[str]] | list[str]


class Incremental(Study):
    """The classes of one data set learned in tasks, one after another, beside all at once (`joint`) and plain fine-tuning.

    After each task the test rows of all classes so far are answered by one head over all these classes: the model is never
    told the task of a row, unless `task_incremental` says so.

    Attributes:
        tasks: how many tasks the classes are divided into, in their order, the classes of each, or a data set for each.
        methods: of `lwf`, `ewc`, `replay`, `der`, `icarl`, `slca`, `ncm`, `lda`; `joint` and `plain` are always there.
        memory: rows of earlier tasks that `replay`, `der` and `icarl` may keep, of all classes together.
        task_incremental: choose among the classes of a row's own task, which is an easier question.
        settings: method -> `section.key` -> value, for the runs of that method beside its own keys.
    """

    name: ClassVar[str] = "incremental"
    question: str = "What is kept of earlier classes when others are learned one task after another?"
    seeds: int | list[int] = 3
    tasks: Tasks = Field(default=5)
    methods: Annotated[list[Way], BeforeValidator(as_items), Field(min_length=1)] = Field(default=list(WAYS))
    memory: int = Field(default=200, ge=1)
    task_incremental: bool = False
    settings: dict[str, dict[str, Any]] = Field(default={})

    @field_validator("tasks", mode="before")
    @classmethod
    def _as_texts(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [[str(name) for name in group] if isinstance(group, list | tuple) else group for group in value]
        return value

    @field_validator("tasks")
    @classmethod
    def _apart(cls, value: Tasks) -> Tasks:
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

    def check(self) -> None:
        """Divide the data into tasks.

        Raises:
            BadInput: it cannot be divided so, or the memory is too small.
        """
        from hfft.scenarios.incremental.memory import check_capacity
        from hfft.scenarios.incremental.tasks import tasks_of

        groups = tasks_of(self.recipe, self.tasks, write=False)["tasks"]
        if "icarl" in self.methods:
            check_capacity(self.memory, sum(map(len, groups)), "herding")

    @property
    def sets(self) -> bool:
        """Whether each task is a data set."""
        return not isinstance(self.tasks, int) and all(isinstance(one, str) for one in self.tasks)

    def groups(self, done: Done) -> list[list[str]] | None:
        """The classes of each task; None until the data was looked at, if only their number is given."""
        if not isinstance(self.tasks, int) and not self.sets:
            return self.tasks  # type: ignore[return-value]
        return done.get(f"tasks-{self.all_seeds[0]}", Figures()).metrics.get("tasks")

    def plan(self, done: Done) -> list[Child]:
        """The tasks of the data, and then, for each seed, joint training and each method's sequence."""
        first = Child("tasks", self.all_seeds[0], {}, None, _DOES["tasks"], {"tasks": self.tasks})
        groups = self.groups(done)
        if groups is None:
            return [first]
        if self.sets:
            inputs = done[first.name].metrics["columns"]
            base: dict[str, Any] = {
                "data.path": f"{CHILDREN}/{first.name}/data",
                "data.columns": {**inputs, "label": "label"},
            }
            base |= dict.fromkeys(("data.name", "data.data_files", "data.data_dir", "data.revision"))
            base |= {"data.train": "train", "data.test": "test", "data.validation": "none"}
            planned = self.all_of(groups)
            return [first, *(replace(child, overrides={**base, **child.overrides}) for child in planned)]
        return [first, *self.all_of(groups)]

    def all_of(self, groups: Sequence[Sequence[str]]) -> list[Child]:
        """The runs of all seeds and methods."""
        children: list[Child] = []
        for seed in self.all_seeds:
            children.append(
                Child("joint", seed, {"data.classes": self.seen(groups, len(groups)), **self.extra("joint")})
            )
            if any(way in FROZEN for way in self.methods):
                whole = {"data.classes": self.seen(groups, len(groups)), "data.validation": "none"}
                children.append(Child("frozen", seed, whole, None, _DOES["frozen"], {"tasks": groups}))
            for way in ("plain", *(way for way in self.methods if way not in FROZEN)):
                children += self.sequence(way, groups, seed)
        return list({child.name: child for child in children}.values())

    @staticmethod
    def seen(groups: Sequence[Sequence[str]], count: int) -> list[str]:
        """The classes of the first tasks."""
        return [name for group in groups[:count] for name in group]

    def extra(self, way: str, first: bool = False) -> dict[str, Any]:
        """The settings of a method; of its first task without those of its strategy, which needs an earlier one."""
        given = self.settings.get(way, {})
        return {
            key: value for key, value in given.items() if not (first and key.startswith(("strategy.", "data.sets.")))
        }

    def alone(self, way: str) -> bool:
        """Whether a method's first task is another run than that of all others."""
        return bool(self.rates(way) or self.extra(way, first=True))

    def sequence(self, way: str, groups: Sequence[Sequence[str]], seed: int) -> list[Child]:
        """The runs of a method, task by task, and what it keeps after each."""
        found: list[Child] = []
        rates = self.rates(way)
        own = f"{way}-1" if self.alone(way) else "first"  # the same run for all that begin alike
        for t in range(1, len(groups) + 1):
            overrides: dict[str, Any] = {"data.classes": self.seen(groups, t), **self.share(groups, t), **rates}
            overrides |= self.extra(way, first=t == 1)
            last: str | None = None
            if t > 1:
                last = found[-1].name
                overrides["data.train_classes"] = list(groups[t - 1])
                overrides["head.keep_known"] = True
                overrides["backbone.name"] = f"{CHILDREN}/{self.model(way, own, t - 1, seed)}/model"
                overrides |= {
                    key: value
                    for key, value in self.learning(way, groups, t, seed).items()
                    if key not in self.extra(way)
                }
            run = Child(own if t == 1 else f"{way}-{t}", seed, overrides, last)
            found.append(run)
            if way in STORE and (t < len(groups) or way in ("icarl", "slca")):
                found.append(self.store(way, run, t))
        return found

    def share(self, groups: Sequence[Sequence[str]], t: int) -> dict[str, Any]:
        """The rows that a task has of those that the recipe trains on, so that all tasks together have as many as `joint`."""
        most = self.recipe.data.max_train_samples
        if most is None:
            return {}
        return {
            "data.max_train_samples": max(round(most * len(groups[t - 1]) / sum(map(len, groups))), len(groups[t - 1]))
        }

    def rates(self, way: str) -> dict[str, Any]:
        """The learning rates of a method: SLCA's backbone learns ten times slower, its head as fast as before."""
        if way != "slca":
            return {}
        scale = self.recipe.layers.head_lr_scale
        rate = float(self.recipe.training.get("learning_rate", 5e-5))
        return {"training.learning_rate": rate / 10, "layers.head_lr_scale": scale * 10}

    def model(self, way: str, own: str, t: int, seed: int) -> str:
        """The child whose model a method has after a task."""
        if way == "slca":
            return f"slca-align-{t}-{seed}"
        return f"{own if t == 1 else f'{way}-{t}'}-{seed}"

    def learning(self, way: str, groups: Sequence[Sequence[str]], t: int, seed: int) -> dict[str, Any]:
        """What a method adds to the run of a task after the first one."""
        earlier = self.seen(groups, t - 1)
        kept = f"{CHILDREN}/{way}-{STORE.get(way)}-{t - 1}-{seed}"
        memory = {"data.sets.memory": {"path": f"{kept}/memory", "labels": "given"}}
        found: dict[str, dict[str, Any]] = {
            "plain": {},
            "lwf": {"strategy.lwf": {"classes": earlier, "weight": 1.0}},
            "ewc": {"strategy.ewc": {"weight": 1000.0, "information": f"{kept}/information.safetensors"}},
            "replay": {**memory, "strategy.replay": {"on": "memory"}},
            "der": {**memory, "strategy.der": {"on": "memory"}},
            "icarl": {
                **memory,
                "strategy.replay": {"on": "memory"},
                "strategy.lwf": {"classes": earlier, "weight": 1.0},
            },
            "slca": {"strategy.ace": True} if len(groups[t - 1]) > 1 else {},
        }
        return found[way]

    def store(self, way: str, run: Child, t: int) -> Child:
        """What a method keeps after a task."""
        what = STORE[way]
        before = f"{way}-{what}-{t - 1}-{run.seed}" if t > 1 else None
        overrides = {
            key: value for key, value in run.overrides.items() if not key.startswith(("strategy.", "data.sets."))
        }
        overrides.pop("backbone.name", None)
        options: dict[str, Any] = {"before": before}
        if what == "memory":
            options |= {"capacity": self.memory, "how": "herding" if way == "icarl" else "reservoir"}
            options |= {"by_means": True} if way == "icarl" else {}
        return Child(f"{way}-{what}-{t}", run.seed, overrides, run.name, _DOES[what], options)

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
        own = f"{way}-1" if self.alone(way) else "first"
        run = f"{own if t == 1 else f'{way}-{t}'}-{seed}"
        return [run, f"{way}-{STORE[way]}-{t}-{seed}"] if way in ("icarl", "slca") else [run]

    def stores_of(self, way: str, t: int, seed: int) -> list[str]:
        """The children that only keep something, of all tasks before this one."""
        if way not in STORE or way in ("icarl", "slca"):
            return []
        return [f"{way}-{STORE[way]}-{k}-{seed}" for k in range(1, t)]

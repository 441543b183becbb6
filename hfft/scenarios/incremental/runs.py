"""The runs of each method on a sequence of tasks, and what it keeps after each: children of the study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hfft.scenarios.incremental.sequence import TaskSequence
from hfft.studies.study import CHILDREN, Child

if TYPE_CHECKING:
    from hfft.studies.incremental import Incremental

FROZEN = ("ncm", "lda")
CLASSES_ALONE = {
    "icarl": "it shares its memory among classes that each come once",
    "slca": "it compares the classes of a task and keeps one Gaussian of each",
}
# The module whose functions are children of the study, by what they do.
DOES = {
    "tasks": "hfft.scenarios.incremental.tasks:tasks_of",
    "domains": "hfft.scenarios.incremental.domains:domain_tasks",
    "frozen": "hfft.scenarios.incremental.frozen:class_sums",
    "memory": "hfft.scenarios.incremental.memory:fill",
    "align": "hfft.scenarios.incremental.align:aligned",
    "information": "hfft.scenarios.incremental.information:consolidate",
    "pool": "hfft.scenarios.incremental.pool:add_task",
}
STORE = {
    "replay": "memory",
    "der": "memory",
    "icarl": "memory",
    "slca": "align",
    "ewc": "information",
    "l2p": "pool",
}
ANSWERED_BY_STORE = ("icarl", "slca", "l2p")  # what is kept answers the test rows, not the run
# What else a recipe says of its layers is for a network that learns.
_FROZEN_NETWORK: dict[str, Any] = {
    "layers.train": None,
    "layers.freeze": [],
    "layers.schedule": None,
    "layers.layer_decay": 1.0,
    "layers.lr": {},
    "layers.weight_decay": {},
}
# Classes of models that prediction puts an adapter on; of all others the adapter is merged, and each task has a whole model.
_APART = ("AutoModelForImageClassification", "AutoModelForSequenceClassification")
_ADAPTERS = {
    True: {"type": "prompt_tuning", "num_virtual_tokens": 20},
    False: {"type": "lora"},  # PEFT puts prompts before texts alone
}


def all_runs(study: Incremental, tasks: TaskSequence, seed: int) -> list[Child]:
    """The runs of all methods with a seed."""
    children = [Child("joint", seed, {**tasks.all(), **extra(study, "joint")})]
    if any(way in FROZEN for way in study.ways):
        options: dict[str, Any] = {"tasks": tasks.classes}
        options |= {"domains": list(tasks.domains)} if tasks.domains else {}
        children.append(
            Child("frozen", seed, {**tasks.all(), "data.validation": "none"}, None, DOES["frozen"], options)
        )
    for way in ("plain", *(way for way in study.ways if way not in FROZEN)):
        children += pools(study, tasks, seed) if way == "l2p" else sequence(study, way, tasks, seed)
    return children


def extra(study: Incremental, way: str, first: bool = False) -> dict[str, Any]:
    """The settings of a method; of its first task without those of its strategy, which needs an earlier one."""
    given = study.settings.get(way, {})
    return {key: value for key, value in given.items() if not (first and key.startswith(("strategy.", "data.sets.")))}


def alone(study: Incremental, way: str) -> bool:
    """Whether a method's first task is another run than that of all others."""
    return bool(rates(study, way) or extra(study, way, first=True))


def sequence(study: Incremental, way: str, tasks: TaskSequence, seed: int) -> list[Child]:
    """The runs of a method, task by task, and what it keeps after each."""
    found: list[Child] = []
    own = f"{way}-1" if alone(study, way) else "first"  # the same run for all that begin alike
    for t in range(1, len(tasks) + 1):
        overrides: dict[str, Any] = {**tasks.rows(t), **tasks.share(t, study.recipe.data.max_train_samples)}
        overrides |= {**rates(study, way), **extra(study, way, first=t == 1)}
        last: str | None = None
        if t > 1:
            last = found[-1].name
            overrides["head.keep_known"] = True
            overrides["backbone.name"] = f"{CHILDREN}/{model(way, own, t - 1, seed)}/model"
            overrides |= {
                key: value for key, value in learning(way, tasks, t, seed).items() if key not in extra(study, way)
            }
        run = Child(own if t == 1 else f"{way}-{t}", seed, overrides, last)
        found.append(run)
        if way in STORE and (t < len(tasks) or way in ANSWERED_BY_STORE):
            found.append(store(study, way, run, t))
    return found


def rates(study: Incremental, way: str) -> dict[str, Any]:
    """The learning rates of a method: SLCA's backbone learns ten times slower, its head as fast as before.

    An adapter of L2P's and its head learn ten times faster: they are all that learns, from a change of zero.
    """
    scale = study.recipe.layers.head_lr_scale
    rate = float(study.recipe.training.get("learning_rate", 5e-5))
    if way == "l2p":
        return {"training.learning_rate": rate * 10, "layers.head_lr_scale": 1.0}
    if way != "slca":
        return {}
    return {"training.learning_rate": rate / 10, "layers.head_lr_scale": scale * 10}


def model(way: str, own: str, t: int, seed: int) -> str:
    """The child whose model a method has after a task."""
    if way == "slca":
        return f"slca-align-{t}-{seed}"
    return f"{own if t == 1 else f'{way}-{t}'}-{seed}"


def learning(way: str, tasks: TaskSequence, t: int, seed: int) -> dict[str, Any]:
    """What a method adds to the run of a task after the first one."""
    earlier = tasks.seen(t - 1)
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
        "slca": {"strategy.ace": True} if len(tasks.classes[t - 1]) > 1 else {},
    }
    return found[way]


def store(study: Incremental, way: str, run: Child, t: int) -> Child:
    """What a method keeps after a task."""
    what = STORE[way]
    before = f"{way}-{what}-{t - 1}-{run.seed}" if t > 1 else None
    overrides = {key: value for key, value in run.overrides.items() if not key.startswith(("strategy.", "data.sets."))}
    overrides.pop("backbone.name", None)
    options: dict[str, Any] = {"before": before}
    if what == "memory":
        options |= {"capacity": study.memory, "how": "herding" if way == "icarl" else "reservoir"}
        options |= {"by_means": True} if way == "icarl" else {}
    return Child(f"{way}-{what}-{t}", run.seed, overrides, run.name, DOES[what], options)


def pools(study: Incremental, tasks: TaskSequence, seed: int) -> list[Child]:
    """The adapters of all tasks, each on the recipe's own backbone, and the pool of those so far."""
    found, most = list[Child](), study.recipe.data.max_train_samples
    adapter = _ADAPTERS[study.recipe.the_task.modality.tokens]
    backbone = study.recipe.backbone
    whole = (
        backbone.edit or backbone.cross_modal or study.recipe.head.own or study.recipe.the_task.auto_class not in _APART
    )
    as_stored: dict[str, Any] = {} if whole else {"publish.as": "adapter"}
    trained: list[str | None] = []
    for t in range(1, len(tasks) + 1):
        share, more = tasks.share(t, most), extra(study, "l2p")
        overrides = {**tasks.alone(t), **share, **_FROZEN_NETWORK, **rates(study, "l2p")}
        overrides |= {"layers.adapter": adapter, **as_stored, **more}
        if overrides["layers.adapter"] is None:  # what the settings insert in the backbone learns in its place
            overrides.pop("publish.as", None)
        run = Child(f"l2p-{t}", seed, overrides)
        needed = len(tasks.classes[t - 1]) > 1  # a class alone has nothing to learn
        trained.append(run.name if needed else None)
        found += [run] if needed else []
        read = {key: value for key, value in more.items() if key.startswith("data.") and "data.sets." not in key}
        read |= {"backbone.name": backbone.name, "backbone.revision": backbone.revision}
        options: dict[str, Any] = {
            "tasks": [list(group) for group in tasks.classes[:t]],
            "runs": list(trained),
            "keys": study.keys,
            "domains": list(tasks.domains[:t]),
            "before": f"l2p-pool-{t - 1}-{seed}" if t > 1 else None,
            "task_incremental": study.task_incremental,
            "last": t == len(tasks),
        }
        latest = next(name for name in reversed(trained) if name is not None)
        found.append(Child(f"l2p-pool-{t}", seed, {**tasks.rows(t), **share, **read}, latest, DOES["pool"], options))
    return found

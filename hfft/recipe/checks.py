"""Checks that no single field can make: arguments of other libraries, and parts that must agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hfft.backbone.edit.spec import misfit
from hfft.data.augment.grammar import OPS_OF, parse
from hfft.data.augment.grammar import misfit as misfit_of
from hfft.data.spec import NONE
from hfft.layers.adapters.arguments import adapter_problems, merges
from hfft.layers.spec import SCHEDULES
from hfft.recipe.classifier_checks import classifier_checks
from hfft.recipe.cross_modal_checks import cross_modal_checks
from hfft.recipe.explain import explain
from hfft.recipe.label_checks import label_checks
from hfft.recipe.masking_checks import masking_checks
from hfft.recipe.rnn_checks import rnn_checks
from hfft.recipe.score_checks import score_checks
from hfft.recipe.set_checks import set_checks
from hfft.recipe.several_tasks import single_checks, task_checks
from hfft.recipe.training_arguments import training_problem
from hfft.recipe.training_keys import TrainingKeys, foreign
from hfft.recipe.yaml_lines import Path
from hfft.spec import as_list
from hfft.strategy.build import build_methods
from hfft.strategy.needs import Situation, refusals
from hfft.tasks.measure import is_file
from hfft.tasks.problem import PROBLEMS, SMALLER_IS_BETTER
from hfft.wording import listing

if TYPE_CHECKING:
    from hfft.recipe.recipe import Recipe


def situation(recipe: Recipe) -> Situation:
    """The facts about a recipe that matter to methods."""
    steps, epochs = recipe.training.get("max_steps", -1), recipe.training.get("num_train_epochs", 3)
    by_epochs = isinstance(epochs, (int, float)) and isinstance(steps, int) and steps <= 0
    return Situation(
        problem=recipe.problem,
        adapter=recipe.layers.adapter is not None,
        streaming=recipe.data.streaming,
        continuous=recipe.the_task.modality.continuous,
        tokens=recipe.the_task.modality.tokens,
        modality=recipe.the_task.modality.name,
        sets=tuple(recipe.data.sets),
        labelled_sets=tuple(name for name, one in recipe.data.sets.items() if one.labels == "given"),
        domains=recipe.data.columns.domain is not None or bool(recipe.tasks),
        own_head=recipe.head.own,
        epochs=epochs if by_epochs else None,
        evaluates=recipe.data.validation != NONE and recipe.training.get("eval_strategy", "epoch") != "no",
        best=bool(foreign(recipe.training).get("load_best_model_at_end", False)),
        schedule=str(recipe.training.get("lr_scheduler_type", "linear")),
        new_head=recipe.the_task.labelled and not recipe.head.keep_known,
        labels_read=recipe.data.labels != NONE,
        head_learns="head" not in as_list(recipe.layers.freeze),
    )


def cross_checks(values: dict[str, Any], recipe: Recipe | None) -> list[tuple[Path, str]]:
    """Checks that no single field can make: training arguments, adapters, and sections that must agree."""
    found: list[tuple[Path, str]] = []
    training = values.get("training")
    for key, value in (training if isinstance(training, dict) else {}).items():
        if key in TrainingKeys.model_fields:
            found += own_problems(str(key), value)
        elif problem := training_problem(str(key), value):
            found.append((("training", str(key)), problem))
    if recipe is None:
        return found
    if recipe.tasks:
        found += task_checks(recipe) + single_checks(recipe, values, lambda single: cross_checks({}, single))
    adapter, task, modality = recipe.layers.adapter, recipe.the_task, recipe.the_task.modality
    if recipe.publish.as_ and adapter is None:
        found.append((("publish", "as"), "is for adapters; set layers.adapter, or leave it out"))
    elif adapter is not None and recipe.publish.as_ == "merged" and merges(adapter) is False:
        found.append((("publish", "as"), f"is merged, which {adapter['type']} cannot be; use publish.as=adapter"))
    changing = {
        "backbone.edit": recipe.backbone.edit,
        "backbone.cross_modal": recipe.backbone.cross_modal,
        "head.kind": recipe.head.own,
    }
    changed = next((what for what, is_so in changing.items() if is_so), None)
    # nobody could load it: the published backbone has another structure
    if recipe.published_as == "adapter" and changed:
        kind = adapter["type"] if adapter and merges(adapter) is False else None
        remedy = f"{kind} cannot be merged: use lora" if kind else "use publish.as=merged"
        found.append(
            (
                ("publish", "as"),
                f"is adapter, which needs the backbone as published, but {changed} changes it; {remedy}",
            )
        )
    found += _lora_checks(recipe)
    if adapter is not None:
        prompts = modality.tokens and task.labelled
        found += [(("layers", "adapter", key), problem) for key, problem in adapter_problems(adapter, prompts)]
        if recipe.train_layers != ["head"]:
            found.append(
                (
                    ("layers", "train"),
                    f"is {recipe.layers.train!r}; with an adapter only head is possible; leave it out",
                )
            )
        if recipe.layers.freeze:
            found.append((("layers", "freeze"), "an adapter freezes everything except the head; leave it out"))
        if recipe.layers.norms == "live":
            text = "is live, but adapters do not save statistics of norms; leave it out"
            found.append((("layers", "norms"), text))
    found += _augment_checks(recipe)
    views = getattr(recipe.layers.cache, "views", None)
    if views is not None and not recipe.data.augment:
        found.append((("layers", "cache", "views"), "is for augmented rows, but data.augment is empty; leave it out"))
    for role in recipe.data.columns.model_fields_set:
        if role in ("id", "group", "domain") and recipe.data.streaming:
            found.append((("data", "columns", role), "needs all rows, which a stream does not have; leave it out"))
        elif role not in ("id", "group", "domain") and role not in task.columns:
            found.append(
                (("data", "columns", role), f"is not used by task {recipe.task}, which takes {listing(task.columns)}")
            )
    target = PROBLEMS[recipe.problem]
    if recipe.data.render is not None and modality.input_name != "pixel_values":
        drawn = "texts" if recipe.data.render.kind == "text" else "sounds"
        found.append((("data", "render"), f"draws {drawn} as images, but task {recipe.task} takes none; leave it out"))
    found += label_checks(recipe) + masking_checks(recipe)
    found += cross_modal_checks(recipe)
    frozen = recipe.backbone.cross_modal is None and recipe.train_layers != ["all"]
    if recipe.backbone.init == "random" and (recipe.layers.adapter or frozen):
        found.append((("backbone", "init"), "is random, and frozen layers would never learn; use layers.train=all"))
    for i, edit in enumerate(recipe.backbone.edit):
        if problem := misfit(edit, modality.edits_refused):
            found.append((("backbone", "edit", i), problem))
        if edit.get("channels") == 4 and recipe.data.augment:
            found.append((("data", "augment"), "works on grey and RGB images only; leave it out with channels: 4"))
    found += _head_checks(recipe) + rnn_checks(recipe)
    if recipe.head.keep_known and not target.classes:
        found.append(
            (("head", "keep_known"), f"needs named classes, which {recipe.problem} does not have; leave it out")
        )
    found += set_checks(recipe)
    found += [(("strategy", key), why) for key, why in refusals(build_methods(recipe.strategy), situation(recipe))]
    for part in ("validation", "test"):
        if recipe.data.streaming and isinstance(getattr(recipe.data, part), float):
            found.append((("data", part), "is a share, which cannot be taken from a streamed set; name a split"))
    return (
        found + classifier_checks(recipe) + score_checks(recipe) + _schedule_checks(recipe) + _training_checks(recipe)
    )


def _augment_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """Augmentations that do not suit the task's inputs."""
    task, augment, modality = recipe.the_task, recipe.data.augment, recipe.the_task.modality
    if augment and not task.labelled and modality.tokens:
        return [(("data", "augment"), f"task {recipe.task} masks other tokens in every epoch already; leave it out")]
    for i, item in enumerate(augment):
        if (why := misfit_of(item, modality.name)) is not None:
            known = listing(OPS_OF.get(modality.name, {}))
            text = f"{why}, but task {recipe.task} takes {modality.plural}; leave it out, or choose from {known}"
            return [(("data", "augment", i) if len(augment) > 1 else ("data", "augment"), text)]
    if "text_pair" not in recipe.data.columns.model_fields_set:
        for i, (_, arguments) in enumerate(parse(list(augment))):
            if arguments.get("of") == "text_pair":
                return [(("data", "augment", i), "is of text_pair, but data.columns.text_pair is not set")]
    return []


def own_problems(key: str, value: Any) -> list[tuple[Path, str]]:
    """What is wrong with a key of `training` that is hfft's own."""
    try:
        TrainingKeys.model_validate({key: value})
    except ValidationError as error:
        return [(("training", *path), what) for path, what in explain(error, TrainingKeys, {key: value})]
    return []


def _lora_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """Keys of `layers` that are for LoRA only; whether a published adapter is LoRA is known once it is loaded."""
    layers, found = recipe.layers, list[tuple[Path, str]]()
    kind = None if layers.adapter is None else "lora" if "from" in layers.adapter else layers.adapter.get("type")
    asked = {"loraplus_lr_ratio": layers.loraplus_lr_ratio != 1.0, "lora_fa": layers.lora_fa}
    fitting = {"loraplus_lr_ratio": ("lora", "dora"), "lora_fa": ("lora",)}
    for key in asked:
        if asked[key] and kind not in fitting[key]:
            given = "there is no adapter" if kind is None else f"the adapter is {kind}"
            found.append(
                (("layers", key), f"is for LoRA, but {given}; use layers.adapter={{type: lora}}, or leave it out")
            )
    if all(asked.values()):
        text = "is the rate of B as a multiple of A's, but lora_fa freezes A; leave one of them out"
        found.append((("layers", "loraplus_lr_ratio"), text))
    return found


def _schedule_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """What `layers.schedule` cannot be combined with: keys of other types, and recipes in which it would change nothing."""
    schedule = recipe.layers.schedule
    if schedule is None:
        return []
    kind, here = schedule.type, ("layers", "schedule")
    # inserted modules learn, whatever layers.train says
    inserts = any("insert" in edit for edit in recipe.backbone.edit)
    given = [key for key, value in schedule.plain().items() if key != "type"]
    takes = SCHEDULES[kind]
    found: list[tuple[Path, str]] = [
        ((*here, key), f"does not apply to {kind}, which takes {listing(takes)}") for key in given if key not in takes
    ]
    for epochs, steps in (("head_epochs", "head_steps"), ("every", "every_steps")):
        if epochs in given and steps in given:
            found.append(((*here, steps), f"and {epochs} are both set; keep one of them"))
    max_steps = recipe.training.get("max_steps", -1)
    if kind == "head-then-all" and isinstance(max_steps, int):
        length, run = schedule.head_epochs or 1, recipe.training.get("num_train_epochs", 3)
        if schedule.head_steps is None and max_steps <= 0 and isinstance(run, (int, float)) and length >= run:
            text = f"only the head would learn for {length:g} of {run:g} num_train_epochs; shorten this or lengthen the run"
            found.append(((*here, "head_epochs"), text))
        if schedule.head_steps is not None and 0 < max_steps <= schedule.head_steps:
            text = f"only the head would learn for {schedule.head_steps} of {max_steps} max_steps; shorten this"
            found.append(((*here, "head_steps"), text))
    if recipe.layers.adapter is not None and kind != "head-then-all":
        found.append((here, f"{kind} schedules the model's own layers, which an adapter freezes; use head-then-all"))
    elif recipe.layers.adapter is None and recipe.train_layers == ["head"] and not inserts:
        found.append((here, "layers.train is head, so no layers could start later; list more in layers.train"))
    freeze = recipe.layers.freeze
    if "head" in (freeze if isinstance(freeze, list) else [freeze]) and kind != "surgical":
        found.append((("layers", "freeze"), f"freezes the head, but {kind} starts with it; leave it out"))
    if kind == "surgical" and recipe.head.init == "zeros":
        text = "is zeros, which passes back no gradient for surgical to measure; use head.init=default"
        found.append((("head", "init"), text))
    if kind == "surgical" and recipe.data.streaming:
        found.append((here, "surgical measures on rows drawn from the whole data set; use data.streaming=false"))
    return found


def _head_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """Checks of hfft's own heads and of the keys that go with each kind."""
    head = recipe.head
    found: list[tuple[Path, str]] = []
    if head.own and not recipe.the_task.labelled:
        found.append((("head", "kind"), f"task {recipe.task} keeps the head it was pretrained with; leave it out"))
    if head.own and head.keep_known:
        found.append((("head", "keep_known"), "keeps rows of the architecture's own head; leave out kind and pooling"))
    if head.kind == "attention-pool" and head.pooling:
        found.append((("head", "pooling"), "is not used: attention-pool does its own pooling; leave it out"))
    for key, what in (("hidden", "the width"), ("activation", "the activation"), ("norm", "the norm")):
        if getattr(head, key) and head.kind != "mlp":
            found.append((("head", key), f"is {what} of an mlp head; add kind: mlp or leave it out"))
    if head.per_task and not recipe.tasks:
        found.append((("head", "per_task"), "is about several tasks, and the recipe has one; leave it out"))
    elif head.per_task and head.kind not in ("mlp", "attention-pool"):
        kind = head.kind or "the architecture's own"
        found.append(
            (("head", "per_task"), f"needs layers before the last, which {kind} has not to share; use kind: mlp")
        )
    if head.fitted:
        found += [(("head", "init"), f"is {head.init}, {why}") for why in _not_fitted(recipe)]
    if head.kind == "cosine" and head.init == "zeros":
        found.append((("head", "init"), "is zeros, but the cosine to a zero vector is undefined; use default"))
    return found


def _not_fitted(recipe: Recipe) -> list[str]:
    """Why the head of a recipe cannot start from a fitted classifier."""
    if not PROBLEMS[recipe.problem].classes:
        return [f"which needs one class a row, but {recipe.problem} has not; use default"]
    if recipe.data.streaming:
        return ["which is fitted on all rows, and a stream has no end; use data.streaming=false"]
    if recipe.head.kind == "cosine":
        return ["which is a linear layer, but the last layer of kind cosine compares directions; use another kind"]
    if recipe.head.keep_known:
        return ["but keep_known starts from the checkpoint's own head; leave one of them out"]
    return []


def _training_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """TrainingArguments that must agree, checked before anything is loaded."""
    found: list[tuple[Path, str]] = []
    given = recipe.training
    folder = given.get("output_dir")
    if isinstance(folder, str) and not folder.isprintable():
        found.append((("training", "output_dir"), f"is {folder!r:.80}; a path cannot contain control characters"))
    elif isinstance(folder, str) and "$" in folder:
        text = f"is {folder!r:.80}; variables are not expanded; write the full path"
        found.append((("training", "output_dir"), text))
    metric = str(given.get("metric_for_best_model") or "").removeprefix("eval_")
    of_tasks = recipe.task_metrics
    names = {**{name: name for name in recipe.metrics}, **of_tasks}
    own = any(is_file(name) for name in names.values())  # the names that it returns are known only when it runs
    if metric and metric != "loss" and metric not in names and not own:
        scored = listing([*names, "loss"])
        text = f"is {metric!r}, which is not scored; add it to score.metrics or choose from {scored}"
        found.append((("training", "metric_for_best_model"), text))
    if given.get("load_best_model_at_end"):
        evaluate, save = given.get("eval_strategy", "epoch"), given.get("save_strategy", "epoch")
        if save != "best" and evaluate != save:
            text = f"needs eval_strategy ({evaluate}) and save_strategy ({save}) to be the same"
            found.append((("training", "load_best_model_at_end"), text))
    if given.get("early_stopping") is not None:
        found += [(("training", "early_stopping"), text) for text in _not_stoppable(foreign(given))]
    if given.get("label_smoothing_factor") and not PROBLEMS[recipe.problem].classes:
        found.append(
            (
                ("training", "label_smoothing_factor"),
                f"smooths classes, which {recipe.problem} does not have; leave it out",
            )
        )
    found += _unvalidated(recipe)
    bigger = given.get("greater_is_better")
    known = metric == "loss" or metric in PROBLEMS[recipe.problem].metrics or metric in of_tasks
    if bigger is not None and known and bigger == (of_tasks.get(metric, metric) in SMALLER_IS_BETTER):
        found.append(
            (("training", "greater_is_better"), f"is {bigger}, the wrong direction for {metric}; leave it out")
        )
    return found


def _not_stoppable(given: dict[str, Any]) -> list[str]:
    """Why a run with these TrainingArguments cannot be stopped early."""
    evaluate, save = given.get("eval_strategy", "epoch"), given["save_strategy"]
    if evaluate == "no":
        return ["needs evaluations, but eval_strategy is no; leave eval_strategy out"]
    if not given["load_best_model_at_end"]:
        return ["keeps the best model; leave load_best_model_at_end out"]
    if save not in ("best", evaluate):
        return [
            f"keeps the best model, so save_strategy ({save}) must be that of eval_strategy ({evaluate}); leave it out"
        ]
    return []


def _unvalidated(recipe: Recipe) -> list[tuple[Path, str]]:
    """Training arguments that need a validation split, where the recipe leaves it off."""
    if recipe.data.validation != NONE:
        return []
    needing = {
        "eval_strategy": lambda value: value != "no",
        "eval_on_start": bool,
        "load_best_model_at_end": bool,
        "metric_for_best_model": bool,
        "save_strategy": lambda value: value == "best",
        "lr_scheduler_type": lambda value: value in ("reduce_lr_on_plateau", "greedy"),
        "early_stopping": bool,
    }
    text = "needs a validation split, which data.validation=none leaves off; leave it out, or name a split or a share"
    given = recipe.training
    return [(("training", key), text) for key, needs in needing.items() if given.get(key) and needs(given[key])]

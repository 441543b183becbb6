"""Build a Trainer that is ready to train from the five parts of a recipe."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import TrainingArguments, set_seed

from hfft import backbone, data, head, layers, strategy
from hfft.backbone.edit import edit
from hfft.backbone.source_head import source_head
from hfft.data.spec import NONE
from hfft.errors import BadInput, HfftError
from hfft.evaluate import Metrics, check_files, check_further
from hfft.frozen_cache import folder
from hfft.frozen_cache.frozen_cache import FrozenCacheSettings
from hfft.frozen_cache.spec import FrozenCacheSpec
from hfft.head.replace_head import rows as head_rows
from hfft.pipeline import calibrate, masked_images, model_check, rows
from hfft.pipeline.dry_build import check_turns, dry_build, lr_rules
from hfft.pipeline.head_start import start_from_classifier, with_pooling
from hfft.pipeline.row_groups import class_ids
from hfft.pipeline.teachers import prepared_for, teachers
from hfft.pipeline.vocabulary import with_vocabulary
from hfft.processes import say
from hfft.recipe import Recipe
from hfft.recipe.checks import situation
from hfft.spec import as_list
from hfft.strategy.needs import needed, refusals, uncacheable
from hfft.tasks.labels import Labels
from hfft.tasks.problem import known_metrics, smaller_is_better
from hfft.tasks.table import Task
from hfft.train import FineTuner
from hfft.train.callbacks import EpochLine
from hfft.train.device import lay_out
from hfft.train.early_stopping import EarlyStopping
from hfft.train.last_block import LastBlock
from hfft.train.micro_batch import settle
from hfft.train.unfreezing import measure
from hfft.wording import first_line, listing, size_in_bytes


@dataclass
class Run:
    """The five parts, built and ready to train."""

    trainer: FineTuner
    prepared: data.Prepared
    splits: data.Splits
    labels: Labels
    metrics: Metrics
    processor: Any
    edits: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    commit: str | None
    adapter_commit: str | None = None
    notes: tuple[str, ...] = ()


def build_run(recipe: Recipe, arguments: TrainingArguments, began: list[dict[str, Any]] | None = None) -> Run:
    """Build a Trainer that is ready to train from the five parts of a recipe.

    Args:
        began: the table of layers that the run began with, if it is resumed.

    Raises:
        BadInput: the data or the model cannot be used as the recipe says.
    """
    recipe = recipe.model_copy(update={"backbone": backbone.pinned(recipe.backbone)})
    adapter = recipe.layers.adapter
    if adapter is not None and "from" in adapter:  # before any data is downloaded
        adapter = layers.pinned_adapter(adapter)
        earlier = layers.published(adapter["from"], adapter.get("revision"))
        layers.check_base(earlier, recipe.backbone.name, adapter["from"], recipe.published_as)
    check_files([*recipe.metrics, *recipe.task_metrics.values()])
    recipe, pooling = with_pooling(recipe)
    dry_build(recipe)
    task = recipe.the_task
    processor = backbone.load_processor(recipe.backbone, task)
    model_check.check_ahead(recipe, processor)
    with arguments.main_process_first(local=True, desc="data"):
        splits, labels = rows.load(recipe)  # 5
    rows.fit_processor(recipe, splits, processor)
    recipe, vocabulary = with_vocabulary(recipe, splits)
    if vocabulary:  # the words of the training texts are known only now
        processor = backbone.load_processor(recipe.backbone, task)
    for each in splits.tasks.values() or [splits]:
        check_further(recipe.score, each)
    if pooling is None:
        recipe, pooling = with_pooling(recipe, download=True)
    set_seed(arguments.seed)
    model = backbone.load_model(recipe.backbone, recipe.head, task, labels, processor)  # 1
    model, edits = edit.edit(model, recipe.backbone.edit, processor, first_batch(task, splits))
    model_check.check_inputs(model, processor, task)
    model_check.check_checkpointing(model, recipe)
    divided = bool(arguments.fsdp) or arguments.deepspeed is not None
    read = model_check.check_answers(model, processor, task, arguments.per_device_eval_batch_size, divided)
    masks = masked_images.masks_of(recipe, model, processor, divided)
    head_names = head.parameter_names(model, recipe.head.new)
    if task.labelled:
        set_seed(arguments.seed)  # so that the head does not depend on random numbers drawn while loading
        known = pretrained_rows(recipe)
        check_known(recipe, labels, known)
        head.replace(model, recipe.head, known)  # 2
    depths = layers.depths(model, head_names)  # 3
    unread = model_check.never_read(model, depths, read)
    ids = [i for row in edits for i in row.get("ids", ())]
    chosen, frozen = recipe.train_layers, as_list(recipe.layers.freeze)
    fixed: dict[str, Any] = {"new_tokens": ids, "lora_fa": recipe.layers.lora_fa}
    model = layers.adapt(model, chosen, adapter, depths, head_names, frozen, **fixed)
    notes = [*vocabulary, *([] if pooling is None else [pooling])]
    notes += [*model_check.leave_out(model, depths, unread, recipe.train_layers), *layers.tokens_that_stay(model, ids)]
    methods = rows.methods(recipe, splits, labels)  # 4
    check_methods(methods, recipe, arguments)
    inputs, taken = task.modality.inputs, layers.virtual_tokens(model)
    inputs.set_limit(processor, model, recipe.data.max_length, taken)
    with arguments.main_process_first(local=True, desc="preprocessing"):
        prepared = rows.prepare(recipe, splits, labels, processor, masks)  # 5
        sets = data.load_sets(
            recipe.data.sets,
            task,
            labels,
            processor,
            inputs.augmentation(recipe.data),
            arguments.seed,
            prepared.on_device,
            strategy.further_views(methods),
            splits.content.get("train"),
            recipe.data.render,
        )
    prove(prepared)
    read_rows = {"train": prepared.train, **dict(prepared.items()), **sets}
    splits = replace(splits, notes=(*splits.notes, *inputs.limit_notes(read_rows, processor, model, taken)))
    metrics = rows.metrics(recipe, labels)
    stopping = recipe.training_keys.early_stopping
    check_schedule(arguments, splits, stopping is not None, recipe.task_metrics)
    calibrate.check(recipe, arguments, model, splits)
    if recipe.head.fitted:  # in a resumed run too, since methods may start from these weights
        start_from_classifier(model, recipe, splits, labels, processor, arguments.device)
    lay_out(model, recipe.backbone.memory_format)
    trainer = FineTuner(
        model,
        arguments,
        prepared.collate,
        prepared.train,
        prepared.validation,
        compute_metrics=metrics,
        callbacks=[EpochLine(say, metrics.scored), *([] if stopping is None else [EarlyStopping.of(stopping)])],
        labels=labels,
        depths=depths,
        lr_rules=lr_rules(recipe.layers),
        live_norms=recipe.layers.norms == "live",
        schedule=recipe.layers.schedule,
        on_device=prepared.on_device,
        methods=methods,
        sets=sets,
        class_ids=class_ids(splits, labels),
        domain_ids=rows.domain_ids(recipe, splits, prepared, methods),
        load_model=teachers(labels, processor, prepared_for(recipe, splits, labels)),
        source_head=lambda: source_head(recipe.backbone, task),
        cache_settings=cache_settings(recipe, arguments),
        last_block=LastBlock(shortens(recipe, methods), say),
    )
    settled = arguments.gradient_accumulation_steps > 1  # by a resumed run, or one that ran out of memory
    if recipe.training.get("per_device_train_batch_size") == "auto" and not settled:
        settle(trainer)
    table = planned(recipe, trainer, splits, began or [])
    return Run(
        trainer,
        prepared,
        splits,
        labels,
        metrics,
        processor,
        edits,
        table,
        recipe.backbone.revision,
        (adapter or {}).get("revision"),
        tuple(notes),
    )


def prove(prepared: data.Prepared) -> None:
    """Preprocess one training row, since the settings of processor and augmentation may be incompatible.

    Raises:
        BadInput: they are incompatible.
    """
    if isinstance(prepared.train, data.Stream):  # opening a stream may be slow
        return
    try:
        prepared.train[0]
    except HfftError:
        raise
    except Exception as error:
        raise BadInput(
            f"the first training row cannot be preprocessed: {first_line(error)}; fix backbone.processor "
            f"or data.augment"
        ) from error


def planned(
    recipe: Recipe, trainer: FineTuner, splits: data.Splits, began: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The table of layers with their schedule; this freezes the layers that a surgical schedule does not choose.

    Raises:
        BadInput: the schedule does not fit the model or the run.
    """
    schedule, model, depths = recipe.layers.schedule, trainer.model, trainer.depths
    if schedule is None or trainer.follow is None:
        return layers.table(model, depths, trainer.groups())
    check_turns(recipe, model, depths)
    if schedule.type == "surgical":
        relative = {row["depth"]: row["relative_gradient"] for row in began if row.get("relative_gradient") is not None}
        relative = relative or measure(trainer, schedule, epoch=0)
        if schedule.blocks is not None:
            chosen = {depths.head, *layers.largest(relative, schedule.blocks)}
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(parameter.requires_grad and depths.of(name) in chosen)
        return layers.table(model, depths, trainer.groups(), relative=relative)
    begins = trainer.follow.begins
    if splits.sizes["train"] is None and any(start.epochs for start in begins.values()):
        raise BadInput(
            "layers.schedule: counts epochs, but the size of the stream is unknown; use head_steps or every_steps"
        )
    return layers.table(model, depths, trainer.groups(), begins)


def first_batch(task: Task, splits: data.Splits, count: int = 8) -> Callable[[Any], dict[str, torch.Tensor]]:
    """A function that preprocesses the first training rows, on which outputs before and after an edit are compared."""

    def batch(processor: Any) -> dict[str, torch.Tensor]:
        inputs, rows = task.modality.inputs, itertools.islice(iter(splits.train), count)
        return inputs.batch([inputs.of_row(row, splits.columns) for row in rows], processor)

    return batch


def pretrained_rows(recipe: Recipe) -> dict[str, dict[str, torch.Tensor]] | None:
    """The rows of the pretrained head by class name, if the recipe keeps those of known classes."""
    if not recipe.head.keep_known:
        return None
    as_published = recipe.head.model_copy(update={"dropout": None})
    config = backbone.load_published_config(recipe.backbone)
    labels = Labels.of("single_label_classification", [config.id2label[i] for i in range(config.num_labels)])
    return head_rows(backbone.load_model(recipe.backbone, as_published, recipe.the_task, labels))


def check_known(recipe: Recipe, labels: Labels, known: Collection[str] | None) -> None:
    """Raise BadInput if a class of rows without labels is not among those that the pretrained head knows."""
    if recipe.data.labels == NONE and (unknown := [name for name in labels.names if name not in (known or ())]):
        raise BadInput(
            f"data.labels: is none, and the model does not know {listing(unknown)}, which cannot be learned without labels "
            f"(it knows: {listing(known or ['no named class'])}); list in data.classes those that it knows"
        )


def check_methods(methods: Sequence[strategy.Method], recipe: Recipe, arguments: TrainingArguments) -> None:
    """Refuse methods that do not work with this launch; the grammar has checked what the recipe alone determines.

    Raises:
        BadInput: the first such method.
    """
    launched = replace(
        situation(recipe),
        divided=bool(arguments.fsdp),
        deepspeed=arguments.deepspeed is not None,
        scaled=bool(arguments.fp16),
    )
    if recipe.layers.lora_fa and (launched.divided or launched.deepspeed or launched.scaled):
        raise BadInput(
            "layers.lora_fa: changes the gradient, which FSDP, DeepSpeed and fp16 do not allow; leave them out"
        )
    for key, why in refusals(methods, launched):
        raise BadInput(f"strategy.{key}: {why}")


def shortens(recipe: Recipe, methods: Sequence[strategy.Method]) -> bool:
    """Whether the last block may compute only the positions that the head reads."""
    return recipe.layers.last_block == "auto" and not (needed(methods, "states") or needed(methods, "attentions"))


def uncached(recipe: Recipe) -> str | None:
    """Why the recipe cannot cache the outputs of frozen layers, whatever the model and the data; None if it can."""
    if recipe.layers.cache == "off":
        return "set by layers.cache"
    if not recipe.the_task.labelled:
        return f"every epoch masks other {'tokens' if recipe.the_task.modality.tokens else 'patches'}"
    if recipe.layers.schedule is not None and recipe.layers.schedule.type == "surgical":
        return "the surgical schedule needs gradients of all layers"
    if (why := uncacheable(strategy.build_methods(recipe.strategy))) is not None:
        return why
    return None


def cache_settings(recipe: Recipe, arguments: TrainingArguments) -> FrozenCacheSettings | None:
    """Settings of the cache of frozen layers; None if the run has no cache."""
    if uncached(recipe) is not None:
        return None
    chosen = FrozenCacheSpec() if isinstance(recipe.layers.cache, str) else recipe.layers.cache
    return FrozenCacheSettings(
        folder=Path(chosen.dir).expanduser() if chosen.dir else folder.root(),
        limit=size_in_bytes(chosen.limit),
        views=chosen.views or 0,
        say=say,
    )


def check_schedule(
    arguments: TrainingArguments, splits: data.Splits, stopping: bool = False, of_tasks: Collection[str] = ()
) -> None:
    """Adapt the arguments to a missing validation split, and refuse what a split of unknown size does not allow.

    Args:
        stopping: whether the run may stop early.
        of_tasks: the metrics of several tasks, as they are scored.

    Raises:
        BadInput: a stream of unknown length without `max_steps`, no full batch, or a best model without validation rows.
    """
    if splits.sizes["train"] is None and arguments.max_steps <= 0:
        raise BadInput(
            "data.streaming: the size of the train split is unknown; set training.max_steps or data.max_train_samples"
        )
    rows, batch = splits.sizes["train"], arguments.train_batch_size * arguments.world_size
    if arguments.dataloader_drop_last and rows is not None and rows < batch:
        raise BadInput(
            f"training.dataloader_drop_last: no batch of {batch} rows is full with {rows} training rows; lower "
            f"training.per_device_train_batch_size, or leave dataloader_drop_last out"
        )
    if splits.validation is None:
        if arguments.load_best_model_at_end:
            key = "early_stopping" if stopping else "load_best_model_at_end"
            raise BadInput(f"training.{key}: there is no validation split; set data.validation")
        arguments.eval_strategy = transformers.trainer_utils.IntervalStrategy.NO
    best = (arguments.metric_for_best_model or "").removeprefix("eval_")
    if best == "loss" or best in known_metrics() or best in of_tasks:
        less = best == "loss" or smaller_is_better(best)
        if arguments.load_best_model_at_end:
            arguments.greater_is_better = not less
        if arguments.lr_scheduler_type == "reduce_lr_on_plateau":
            direction = "min" if less else "max"
            arguments.lr_scheduler_kwargs = {"mode": direction, **(arguments.lr_scheduler_kwargs or {})}

"""Choose how a pretrained model answers for the classes of the data, from its config and the recipe's `head`; load it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import transformers
from transformers import PretrainedConfig

from hfft import backbone
from hfft.backbone.published_code import bare_class
from hfft.backbone.spec import Backbone
from hfft.direct import classifier, entailment, image_text, nearest
from hfft.direct.base import KEY, Answering
from hfft.direct.class_names import Sources, found_by, in_words, plain, sources
from hfft.errors import ModelError
from hfft.head.spec import Head
from hfft.spec import as_list
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.table import Task
from hfft.wording import listing
from hfft.wording import nearest as nearest_word

Kind = Literal["head", "image-text", "entailment", "nearest"]
# Key of `head` -> the kind that reads it, and what that is.
READ_BY: dict[str, tuple[tuple[Kind, ...], str]] = {
    "map": (("head",), "a model with classes of its own"),
    "prompts": (("image-text",), "an image-text model such as CLIP"),
    "hypothesis": (("entailment",), "a model for natural-language inference"),
    "descriptions": (("image-text", "entailment", "nearest"), "a model that reads classes as texts"),
    "pooling": (("nearest",), "a text encoder, whose states are compared"),
}


def kind_of(config: PretrainedConfig, spec: Backbone, head: Head, task: Task, labels: Labels) -> Kind:
    """How a model answers: with its own head, by texts for the classes, by entailment, or by the nearest description.

    Raises:
        ModelError: it cannot answer for the task at all, or `head` has a key that is for another kind.
    """
    kind = _kind(config, spec, head, task, labels)
    for key, (kinds, what) in READ_BY.items():
        if getattr(head, key) is not None and kind not in kinds:
            is_ = {
                "head": "has a head of its own",
                "image-text": "compares images with texts",
                "entailment": "is for inference",
            }
            raise ModelError(
                f"head.{key}: is for {what}, but {spec.name} {is_.get(kind, 'is an encoder without a head')}; leave it out"
            )
    if kind != "head":
        _check_zero_shot(kind, labels)
    return kind


def _kind(config: PretrainedConfig, spec: Backbone, head: Head, task: Task, labels: Labels) -> Kind:
    text = task.modality.tokens
    if has_head(config, task):
        if not text or head.map is not None:
            return "head"
        if head.hypothesis is not None:
            entailment.entailment_of(config)  # refused here if there is none
            return "entailment"
        outputs = names_of(config)
        strange = not all(found_by(name, outputs) for name in labels.names)
        return "entailment" if strange and labels.names and entailment.infers(config) else "head"
    both = type(config) in transformers.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING
    if both and not text:
        return "image-text"
    if text and not both and getattr(bare_class(config), "main_input_name", None) == task.modality.input_name:
        return "nearest"
    what = (config.architectures or [config.model_type])[0]
    other = "a sentence encoder" if text else "an image-text model such as CLIP"
    raise ModelError(
        f"use: directly needs a model with a head for {task.name}, or {other}, but {spec.name} is a {what}; train a head on it "
        f"(use=fine-tune) or fit a classifier on its features (use=classifier)"
    )


def has_head(config: PretrainedConfig, task: Task) -> bool:
    """Whether a model was published with a head for the task, by the architecture that its config names."""
    stock = getattr(transformers, task.auto_class)._model_mapping.get(type(config), ())
    known = {cls.__name__ for cls in (stock if isinstance(stock, (tuple, list)) else (stock,))}
    return bool(known & set(config.architectures or ()))


def names_of(config: PretrainedConfig) -> list[str]:
    """The names of a classifier's outputs, in order."""
    return [str(config.id2label[i]) for i in range(config.num_labels)]


def _check_zero_shot(kind: Kind, labels: Labels) -> None:
    several = PROBLEMS[labels.problem].multi_label and kind == "entailment"
    if not (PROBLEMS[labels.problem].classes or several):
        raise ModelError(
            f"problem_type: is {labels.problem}, for which the model needs a head of its own; "
            f"zero-shot by {kind} gives one class a row"
        )


def answering(
    spec: Backbone, head: Head, task: Task, labels: Labels, max_length: int | None = None, device: Any = "cpu"
) -> Answering:
    """The model of a recipe as it is, made to answer for the classes of the data.

    Args:
        labels: the classes of the data.
        max_length: limit of a text in tokens; default: the tokenizer's or the model's.

    Raises:
        BadInput: the model cannot be loaded, has no head for the task, or a class of the data is none of its classes.
    """
    config = backbone.load_published_config(spec)
    kind = kind_of(config, spec, head, task, labels)
    found = _sources(config, spec, head, labels) if kind == "head" else {}  # before the weights are fetched
    words = described(labels, head.descriptions)
    processor = backbone.load_processor(spec, task)
    if kind == "nearest":
        return nearest.nearest(spec, processor, task, labels, head.pooling, words, max_length, device)
    if kind == "image-text":
        model, _ = backbone.load_published(spec, "AutoModelForZeroShotImageClassification")
        prompts, inputs = as_list(head.prompts) or [image_text.PROMPT], task.modality.inputs
        tokenizer = backbone.load_tokenizer(spec)
        return image_text.image_text(model.eval().to(device), processor, tokenizer, labels, prompts, words, inputs)
    model, missing = backbone.load_published(spec, task.auto_class)
    if missing:
        raise ModelError(
            f"the head of {spec.name} is not in its checkpoint (missing: {listing(sorted(missing), 4)}); train one on it "
            f"(use=fine-tune)"
        )
    model.eval().to(device)
    task.modality.inputs.set_limit(processor, model, max_length)
    if kind == "entailment":
        return entailment.entailment(model, processor, labels, head.hypothesis or entailment.HYPOTHESIS, words)
    if not labels.names:
        return classifier.with_numbers(model, processor, labels)
    return classifier.own_head(model, processor, labels, found)


def _sources(config: PretrainedConfig, spec: Backbone, head: Head, labels: Labels) -> Sources:
    if not labels.names:
        if config.num_labels != labels.size:
            raise ModelError(f"{spec.name} has {config.num_labels} outputs, but the data {labels.size} numbers a row")
        return {}
    found = sources(labels.names, names_of(config), head.map, spec.name)
    several = [name for name, places in found.items() if len(places) > 1]
    if several and not PROBLEMS[labels.problem].classes:
        raise ModelError(
            f"head.map.{several[0]}: names several classes, whose probabilities add up only where one class is right; name one"
        )
    return found


def described(labels: Labels, descriptions: Mapping[str, str] | None) -> dict[str, str]:
    """Class -> its words for a text model: its description, otherwise its name.

    Raises:
        ModelError: a description is for a class that the data does not have.
    """
    words = {name: in_words(name) for name in labels.names}
    for key, text in (descriptions or {}).items():
        name = next((name for name in labels.names if plain(name) == plain(key)), None)
        if name is None:
            raise ModelError(
                f"head.descriptions.{key}: the data has no class {key!r}{nearest_word(key, labels.names)} "
                f"(it has: {listing(labels.names)})"
            )
        words[name] = text
    return words


def reloaded(where: str, config: PretrainedConfig, task_of: Mapping[str, Task], load: Any) -> tuple[Answering, Task]:
    """What `Answering.save` wrote with a note in the config, loaded again; its task.

    Args:
        where: the folder or repository, for messages.
        task_of: name -> task.
        load: name of an Auto class -> what it loads from there.

    Raises:
        ModelError: the note is damaged, or of a later version.
    """
    says = getattr(config, KEY)
    try:
        kind, problem, classes = says["kind"], says["problem"], dict(says["classes"])
        labels = Labels.of(problem, classes)
        if kind == image_text.KIND:
            task = task_of["image-classification"]
            model, processor = load("AutoModelForZeroShotImageClassification").eval(), load("AutoImageProcessor")
            prompts, tokenizer = list(says["prompts"]), load("AutoTokenizer")
            return image_text.image_text(
                model, processor, tokenizer, labels, prompts, classes, task.modality.inputs
            ), task
        architecture = (config.architectures or [""])[0]
        task = task_of["image-classification" if "ImageClassification" in architecture else "text-classification"]
        model, processor = load(task.auto_class).eval(), load(task.modality.auto_processor)
        if kind == entailment.KIND:
            return entailment.entailment(model, processor, labels, says["hypothesis"], classes), task
        if kind == classifier.KIND:
            return classifier.summed(model, processor, labels, [list(places) for places in classes.values()]), task
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{where}: its config's entry {KEY!r} cannot be read ({error}); was it saved by hfft?"
        ) from error
    raise ModelError(f"{where} answers by {kind!r}, which this hfft does not know; update hfft")

"""What methods need, and why a run refuses them. Without torch: `hfft check` uses this before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hfft.data.augment.grammar import OPS_OF, PLURAL, misfit
from hfft.strategy.method import Method, defines
from hfft.wording import listing

NEEDS = {
    "features": "the inputs of the head's last layer",
    "states": "the outputs of blocks",
    "attentions": "the attention maps of blocks",
    "inputs": "the model's real inputs",
    "continuous": "inputs that can be averaged",
    "pixels": "images in [0, 1] before normalisation",
    "images": "inputs that are images",
    "image_or_text": "inputs that are images or texts",
    "embeddings": "the input embedding of a text",
    "tokens": "the ids of tokens",
    "unmixed": "rows that are not mixed with others",
    "rows": "the row numbers",
    "counts": "the number of rows of each class",
    "domains": "the domain of each row",
    "start": "the pretrained weights",
    "head": "a head that knows the classes already",
    "fixed_head": "a head that does not learn",
    "labels": "the labels of the rows",
    "no_labels": "rows whose labels are not read",
    "teacher": "another model",
    "source_head": "the backbone's own classifier",
    "labelled_set": "the classes of the rows of its set",
    "rates": "the learning rate of each weight",
    "constant_rate": "a constant learning rate schedule",
    "whole_weights": "weights that are not sharded over processes",
}


@dataclass(frozen=True)
class Situation:
    """The facts about a recipe and its launch that matter to methods.

    Attributes:
        continuous: whether inputs are numbers that can be averaged, such as pixels but not words.
        tokens: whether inputs are ids of tokens.
        modality: name of the task's modality; default: image if inputs are continuous, else text.
        sets: names of `data.sets`.
        labelled_sets: those whose labels are given.
        domains: whether the recipe names the column of the rows' domains.
        evaluates: whether the model is evaluated during training.
        epochs: length of the training; None if it is given in steps.
        own_head: whether the recipe asks for a head of hfft's in place of the architecture's.
        best: whether the best checkpoint is loaded at the end.
        new_head: whether the head starts untrained.
        divided: whether FSDP shards the weights.
        schedule: the learning rate schedule, if it is known.
        scaled: whether gradients are scaled until they are clipped by norm (fp16).
        labels_read: whether labels of the training rows are read.
        head_learns: whether the head learns.
    """

    problem: str
    adapter: bool = False
    streaming: bool = False
    continuous: bool = True
    tokens: bool = True
    modality: str = ""
    sets: tuple[str, ...] = ()
    labelled_sets: tuple[str, ...] = ()
    domains: bool = False
    new_head: bool = False
    divided: bool = False
    deepspeed: bool = False
    evaluates: bool = True
    epochs: float | None = None
    own_head: bool = False
    best: bool = False
    scaled: bool = False
    schedule: str | None = None
    labels_read: bool = False
    head_learns: bool = False

    @property
    def kind(self) -> str:
        """The modality of the rows."""
        return self.modality or ("image" if self.continuous else "text")


def refusals(methods: Sequence[Method], situation: Situation) -> list[tuple[str, str]]:
    """(key of the recipe, problem) for each method that this run cannot use, and each pair that excludes each other."""
    found = []
    for method in methods:
        for why in _refused(method, situation):
            found.append((method.name, why))
        if "unmixed" in method.needs:
            found += [
                (method.name, f"needs rows that are not mixed, but {other.name} mixes them; leave one of them out")
                for other in methods
                if other.mixes
            ]
        if "no_labels" in method.needs:
            found += [
                (other.name, f"reads labels, which {method.name} does without; leave one of them out")
                for other in methods
                if {"counts", "labels"} & other.needs or (defines(other, "example_loss") and not other.replaces_loss)
            ]
        if not method.learns_logits:
            found += [
                (
                    other.name,
                    f"changes the loss of the logits, which {method.name} does not learn; leave one of them out",
                )
                for other in methods
                if defines(other, "example_loss") and not other.replaces_loss
            ]
    named = dict.fromkeys(m.only_one for m in methods if m.only_one)
    for what, group in (
        *((what, [m for m in methods if m.only_one == what]) for what in named),
        ("replaces the loss", [m for m in methods if m.replaces_loss]),
        ("sets the order of rows", [m for m in methods if defines(m, "order")]),
        ("recomputes the gradient", [m for m in methods if defines(m, "gradients")]),
        ("attacks the inputs", [m for m in methods if m.attacks]),
        ("scores other weights than the last step's", [m for m in methods if defines(m, "scored")]),
    ):
        if len(group) > 1 and all(key != group[1].name for key, _ in found):
            found.append((group[1].name, f"{what}, as {group[0].name} does; leave one of them out"))
    terms = {m.name for m in methods if any(defines(m, hook) for hook in ("losses", "statistic", "weights"))}
    for method in methods:
        if unknown := [term for term in method.terms if term not in terms]:
            why = f"terms names {listing(unknown)}, but the methods here that add a loss are: {listing(sorted(terms)) or 'none'}"
            found.append((method.name, f"{why}; name those"))
    return found


def _refused(method: Method, situation: Situation) -> list[str]:
    found = []
    if method.problems == ("several_tasks",) and situation.problem != "several_tasks":
        found.append("is for several tasks on one backbone, but the recipe has no tasks; leave it out")
    elif method.problems is not None and situation.problem not in method.problems:
        if "single_label_classification" in method.problems and "regression" not in method.problems:
            found.append(f"needs classes, which {situation.problem} does not have")
        else:
            found.append(f"is for {listing(method.problems)}, not for {situation.problem}; leave it out")
    if situation.adapter and "start" in method.needs:
        found.append("the pretrained weights are frozen beside an adapter; leave it out")
    if situation.own_head and "source_head" in method.needs:
        found.append(
            "the backbone's own classifier needs the architecture's head; leave head.kind and head.pooling out"
        )
    if "head" in method.needs and situation.new_head:
        found.append("starts from what the head predicts, but it is new; set head.keep_known=true, or leave it out")
    if "no_labels" in method.needs and situation.labels_read:
        found.append("learns without labels; set data.labels=none, so that those of the training rows are not read")
    if "fixed_head" in method.needs and situation.head_learns:
        found.append("keeps the head as it is; set layers.freeze=head")
    if "continuous" in method.needs and not situation.continuous:
        found.append("averages inputs, which is impossible for text; leave it out")
    rows = PLURAL[situation.kind]
    if "pixels" in method.needs and situation.kind != "image":
        instead = "use fgm or freelb" if situation.tokens else "leave it out"
        found.append(f"attacks pixels, which {rows} do not have; {instead}")
    if "embeddings" in method.needs and situation.kind != "text":
        instead = "use pgd, fast_at or trades" if situation.kind == "image" else "leave it out"
        found.append(f"attacks the embeddings of a text, which {rows} do not have; {instead}")
    said = situation.kind == "text" and {"continuous", "pixels"} & method.needs  # of texts, another need says it
    if "images" in method.needs and situation.kind != "image" and not said:
        found.append(f"is for images, but the rows are {rows}; leave it out")
    if "image_or_text" in method.needs and situation.kind not in ("image", "text"):
        found.append(f"is for images and texts, but the rows are {rows}; leave it out")
    spec = getattr(method, "spec", None)
    views = [getattr(spec, key, None) or () for key in ("strong", "views")]
    if situation.kind not in OPS_OF and (hasattr(spec, "strong") or hasattr(spec, "views")):
        found.append(f"draws augmented views, which there are none of {rows}; leave it out")
    if "tokens" in method.needs and not situation.tokens:
        found.append("is for texts, which the task does not take; leave it out")
    if situation.epochs is not None and 0 < situation.epochs <= method.begins:
        found.append(
            f"begins after {method.begins} epochs, but the run has {situation.epochs:g}; "
            "begin earlier, or raise training.num_train_epochs"
        )
    if "constant_rate" in method.needs and situation.schedule not in (None, "constant", "constant_with_warmup"):
        found.append(
            f"would multiply the rates of the schedule {situation.schedule}; set training.lr_scheduler_type=constant"
        )
    if situation.streaming:
        if "counts" in method.needs:
            found.append(
                "needs the number of rows of each class, which a stream does not have; use data.streaming=false"
            )
        elif defines(method, "companions") or defines(method, "order") or "rows" in method.needs:
            found.append("needs row numbers, which a stream does not have; use data.streaming=false")
    if "domains" in method.needs and not situation.domains:
        found.append("needs the domain of each row; name the column in data.columns.domain")
    on = getattr(spec, "on", None)
    if on is not None and on not in situation.sets:
        known = listing(situation.sets) or "none"
        found.append(f"on is {on!r}, which is not in data.sets (known: {known})")
    elif on is not None and "labelled_set" in method.needs and on not in situation.labelled_sets:
        found.append(f"learns the classes of data.sets.{on}, which are not read; set data.sets.{on}.labels=given")
    for item in (*views[0], *views[1]):
        kind = situation.modality or ("text" if situation.tokens else "image")
        if why := misfit(item, kind):
            rows = PLURAL[kind]
            found.append(
                f"{'strong' if views[0] else 'views'}: {why}, but the rows are {rows}; leave it out, or choose one for {rows}"
            )
    if situation.divided and ("whole_weights" in method.needs or defines(method, "modules")):
        found.append("needs whole weights, but FSDP shards them; leave it out, or launch without FSDP")
    if not situation.evaluates and (defines(method, "evaluated") or method.weight.adapts):
        found.append("follows evaluations during training; set training.eval_strategy=epoch and keep validation rows")
    if situation.deepspeed and "rates" in method.needs:
        found.append("moves weights of which DeepSpeed has copies of its own; launch without it")
    gradients = {
        "computes gradients of its own": method.attacks,
        "recomputes the gradient": defines(method, "gradients"),
        "changes the gradient": defines(method, "change_gradients"),
    }
    for does in [does for does, whether in gradients.items() if whether and situation.deepspeed][:1]:
        found.append(f"{does}, which DeepSpeed does not allow; launch without it")
    if situation.scaled and defines(method, "change_gradients"):
        found.append("changes the gradient, which fp16 has scaled by then; use training.bf16=true and fp16=false")
    if situation.best and not method.scored_in_training:
        found.append(
            "chooses the weights itself, as training.load_best_model_at_end and early_stopping do; leave one of them out"
        )
    return found


def uncacheable(methods: Sequence[Method]) -> str | None:
    """Why the outputs of frozen layers cannot be cached with these methods; None if they can."""
    for method in methods:
        if "inputs" in method.needs or (defines(method, "companions") and not method.reads_as_prepared):
            return f"strategy.{method.name} needs the inputs themselves"
        if {"states", "attentions"} & method.needs:
            return f"strategy.{method.name} reads the outputs of blocks, which are not run for cached rows"
    return None


def needed(methods: Sequence[Method], need: str) -> bool:
    """Whether one of the methods has this need."""
    return any(need in method.needs for method in methods)


def row_numbers(methods: Sequence[Method]) -> bool:
    """Whether each batch must include its row numbers."""
    return any("rows" in m.needs or defines(m, "companions") for m in methods)


def read_sets(methods: Sequence[Method]) -> list[str]:
    """The sets of which methods read rows as they are prepared."""
    found = [m.spec.on for m in methods if m.reads_as_prepared and defines(m, "companions")]  # type: ignore[attr-defined]
    return list(dict.fromkeys(found))

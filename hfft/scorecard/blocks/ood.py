"""Is it told from other data: how well six scores tell rows of the task from rows that belong to none of its classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from torch import nn

from hfft.data.audit import BadRow
from hfft.data.sets import rows_of
from hfft.data.splits import column
from hfft.errors import BadInput
from hfft.evaluate import ood
from hfft.evaluate.intervals import bootstrap
from hfft.evaluate.spec import OutsideRows
from hfft.scorecard import made_up
from hfft.scorecard.answered import Answers, answered, no_features
from hfft.scorecard.blocks import unknown
from hfft.scorecard.evidence import Evidence
from hfft.scorecard.sampling import stratified
from hfft.scorecard.words import with_interval
from hfft.train.reader import last_layer
from hfft.wording import first_line

TRAIN, SCORED, OUTSIDE, MADE = 2000, 5000, 2000, 1000  # most rows that are run: of train, of the split, of a set

Score = Callable[[Answers], np.ndarray]


@dataclass(frozen=True)
class Outside:
    """Rows that belong to no class.

    Attributes:
        inputs: as the predictor takes them.
        kind: `given` or `synthetic`.
        near: whether they are near the task's own; None if nobody says so.
        notes: what a user should know, one line each.
    """

    inputs: Any
    n: int
    kind: str
    near: bool | None
    notes: tuple[str, ...] = ()


def block(evidence: Evidence) -> dict[str, Any] | None:
    """Figures of each score on each set, with the rows of the scored split as the task's; None without classes.

    `unknown` is the share of a set that the threshold of the block `unknown` rejects.
    """
    if not evidence.problem.classes:
        return None
    if evidence.recipe.data.streaming:
        raise BadInput("needs stored rows of train to fit the scores on; use data.streaming=false")
    seed, predictor = evidence.seed, evidence.predictor
    train, scored = evidence.rows("train"), evidence.rows(evidence.split)
    classes = column(train, "labels").to_numpy()
    fitted, here = stratified(classes, TRAIN, seed), stratified(column(scored, "labels").to_numpy(), SCORED, seed)
    why = no_features(predictor)
    try:
        of_train = answered(predictor, evidence.held.inputs(train.select(fitted)), why is None)
    except BadInput as error:
        if why is not None:
            raise
        why = first_line(error)  # such as a decoder, whose head reads each position
        of_train = answered(predictor, evidence.held.inputs(train.select(fitted)), False)
    inside = answered(predictor, evidence.held.inputs(scored.select(here)), why is None)
    k = neighbours(classes[fitted])
    scores, lacking = _scores(evidence, of_train, classes[fitted], k, why)
    notes = []
    if "knn" in scores and k < ood.NEIGHBOURS:
        notes = [
            f"knn: neighbour {k} in place of {ood.NEIGHBOURS}, which would be of another class where a class has {k} rows"
        ]
    sets, unsure = {}, unknown.threshold_of(evidence)
    for name, outside in _sets(evidence, scored.select(here)):
        answers = answered(predictor, outside.inputs, why is None)
        sets[name] = {
            "n": outside.n,
            "kind": outside.kind,
            "near": outside.near,
            **({"notes": list(outside.notes)} if outside.notes else {}),
            **({} if unsure is None else {"unknown": float((-ood.msp(answers.logits) < unsure).mean())}),
            "scores": {
                kind: bootstrap(ood.figures_of(score(inside), score(answers)), len(here) + outside.n, seed)
                for kind, score in scores.items()
            },
        }
    return {
        "split": evidence.split,
        "n": len(here),
        "seed": seed,
        "fitted_on": "train",
        "fitted_n": len(fitted),
        "neighbours": k,
        "sets": sets,
        **({"why": lacking} if lacking else {}),
        **({"notes": notes} if notes else {}),
    }


def neighbours(classes: np.ndarray) -> int:
    """Which neighbour's distance counts: 50 as in the paper, or the rows of a class, `(N,)`, on average where they are fewer.

    A neighbour of another class is as far from a row of the task as from one that belongs to none.
    """
    return int(np.clip(len(classes) // len(np.unique(classes)), 1, ood.NEIGHBOURS))


def _scores(
    evidence: Evidence, train: Answers, classes: np.ndarray, k: int, why: str | None
) -> tuple[dict[str, Score], dict[str, str]]:
    """The scores that the model has, fitted on rows of train, and why it lacks the others."""
    scores: dict[str, Score] = {
        "msp": lambda answers: ood.msp(answers.logits),
        "max_logit": lambda answers: ood.max_logit(answers.logits),
        "energy": lambda answers: ood.energy(answers.logits),
    }
    if why is not None or train.features is None:
        return scores, dict.fromkeys(ood.OF_FEATURES, why or "the model has no features")
    nearest = ood.Neighbours.fit(train.features, k)
    relative = ood.RelativeMahalanobis.fit(train.features, classes)
    scores["knn"] = lambda answers: nearest(_features(answers))
    scores["rmds"] = lambda answers: relative(_features(answers))
    try:
        weight, bias = _last_layer(evidence.predictor.model, train)
        virtual = ood.VirtualLogit.fit(train.features, train.logits, weight, bias)
    except BadInput as error:
        return scores, {"vim": first_line(error)}
    scores["vim"] = lambda answers: virtual(_features(answers), answers.logits)
    return scores, {}


def _features(answers: Answers) -> np.ndarray:
    assert answers.features is not None
    return answers.features


def _last_layer(model: nn.Module, train: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of the linear layer that makes the logits of the features.

    Raises:
        BadInput: the head's last layer is of another kind.
    """
    layer = last_layer(model)
    if isinstance(layer, nn.Linear):
        weight = layer.weight.detach().double().cpu().numpy()
        bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.detach().double().cpu().numpy()
        features = _features(train)
        if np.allclose(features @ weight.T + bias, train.logits, rtol=1e-3, atol=1e-3 * np.abs(train.logits).max()):
            return weight, bias
    raise BadInput("the head's last layer is not a linear layer of its features")


def _sets(evidence: Evidence, scored: Dataset) -> Iterator[tuple[str, Outside]]:
    """The recipe's sets, or without any those that are made."""
    given = evidence.recipe.score.ood
    for name, spec in given.items():
        yield name, _given(evidence, name, spec)
    if given:
        return
    rng = np.random.default_rng(evidence.seed)
    some = scored.select(np.sort(rng.permutation(len(scored))[:MADE]))
    for name, (make, near) in made_up.SETS.get(evidence.predictor.modality.name, {}).items():
        yield name, Outside(make(evidence.held.inputs(some), rng), len(some), "synthetic", near)


def _given(evidence: Evidence, name: str, spec: OutsideRows) -> Outside:
    """A set of the recipe: at most OUTSIDE of its rows that can be read, and which of them the task has too.

    Raises:
        BadInput: none can be read.
    """
    rows, roles = rows_of(
        f"score.ood.{name}", spec, evidence.recipe.the_task, evidence.labels, render=evidence.recipe.data.render
    )
    whole, kind = len(rows), evidence.predictor.modality.inputs
    if whole > OUTSIDE:
        rows = rows.select(np.sort(np.random.default_rng(evidence.seed).permutation(whole)[:OUTSIDE]))
    columns, digests = list(roles.values()), list[int]()
    for row in kind.stored(rows, roles):
        try:
            digests.append(kind.digest(tuple(row[one] for one in columns), columns))
        except BadRow:
            digests.append(-1)
    found = np.array(digests)
    usable = np.flatnonzero(found != -1)
    if not len(usable):
        raise BadInput(f"score.ood.{name}: none of its rows can be read; check score.ood.{name}.columns")
    notes = [] if len(usable) == len(rows) else [f"{len(rows) - len(usable)} rows cannot be read and are left out"]
    if whole > len(rows):
        notes.append(f"{len(rows)} of {whole} rows, drawn with seed {evidence.seed}")
    for split, content in evidence.splits.content.items():
        if same := int(np.isin(found[usable], content[content != 0]).sum()):
            notes.append(f"{same} of {len(usable)} rows are also rows of {split}: they are not out of distribution")
    inputs = (kind.of_row(row, roles) for row in rows.select(usable))
    return Outside(inputs, len(usable), "given", spec.near, tuple(notes))


def lines(found: dict[str, Any]) -> list[str]:
    """One line for each score on each set."""
    said = []
    for name, one in found["sets"].items():
        near = {True: ", near", False: ", far", None: ""}[one["near"]]
        said.append(f"{name} ({one['kind']}{near}, n={one['n']})")
        said += [f"  {note}" for note in one.get("notes", [])]
        for score, figures in one["scores"].items():
            rest = ", ".join(f"{key} {figures[key]['value']:.4f}" for key in figures if key != "auroc")
            said.append(f"  {score} auroc {with_interval(figures['auroc'])}, {rest}")
    return [*said, *found.get("notes", []), *(f"{score}: {reason}" for score, reason in found.get("why", {}).items())]

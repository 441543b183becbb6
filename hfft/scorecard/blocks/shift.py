"""Where it is worse: the accuracy of subgroups, and of other splits beside what the model lets expect of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hfft.data.beside import values_of
from hfft.data.load import load_splits
from hfft.data.spec import NONE, FurtherRows
from hfft.errors import BadInput
from hfft.evaluate.outputs import Outputs
from hfft.evaluate.shift import FEWEST, Result, atc, atc_threshold, groups, negative_entropy
from hfft.predict.held_out import HeldOut
from hfft.scorecard.evidence import Evidence, about, logits_and_references, probabilities
from hfft.scorecard.words import with_interval
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.problem.base import Problem

MOST_GROUPS = 200  # different values of a column


def block(evidence: Evidence) -> dict[str, Any] | None:
    """Accuracy of each group and of each further split (mean absolute errors for values); None where none is asked for."""
    score = evidence.recipe.score
    if evidence.problem.per_token or not (score.groups or score.shift):
        return None
    outputs = evidence.scored
    logits, references = logits_and_references(outputs)
    here, seed = result(evidence.problem, logits, references), evidence.seed
    found: dict[str, Any] = {"groups": {}, "worst": None, "splits": {}}
    for column in score.groups:
        values = values_of("score.groups", evidence.recipe.data, evidence.splits, evidence.split, column)
        _check(column, values, len(here))
        found["groups"][column] = groups(values, here, seed)
    found["worst"] = worst(found["groups"], here)
    threshold, why = _threshold(evidence)
    if threshold is not None and score.shift:
        p, _ = probabilities(outputs)
        found |= {"atc_fitted_n": len(_fitting(evidence)), "atc_here": atc(negative_entropy(p), threshold)}
    for name, spec in score.shift.items():
        logits, references, notes = _answers(evidence, name, spec)
        there = result(evidence.problem, logits, references)
        estimate = None if threshold is None else atc(negative_entropy(_probabilities(evidence, logits)), threshold)
        figures = {there.name: there.figure(seed), "gap": here.gap(there, seed), "atc": estimate}
        found["splits"][name] = {"n": len(there), **figures} | ({} if threshold is not None else {"why": why})
        found["splits"][name] |= {"notes": notes} if notes else {}
    return {**about(outputs, seed), "measure": here.name, here.name: here.figure(seed), **found}


def result(problem: Problem, logits: np.ndarray, references: np.ndarray) -> Result:
    """How right each row is: the class, all classes at once where several can be right, or the error of values."""
    if problem.classes:
        return Result("accuracy", (logits.argmax(1) == references).astype(float))
    if problem.multi_label:
        return Result("accuracy", ((logits > 0) == (references > 0.5)).all(1).astype(float))
    return Result("mae", np.abs(logits - references.reshape(logits.shape)).mean(1))


def worst(found: dict[str, list[dict[str, Any]]], here: Result) -> dict[str, Any] | None:
    """The worst group of all columns with at least FEWEST rows; None without one."""
    firsts = [
        {"column": column, **rows[0]} for column, rows in found.items() if rows and rows[0]["n"] >= FEWEST
    ]  # each column's groups are in this order
    sign = 1 if here.name == "mae" else -1
    return max(firsts, key=lambda one: sign * one[here.name]["value"], default=None)


def _check(column: str, values: list[Any], n: int) -> None:
    if len(values) != n:
        raise BadInput(f"score.groups: the data has {len(values)} rows of the split, but {n} were scored; train again")
    if (kinds := len({str(value) for value in values})) > MOST_GROUPS:
        raise BadInput(
            f"score.groups: column {column!r} has {kinds} different values in {n} rows; at most {MOST_GROUPS} are shown: "
            f"write a column of ranges or kinds"
        )


def _fitting(evidence: Evidence) -> Outputs:
    found = evidence.fitting
    assert found is not None
    return found


def _threshold(evidence: Evidence) -> tuple[float | None, str]:
    """ATC's threshold on validation, or None and why there is none."""
    if not evidence.problem.classes:
        return None, f"atc: is for one class a row, which {evidence.labels.problem} does not have"
    if evidence.fitting is None:
        return (
            None,
            "atc: is fitted on validation rows, of which none are apart from the scored ones; set data.validation",
        )
    p, references = probabilities(evidence.fitting)
    return atc_threshold(negative_entropy(p), p.argmax(1) == references), ""


def _probabilities(evidence: Evidence, logits: np.ndarray) -> np.ndarray:
    found: torch.Tensor = PROBLEMS[evidence.labels.problem].probabilities(torch.from_numpy(logits))
    return found.numpy()


def _answers(evidence: Evidence, name: str, spec: FurtherRows) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Logits `(N, C)` and references of a further split, and what a user should know; its classes are matched by name."""
    recipe = evidence.recipe
    same = {"label_sep": recipe.data.label_sep, "max_length": recipe.data.max_length, "render": recipe.data.render}
    data = spec.data(train=spec.split, validation=NONE, test=NONE, on_bad_rows=recipe.data.on_bad_rows, **same)
    try:
        splits, labels = load_splits(data, recipe.the_task, evidence.seed)
        held = HeldOut.of(evidence.predictor, splits.columns, labels, evidence.source)
    except BadInput as error:
        raise BadInput(*(f"score.shift.{name}: {line}" for line in error.args)) from None
    rows, content = splits.train, splits.content["train"]
    if spec.max_samples is not None:
        rows, content = rows.select(range(min(spec.max_samples, len(rows)))), content[: spec.max_samples]
    notes = [
        f"{twins} of its {len(rows)} rows are also rows of {split}"
        for split, known in evidence.splits.content.items()
        if (twins := int(np.isin(content, known[known != 0]).sum()))
    ]
    pairs = list(held.answers(rows))
    logits, references = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    wrong = int((~logits.isfinite()).any(1).sum())
    if wrong:
        raise BadInput(f"score.shift.{name}: the logits of {wrong} of {len(logits)} rows are not finite")
    return logits.double().numpy(), references.numpy(), notes


def lines(found: dict[str, Any]) -> list[str]:
    """The whole split, the worst groups of each column, and each further split."""
    measure = found["measure"]
    said = [f"{found['split']} {measure} {with_interval(found[measure])}"]
    for column, rows in found["groups"].items():
        said.append(f"by {column}, {len(rows)} groups:")
        said += [f"  {row['group']} {with_interval(row[measure])}, n={row['n']}" for row in rows[:10]]
    if found["worst"] is not None:
        one = found["worst"]
        said.append(f"worst group: {one['column']} {one['group']} {with_interval(one[measure])}, n={one['n']}")
    for name, one in found["splits"].items():
        atc_said = one["why"] if one["atc"] is None else f"expected without labels {one['atc']:.4f}"
        said.append(
            f"{name} {measure} {with_interval(one[measure])}, worse by {with_interval(one['gap'])}, {atc_said}, n={one['n']}"
        )
        said += [f"  {note}" for note in one.get("notes", [])]
    return said

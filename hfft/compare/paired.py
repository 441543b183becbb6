"""Two models on the same rows: the difference with its interval, McNemar's test, and the rows that changed sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hfft.compare.entry import Entry
from hfft.errors import BadInput
from hfft.evaluate.intervals import mcnemar, paired_difference
from hfft.evaluate.outputs import Outputs, is_right, mean_losses
from hfft.tasks.measure import FEW
from hfft.tasks.problem import PROBLEMS

MOST_ROWS = 50  # of each kind that are named


def same_rows(ours: Entry, theirs: Entry, split: str) -> str | None:
    """Why the outputs of two runs for a split are not of the same rows; None if they are."""
    for entry in (ours, theirs):
        if split not in entry.outputs:
            return f"{entry.name} has no stored outputs for {split}"
    one, other = ours.outputs[split], theirs.outputs[split]
    if one.labels.problem != other.labels.problem:
        return f"{ours.name} is {one.labels.problem}, {theirs.name} {other.labels.problem}"
    for entry in (ours, theirs):
        if split not in entry.rows:
            return f"{entry.name} did not note its rows, so whether they are the same is not known"
    if ours.rows[split] != theirs.rows[split] or len(one) != len(other):
        return f"the rows of {split} are not the same"
    if sorted(one.labels.names) != sorted(other.labels.names):
        return "the classes are not the same"
    return None


def paired(ours: Entry, theirs: Entry, split: str, seed: int) -> dict[str, Any]:
    """`ours` minus `theirs` on the same rows of a split: `difference`, `p`, `n`, `changed`; or `why` there is no test.

    With classes, rows are right or wrong (all classes of a row, for several); otherwise the losses are compared.
    """
    if why := same_rows(ours, theirs, split):
        return {"why": why}
    one, other = ours.outputs[split], theirs.outputs[split]
    problem = PROBLEMS[one.labels.problem]
    if not problem.class_names:
        a, b = mean_losses(one), mean_losses(other)
        if not (np.isfinite(a) & np.isfinite(b)).all():
            return {"why": "a loss is not finite"}
        return {"what": "loss", "n": len(a), "difference": paired_difference(a, b, seed)}
    try:
        right, other_right = is_right(one), is_right(other)
    except BadInput as error:
        return {"why": str(error)}
    found: dict[str, Any] = {
        "what": "accuracy" if problem.classes else "all classes right",
        "n": len(right),
        "difference": paired_difference(right.astype(float), other_right.astype(float), seed),
        "changed": changed(right, other_right, one, other),
    }
    if len(right) >= FEW:
        found["p"] = mcnemar(right, other_right)
    else:
        found["why_no_p"] = f"no test: {len(right)} rows are fewer than {FEW}"
    return found


def changed(right: np.ndarray, other_right: np.ndarray, ours: Outputs, theirs: Outputs) -> dict[str, Any]:
    """The rows that only one of the two got right, `gained` by ours or `lost`: their number, and the first of them."""
    sides = {"gained": right & ~other_right, "lost": ~right & other_right}
    return {
        side: {
            "count": int(rows.sum()),
            "rows": [row_said(int(i), ours, theirs) for i in np.flatnonzero(rows)[:MOST_ROWS]],
        }
        for side, rows in sides.items()
    }


def row_said(row: int, ours: Outputs, theirs: Outputs) -> dict[str, Any]:
    """A row with its true class and both answers, in words; its number alone where rows have several classes."""
    if not PROBLEMS[ours.labels.problem].classes or ours.logits is None or theirs.logits is None:
        return {"row": row}
    references = ours.references
    assert references is not None
    return {
        "row": row,
        "true": str(ours.labels.names[int(references[row])]),
        "this": str(ours.labels.names[int(ours.logits[row].argmax())]),
        "other": str(theirs.labels.names[int(theirs.logits[row].argmax())]),
    }


def better(found: Mapping[str, Any]) -> str:
    """What a paired difference shows, in words; empty without one."""
    difference = found.get("difference")
    if difference is None or "low" not in difference:
        return ""
    sign = -1 if found["what"] == "loss" else 1
    if sign * difference["low"] > 0 and sign * difference["high"] > 0:
        return "better"
    return "worse" if sign * difference["low"] < 0 and sign * difference["high"] < 0 else "no difference is shown"

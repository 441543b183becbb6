"""The doubted labels of a scorecard as a table to look at, with the texts or the files of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hfft.data.beside import values_of
from hfft.errors import BadInput
from hfft.scorecard.evidence import Evidence


def doubted_rows(evidence: Evidence, card: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row for each doubted label, the most doubted first.

    `row` is the row's id where the recipe names a column of ids, else its number in the split of the data that it was read
    from. A text stands under the name of its role, an image by its `file`, where it has one.

    Raises:
        BadInput: the scorecard has no doubted labels.
    """
    found = card["blocks"].get("labels") or {}
    if "error" in found or "not_doubted" in found or not found:
        why = found.get("error") or found.get("not_doubted") or "the task has no label for each row"
        raise BadInput(f"--export: no labels are doubted: {why}")
    inputs, data = evidence.recipe.the_task.modality.inputs, evidence.recipe.data
    columns = {role: name for role, name in evidence.splits.columns.items() if role not in ("label", "id")}
    stored, ids = {}, {}
    for name, rows in evidence.splits.items():
        stored[name] = inputs.stored(rows, columns)
        if data.columns.id is not None:
            ids[name] = values_of("data.columns.id", data, evidence.splits, name, data.columns.id)
    for one in found["doubted"]:
        row = stored[one["split"]][one["row"]]
        if evidence.recipe.the_task.modality.tokens:
            what = {role: row[name] for role, name in columns.items()}
        else:
            what = {"file": inputs.file(tuple(row[name] for name in columns.values())) or ""}
        yield {
            "row": ids[one["split"]][one["row"]] if one["split"] in ids else one["number"],
            **{key: one[key] for key in ("split", "given", "suggested", "confidence")},
            **what,
        }

"""Whether rows of another kind are told from those of the data: six scores on each set."""

from __future__ import annotations

from typing import Any

from hfft.report.plot import bars
from hfft.report.record import Record

BLOCK, TITLE = "ood", "Out of distribution"
NAMES = {"msp": "MSP", "max_logit": "MaxLogit", "energy": "Energy", "knn": "k-NN", "rmds": "RMDS", "vim": "ViM"}
FIGURES = {
    "auroc": "AUROC",
    "aupr_in": "AUPR in",
    "aupr_out": "AUPR out",
    "fpr95": "FPR@95",
    "fpr95_id": "FPR@95 (own rows positive)",
}


def section(record: Record) -> dict[str, Any] | None:
    """A table and the bars of AUROC for each set."""
    block = record.block(BLOCK)
    if block is None:
        return None
    sets = [one(name, found, record) for name, found in block["sets"].items()]
    why = [f"{NAMES.get(score, score)}: {reason}" for score, reason in block.get("why", {}).items()]
    notes = [*block.get("notes", []), *why]
    return {"title": TITLE, "block": block, "sets": sets, "titles": list(FIGURES.values()), "notes": notes}


def one(name: str, found: dict[str, Any], record: Record) -> dict[str, Any]:
    """The table of one set: a row for each score."""
    scores = found.get("scores", {})
    rows = [(NAMES.get(score, score), [figures.get(key) for key in FIGURES]) for score, figures in scores.items()]
    given = [
        (NAMES.get(score, score), f["auroc"]["value"], f["auroc"].get("low"), f["auroc"].get("high"))
        for score, f in scores.items()
        if isinstance(f.get("auroc"), dict)
    ]
    kind = [{"given": "a given set", "synthetic": "made for this test"}.get(found.get("kind", ""), "")]
    kind += ["near" if found["near"] else "far"] if found.get("near") is not None else []
    title = f"{name}, n {found['n']:,}"
    drawn = bars(f"AUROC, {name}", "area under the curve of each score; 0.5 is chance", given, "AUROC", end=1.0)
    return {
        "title": title,
        "kind": ", ".join(filter(None, kind)),
        "rows": rows,
        "drawn": drawn,
        "why": found.get("error"),
        "notes": found.get("notes", []),
    }

"""The table of a ranking: its rows in order, the Pareto front, a recommendation, and its forms as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hfft.wording import human, listing, printable

SCORES = ("logme", "linear", "knn", "h_score", "nce")
BY = "logme"


@dataclass(frozen=True)
class Row:
    """A model, or a layer of one, and what is known of it; None for what is not.

    Attributes:
        kind: `pretrained`, `adapter`, or `random`: the same architecture with random weights.
        line: the overrides of the recipe that use it.
        layer: number of the hidden state, if layers are ranked.
        scores: `logme`, `linear`, `knn`, `h_score`, `nce`: see the modules of these names.
        width: number of features.
        bytes: of the parameters and buffers of the network without its head.
        milliseconds: of the forward pass, per row.
        own_accuracy, own_data: from 0 to 1, as its card states it, and the data.
        floor: the LogME of the same architecture with random weights.
        front: whether no other row has a larger LogME in less time.
        error: why it could not be ranked.
        verified: the metric of a brief fine-tune of it.
        architecture: a digest, equal for models of one architecture.
    """

    name: str
    kind: str = "pretrained"
    line: str = ""
    layer: int | None = None
    scores: dict[str, float | None] = field(default_factory=dict)
    pooling: str | None = None
    width: int | None = None
    parameters: int | None = None
    bytes: int | None = None
    milliseconds: float | None = None
    input: str | None = None
    own_accuracy: float | None = None
    own_data: str | None = None
    licence: str | None = None
    date: str | None = None
    floor: float | None = None
    front: bool = False
    error: str | None = None
    verified: float | None = None
    architecture: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """What it is called in a table: of a folder, the last two parts of its path."""
        if self.layer is not None:
            return f"layer {self.layer}"
        name = "/".join(self.name.rstrip("/").split("/")[-2:])
        return f"random {name}" if self.kind == "random" else name

    @property
    def ranked(self) -> bool:
        """Whether it has scores."""
        return self.error is None

    def score(self, name: str = BY) -> float:
        """A score of a row that is ranked; nan if it has none."""
        value = self.scores.get(name)
        return math.nan if value is None else value

    def flat(self) -> dict[str, Any]:
        """The row as plain values, with its scores as columns."""
        values = asdict(self)
        scores, _ = values.pop("scores"), values.pop("architecture")
        names = {key: values.pop(key) for key in ("name", "kind", "layer")}
        return {**names, **{key: scores.get(key) for key in SCORES}, **values}


def in_order(rows: Sequence[Row]) -> list[Row]:
    """The rows by LogME, the largest first, with the Pareto front marked; those that could not be ranked come last."""
    ranked = sorted((row for row in rows if row.ranked), key=lambda row: -row.score())
    best, on_front = -math.inf, set()
    timed = [row for row in ranked if row.kind != "random" and row.milliseconds is not None]
    for row in sorted(timed, key=lambda row: (row.milliseconds, -row.score())):
        if row.score() > best:
            best = row.score()
            on_front.add(id(row))
    return [replace(row, front=id(row) in on_front) for row in ranked] + [row for row in rows if not row.ranked]


def recommendation(rows: Sequence[Row], metric: str, half: float | None) -> str:
    """The model to take and why, in a sentence.

    Args:
        rows: in order.
        metric: what the probes are scored by.
        half: half the width of the 95 % interval of a probe's score, where it is known.
    """
    usable = [row for row in rows if row.ranked and row.kind != "random"]
    if not usable:
        return "no model could be ranked"
    first, floors = usable[0], [row for row in rows if row.ranked and row.kind == "random"]
    floor = max(floors, key=Row.score, default=None)
    if floor is not None and floor.score() >= first.score():
        return (
            f"take none of them: {floor.shown} has a LogME of {floor.score():.3f}, the best pretrained one, {first.shown}, "
            f"only {first.score():.3f}, so that its pretraining says nothing about this data"
        )
    alone, margin = len(usable) == 1, f" ± {half:.3f}" if half is not None else ""
    others = [] if alone else [f"{usable[1].shown} has {usable[1].score():.3f}"]
    others += [] if floor is None else [f"random weights have {floor.score():.3f}"]
    reason = f"its LogME is {'' if alone else 'the highest, '}{first.score():.3f}"
    reason += f" ({', '.join(others)})" if others else ""
    probed = max(usable, key=lambda row: row.score("linear"))
    probe = f"{metric} {first.score('linear'):.3f}{margin}"
    if alone:
        reason += f", its linear probe comes to {probe}"
    elif probed is first:
        reason += f", and so is its linear probe, {probe}"
    else:
        near = half is not None and probed.score("linear") - first.score("linear") <= half
        reason += (
            f"; by the linear probe ({probe}) {probed.shown} is "
            f"{'as good within its interval' if near else 'better'} ({probed.score('linear'):.3f})"
        )
    quick = next((row for row in reversed(usable) if row.front and row is not first and _above(row, floor)), None)
    if quick is not None and quick.milliseconds and first.milliseconds:
        reason += (
            f"; the fastest on the Pareto front, {quick.shown}, takes {quick.milliseconds / first.milliseconds:.0%} of its "
            f"time for a LogME of {quick.score():.3f}"
        )
    return f"take {first.shown}: {reason}"


def _above(row: Row, floor: Row | None) -> bool:
    return floor is None or row.score() > floor.score()


def half_interval(row: Row, count: int, metric: str) -> float | None:
    """Half the width of the 95 % interval of a linear probe's accuracy on `count` rows (normal approximation)."""
    share = row.score("linear")
    return 1.96 * math.sqrt(share * (1 - share) / count) if metric == "accuracy" and row.ranked else None


def floor_notes(rows: Sequence[Row]) -> list[str]:
    """A line if the pretraining of some models says no more of the data than random weights do."""
    below = [
        row
        for row in rows
        if row.ranked and row.kind != "random" and row.floor is not None and row.score() <= row.floor
    ]
    if not below:
        return []
    named = listing([f"{row.shown} ({row.score():.3f}, random {row.floor:.3f})" for row in below])
    return [f"no better than their own architecture with random weights: {named}"]


# --- forms

HEAD = ("", "model", "LogME", "linear", "k-NN", "H-score", "NCE", "own task", "params", "ms/row", "memory", "input",
        "licence", "date")  # fmt: skip


def cells(row: Row) -> list[str]:
    """The row as text, in the columns of HEAD."""
    own = None if row.own_accuracy is None else f"{row.own_accuracy:.3f}" + (f" {row.own_data}" if row.own_data else "")
    return [
        "*" if row.front else "",
        row.shown,
        *("–" if (value := row.scores.get(name)) is None else f"{value:.3f}" for name in SCORES),
        own or "–",
        "–" if row.parameters is None else _short(row.parameters),
        "–" if row.milliseconds is None else f"{row.milliseconds:.3g}",
        "–" if row.bytes is None else human(row.bytes),
        row.input or "–",
        row.licence or "–",
        row.date or "–",
    ]


def lines(rows: Sequence[Row]) -> list[str]:
    """The table as text; rows without scores say why below it."""
    table = [list(HEAD), *(cells(row) for row in rows if row.ranked)]
    kept = [i for i in range(len(HEAD)) if i < 4 or any(line[i] not in ("–", "") for line in table[1:])]
    widths = {i: max(len(printable(line[i])) for line in table) for i in kept}
    words = {0, 1, HEAD.index("licence")}
    text = [
        "  ".join(
            printable(line[i]).ljust(widths[i]) if i in words else line[i].rjust(widths[i]) for i in kept
        ).rstrip()
        for line in table
    ]
    return [*text, *(f"{row.shown}: not ranked: {row.error}" for row in rows if not row.ranked)]


def as_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV, one per line, with a header."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(Row("").flat()), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _number(value) for key, value in row.flat().items()} for row in rows)
    return out.getvalue()


def as_json(rows: Sequence[Row], **about: Any) -> str:
    """The rows as JSON, with what is said about all of them."""
    return json.dumps({**about, "rows": [row.flat() for row in rows]}, indent=2, ensure_ascii=False, default=float)


def _number(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _short(count: int) -> str:
    return human(count).replace("B", "").replace(" ", "")

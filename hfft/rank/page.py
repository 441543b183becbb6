"""The page of a ranking: one HTML file without scripts or network access."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import ChoiceLoader, FileSystemLoader
from markupsafe import Markup, escape

from hfft.rank.table import HEAD, Row, cells
from hfft.report import page as report
from hfft.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, drawing, ticks

if TYPE_CHECKING:
    from hfft.rank.ranking import Ranking


def render(found: Ranking) -> str:
    """The page: the recommendation, the chart of LogME over time, and the table."""
    environment = report.environment()
    loader = ChoiceLoader([FileSystemLoader(Path(__file__).parent), environment.loader])  # type: ignore[list-item]
    ranked = [row for row in found.rows if row.ranked]
    return environment.overlay(loader=loader).get_template("rank.html.j2").render(
        title=found.recipe,
        style=Markup((report.HERE / "style.css").read_text(encoding="utf-8")),
        found=found,
        head=HEAD,
        rows=[cells(row) for row in ranked],
        failed=[row for row in found.rows if not row.ranked],
        chart=scatter(ranked),
        points=[[row.shown, row.milliseconds, row.score()] for row in ranked if row.milliseconds],
    )  # fmt: skip


def scatter(rows: Sequence[Row]) -> Markup | None:
    """LogME over the milliseconds per row on a logarithmic axis, with the Pareto front as a line; None without times.

    Rows with random weights are drawn in the second colour.
    """
    timed = [row for row in rows if row.milliseconds]
    if not timed:
        return None
    xs = [math.log10(row.milliseconds or 1) for row in timed]
    ys = [row.score() for row in timed]
    left, right = _wide(min(xs), max(xs))
    low, high = _wide(min(ys), max(ys))

    def x_of(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - left) / (right - left)

    def y_of(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    parts = [f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>']
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 3}" text-anchor="end">milliseconds per row (logarithmic)</text>'
    )
    for tick in ticks(low, high):
        parts.append(f'<path class="grid" d="M{LEFT} {y_of(tick):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y_of(tick):.1f}" dy=".35em" text-anchor="end">{tick:.6g}</text>')
    for tick in (m * 10.0**k for k in range(math.floor(left), math.ceil(right) + 1) for m in (1, 2, 5)):
        if left <= math.log10(tick) <= right:
            at = x_of(math.log10(tick))
            parts.append(f'<path class="axis" d="M{at:.1f} {HEIGHT - BOTTOM}v4"/>')
            parts.append(f'<text x="{at:.1f}" y="{HEIGHT - 18}" text-anchor="middle">{tick:g}</text>')
    points = [(x_of(x), y_of(y), row) for x, y, row in zip(xs, ys, timed, strict=True)]
    front = sorted((x, y) for x, y, row in points if row.front)
    if front:  # a step to the right before each step up: what is best for at most so much time
        steps = "".join(f"H{x:.1f}V{y:.1f}" for x, y in front[1:])
        parts.append(f'<path class="line c0" d="M{front[0][0]:.1f} {front[0][1]:.1f}{steps}H{WIDTH - RIGHT}"/>')
    for x, y, row in points:
        parts.append(f'<path class="dots c{int(row.kind == "random")}" d="M{x:.1f} {y:.1f}h0"/>')
        end = x > (LEFT + WIDTH) / 2
        anchor, at = ("end", x - 6) if end else ("start", x + 6)
        name = f"random {row.name.rpartition('/')[2]}" if row.kind == "random" else row.shown.rpartition("/")[2]
        parts.append(f'<text x="{at:.1f}" y="{y:.1f}" dy="-.4em" text-anchor="{anchor}">{escape(name[:40])}</text>')
    said = f"LogME over milliseconds per row of {', '.join(row.shown for row in timed)}"
    return drawing(HEIGHT, "LogME over time", said, parts)


def _wide(low: float, high: float) -> tuple[float, float]:
    """A range that is wider at both ends."""
    margin = 0.08 * (high - low) or 0.1 * (abs(high) or 1)
    return low - margin, high + margin

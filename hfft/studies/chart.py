"""The figures of a study as SVG, without a plotting library or scripts: lines over a number, and arms with their intervals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from hfft.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, drawing, ticks
from hfft.studies.table import Plot, Table

COLOURS = 6  # of the page's style
_APART = 36  # between the numbers of the axis of x, in SVG units
_ROW, _NAMES = 26, 190  # height of an arm, and width of its name, in SVG units


def plot(given: Plot) -> Markup | None:
    """A figure of lines with the intervals of their points; None without points."""
    points = [point for line in given.lines for point in line.points]
    if not points:
        return None
    xs = [x for x, *_ in points]
    log = given.log and min(xs) > 0 and max(xs) > min(xs)
    squeeze = math.log10 if log else float
    left, right = squeeze(min(xs)), squeeze(max(xs))
    low, high = _spread([y for _, *ys in points for y in ys])
    wide, tall = right - left or 1.0, high - low

    def x_of(x: float) -> float:
        inner = WIDTH - LEFT - RIGHT
        return LEFT + inner * (0.03 + 0.94 * ((squeeze(x) - left) / wide if right > left else 0.5))

    def y_of(y: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (0.05 + 0.9 * (min(max(y, low), high) - low) / tall)

    parts = [
        f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 3}" text-anchor="end">{escape(given.x)}</text>',
    ]
    for tick in ticks(low, high):
        parts.append(f'<path class="grid" d="M{LEFT} {y_of(tick):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y_of(tick):.1f}" dy=".35em" text-anchor="end">{tick:.6g}</text>')
    places = sorted(set(xs))
    if not log and any(x_of(b) - x_of(a) < _APART for a, b in itertools.pairwise(places)):
        places = ticks(min(xs), max(xs))
    for tick in places:
        parts.append(f'<path class="axis" d="M{x_of(tick):.1f} {HEIGHT - BOTTOM}v4"/>')
        parts.append(f'<text x="{x_of(tick):.1f}" y="{HEIGHT - 18}" text-anchor="middle">{tick:,.6g}</text>')
    for number, line in enumerate(given.lines):
        found = [(x_of(x), y_of(y), y_of(a), y_of(b)) for x, y, a, b in sorted(line.points)]
        if not found:
            continue
        means = [f"{x:.1f} {y:.1f}" for x, y, *_ in found]
        ranges = "".join(f"M{x:.1f} {a:.1f}V{b:.1f}" for x, _, a, b in found if a != b)
        colour = f"c{number % COLOURS}"
        parts.append(f'<path class="line {colour}" d="M{"L".join(means)}"/>')
        parts.append(f'<path class="dots {colour}" d="{"".join(f"M{at}h0" for at in means)}"/>')
        if ranges:
            parts.append(f'<path class="range {colour}" d="{ranges}"/>')
    names = ", ".join(line.name for line in given.lines if line.points)
    return drawing(HEIGHT, given.title, f"{given.y} over {given.x}: {names}", parts)


def points(given: Plot) -> list[list[str | float]]:
    """What a plot shows as rows: line, x, mean, and its interval where it has one."""
    return [
        [line.name, x, mean, f"{low:.4g} to {high:.4g}" if low != high else ""]
        for line in given.lines
        for x, mean, low, high in sorted(line.points)
    ]


def means(table: Table) -> list[list[str | float]]:
    """What the arms show as rows: arm, mean, its interval, and the value of each seed."""
    column = table.columns[0] if table.columns else ""
    found: list[list[str | float]] = []
    for row in table.rows:
        cell = row.cells.get(column)
        if cell is not None and (summary := cell.summary()) is not None:
            interval = f"{summary.low:.4g} to {summary.high:.4g}" if summary.n > 1 else ""
            seeds = ", ".join(f"{value:.4g}" for _, value in sorted(cell.values.items()))
            found.append([row.arm, summary.mean, interval, seeds])
    return found


def arms(table: Table) -> Markup | None:
    """The first column of each arm: a dot for each seed, the mean, and its 95% interval; None without values."""
    column = table.columns[0] if table.columns else ""
    drawn = [
        (row.arm, row.cells[column], found)
        for row in table.rows
        if column in row.cells and (found := row.cells[column].summary()) is not None
    ]
    if not drawn:
        return None
    edges = [edge for _, cell, found in drawn for edge in (*cell.values.values(), found.low, found.high)]
    low, high = _spread(edges)
    tall = TOP + _ROW * len(drawn) + BOTTOM

    def x_of(value: float) -> float:
        return _NAMES + (WIDTH - _NAMES - RIGHT) * (0.03 + 0.94 * (min(max(value, low), high) - low) / (high - low))

    parts = [f'<text x="{WIDTH - RIGHT}" y="{tall - 3}" text-anchor="end">{escape(column)}</text>']
    for tick in ticks(low, high, 4):
        parts.append(f'<path class="grid" d="M{x_of(tick):.1f} {TOP}V{tall - BOTTOM}"/>')
        parts.append(f'<text x="{x_of(tick):.1f}" y="{tall - 18}" text-anchor="middle">{tick:.6g}</text>')
    for i, (arm, cell, found) in enumerate(drawn):
        y = TOP + _ROW * (i + 0.5)
        seeds = "".join(f"M{x_of(value):.1f} {y:.1f}h0" for value in cell.values.values() if math.isfinite(value))
        shown = arm if len(arm) <= 28 else arm[:27] + "…"
        parts.append(f'<text x="{_NAMES - 8}" y="{y:.1f}" dy=".35em" text-anchor="end">{escape(shown)}</text>')
        if found.n > 1:
            parts.append(f'<path class="range c0" d="M{x_of(found.low):.1f} {y:.1f}H{x_of(found.high):.1f}"/>')
        parts.append(f'<path class="seed c1" d="{seeds}"/>')
        parts.append(f'<path class="dots c0" d="M{x_of(found.mean):.1f} {y:.1f}h0"/>')
    return drawing(tall, column, f"mean and 95% interval of {', '.join(arm for arm, *_ in drawn)}", parts)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest finite value, apart from each other."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    return (
        (low, high) if high - low > 1e-9 * abs(high) else (low - 0.1 * (abs(low) or 1), high + 0.1 * (abs(high) or 1))
    )

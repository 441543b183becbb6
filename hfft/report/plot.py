"""Pictures of a report, as SVG without a plotting library or scripts, each with a description and the table behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

from hfft.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Points, ticks

COLOURS = 6  # in style.css; further series use them again, dashed
ROW, LETTER = 20, 7.4  # height of a horizontal bar and width of a letter of the names beside them, in SVG units
MOST_LETTERS = 30  # of a name
MOST_ROWS = 100  # of the table behind a picture

Bar = tuple[str, float, float | None, float | None]  # name, value, ends of its interval


@dataclass(frozen=True)
class Picture:
    """A drawing, what it shows, and its figures.

    Attributes:
        description: what is drawn, for readers who do not see it.
        legend: (index of the colour, name) of each series; empty for a single one.
        head: titles of the columns of the table behind it.
        rows: its rows; numbers are formatted by the page.
        left_out: number of rows that the table does not show.
    """

    title: str
    description: str
    svg: Markup
    legend: list[tuple[int, str]] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    left_out: int = 0


@dataclass(frozen=True)
class Line:
    """One series of `lines`.

    Attributes:
        points: (x, y), drawn in the order of x; those that are not finite are not drawn.
        dots: whether each point is marked.
    """

    name: str
    points: Points
    dots: bool = False


@dataclass(frozen=True)
class Frame:
    """The axes of a drawing: their ranges, and where a value stands in SVG units.

    Attributes:
        x, y: (lowest, highest) value.
        titles: what the axes show.
        whole: whether only whole numbers are written at the horizontal axis.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    titles: tuple[str, str]
    whole: bool = False

    def x_of(self, value: float) -> float:
        """The place of a value on the horizontal axis."""
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.x[0]) / (self.x[1] - self.x[0])

    def y_of(self, value: float) -> float:
        """The place of a value on the vertical axis."""
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self.y[0]) / (self.y[1] - self.y[0])

    def axes(self) -> list[str]:
        """Axes, grid, ticks and titles."""
        parts = [f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>']
        for tick in ticks(*self.y):
            parts.append(f'<path class="grid" d="M{LEFT} {self.y_of(tick):.1f}H{WIDTH - RIGHT}"/>')
            parts.append(_text(LEFT - 6, self.y_of(tick), f"{tick:.6g}", "end", ".35em"))
        for tick in ticks(*self.x):
            if self.whole and tick != round(tick):
                continue
            parts.append(f'<path class="axis" d="M{self.x_of(tick):.1f} {HEIGHT - BOTTOM}v4"/>')
            parts.append(_text(self.x_of(tick), HEIGHT - 18, f"{tick:,.6g}", "middle"))
        parts.append(_text(WIDTH - RIGHT, HEIGHT - 3, self.titles[0], "end"))
        parts.append(_text(LEFT, TOP - 1, self.titles[1], "start"))
        return parts


def lines(
    title: str,
    description: str,
    series: Sequence[Line],
    titles: tuple[str, str],
    x: tuple[float, float] | None = None,
    y: tuple[float, float] | None = None,
) -> Picture | None:
    """Lines over numbers; None without a finite point.

    Args:
        titles: of the two axes.
        x, y: ranges of the axes; default: those of the points.
    """
    drawn = [(line, sorted(p for p in line.points if math.isfinite(p[0]) and math.isfinite(p[1]))) for line in series]
    found = [point for _, points in drawn for point in points]
    if not found:
        return None
    xs = [p[0] for p in found]
    whole = all(value == round(value) for value in xs) and max(xs) - min(xs) > 1
    frame = Frame(x or wide(xs, 0), y or wide([p[1] for p in found]), titles, whole)
    parts = frame.axes()
    for i, (line, points) in enumerate(drawn):
        at = [f"{frame.x_of(a):.1f} {frame.y_of(b):.1f}" for a, b in points]
        parts += [_path("line", i, f"M{'L'.join(at)}")] if at else []
        parts += [_path("dots", i, "".join(f"M{place}h0" for place in at))] if line.dots or len(at) == 1 else []
    known = sorted({a for a, _ in found})
    kept = thinned(known, MOST_ROWS)
    values = [dict(points) for _, points in drawn]
    return Picture(
        title,
        description,
        drawing(title, description, parts),
        [(i, line.name) for i, line in enumerate(series)] if len(series) > 1 else [],
        [titles[0], *([line.name for line in series] if len(series) > 1 else [titles[1]])],
        [[f"{a:.6g}", *(found.get(a) for found in values)] for a in kept],
        len(known) - len(kept),
    )


def columns(
    title: str,
    description: str,
    cells: Sequence[tuple[float, float, float, float]],
    titles: tuple[str, str],
    table: tuple[list[str], list[list[Any]]],
) -> Picture:
    """Columns between 0 and 1 beside the diagonal: a reliability diagram.

    Args:
        cells: (left, right, height, mark) of each column, each from 0 to 1; the mark is where its height would be right.
        table: head and rows of the table behind it.
    """
    frame = Frame((0, 1), (0, 1), titles)
    parts = frame.axes()
    for left, right, height, mark in cells:
        a, b, top = frame.x_of(left) + 1, frame.x_of(right) - 1, frame.y_of(height)
        parts.append(f'<path class="area c0" d="M{a:.1f} {frame.y_of(0):.1f}V{top:.1f}H{b:.1f}V{frame.y_of(0):.1f}Z"/>')
        low, high = sorted((top, frame.y_of(mark)))
        if high - low > 0.1:
            parts.append(f'<path class="gap c1" d="M{a:.1f} {high:.1f}V{low:.1f}H{b:.1f}V{high:.1f}Z"/>')
    parts.append(
        f'<path class="ideal" d="M{frame.x_of(0):.1f} {frame.y_of(0):.1f}L{frame.x_of(1):.1f} {frame.y_of(1):.1f}"/>'
    )
    legend = [(0, titles[1]), (1, "gap to the confidence")]
    return Picture(title, description, drawing(title, description, parts), legend, *table)


def bars(
    title: str, description: str, given: Sequence[Bar], value: str, most: int = 40, end: float | None = None
) -> Picture | None:
    """Horizontal bars from 0 with their intervals as whiskers; None without a finite value.

    Args:
        value: what the bars show.
        most: bars that are drawn; the table has more of them.
        end: the end of the axis; default: the largest value.
    """
    usable = [bar for bar in given if math.isfinite(bar[1])]
    if not usable:
        return None
    drawn = usable[:most]
    ends = [number for _, *numbers in drawn for number in numbers if number is not None]
    low, high = min(0.0, *ends), end or max(0.0, *ends)
    high = high if high > low else low + 1
    longest = max(len(cut(name)) for name, *_ in drawn)
    left, right, height = 14 + LETTER * longest, WIDTH - RIGHT, TOP + ROW * len(drawn) + BOTTOM - 12

    def x_of(number: float) -> float:
        return left + (right - left) * (number - low) / (high - low)

    parts = []
    for tick in ticks(low, high, 5):
        parts.append(f'<path class="grid" d="M{x_of(tick):.1f} {TOP}V{TOP + ROW * len(drawn)}"/>')
        parts.append(_text(x_of(tick), height - 6, f"{tick:.6g}", "middle"))
    for i, (name, number, start, stop) in enumerate(drawn):
        middle = TOP + ROW * (i + 0.5)
        box = f"M{x_of(0):.1f} {middle - 6:.1f}H{x_of(number):.1f}V{middle + 6:.1f}H{x_of(0):.1f}Z"
        parts.append(f'<path class="area c0" d="{box}"/>')
        if start is not None and stop is not None:
            parts.append(f'<path class="axis" d="M{x_of(start):.1f} {middle:.1f}H{x_of(stop):.1f}"/>')
        parts.append(_text(left - 6, middle, cut(name), "end", ".35em"))
    parts.append(f'<path class="axis" d="M{x_of(0):.1f} {TOP}V{TOP + ROW * len(drawn)}"/>')
    whiskers = any(bar[2] is not None for bar in usable)
    kept = usable[:MOST_ROWS]
    return Picture(
        title,
        description,
        drawing(title, description, parts, height),
        [],
        ["", value, *(["from", "to"] if whiskers else [])],
        [[name, number, *([start, stop] if whiskers else [])] for name, number, start, stop in kept],
        len(usable) - len(kept),
    )


def drawing(title: str, description: str, parts: Sequence[str], height: float = HEIGHT) -> Markup:
    """The parts as an SVG that a screen reader names by its title and describes."""
    name = escape(f"{title}: {description}")
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{name}"><title>{escape(title)}</title>'
        f"<desc>{escape(description)}</desc>{''.join(parts)}</svg>"
    )


def thinned(values: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the values, evenly spaced, with the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def wide(values: Sequence[float], margin: float = 0.05) -> tuple[float, float]:
    """A range of values, a little wider at both ends; never empty."""
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-300):
        half = 0.1 * (abs(high) or 1)
        return low - half, high + half
    return low - margin * (high - low), high + margin * (high - low)


def cut(text: str, most: int = MOST_LETTERS) -> str:
    """A name, shortened to fit beside a bar."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _path(kind: str, series: int, d: str) -> str:
    dashed = ' stroke-dasharray="5 3"' if series >= COLOURS and kind == "line" else ""
    return f'<path class="{kind} c{series % COLOURS}"{dashed} d="{d}"/>'


def _text(x: float, y: float, text: str, anchor: str, dy: str = "") -> str:
    down = f' dy="{dy}"' if dy else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{down} text-anchor="{anchor}">{escape(text)}</text>'

"""Charts of a report: curves over the steps as SVG, without a plotting library or scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

MOST_ROWS = 20  # of the table behind a chart
MOST_POINTS = 300  # per curve: about one per 1.5 pixels
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 220, 58, 28, 10, 34  # size of a chart and its margins, in SVG units

Points = Sequence[tuple[float, float]]  # (step, value)
Series = tuple[str, int, Points]  # name, index of the colour (0 or 1), points


@dataclass(frozen=True)
class Curve:
    """One series of a chart, as described in its caption.

    Attributes:
        last: the last finite value, or None.
        ends: `lowest` and `highest` -> (step, value); empty unless there is more than one finite value.
        points: number of values; `not_finite` of them are not drawn.
    """

    name: str
    colour: int
    last: float | None
    ends: dict[str, tuple[float, float]]
    points: int
    not_finite: int


@dataclass(frozen=True)
class Chart:
    """A drawing and the content of its caption.

    Attributes:
        head: titles of the columns of the table behind it.
        rows: step and value of each curve there, None where it has none.
        left_out: number of steps that the table does not show.
    """

    title: str
    log: bool
    curves: list[Curve]
    svg: Markup
    head: list[str]
    rows: list[list[str | float | None]]
    left_out: int


def curve(title: str, series: Sequence[Series], log: bool = False) -> Chart | None:
    """A chart over the steps; None without points. `log` allows a logarithmic axis if values span at least two decades."""
    drawn = [(*s, [p for p in sorted(s[2]) if math.isfinite(p[1])]) for s in series if s[2]]
    if not drawn:
        return None
    values = [y for *_, found in drawn for _, y in found] or [0.0]
    low, high, last = min(values), max(values), max(x for s in series for x, _ in s[2]) or 1
    log = log and low > 0 and high / low >= 100
    if high - low <= 1e-6 * abs(high):
        low, high = low - 0.1 * (abs(low) or 1), high + 0.1 * (abs(high) or 1)
    squeeze = math.log10 if log else float
    bottom, span = squeeze(low), squeeze(high) - squeeze(low)

    def x_of(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last

    def y_of(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (0.05 + 0.9 * (squeeze(value) - bottom) / span)

    decades = range(math.ceil(bottom), math.floor(bottom + span) + 1, 1 + int(span / 7)) if log else ()
    parts = [f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>']
    parts += [f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 3}" text-anchor="end">step</text>']
    for tick in [10.0**k for k in decades] or ticks(low, high):
        parts.append(f'<path class="grid" d="M{LEFT} {y_of(tick):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y_of(tick):.1f}" dy=".35em" text-anchor="end">{tick:.6g}</text>')
    for tick in (tick for tick in ticks(0, last) if tick == round(tick)):
        parts.append(f'<path class="axis" d="M{x_of(tick):.1f} {HEIGHT - BOTTOM}v4"/>')
        parts.append(f'<text x="{x_of(tick):.1f}" y="{HEIGHT - 18}" text-anchor="middle">{tick:,.0f}</text>')
    curves = []
    for name, colour, points, found in drawn:
        if found:
            parts.append(path([(x_of(x), *map(y_of, ys)) for x, *ys in thin(found)], colour))
        by_value = [f(found, key=lambda point: (point[1], point[0])) for f in (min, max)] if len(found) > 1 else []
        ends = dict(zip(("lowest", "highest"), by_value, strict=False))
        curves.append(Curve(name, colour, found[-1][1] if found else None, ends, len(points), len(points) - len(found)))
    # All values in the parts are numbers, so nothing in them has to be escaped.
    said = f"{', '.join(line.name for line in curves)} over the steps"
    svg = drawing(HEIGHT, title, said, parts)
    rows, left_out = table([found for *_, found in drawn])
    return Chart(title, log, curves, svg, ["step", *(line.name for line in curves)], rows, left_out)


def drawing(height: float, title: str, said: str, parts: Sequence[str]) -> Markup:
    """An SVG of the usual width, with what a screen reader says of it.

    Args:
        parts: its elements, in which what is not a number is escaped.
    """
    named = f'role="img" aria-label="{escape(title)}: {escape(said)}"><title>{escape(title)}</title><desc>{escape(said)}</desc>'
    return Markup(f'<svg viewBox="0 0 {WIDTH} {height:g}" {named}{"".join(parts)}</svg>')


def table(curves: Sequence[Points], most: int = MOST_ROWS) -> tuple[list[list[str | float | None]], int]:
    """Rows (step, value of each curve) at evenly spaced steps of the shortest curve, and how many steps are not listed."""
    values = [dict(points) for points in curves]
    steps = {step for points in values for step in points}
    by_length = sorted((sorted(points) for points in values if points), key=len)
    fewest = by_length[0] if by_length else []
    shown = [fewest[round(i * (len(fewest) - 1) / (most - 1))] for i in range(most)] if len(fewest) > most else fewest
    return [[f"{step:,.6g}", *(points.get(step) for points in values)] for step in shown], len(steps) - len(shown)


def path(bins: Sequence[tuple[float, ...]], colour: int) -> str:
    """The SVG of a thinned series in SVG units: a band of extremes, a line of means, and dots if there are few points."""
    lows, means, highs = ([f"{b[0]:.1f} {b[i]:.1f}" for b in bins] for i in (2, 1, 3))
    shapes = {"line": f"M{'L'.join(means)}", "dots": "".join(f"M{at}h0" for at in means) if len(bins) <= 30 else ""}
    if lows != highs:
        shapes = {"band": f"M{'L'.join(lows + highs[::-1])}Z", **shapes}
    return "".join(f'<path class="{kind} c{colour}" d="{d}"/>' for kind, d in shapes.items() if d)


def thin(points: Points, most: int = MOST_POINTS) -> list[tuple[float, float, float, float]]:
    """At most `most` bins (x, mean, lowest, highest) in order; the first and last points have bins of their own."""
    inner = points[1:-1]
    size = math.ceil(len(inner) / (most - 2)) or 1
    found = []
    for chunk in [points[:1], *(inner[i : i + size] for i in range(0, len(inner), size)), points[1:][-1:]]:
        if chunk:
            xs, ys = zip(*chunk, strict=True)
            found.append((sum(xs) / len(xs), sum(ys) / len(ys), min(ys), max(ys)))
    return found


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`: about `most` of them, or as few as half."""
    raw = (high - low) / most
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= raw * (1 - 1e-9))
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]

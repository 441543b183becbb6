"""Pictures that stand alone, as files beside a model card: the confusion matrix, and any drawing with its own style."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from hfft.report.plot import LETTER, cut

CELL, SMALL_CELL = 30, 12  # SVG units
FEW = 12  # up to this number of classes, the cells have numbers and both axes names
# The light colours of style.css, since a file has no other style.
STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#3a4048}.grid,.axis,.line,.dots{fill:none;stroke:#dfe3e8}.axis{stroke:#626973}"
    ".area{fill:#2867ad;opacity:.75}.gap{fill:#c25a18;opacity:.3}.ideal{fill:none;stroke:#626973;stroke-dasharray:4 4}"
    ".right{fill:#2867ad}.wrong{fill:#ba5414}.deep{fill:#fff}"
)


def confusion_map(title: str, counts: Sequence[Sequence[int]], names: Sequence[str]) -> Markup:
    """A confusion matrix in the order of its classes: rows are true, columns predicted, colours the share of the row."""
    size, few = len(counts), len(counts) <= FEW
    cell, shown = (CELL if few else SMALL_CELL), [cut(name, 18) for name in names]
    longest = max(map(len, shown)) * LETTER
    left, top = longest + 24, (longest if few else 0) + 24
    width, height = left + size * cell + 8, top + size * cell + 8
    parts = [
        _text(left + size * cell / 2, 12, "predicted", "middle"),
        f'<text x="12" y="{top + size * cell / 2:.1f}" text-anchor="middle" '
        f'transform="rotate(-90 12 {top + size * cell / 2:.1f})">true</text>',
    ]
    for i, row in enumerate(counts):
        y, total = top + i * cell, sum(row) or 1
        parts.append(_text(left - 6, y + cell / 2 + 4, shown[i], "end", 11 if few else 9))
        if few:
            x = left + i * cell + cell / 2 + 4
            parts.append(
                f'<text x="{x:.1f}" y="{top - 6:.1f}" transform="rotate(-90 {x:.1f} {top - 6:.1f})">{escape(shown[i])}</text>'
            )
        for j, count in enumerate(row):
            if count:
                share = count / total
                kind = "right" if i == j else "wrong"
                parts.append(
                    f'<rect class="{kind}" x="{left + j * cell + 0.5:.1f}" y="{y + 0.5:.1f}" width="{cell - 1}" '
                    f'height="{cell - 1}" fill-opacity="{max(share, 0.05):.2f}"/>'
                )
                if few:
                    deep = ' class="deep"' if share > 0.6 else ""
                    at = f'x="{left + (j + 0.5) * cell:.1f}" y="{y + cell / 2 + 4:.1f}" text-anchor="middle"'
                    parts.append(f"<text{deep} {at}>{count}</text>")
    right = sum(counts[i][i] for i in range(size))
    said = f"{size} classes; {right:,} of {sum(map(sum, counts)):,} rows are right"
    return Markup(
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}: {said}">'
        f"<title>{escape(title)}</title><desc>{said}</desc>{''.join(parts)}</svg>"
    )


def standalone(svg: Markup) -> str:
    """A drawing as a file: with its namespace, its size, a style of its own and a white ground."""
    box = svg.split('viewBox="', 1)[1].split('"', 1)[0].split()
    width, height = float(box[2]), float(box[3])
    opened, rest = svg.split(">", 1)
    size = f' xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}">'
    ground = f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>'
    title_end = rest.index("</desc>") + len("</desc>")
    return str(f"{opened}{size}{rest[:title_end]}<style>{STYLE}</style>{ground}{rest[title_end:]}\n")


def _text(x: float, y: float, text: str, anchor: str, size: int = 11) -> str:
    style = f' style="font-size:{size}px"' if size != 11 else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'

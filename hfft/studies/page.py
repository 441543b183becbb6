"""The page of a study: its answer, its figures, the table with seeds, n and intervals, and the arms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from hfft.recipe import yaml_lines
from hfft.report.page import environment, style
from hfft.studies import chart
from hfft.studies.study import Study, override_words
from hfft.studies.table import Cell, Table

HERE = Path(__file__).parent


def render_study(study: Study, table: Table, left: int = 0) -> str:
    """The whole document: HTML without scripts or requests.

    Args:
        left: number of children that are not done yet.
    """
    arms: dict[str, str] = {}
    for child in study.plan({}):
        arms.setdefault(child.arm, "  ".join(override_words(child.overrides)) or "the recipe as it is")
    template = environment().from_string((HERE / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        title=study.title,
        style=Markup(style() + (HERE / "page.css").read_text(encoding="utf-8")),
        question=study.question,
        answer=table.answer,
        left=left,
        figures=_figures(table),
        columns=table.columns,
        rows=[
            {
                "arm": row.arm,
                "cells": [_shown(row.cells.get(name, Cell())) for name in table.columns],
                "seeds": ", ".join(map(str, row.seeds)),
                "n": len(row.seeds),
            }
            for row in table.rows
        ],
        matrices=[
            {
                "title": matrix.title,
                "columns": matrix.columns,
                "rows": [
                    {"name": name, "cells": [_shown(cell) if cell.values else None for cell in row]}
                    for name, row in zip(matrix.rows, matrix.cells, strict=True)
                ],
            }
            for matrix in table.matrices
        ],
        notes=table.notes,
        failed=table.failed,
        arms=arms,
        recipe=yaml_lines.dump(study.recipe.resolved()),
    )  # fmt: skip


def _figures(table: Table) -> list[dict[str, Any]]:
    """Title, legend, drawing and table of each figure."""
    drawn: list[dict[str, Any]] = []
    for plot in table.plots:
        if (svg := chart.plot(plot)) is not None:
            legend, head = [line.name for line in plot.lines], ["", plot.x, plot.y, "95 % interval"]
            given = {"title": plot.title, "y": plot.y, "legend": legend, "svg": svg, "head": head}
            drawn.append({**given, "rows": chart.points(plot)})
    if not drawn and (svg := chart.arms(table)) is not None:
        said, head = "mean and 95% interval; a dot for each seed", ["arm", "mean", "95 % interval", "seeds"]
        given = {"title": table.columns[0], "y": said, "legend": [], "svg": svg, "head": head}
        drawn.append({**given, "rows": chart.means(table)})
    return drawn


def _shown(cell: Cell) -> dict[str, str]:
    """A cell as text, and below it its interval."""
    found = cell.summary()
    if found is None or found.n == 1:
        return {"text": str(cell), "interval": ""}
    text, sign = (f"{found.mean:+,.{cell.digits}f}", "+") if cell.signed else (str(cell), "")
    return {"text": text, "interval": f"[{found.low:{sign},.{cell.digits}f}, {found.high:{sign},.{cell.digits}f}]"}

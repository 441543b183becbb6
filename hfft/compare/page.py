"""The page of a comparison: one HTML file without scripts or network access."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, FileSystemLoader
from markupsafe import Markup

from hfft.compare.comparison import Comparison, smaller
from hfft.compare.entry import SPLITS, Entry
from hfft.compare.paired import better
from hfft.report import page as report
from hfft.report.chart import Chart, curve
from hfft.report.plot import COLOURS, Bar, Picture, bars
from hfft.tasks.measure import metric_names


def render(found: Comparison) -> str:
    """The whole document."""
    environment = report.environment()
    loader = ChoiceLoader([FileSystemLoader(Path(__file__).parent), environment.loader])  # type: ignore[list-item]
    return environment.overlay(loader=loader).get_template("compare.html.j2").render(
        style=Markup(report.style()),
        found=found,
        splits=[name for name in found.figures if name in SPLITS],
        smaller=smaller,
        better=better,
        charts=charts(found.entries),
        pictures=pictures(found),
    )  # fmt: skip


def pictures(found: Comparison) -> list[Picture]:
    """The first metric of each split, a bar for each run."""
    drawn = []
    for split in SPLITS:
        figures = found.figures.get(split, {})
        name = next(iter(metric_names(figures)), None)
        if name is not None:
            given = [
                _bar(run, value) for run, value in zip(found.names, figures[name], strict=True) if value is not None
            ]
            drawn.append(
                bars(
                    f"{name.replace('_', ' ')}, {found.title(split)}",
                    f"one bar for each of {len(given)} runs",
                    given,
                    name,
                )
            )
    return [picture for picture in drawn if picture is not None]


def _bar(name: str, value: Any) -> Bar:
    return (
        (name, value["value"], value.get("low"), value.get("high"))
        if isinstance(value, dict)
        else (name, value, None, None)
    )


def charts(entries: Sequence[Entry]) -> list[Chart]:
    """Learning curves over one another: the loss on train and on validation, and the first metric on validation."""
    metric = next((name for entry in entries for name in metric_names(entry.metrics.get("validation", {}))), None)
    wanted = {"loss on train": "loss", "loss on validation": "eval_loss"}
    wanted |= {f"{metric.replace('_', ' ')} on validation": f"eval_{metric}"} if metric else {}
    found = [
        curve(
            title,
            [
                (
                    entry.name,
                    i % COLOURS,
                    [(row["step"], row[key]) for row in entry.history if row.get(key) is not None],
                )
                for i, entry in enumerate(entries)
            ],
            log=key.endswith("loss"),
        )
        for title, key in wanted.items()
    ]
    return [chart for chart in found if chart is not None]

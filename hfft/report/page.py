"""The page of a report: its sections in order, each from a module and a template with the same name."""

from __future__ import annotations

import functools
from importlib import import_module
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hfft.report import sections
from hfft.report.numbers import number
from hfft.report.record import Record
from hfft.runs.folder import RunFolder, write

HERE = Path(__file__).parent


def write_report(folder: RunFolder, metrics: dict[str, Any]) -> None:
    """Write `report.html` from the files of the run folder and its metrics (the content of metrics.json)."""
    write(folder.report, render(Record.read(folder, metrics)))


def render(record: Record) -> str:
    """The whole document; empty sections are left out."""
    rendered = (render_section(name, record) for name in sections.SECTIONS)
    return environment().get_template("page.html.j2").render(
        title=str(record.metrics["recipe"]),
        style=Markup(style()),
        sections=[section for section in rendered if section],
    )  # fmt: skip


def style() -> str:
    """The style sheet of all pages: light and dark, narrow and wide, screen and paper."""
    return (HERE / "style.css").read_text(encoding="utf-8")


def render_section(name: str, record: Record) -> Markup:
    """One section as HTML; empty if the section has no content."""
    context = import_module(f"{sections.__name__}.{name}").section(record)
    if context is None:
        return Markup()
    return Markup(environment().get_template(f"sections/{name}.html.j2").render(context))


@functools.cache
def environment() -> Environment:
    """The environment of this package's templates: all values are escaped, and an undefined name is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["number"] = number
    return made

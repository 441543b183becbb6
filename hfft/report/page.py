"""The page of a report: its sections in order, each from a module and a template with the same name."""

from __future__ import annotations

import functools
import re
from importlib import import_module
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hfft.report import sections
from hfft.report.numbers import interval, number, percent, with_interval
from hfft.report.record import Record
from hfft.runs.folder import RunFolder, write

HERE = Path(__file__).parent


def write_report(folder: RunFolder, metrics: dict[str, Any]) -> None:
    """Write `report.html` from the files of the run folder and its metrics (the content of metrics.json)."""
    write(folder.report, render(Record.read(folder, metrics)))


def render(record: Record) -> str:
    """The whole document; empty sections are left out."""
    rendered = ((sections.QUESTIONS.get(name), render_section(name, record)) for name in sections.SECTIONS)
    groups = groupby((pair for pair in rendered if pair[1]), key=itemgetter(0))
    return environment().get_template("page.html.j2").render(
        title=str(record.metrics["recipe"]),
        style=Markup(style()),
        groups=[(question, [section for _, section in found]) for question, found in groups],
    )  # fmt: skip


def style() -> str:
    """The style sheet of all pages: light and dark, narrow and wide, screen and paper."""
    return (HERE / "style.css").read_text(encoding="utf-8")


def render_section(name: str, record: Record) -> Markup:
    """One section as HTML; empty if the section has no content.

    A module with a `BLOCK` draws that block of the scorecard; of a block that failed, the error is shown instead.
    """
    module = import_module(f"{sections.__name__}.{name}")
    block = record.block(module.BLOCK) if hasattr(module, "BLOCK") else None
    if block and "error" in block:
        return Markup(environment().get_template("error.html.j2").render(title=module.TITLE, error=block["error"]))
    context = module.section(record)
    if context is None:
        return Markup()
    return Markup(environment().get_template(f"sections/{name}.html.j2").render(context))


def anchor(text: str) -> str:
    """The id of a heading: its words in small letters."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))


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
    made.filters |= {"number": number, "interval": interval, "with_interval": with_interval, "percent": percent}
    made.filters["anchor"] = anchor
    return made

"""The sections of a report, each a module and a template.

A module `<name>.py` has one pure function, `section(record)`, which returns the context of the template `<name>.html.j2`,
or None to leave the section out.
"""

# In the order of the page.
SECTIONS: tuple[str, ...] = (
    "header",
    "results",
    "use",
    "soup",
    "curves",
    "layers",
    "strategy",
    "compared",
    "classes",
    "run",
    "recipe",
)

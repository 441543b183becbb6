"""The sections of a report, a module and a template each.

A module `<name>.py` has one pure function, `section(record)`: what the template `<name>.html.j2` needs, or None where the
section has nothing to say.
"""

# In the order of the page.
SECTIONS: tuple[str, ...] = (
    "header",
    "results",
    "curves",
    "layers",
    "classes",
    "run",
    "recipe",
)

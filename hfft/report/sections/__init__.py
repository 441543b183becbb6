"""The sections of a report, each a module and a template.

A module `<name>.py` has one pure function, `section(record)`, which returns the context of the template `<name>.html.j2`,
or None to leave the section out. A section of a block of the scorecard also has `BLOCK`, its name there, and `TITLE`.
"""

# In the order of the page: what a reader asks, and the sections that answer it.
_ANSWERS: dict[str | None, tuple[str, ...]] = {
    None: ("header",),
    "How good, and how sure?": ("results", "tasks", "figures"),
    "Better than doing nothing?": ("beside",),
    "Where is it wrong?": ("classes", "rows", "shift", "labels"),
    "May I trust its confidence?": ("calibration", "selective", "unknown"),
    "What breaks it?": ("ood", "corruption", "attack"),
    "What did it learn?": (
        "use",
        "soup",
        "curves",
        "advice",
        "layers",
        "strategy",
        "representation",
        "retention",
        "compared",
    ),
    "What did it cost?": ("cost", "run"),
    "How do I use it?": ("how_to_use", "recipe"),
}
SECTIONS: tuple[str, ...] = tuple(name for names in _ANSWERS.values() for name in names)
QUESTIONS: dict[str, str | None] = {name: question for question, names in _ANSWERS.items() for name in names}

"""The blocks of a scorecard, each a module with two functions.

`block(evidence)` returns the figures as plain values, or None where the problem has nothing of the kind; `lines(found)` says
them in a terminal. Every block names its `split` and `n`; figures with an interval are `{"value", "low", "high"}`.
"""

# In the order of the scorecard. The quick ones need no model; the others run it again or compute for longer.
QUICK: tuple[str, ...] = ("task", "beside", "calibration", "selective", "unknown", "cost")
FULL: tuple[str, ...] = (
    *QUICK,
    "ood",
    "corruption",
    "attack",
    "shift",
    "labels",
    "retention",
    "representation",
)

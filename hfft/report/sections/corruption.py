"""What is left of the accuracy on corrupted inputs."""

from __future__ import annotations

from typing import Any

from hfft.report.plot import bars
from hfft.report.record import Record

BLOCK, TITLE = "corruption", "Corrupted inputs"


def section(record: Record) -> dict[str, Any] | None:
    """The mean over corruptions and severities, a bar for each corruption, and the table of severities."""
    block = record.block(BLOCK)
    if block is None:
        return None
    kinds = {name: values for name, values in block["corruptions"].items() if values}
    means = sorted(((sum(values) / len(values), name) for name, values in kinds.items()))
    said = f"mean accuracy over the severities of {len(means)} corruptions, the worst first"
    drawn = bars(
        f"accuracy under each corruption {block.get('label', '')}".strip(),
        said,
        [(name.replace("_", " "), mean, None, None) for mean, name in means],
        "accuracy",
        end=1.0,
    )
    table = [(name.replace("_", " "), kinds[name], mean) for mean, name in means]
    most = max(map(len, kinds.values()), default=0)
    return {"title": TITLE, "block": block, "rows": table, "most": most, "drawn": drawn}

"""The recipe section `report`."""

from __future__ import annotations

from pydantic import Field

from hfft.spec import Spec


class ReportSpec(Spec):
    """What the report of the run shows.

    Attributes:
        examples: rows in each list of rows to look at, shown with their text or a thumbnail; 0 keeps the data out of the
            run folder. What is published never contains rows.
    """

    examples: int = Field(default=8, ge=0, le=100)

"""Several runs and what they say together: seeds, folds, grids, and the questions of transfer learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import names

if TYPE_CHECKING:
    from hfft.studies.find import load_study
    from hfft.studies.run import run_study
    from hfft.studies.study import Child, Figures, Study
    from hfft.studies.table import Cell, Line, Plot, Row, Table

__getattr__, __all__ = names(
    __name__,
    {
        "load_study": "hfft.studies.find",
        "run_study": "hfft.studies.run",
        "Child": "hfft.studies.study",
        "Figures": "hfft.studies.study",
        "Study": "hfft.studies.study",
        "Cell": "hfft.studies.table",
        "Line": "hfft.studies.table",
        "Plot": "hfft.studies.table",
        "Row": "hfft.studies.table",
        "Table": "hfft.studies.table",
    },
)

"""The folder of a study: `study.yaml` (written first), `children/` (run folders), `table.json`, `report.html`."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hfft.errors import BadInput
from hfft.recipe import Recipe, yaml_lines
from hfft.runs import RunFolder
from hfft.runs.folder import differences, write
from hfft.studies.study import Child, Figures, Study
from hfft.studies.table import Table
from hfft.wording import first_line, listing

LOG = "log.txt"  # in a child's folder: what the run printed
PREDICTIONS = "out_of_fold"  # the predictions of a cross-validation, for each seed
OF_MEASURED = ("run", "checkpoints", "interpolated", "memory", "pool", "data")  # folders that measuring functions write
MEASURED = "measured.json"  # in the folder of a child that was measured instead of trained


class StudyFolder:
    """The files of a study."""

    def __init__(self, path: Path):
        self.path = path
        self.file = path / "study.yaml"
        self.children = path / "children"
        self.table = path / "table.json"
        self.report = path / "report.html"

    def open(self, study: Study, fresh: bool) -> None:
        """Prepare the folder for this study, and write `study.yaml`.

        A study goes on with more seeds or further arms; nothing that its children depend on may differ.

        Raises:
            BadInput: the folder cannot be written, or contains another study, a run, or files whose study is unknown.
        """
        if not self.file.is_file() and (strange := self._strange()):
            raise BadInput(f"{self.path} contains {listing(strange)} but no study.yaml; use another --output")
        try:
            self.children.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{self.path} cannot be written ({error.strerror}); use another --output") from None
        if fresh:
            self.clear()
        if self.file.is_file() and (changed := self._changed(study)):
            raise BadInput(
                f"{self.path} contains another study ({'; '.join(changed[:5])}); add --fresh to start over, or use "
                f"another --output"
            )
        write(self.file, yaml_lines.dump(described(study)))

    def clear(self) -> None:
        """Remove what a study wrote, and nothing else; `study.yaml` last, so that a kill does not leave the rest unknown."""
        for path in self.children.iterdir():
            RunFolder(path).clear()
            if (path / MEASURED).is_file():
                for name in OF_MEASURED:
                    shutil.rmtree(path / name, ignore_errors=True)
            for name in (LOG, MEASURED):
                (path / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it contains something else
                path.rmdir()
        for path in (self.table, self.report, *self.path.glob(f"{PREDICTIONS}-*"), self.file):
            path.unlink(missing_ok=True)

    def _strange(self) -> list[str]:
        """The names of a run's files, or of those that a study would write over."""
        run = RunFolder(self.path)
        there = [path for path in (run.recipe, run.metrics, self.table, self.report) if path.exists()]
        return [path.name for path in there]

    def _changed(self, study: Study) -> list[str]:
        """How a study differs from the one in the folder, in what its children depend on."""
        try:
            old = yaml_lines.parse(self.file.read_text(encoding="utf-8"))[0]
            recipe = old["recipe"]
            if not isinstance(old["arms"], dict) or not isinstance(recipe, dict):
                raise TypeError("no recipe and arms")
        except (OSError, UnicodeDecodeError, yaml_lines.DocumentError, KeyError, TypeError) as error:
            raise BadInput(f"{self.file} cannot be read ({first_line(error)}); add --fresh to start over") from None
        with contextlib.suppress(ValidationError):  # adds keys that an earlier version did not have
            old["recipe"] = Recipe.model_validate(recipe).resolved()
        new = described(study)
        arms = [name for name in old["arms"] if name in new["arms"]]
        before, now = (
            {
                "study": side.get("study"),
                "recipe": _without_folder(side["recipe"]),
                "arms": {name: side["arms"][name] for name in arms},
            }
            for side in (old, new)
        )
        return differences(before, now)

    def figures(self, child: Child) -> Figures:
        """What a finished child came to, from its run folder."""
        folder = RunFolder(self.children / child.name)
        state = folder.path / "trainer_state.json"
        history: list[Any] = []
        with contextlib.suppress(OSError, ValueError):
            history = json.loads(state.read_text(encoding="utf-8")).get("log_history", [])
        return Figures(folder.metrics_of_run(), history, folder=folder.path)

    def write(self, study: Study, table: Table, page: str) -> None:
        """Write the table and its page."""
        values = {"study": study.name, "question": study.question, "seeds": study.all_seeds, **table.plain()}
        write(self.table, RunFolder.json_text(values))
        write(self.report, page)


def described(study: Study) -> dict[str, Any]:
    """The content of `study.yaml`: the question, the options, the base recipe, and the arms that are known from the start."""
    values = study.plain()
    recipe = study.recipe.resolved()
    arms: dict[str, Any] = {}
    for child in study.plan({}):
        arms.setdefault(child.arm, dict(child.overrides))
    options = {key: value for key, value in values.items() if key not in ("recipe", "question", "seeds")}
    return {
        "study": study.name,
        "question": study.question,
        **options,
        "seeds": study.all_seeds,
        "arms": arms,
        "recipe": _without_folder(recipe),
    }


def _without_folder(recipe: dict[str, Any]) -> dict[str, Any]:
    """A resolved recipe without its run folder: each child has its own."""
    training = {key: value for key, value in recipe.get("training", {}).items() if key != "output_dir"}
    return {**recipe, "training": training}

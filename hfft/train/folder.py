"""The folder a run lives in: whether it is new, unfinished or finished, and files that are written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any, Literal

from hfft import document
from hfft.errors import BadInput
from hfft.recipe import Recipe

State = Literal["new", "unfinished", "finished"]
# Pinned when the run begins, where they are recorded; the source may only have said `main`.
_PINNED = {("backbone", "revision"), ("data", "revision")}


class RunFolder:
    """`recipe.yaml metrics.json layers.json report.html trainer_state.json checkpoint-*/ model/` of one run."""

    def __init__(self, path: Path):
        self.path = path
        self.model = path / "model"
        self.recipe = path / "recipe.yaml"
        self.metrics = path / "metrics.json"
        self.report = path / "report.html"

    def state(self) -> State:
        """`finished` once metrics.json, which is written last, is there."""
        if self.metrics.is_file() and self.model.is_dir():
            return "finished"
        return "unfinished" if self.recipe.is_file() else "new"

    def open(self, recipe: Recipe, fresh: bool) -> State:
        """Make the folder ready for this recipe and say what it holds.

        Raises:
            BadInput: the folder cannot be written, holds another recipe's run, or things that are no run's.
        """
        try:
            if fresh and self.state() != "new":
                shutil.rmtree(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise BadInput(
                f"training.output_dir: {self.path} cannot be written ({error.strerror}); name another folder"
            ) from None
        state = self.state()
        if state == "new":
            return state
        changed = differences(document.parse(self.recipe.read_text(encoding="utf-8"))[0], recipe.resolved())
        if changed:
            raise BadInput(
                f"{self.path} holds a run of another recipe ({'; '.join(changed[:5])}); add --fresh to begin anew, or "
                f"name another training.output_dir"
            )
        return state

    def checkpoint(self) -> Path | None:
        """The newest checkpoint, or None."""
        found = [p for p in self.path.glob("checkpoint-*") if p.name.partition("-")[2].isdigit() and _whole(p)]
        return max(found, key=lambda p: int(p.name.partition("-")[2]), default=None)

    def write_recipe(self, recipe: Recipe, backbone: str | None, data: str | None) -> None:
        """Write the resolved recipe, with the commits that were used."""
        values = recipe.resolved()
        for section, revision in (("backbone", backbone), ("data", data)):
            if revision is not None:
                values[section]["revision"] = revision
        write(self.recipe, document.dump(values))

    def write_json(self, name: str, value: Any) -> None:
        """Write one of the folder's JSON files."""
        write(self.path / name, self.json_text(value))

    @staticmethod
    def json_text(value: Any) -> str:
        """A value as these files hold it; NaN and infinity, which JSON has not, as null."""
        return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _whole(checkpoint: Path) -> bool:
    """Whether the file that a checkpoint's saving ends with is there."""
    return (checkpoint / "trainer_state.json").is_file()


def write(path: Path, text: str) -> None:
    """Write a file so that it is either the old one or the new one, never half of it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)


def differences(old: dict[str, Any], new: dict[str, Any], path: tuple[str, ...] = ()) -> list[str]:
    """`section.key: old, now new` for every value that differs, pinned revisions aside."""
    found = []
    for key in {**old, **new}:
        at = (*path, key)
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, at)
        elif before != after and not (at in _PINNED and after is None):
            found.append(f"{'.'.join(at)}: {before}, now {after}")
    return found

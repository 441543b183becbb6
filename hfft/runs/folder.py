"""The folder of a run: whether it is new, unfinished or finished, and files that are written completely or not at all."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from hfft.errors import BadInput, RunError
from hfft.processes import by_first_process
from hfft.recipe import Recipe, yaml_lines
from hfft.runs import checkpoint
from hfft.wording import first_line, listing

State = Literal["new", "unfinished", "finished"]
# What a run writes in addition to checkpoints.
_WRITTEN = {"recipe.yaml", "metrics.json", "layers.json", "report.html", "trainer_state.json", "model", "from_scratch"}
_WRITTEN |= {checkpoint.TEMP_DIR, ".model", "published.json", "outputs", "data.json", "trained_rows.safetensors"}
_WRITTEN |= {"scorecard.json", "rows.json"}
# Keys that may change in an unfinished run without changing what is trained.
HARMLESS = (
    "publish.",
    "score.",
    "report.",
    "training.output_dir",
    "training.dataloader_num_workers",
    "training.report_to",
    "training.run_name",
    "training.disable_tqdm",
    "training.save_total_limit",
    "training.ddp_timeout",
)
# Sections whose revision is pinned when the run begins; a comment records the recipe's own value, such as `main`.
_PINNED = ("backbone", "data", "layers.adapter")
_SAID = re.compile(r"^# ([\w.]+)\.revision was (.+)$", re.MULTILINE)


class RunFolder:
    """A run's folder: `recipe.yaml metrics.json layers.json report.html trainer_state.json checkpoint-*/ model/ outputs/`."""

    def __init__(self, path: Path):
        self.path = path
        self.model = path / "model"
        self.recipe = path / "recipe.yaml"
        self.metrics = path / "metrics.json"
        self.report = path / "report.html"
        self.scorecard = path / "scorecard.json"
        self.rows = path / "rows.json"
        self.outputs = path / "outputs"

    def stored_outputs(self) -> list[Path]:
        """The files of outputs for the splits that a finished run was scored on; an empty list if one is missing."""
        if not self.metrics.is_file():
            return []
        splits = [name for name in ("validation", "test") if name in self.metrics_of_run()]
        files = [self.outputs / f"{name}.safetensors" for name in splits]
        return files if all(file.is_file() for file in files) else []

    def state(self) -> State:
        """`finished` once `metrics.json`, which is written last, exists."""
        if not self.recipe.is_file():
            return "new"
        return "finished" if self.metrics.is_file() and self.model.is_dir() else "unfinished"

    @by_first_process
    def open(self, recipe: dict[str, Any], fresh: bool, force: bool = False) -> State:
        """Prepare the folder for this recipe and return its state; `fresh` removes what a run wrote, nothing else.

        An unfinished run continues if only keys have changed that do not affect its weights (HARMLESS), or always with `force`.

        Args:
            recipe: the resolved recipe, as plain values.

        Raises:
            BadInput: the folder cannot be written, contains another recipe's run, or similar files without a recipe.
        """
        self.writable()
        try:
            if fresh and self.state() != "new":
                self.clear()
            for part in self.path.iterdir():  # files that `write` left when it was killed
                if re.fullmatch(r"\.(\w+\.\w+)\.\d+", part.name) and part.name[1:].rpartition(".")[0] in _WRITTEN:
                    part.unlink()
        except OSError as error:
            raise self._unwritable(error) from None
        state = self.state()
        if state == "new":
            if strange := self._written():
                raise BadInput(
                    f"{self.path} contains {listing(p.name for p in strange)} but no recipe.yaml, so their run is unknown; "
                    f"remove them, or use another training.output_dir"
                )
            return state
        changed = self.changed(recipe)
        if state == "unfinished":
            changed = [] if force else [line for line in changed if not line.startswith(HARMLESS)]
        if changed:
            forced = "--force to continue anyway, " if state == "unfinished" else ""
            raise BadInput(
                f"{self.path} contains a run of another recipe ({'; '.join(changed[:5])}); add {forced}--fresh to start "
                f"over, or use another training.output_dir"
            )
        return state

    @by_first_process
    def writable(self) -> None:
        """Make the folder if there is none, and test that files can be written.

        Raises:
            BadInput: it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> BadInput:
        return BadInput(f"training.output_dir: {self.path} cannot be written ({error.strerror}); use another folder")

    def clear(self) -> None:
        """Remove what a run wrote, and nothing else."""
        for entry in self._written():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()

    def _written(self) -> list[Path]:
        """The files and folders in the folder that were written by a run."""
        return sorted(p for p in self.path.iterdir() if p.name in _WRITTEN or re.fullmatch(r"checkpoint-\d+", p.name))

    @by_first_process
    def changed(self, recipe: dict[str, Any]) -> list[str]:
        """How a resolved recipe differs from the one in the folder; for pinned revisions the recipe's own value is compared."""
        new, (old, said) = recipe, self._began()
        for section in _PINNED:
            before, now = _section(old, section), _section(new, section)
            if before and now and "revision" in before and now.get("revision") == said.get(section):
                if section in said:
                    before["revision"] = said[section]
                else:
                    del before["revision"]
        return differences(old, new)

    @by_first_process
    def pinned(self, recipe: dict[str, Any]) -> dict[str, Any]:
        """The resolved recipe with the commits that the run began with, unless the recipe now asks for other revisions."""
        values, (old, said) = copy.deepcopy(recipe), self._began()
        for section in _PINNED:
            before, now = _section(old, section), _section(values, section)
            if before and now and "revision" in before and now.get("revision") == said.get(section):
                now["revision"] = before["revision"]
        return values

    def _began(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The resolved recipe in the folder, and its own values of the revisions that the run pinned."""
        try:
            text = self.recipe.read_text(encoding="utf-8")
            old = yaml_lines.parse(text)[0]
        except (OSError, UnicodeDecodeError, yaml_lines.DocumentError) as error:
            raise BadInput(f"{self.recipe} cannot be read ({first_line(error)}); add --fresh to start over") from None
        if not isinstance(old, dict):
            raise BadInput(f"{self.recipe} is not a recipe; add --fresh to start over")
        with contextlib.suppress(ValidationError):  # if it is invalid, it differs, and the difference is reported
            old = Recipe.model_validate(old).resolved()  # adds keys that an earlier version did not have
        return old, dict(_SAID.findall(text))

    @by_first_process
    def newest(self) -> checkpoint.Newest:
        """The newest valid checkpoint, with one line for each that was skipped.

        Raises:
            RunError: there are checkpoints but none is valid; hours of training are never restarted without asking.
        """
        return self.intact(checkpoint.newest(self.path))

    def intact(self, found: checkpoint.Newest) -> checkpoint.Newest:
        """The found checkpoint; it is an error if there are checkpoints and none is usable."""
        if found.skipped and found.path is None:
            raise RunError(
                f"no checkpoint in {self.path} can be resumed ({'; '.join(found.skipped)}); restore an intact one, "
                f"or add --fresh to start over"
            )
        return found

    @by_first_process
    def write_recipe(self, recipe: dict[str, Any], *commits: str | None) -> None:
        """Write the resolved recipe with the commits of the backbone, the data and a published adapter."""
        values, said = copy.deepcopy(recipe), ""
        for section, revision in zip(_PINNED, commits, strict=False):
            found = _section(values, section)
            if revision is not None and found is not None:
                if found.get("revision") not in (None, revision):
                    said += f"# {section}.revision was {found['revision']}\n"
                found["revision"] = revision
        write(self.recipe, said + yaml_lines.dump(values))

    def note_published(self, repo: str, url: str) -> None:
        """Record that the finished model is on the hub, so that the same command does not push it again."""
        with contextlib.suppress(OSError, RunError):  # then it is pushed again, which changes nothing on the hub
            self.write_json("published.json", {"repo": repo, "url": url})

    @by_first_process
    def published_at(self, repo: str) -> str | None:
        """Where the model was published as `repo`, which may omit the account; None if it was not published there."""
        try:
            noted = json.loads((self.path / "published.json").read_text(encoding="utf-8"))
            return noted["url"] if noted["repo"] in (repo, f"{noted['repo'].partition('/')[0]}/{repo}") else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @by_first_process
    def metrics_of_run(self) -> dict[str, Any]:
        """The contents of `metrics.json` of a finished run."""
        return json.loads(self.metrics.read_text(encoding="utf-8"))

    @by_first_process
    def layers(self) -> list[dict[str, Any]]:
        """The table of layers that an unfinished run began with; empty if the run did not get that far."""
        path = self.path / "layers.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []

    @by_first_process
    def write_json(self, name: str, value: Any) -> None:
        """Write one of the folder's JSON files.

        Raises:
            RunError: the folder was removed.
        """
        if not self.path.is_dir():
            raise RunError(f"the run folder {self.path} was removed, and what was trained is lost with it")
        write(self.path / name, self.json_text(value))

    @staticmethod
    def json_text(value: Any) -> str:
        """A value as JSON text for these files; NaN and infinity, which JSON does not have, become null."""
        return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _section(values: dict[str, Any], path: str) -> dict[str, Any] | None:
    """The section at a dotted path, or None."""
    found: Any = values
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(path: Path, text: str | bytes) -> None:
    """Write a file so that it contains either the old or the new content, never part of it."""
    temp_dir = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temp_dir.write_text(text, encoding="utf-8") if isinstance(text, str) else temp_dir.write_bytes(text)
        checkpoint.sync(temp_dir)
        os.replace(temp_dir, path)
    finally:
        temp_dir.unlink(missing_ok=True)


def differences(old: dict[str, Any], new: dict[str, Any], path: tuple[str, ...] = ()) -> list[str]:
    """`section.key: old, now new` for every value that differs."""
    found = []
    for key in {**old, **new}:
        at = (*path, key)
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, at)
        elif before != after:
            found.append(f"{'.'.join(at)}: {before}, now {after}")
    return found

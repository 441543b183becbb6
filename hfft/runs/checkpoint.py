"""Sealed checkpoints: written to a temporary folder, synced, checksummed and renamed, so that damage is always detected.

`seal.json` is written last and has the size and SHA-256 of every other file, the facts that the run began with, and a
digest of itself. transformers writes straight into `checkpoint-N` without any of this: a kill leaves a folder that looks
like the newest checkpoint, and with a flipped bit or a missing optimiser, training silently continues from a wrong state.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfft.wording import first_line, printable

DIGESTS = "seal.json"
TEMP_DIR = ".saving"  # where a checkpoint is written before it is renamed
PREFIX = "checkpoint-"
THREADS = 8


@dataclass(frozen=True)
class Newest:
    """The newest valid checkpoint, if any, and one line for each newer one that was skipped."""

    path: Path | None
    skipped: tuple[str, ...]


def write_digests(folder: Path, facts: dict[str, Any]) -> None:
    """Sync every file of a folder to disk, then write its seal.

    Args:
        facts: facts that the run began with, saved in the seal; plain JSON values.
    """
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != DIGESTS)
    with ThreadPoolExecutor(THREADS) as pool:  # the disk syncs in parallel, and hashing releases the GIL
        known = list(pool.map(_synced, paths))
    files = {path.relative_to(folder).as_posix(): entry for path, entry in zip(paths, known, strict=True)}
    for path in [folder, *(p for p in folder.rglob("*") if p.is_dir())]:
        sync(path)
    body = {"files": files, "facts": facts}
    part = folder / f".{DIGESTS}"
    part.write_text(json.dumps({**body, "sha256": _digest(body)}, indent=1), encoding="utf-8")
    sync(part)
    os.replace(part, folder / DIGESTS)
    sync(folder)


def verify(folder: Path) -> str | None:
    """Why a folder differs from its seal, in one line that names the file; None if it does not differ in any bit."""
    try:
        written = _read(folder)
        for name, known in written["files"].items():
            path = folder / name
            if not path.is_file():
                return f"{printable(name)} is missing"
            if path.stat().st_size != known["bytes"]:
                return f"{printable(name)} has {path.stat().st_size} bytes, not {known['bytes']}"
            if _sha256(path) != known["sha256"]:
                return f"{printable(name)} is damaged (SHA-256 differs)"
    except FileNotFoundError:
        return f"{DIGESTS} is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{DIGESTS} is damaged"
    return None


def facts(folder: Path) -> dict[str, Any]:
    """The facts that the run of a sealed checkpoint began with."""
    return _read(folder)["facts"]


def publish(temp_dir: Path, final: Path) -> None:
    """Rename a sealed folder to its final name, replacing an existing one."""
    if final.exists():
        shutil.rmtree(final.parent / TEMP_DIR / "old", ignore_errors=True)
        os.replace(final, final.parent / TEMP_DIR / "old")
    os.replace(temp_dir, final)
    sync(final.parent)


def checkpoints(run: Path) -> list[Path]:
    """The folders named `checkpoint-<step>` of a run, the newest first."""
    found = [p for p in run.glob(f"{PREFIX}*") if p.name.removeprefix(PREFIX).isdigit() and p.is_dir()]
    return sorted(found, key=step, reverse=True)


def step(checkpoint: Path) -> int:
    """The step of a checkpoint."""
    return int(checkpoint.name.removeprefix(PREFIX))


def newest(run: Path) -> Newest:
    """The newest valid checkpoint of a run, with one line for each that was skipped."""
    skipped: list[str] = []
    for path in checkpoints(run):
        problem = verify(path)
        if problem is None:
            return Newest(path, tuple(skipped))
        skipped.append(f"skipped {path}: {problem}")
    return Newest(None, tuple(skipped))


def rotate(run: Path, limit: int | None, best: Path | None, latest: Path) -> None:
    """Delete the oldest checkpoints beyond `limit`, but never the best one or `latest`, which has just been sealed."""
    if not limit or limit < 1:
        return
    keep = {latest, *([best] if best else [])}
    spare = [path for path in checkpoints(run) if path not in keep]
    for path in spare[max(limit - len(keep), 0) :]:
        shutil.rmtree(path, ignore_errors=True)


def keep_one(run: Path, name: str | None) -> None:
    """Delete all checkpoints of a finished run but the one with this name or, without it, the last."""
    there = checkpoints(run)
    named = [path for path in there if path.name == name]
    if there:
        rotate(run, 1, None, (named or there)[0])


def failed(run: Path, step: int, error: BaseException) -> str:
    """Why a checkpoint could not be written, and which one is left, in one line."""
    reason = first_line(error)
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    with contextlib.suppress(OSError):
        if shutil.disk_usage(run).free < 1 << 20:
            reason = "the disk is full"
    kept = newest(run).path
    left = f"{kept} is intact" if kept else "there is no earlier one"
    return f"the checkpoint of step {step} could not be written: {reason}; {left}. Fix this and run the same command to continue"


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():  # some file systems cannot sync folders
            raise
    finally:
        os.close(handle)


def _read(folder: Path) -> dict[str, Any]:
    written = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
    body = {"files": written["files"], "facts": written["facts"]}
    if written["sha256"] != _digest(body):
        raise ValueError(DIGESTS)
    return body


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _synced(path: Path) -> dict[str, Any]:
    sync(path)
    return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

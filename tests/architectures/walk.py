"""Walk every classification type of transformers: `python -m tests.architectures.walk [types...]` writes the table beside this.

Each type is a tiny random instance; the table says which of the package's promises hold for it, and why one does not.
"""

from __future__ import annotations

import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers

from tests.architectures import kept, learning, serving, structure
from tests.architectures.case import WITHOUT, Case
from tests.architectures.tiny import ROWS

TABLE = Path(__file__).with_name("table.md")
SECONDS = 60  # that a type may take

COLUMNS: dict[str, Callable[[Case], str | None]] = {
    "depths": structure.depths,
    "head": structure.head_found,
    "head-only": learning.head_only,
    "last-1": learning.last_one,
    "layer decay": learning.layer_decay,
    "LoRA": learning.lora,
    "LoRA apart": learning.lora_apart,
    "LoRA merged": learning.lora_merged,
    "accumulation": learning.accumulation,
    "reload": learning.reload,
    "pipeline": serving.pipeline,
    "cache": kept.cache,
    "last block": kept.last_block,
}


class TooSlow(Exception):
    """A type took longer than it may."""


def _stop(*_: Any) -> None:
    raise TooSlow(f"more than {SECONDS} s")


def walk(modality: str, name: str) -> dict[str, str | None]:
    """Column -> None where it holds, else the reason, for one model type; a type that cannot be built has no row."""
    results: dict[str, str | None] = {}
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(SECONDS)
    try:
        case = Case(modality, name)
        try:
            case.tiny  # noqa: B018  built here, so that the reason is told once
        except Exception as error:
            return dict.fromkeys(COLUMNS, f"cannot be built: {_reason(error)}")
        for column, check in COLUMNS.items():
            try:
                results[column] = check(case)
            except Exception as error:
                results[column] = _reason(error)
    finally:
        signal.alarm(0)
    return results


def _reason(error: Exception) -> str:
    first = " ".join(str(error).split()).partition(". ")[0]
    return f"{type(error).__name__}: {first[:160]}"


def missed(reason: str | None) -> bool:
    """Whether something does not hold."""
    return reason is not None and not reason.startswith(WITHOUT)


def table(results: dict[tuple[str, str], dict[str, str | None]]) -> str:
    """The results as a page: totals, one row per type, and the reasons."""
    whole = sum(not any(map(missed, result.values())) for result in results.values())
    holds = Counter(column for result in results.values() for column, reason in result.items() if reason is None)
    lines = [
        "# Architectures",
        "",
        f"Written by `make coverage` with transformers {transformers.__version__}: {len(results)} model types in tiny "
        f"random instances, {whole} of them without a miss. A dash is no miss: what spares computing (cache, last block) "
        "does not apply there, and the run goes on without.",
        "",
        "| | " + " | ".join(COLUMNS) + " |",
        "|---|" + "---|" * len(COLUMNS),
        f"| of {len(results)} | " + " | ".join(str(holds[column]) for column in COLUMNS) + " |",
    ]
    for modality in sorted({modality for modality, _ in results}):
        lines += ["", f"## {modality.capitalize()} classification", ""]
        lines += ["| type | " + " | ".join(COLUMNS) + " |", "|---|" + "---|" * len(COLUMNS)]
        for (kind, name), result in results.items():
            if kind == modality:
                cells = ["no" if missed(r := result[column]) else "–" if r else "yes" for column in COLUMNS]
                lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "## Misses and dashes", ""]
    for (modality, name), result in results.items():
        reasons: dict[str, list[str]] = {}
        for column, reason in result.items():
            if reason is not None:
                reasons.setdefault(reason, []).append(column)
        for reason, columns in reasons.items():
            where = "all" if len(columns) == len(COLUMNS) else ", ".join(columns)
            lines.append(f"- {name} ({modality}), {where}: {reason}")
    return "\n".join(lines) + "\n"


def main(names: list[str]) -> None:
    """Walk the named types, or all of them, and for all of them write the table."""
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    results = {}
    for modality, name in ROWS:
        if not names or name in names:
            started = time.perf_counter()
            results[modality, name] = result = walk(modality, name)
            found = [f"    {column}: {reason}" for column, reason in result.items() if reason is not None]
            print(f"{modality} {name}: {len(result) - len(found)}/{len(result)} {time.perf_counter() - started:.1f} s")
            print("\n".join(found), end="\n" if found else "", flush=True)
    if names:
        return
    TABLE.write_text(table(results))
    print(TABLE.read_text().split("\n## ")[0])


if __name__ == "__main__":
    main(sys.argv[1:])

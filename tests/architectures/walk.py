"""Walk every classification type of transformers: `python -m tests.architectures.walk` writes the table beside this.

Each type is a tiny random instance; the table says which of the package's promises hold for it, and why one does not.
With names of types, only their rows are walked again; with `--column NAME`, only that column.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import transformers

from tests.architectures import kept, learning, serving, structure, whole
from tests.architectures.case import REFUSED, WITHOUT, Case
from tests.architectures.tiny import ROWS

TABLE = Path(__file__).with_name("table.md")
SECONDS = 120  # that a type may take

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
    "end to end": whole.end_to_end,
}


class TooSlow(Exception):
    """A type took longer than it may."""


def _stop(*_: Any) -> None:
    raise TooSlow(f"more than {SECONDS} s")


Result = dict[str, str | None]  # column -> None where it holds, else the reason


def walk(modality: str, name: str, columns: Iterable[str] = COLUMNS) -> Result:
    """The result for one model type; nothing holds of one that cannot be built here."""
    results: Result = {}
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(SECONDS)
    try:
        case = Case(modality, name)
        try:
            case.tiny  # noqa: B018  built here, so that the reason is told once
        except Exception as error:
            return dict.fromkeys(columns, f"cannot be built: {_reason(error)}")
        for column in columns:
            try:
                results[column] = COLUMNS[column](case)
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
    return reason is not None and not reason.startswith((WITHOUT, REFUSED))


def refused(result: Result) -> bool:
    """Whether the package does not train a type, and says so before data is prepared."""
    return any(reason is not None and reason.startswith(REFUSED) for reason in result.values())


def table(results: dict[tuple[str, str], Result]) -> str:
    """The results as a page: totals, one row per type, and the reasons."""
    passed = sum(not any(map(missed, result.values())) and not refused(result) for result in results.values())
    lines_of = sum(map(refused, results.values()))
    holds = Counter(column for result in results.values() for column, reason in result.items() if reason is None)
    lines = [
        "# Architectures",
        "",
        f"Written by `make coverage` with transformers {transformers.__version__}: {len(results)} model types in tiny "
        f"random instances, {passed} of them without a miss, and {lines_of} that a run refuses in one line before data is "
        "prepared. A dash is no miss: what spares computing (cache, last block) does not apply there, and the run goes on "
        "without; or texts are scored one by one, since their padding changes the outputs. `end to end` is a whole run: a "
        "checkpoint and files in, two steps of `finetune`, and plain transformers gives the scored logits again.",
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
                lines.append(f"| {name} | " + " | ".join(_cell(result[column]) for column in COLUMNS) + " |")
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


def _cell(reason: str | None) -> str:
    return "yes" if reason is None else "no" if missed(reason) else "refused" if reason.startswith(REFUSED) else "–"


def read(page: str) -> dict[tuple[str, str], Result]:
    """The results of a page that `table` wrote."""
    results: dict[tuple[str, str], Result] = {}
    columns: list[str] = []
    modality = ""
    for line in page.splitlines():
        if line.startswith("## "):
            modality = line.removeprefix("## ").split()[0].lower()
        elif line.startswith("| type | "):
            columns = line.strip("| ").split(" | ")[1:]
        elif line.startswith("| ") and columns:
            results[modality, line.strip("| ").split(" | ")[0]] = dict.fromkeys(columns)
        elif line.startswith("- "):
            where, _, reason = line.removeprefix("- ").partition(": ")
            name, _, rest = where.partition(" (")
            of, _, found = rest.partition("), ")
            for column in columns if found == "all" else found.split(", "):
                results[of, name][column] = reason
    return results


def main(given: list[str]) -> None:
    """Walk what is named, or everything, and write the table after each type: a walk that stops is not lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*")
    parser.add_argument("--column", choices=COLUMNS, action="append")
    wanted = parser.parse_args(given)
    columns = wanted.column or list(COLUMNS)
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    written = read(TABLE.read_text())
    results = {row: {**dict.fromkeys(COLUMNS, "not walked yet"), **written.get(row, {})} for row in ROWS}
    for modality, name in ROWS:
        if not wanted.types or name in wanted.types:
            started = time.perf_counter()
            result = walk(modality, name, columns)
            results[modality, name] |= result
            TABLE.write_text(table(results))
            found = [f"    {column}: {reason}" for column, reason in result.items() if reason is not None]
            print(f"{modality} {name}: {len(result) - len(found)}/{len(result)} {time.perf_counter() - started:.1f} s")
            print("\n".join(found), end="\n" if found else "", flush=True)
    print(TABLE.read_text().split("\n## ")[0])


if __name__ == "__main__":
    main(sys.argv[1:])

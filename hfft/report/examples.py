"""Rows to look at: chosen from the stored outputs of a split, and shown with an excerpt of the data."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from hfft.errors import HfftError
from hfft.evaluate.outputs import Outputs
from hfft.report.record import Record
from hfft.runs.data_note import data_of_run
from hfft.runs.folder import RunFolder
from hfft.tasks.problem import PROBLEMS
from hfft.wording import first_line, listing

if TYPE_CHECKING:
    from hfft.data import Splits
    from hfft.recipe import Recipe

FORMAT = 1
Explain = Callable[[Any], Any]
SIDE, SMALL = 112, 32  # pixels: the longer side of a thumbnail; pictures up to SMALL are kept exactly, as PNG
MOST_LETTERS = 600  # of a text
MOST_NAMES = 6  # classes of a row with several
TITLES = {
    "mistakes": "most confident mistakes",
    "unsure": "least sure",
    "errors": "largest losses",
    "doubted": "most doubted labels",
}


def write_rows(folder: RunFolder, recipe: Recipe, splits: Splits, explain: Explain | None = None) -> None:
    """Write rows.json, the rows that the report shows; removes it where none are asked for.

    What cannot be read is left out: a report never stops a finished run from being saved.

    Args:
        explain: as for `of_split`.
    """
    most, files = recipe.report.examples, [folder.outputs / f"{name}.safetensors" for name in ("test", "validation")]
    file = next((file for file in files if file.is_file()), None)
    if most == 0 or file is None or recipe.data.streaming:
        folder.rows.unlink(missing_ok=True)
        return
    try:
        outputs = Outputs.read(file)
        doubted = (Record.read(folder, {}).block("labels") or {}).get("doubted", [])
        found = of_split(outputs, splits, recipe.the_task.modality.inputs, most, doubted, explain)
    except (HfftError, OSError, ValueError, LookupError) as error:
        found = {"error": first_line(error)}
    folder.write_json(folder.rows.name, found)


def write_rows_again(folder: RunFolder, recipe: Recipe) -> str | None:
    """`write_rows` for a finished run, with what its answers rest on; returns why no rows are shown where there is a reason.

    The data is read again, and the model run on the rows that are shown.

    Raises:
        BadInput, DataError, HubError: the data cannot be read.
    """
    from hfft.data import fingerprints, load_splits
    from hfft.predict.predictor import load_predictor
    from hfft.predict.saliency import explainer

    if recipe.report.examples == 0 or recipe.data.streaming:
        folder.rows.unlink(missing_ok=True)
        return None
    noted = (data_of_run(folder) or {}).get("rows", {})
    splits = load_splits(recipe.data, recipe.the_task, recipe.seed)[0]
    now = fingerprints(splits)
    if changed := [name for name in now if name in noted and now[name] != noted[name]]:
        folder.rows.unlink(missing_ok=True)
        return f"no rows are shown: the data has changed since ({listing(changed)})"
    explain = None
    with contextlib.suppress(HfftError, OSError, ValueError, RuntimeError):  # the rows are worth showing without
        explain = explainer(load_predictor(str(folder.path)))
    write_rows(folder, recipe, splits, explain)
    return None


def of_split(
    outputs: Outputs,
    splits: Splits,
    inputs: Any,
    most: int,
    doubted: Iterable[Mapping[str, Any]] = (),
    explain: Explain | None = None,
) -> dict[str, Any]:
    """The content of rows.json: lists of at most `most` rows of a split, each with its input.

    Args:
        inputs: how rows of the modality are read.
        explain: input -> pieces of its text, or weights of an image's patches.
        doubted: rows of the scorecard's block `labels`, the most doubted first; they may be of any split.
    """
    chosen = choose(outputs, most)
    known = dict(splits.items())
    labels = [
        {
            "split": row["split"],
            "row": int(row["row"]),
            "true": str(row["given"]),
            "predicted": str(row["suggested"]),
            "confidence": row.get("confidence"),
        }
        for row in doubted
        if row.get("split") in known
    ]
    lists = {**chosen, "doubted": labels[:most]}
    shown = {
        TITLES[name]: [{**row, **_numbered(row, splits), **_input(row, known, splits, inputs, explain)} for row in rows]
        for name, rows in lists.items()
        if rows
    }
    return {"format": FORMAT, "split": outputs.split, "n": len(outputs), "lists": shown}


def choose(outputs: Outputs, most: int) -> dict[str, list[dict[str, Any]]]:
    """List -> rows to look at, by number: `split`, `row`, `true`, `predicted`, `confidence` or `loss`.

    With one class per row: mistakes by falling confidence, then rows by the margin between the two most probable classes.
    Otherwise the rows with the largest losses. Rows whose outputs are not finite are left out.
    """
    problem, names = PROBLEMS[outputs.labels.problem], outputs.labels.names
    if outputs.logits is None or outputs.references is None or not problem.classes or outputs.labels.size < 2:
        return {"errors": _largest_losses(outputs, most)}
    predicted, confidence, margin = _sureness(np.asarray(outputs.logits))
    true = np.asarray(outputs.references)
    finite = np.flatnonzero(np.isfinite(confidence))
    wrong = finite[predicted[finite] != true[finite]]

    def said(places: np.ndarray) -> list[dict[str, Any]]:
        return [
            {
                "split": outputs.split,
                "row": int(i),
                "true": str(names[true[i]]),
                "predicted": str(names[predicted[i]]),
                "confidence": round(float(confidence[i]), 6),
            }
            for i in places[:most]
        ]

    return {
        "mistakes": said(wrong[np.argsort(-confidence[wrong], kind="stable")]),
        "unsure": said(finite[np.argsort(margin[finite], kind="stable")]),
    }


def _sureness(logits: np.ndarray, at_once: int = 4096) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The most probable class of each row `(N,)`, its probability, and how far that is above the second."""
    found = []
    for begin in range(0, len(logits), at_once):
        part = np.asarray(logits[begin : begin + at_once], np.float64)
        part = part - part.max(1, keepdims=True)
        total = np.exp(part).sum(1)
        top = np.partition(part, -2, axis=1)[:, -2:]
        probabilities = np.exp(top) / total[:, None]
        found.append((part.argmax(1), probabilities[:, 1], probabilities[:, 1] - probabilities[:, 0]))
    if not found:
        return np.empty(0, np.int64), np.empty(0), np.empty(0)
    classes, confidence, margin = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return classes, confidence, margin


def _largest_losses(outputs: Outputs, most: int) -> list[dict[str, Any]]:
    losses = np.asarray(outputs.losses, float) / np.maximum(np.asarray(outputs.targets, float), 1)
    finite = np.flatnonzero(np.isfinite(losses))
    rows = finite[np.argsort(-losses[finite], kind="stable")][:most]
    return [
        {"split": outputs.split, "row": int(i), **_answers(outputs, int(i)), "loss": round(float(losses[i]), 6)}
        for i in rows
    ]


def _answers(outputs: Outputs, row: int) -> dict[str, str]:
    """The true and the predicted values or classes of one row, in words; empty for problems with a target per token."""
    if outputs.logits is None or outputs.references is None:
        return {}
    problem, names = PROBLEMS[outputs.labels.problem], outputs.labels.names
    logits, reference = np.asarray(outputs.logits[row], float), np.asarray(outputs.references[row], float)
    if problem.multi_label:
        pairs = {"true": np.flatnonzero(reference > 0.5), "predicted": np.flatnonzero(logits > 0)}
        return {key: _several([str(names[i]) for i in places]) for key, places in pairs.items()}
    pairs = {"true": reference.ravel(), "predicted": logits.ravel()}
    return {key: _several([f"{value:.4g}" for value in values]) for key, values in pairs.items()}


def _several(names: list[str]) -> str:
    more = f", … ({len(names) - MOST_NAMES} more)" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more if names else "none"


def _numbered(row: Mapping[str, Any], splits: Splits) -> dict[str, Any]:
    """The number of a row in the data as it was read, where the split was drawn from another one."""
    rows, of = dict(splits.items())[row["split"]], splits.source.get(row["split"])
    if of is None or "row" not in getattr(rows, "column_names", ()) or row["row"] >= len(rows):
        return {}
    return {"drawn_from": f"row {int(rows[row['row']]['row']):,} of {of}"}


def _input(
    row: Mapping[str, Any], known: Mapping[str, Any], splits: Splits, inputs: Any, explain: Explain | None
) -> dict[str, Any]:
    """The input of a row as stored in rows.json; a note where it cannot be shown."""
    rows = known[row["split"]]
    if row["row"] >= len(rows):
        return {"note": "the data has no such row any more"}
    try:
        value = inputs.of_row(rows[row["row"]], splits.columns)
        found = excerpt(value)
    except (HfftError, OSError, ValueError, TypeError) as error:
        return {"note": f"cannot be shown: {first_line(error)}"}
    if explain is not None:
        with contextlib.suppress(Exception):  # whatever the model does: the row is shown without
            weights = explain(value)
            found |= (
                {"tokens": shortened(weights)} if isinstance(weights, list) else {"overlay": overlay(value, weights)}
            )
    return found


def shortened(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """The first pieces of a text, up to MOST_LETTERS."""
    ends = np.cumsum([len(text) for text, _ in pieces])
    kept = [piece for piece, end in zip(pieces, ends, strict=True) if end <= MOST_LETTERS]
    return kept if len(kept) == len(pieces) else [*kept, (" …", 0.0)]


def overlay(image: Image.Image, weights: Any, side: int = SIDE) -> str:
    """A picture in grey with patches in orange, the stronger the larger their weight `(h, w)` from 0 to 1, as a data URI."""
    grey = image.convert("L").resize((side, side)).convert("RGB")
    mask = Image.fromarray((180 * np.asarray(weights, float)).astype(np.uint8)).resize(
        (side, side), Image.Resampling.BILINEAR
    )
    grey.paste(Image.new("RGB", grey.size, (240, 120, 20)), mask=mask)
    return thumbnail(grey, side)


def excerpt(value: Any) -> dict[str, Any]:
    """What is kept of an input: `texts`, each cut to MOST_LETTERS, or `image`, a thumbnail as a data URI; of a sound its wave.

    Raises:
        ValueError: it is neither.
    """
    texts = value if isinstance(value, tuple | list) else (value,)
    if all(isinstance(text, str) for text in texts):
        return {"texts": [text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]} …" for text in texts]}
    if isinstance(value, Image.Image):
        return {"image": thumbnail(value), "size": list(value.size)}
    if isinstance(value, dict) and "array" in value:
        return {"image": thumbnail(waveform(value["array"]))}
    raise ValueError(f"an input of type {type(value).__name__}")


def waveform(values: Any, side: int = SIDE) -> Image.Image:
    """A picture of a sound: between the lowest and the highest of its values, from left to right."""
    values = np.asarray(values, float)
    columns = np.array_split(values / max(float(np.abs(values).max(initial=0)), 1e-9), side)
    rows = np.linspace(1, -1, side // 2)[:, None]
    low, high = (np.array([f(one) if len(one) else 0.0 for one in columns]) for f in (np.min, np.max))
    return Image.fromarray(np.where((rows >= low - 0.03) & (rows <= high + 0.03), 60, 255).astype(np.uint8))


def thumbnail(image: Image.Image, side: int = SIDE) -> str:
    """A picture of at most `side` pixels as a data URI: PNG for small pictures, else JPEG."""
    small = max(image.size) <= SMALL
    made = image if image.mode in ("L", "RGB") else image.convert("RGB")
    if not small:
        made = made.copy()
        made.thumbnail((side, side))
    file = io.BytesIO()
    made.save(file, "PNG") if small else made.save(file, "JPEG", quality=80)
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"

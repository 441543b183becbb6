"""The report of a run: one HTML file that needs no network and no script, for whoever reads how a fine-tune went."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from html import escape
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from hfft.layers.parameter_groups import part, places, rates
from hfft.publish.chart import Series, curve, number
from hfft.runs.folder import RunFolder, write
from hfft.tasks.table import SMALLER_IS_BETTER

FEW_CLASSES = 12  # up to here a confusion matrix has names on both axes, and classes keep their order
WORST_CLASSES = 20

ASKED = {"begins": "begins", "relative_gradient": "relative gradient"}  # columns of layers that a schedule adds


def write_report(folder: RunFolder, figures: dict[str, Any]) -> None:
    """Write `report.html` from the run folder's files and its figures (what metrics.json holds)."""
    paths = [folder.path / "layers.json", folder.path / "trainer_state.json", folder.recipe]
    layers, state, recipe = (p.read_text(encoding="utf-8") if p.is_file() else "" for p in paths)
    history = json.loads(state or "{}").get("log_history", [])
    write(folder.report, page(figures, json.loads(layers or "[]"), history, recipe))


def page(figures: dict[str, Any], layers: list[dict[str, Any]], history: list[dict[str, Any]], recipe: str) -> str:
    """The whole document."""
    sections = {
        "Figures": headline(figures),
        "Learning curves": curves(history, figures),
        "Layers": layers_table(layers, figures.get("frozen")) if layers else "",
        "Classes": classes(figures),
        "Run": facts(run_facts(figures)),
        "Recipe": f"<pre>{escape(recipe)}</pre>" if recipe else "",
    }
    body = "".join(f"<section>\n<h2>{name}</h2>\n{text}\n</section>\n" for name, text in sections.items() if text)
    title = escape(str(figures["recipe"]))
    # The policy forbids every fetch, so that the file stays self-contained whatever stands in it.
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}: fine-tune</title>\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{facts(header(figures))}\n{body}"
        "</main>\n</body>\n</html>\n"
    )


def header(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """What was trained on what, each with its revision."""

    def source(name: str, commit: str | None) -> str:
        return f"<code>{escape(name)}</code> " + (f"at <code>{escape(commit)}</code>" if commit else "(no revision)")

    backbone, data, problem = figures["backbone"], figures["data"], figures["problem"]
    task = f"{figures['task']}, {problem.replace('_', ' ')}"
    if "classification" in problem:
        task += f", {len(figures['labels'])} classes"
    start = "random weights" if backbone["init"] == "random" else "pretrained weights"
    return [
        ("backbone", f"{source(backbone['name'], backbone['revision'])}, {start}"),
        *((e["edit"], "–" if e["moved"] is None else f"moved {number(e['moved'])}") for e in figures.get("edits", ())),
        ("data", source(data["path"], data["revision"])),
        ("task", escape(task)),
        ("seed", escape(str(figures["seed"]))),
    ]


def run_facts(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """How long the run took, on what, with which versions."""
    train, clock = figures["train"], timedelta(seconds=round(figures["train"]["seconds"]))
    wrong = [("went wrong", escape(fault)) for fault in figures.get("faults", [])]
    return [
        *wrong,
        ("last training loss", f"{number(train['loss'])} ({where(figures, 'train')})"),
        *counted("bad rows left out", figures["data"].get("skipped")),
        *counted("held-out rows also in train", figures["data"].get("leaked")),
        ("training split", escape(str(figures["data"]["origin"].get("train", "–")))),
        ("steps", f"{number(train['steps'])} (epochs: {train['epochs'] or 0:.4g})"),
        ("seconds", f"{train['seconds']:,.1f} ({clock}), scoring included"),
        ("processes", number(figures["world_size"])),
        ("versions", escape(", ".join(f"{name} {version}" for name, version in figures["versions"].items()))),
    ]


def counted(term: str, counts: dict[str, int] | None) -> list[tuple[str, str]]:
    """Rows of each split that something was found of, where there are any."""
    return [(term, escape(", ".join(f"{split} {n}" for split, n in counts.items())))] if counts else []


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Terms and their values (HTML)."""
    return "<dl>" + "".join(f"<dt>{escape(term)}</dt><dd>{value}</dd>" for term, value in rows) + "</dl>"


def where(figures: dict[str, Any], split: str) -> str:
    """Split, size and seed, with which every figure is named (HTML)."""
    n = figures.get(split, {}).get("n")
    return escape(f"{split}, n {number(n) if n is not None else 'unknown'}, seed {figures['seed']}")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """A table of HTML cells; the first `words` columns are text, the others numbers."""

    def line(tag: str, cells: Sequence[str]) -> str:
        marked = (f'<{tag} class="{"word" if i < words else ""}">{cell}</{tag}>' for i, cell in enumerate(cells))
        return f"<tr>{''.join(marked)}</tr>\n"

    body = "".join(line("td", row) for row in rows)
    return f'<div class="wide"><table>\n<thead>{line("th", head)}</thead>\n<tbody>{body}</tbody></table></div>'


def bar(share: float) -> str:
    """A share in [0, 1] as a small bar."""
    return f'<span class="bar"><span style="width:{100 * min(max(share, 0), 1):.1f}%"></span></span>'


def headline(figures: dict[str, Any]) -> str:
    """A card for each scored split: where it is from, its figures, and beside them those from random weights."""
    cards = []
    for split in (split for split in ("validation", "test") if split in figures):
        scratch = figures.get("from_scratch", {}).get(split, {})
        note = f"origin: {escape(str(figures['data']['origin'].get(split, 'unknown')))}"
        if scratch:
            note += f"<br>random weights: the same recipe, {where(figures | {split: scratch}, split)}"
        rows = []
        for name, value in ((name, value) for name, value in figures[split].items() if name != "n"):
            row = [f"{escape(name)} {'↓' if name in SMALLER_IS_BETTER else '↑'}", f"<b>{number(value)}</b>"]
            beside = [number(scratch[name]), f"{value - scratch[name]:+.4f}"] if name in scratch else ["–", "–"]
            rows.append(row + beside if scratch else row)
        text = table(["figure", "this run", *(["random weights", "difference"] if scratch else [])], rows)
        cards.append(f'<div class="card"><h3>{where(figures, split)}</h3>\n<p class="dim">{note}</p>\n{text}</div>')
    if not cards:
        return "<p>Neither a validation nor a test split was held out: nothing was scored.</p>"
    return f'<div class="cards">{"".join(cards)}</div>\n<p class="dim">↑ higher is better, ↓ lower is better</p>'


def curves(history: list[dict[str, Any]], figures: dict[str, Any]) -> str:
    """The charts of what was logged: loss, first metric, learning rate, gradient norm."""

    def series(name: str, colour: int, key: str) -> Series:
        return name, colour, [(row["step"], row[key]) for row in history if row.get(key) is not None]

    train, validation = where(figures, "train"), where(figures, "validation")
    metric = next((name for name in figures.get("validation", {}) if name not in ("loss", "n")), "")
    unit = "squared error" if figures["problem"] == "regression" else "nats"
    charts = [
        curve(f"loss ({unit})", [series(train, 0, "loss"), series(validation, 1, "eval_loss")], log=True),
        curve(metric.replace("_", " "), [series(validation, 1, f"eval_{metric}")]),
        curve("learning rate of the head", [series(train, 0, "learning_rate")]),
        curve("gradient norm before clipping", [series(train, 0, "grad_norm")], log=True),
    ]
    if not any(charts):
        return "<p>Nothing was logged while training.</p>"
    steps, epochs = figures["train"]["steps"], figures["train"]["epochs"]
    pace = f"An epoch is {number(round(steps / epochs))} steps. " if epochs else ""
    note = "Long curves are drawn as the mean of each stretch, with a band from its lowest to its highest value."
    return f'<p class="dim">{pace}{note}</p>\n<div class="charts">{"".join(charts)}</div>'


def layers_table(rows: Sequence[dict[str, Any]], frozen: dict[str, Any] | None = None) -> str:
    """What learns at which pace, input first, neighbouring blocks that are alike in one line; and what stood still.

    Args:
        frozen: `tensors`, how many were frozen, and `moved`, the names of those that are not what they were; with a
            schedule `waited` and `early`, the same of those that were frozen until their turn; `live`, how many statistics
            of frozen norms went on living.
    """
    asked = {key: title for key, title in ASKED.items() if any(key in row for row in rows)}
    same = itemgetter("lr", "weight_decay", "tensors", "parameters", "learning", *asked)
    groups = groupby(rows, key=lambda row: (row["layer"].startswith("block") or row["layer"], rates(row), same(row)))
    lines = []
    for first, *others in (list(group) for _, group in groups):
        sums = [sum(r[key] for r in (first, *others)) for key in ("tensors", "parameters", "learning", "share")]
        tensors, count, learning, share = sums
        depth = f"{first['depth']}–{others[-1]['depth']}" if others else str(first["depth"])
        learns = "no" if not learning else "yes" if learning == count else escape(part(learning / count))
        decay = "–" if first["weight_decay"] is None else f"{first['weight_decay']:g}"
        layer = f"blocks {depth}" if others else escape(first["layer"])
        layer += f'<br><span class="dim">{escape(where)}</span>' if (where := places([first, *others])) else ""
        extra = [number(v) if isinstance(v := first[key], float) else escape(v or "–") for key in asked]
        sizes = [number(tensors), number(count), f"{bar(share)} {share:.2%}"]
        lines.append([depth, layer, learns, *extra, rates(first, "–"), decay, *sizes])
    total, learning = (sum(row[key] for row in rows) for key in ("parameters", "learning"))
    head = [
        "depth",
        "layer",
        "learns",
        *asked.values(),
        "learning rate",
        "weight decay",
        "tensors",
        "parameters",
        "share",
    ]
    note = f"{number(learning)} of {number(total)} parameters learn ({learning / total:.2%})."
    if frozen and frozen["moved"]:
        note += f" Of {frozen['tensors']} frozen tensors {len(frozen['moved'])} MOVED: {escape(', '.join(frozen['moved'][:9]))}."
    elif frozen and frozen["tensors"]:
        note += f" All {number(frozen['tensors'])} frozen tensors are, bit for bit, what was loaded."
    if frozen and frozen.get("live"):
        note += f" {number(frozen['live'])} statistics of frozen norms went on living (layers.norms: live)."
    if frozen and frozen.get("early"):
        note += f" Of {frozen['waited']} that had to wait {len(frozen['early'])} MOVED: {escape(', '.join(frozen['early'][:9]))}."
    elif frozen and frozen.get("waited"):
        note += f" All {number(frozen['waited'])} tensors that had to wait stood still until their turn."
    return f'{table(head, lines, words=3)}\n<p class="dim">{note}</p>'


def classes(figures: dict[str, Any]) -> str:
    """Per-class tables and confusion matrices: those of the test split open, of two splits the other folded."""
    parts: list[str] = []
    for split in ("test", "validation"):
        found, title = figures.get("classes", {}).get(split, {}), where(figures, split)
        if found.get("classes"):
            names = [row["class"] for row in found["classes"]]
            matrix = confusion(found["confusion"], names) if found.get("confusion") else ""
            text = f'<div class="beside">{class_table(found["classes"])}{matrix}</div>'
            fold = f"<details><summary>{title}</summary>{text}</details>"
            parts.append(fold if parts else f"<h3>{title}</h3>\n{text}")
    return "\n".join(parts)


def named(name: Any, most: int = 28) -> str:
    """A class name, cut where it is long; isolated, so that a right-to-left one leaves its surroundings alone."""
    text = str(name)
    return f'<bdi title="{escape(text)}">{escape(text if len(text) <= most else text[: most - 1] + "…")}</bdi>'


def class_table(rows: Sequence[dict[str, Any]]) -> str:
    """Precision, recall, F1 and size of each class; of many the worst first and the better ones folded."""
    if len(rows) > FEW_CLASSES:  # a class without examples has no recall that could be bad: it stands last
        rows = sorted(rows, key=lambda row: (row["n"] == 0, row["f1"]))
    lines = []
    for row in rows:
        recall, f1 = (f"{row['recall']:.3f}", f"{bar(row['f1'])} {row['f1']:.3f}") if row["n"] else ("–", "–")
        lines.append([named(row["class"]), f"{row['precision']:.3f}", recall, f1, number(row["n"])])
    head, rest = ["class", "precision", "recall", "F1", "n"], lines[WORST_CLASSES:]
    note = f'<p class="dim">The lowest F1 first, of {len(rows)} classes.</p>' if len(rows) > FEW_CLASSES else ""
    more = f"<details><summary>{len(rest)} more</summary>{table(head, rest)}</details>" if rest else ""
    return f"<div>{note}{table(head, lines[:WORST_CLASSES])}{more}</div>\n"


def confusion(counts: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """The confusion matrix as a heat table, a cell's strength being its share of its row's true class."""
    few, lines = len(names) <= FEW_CLASSES, []
    for i, row in enumerate(counts):
        cells = []
        for j, count in enumerate(row):
            share = count / (sum(row) or 1)
            kind = ("right" if i == j else "wrong") + (" deep" if share > 0.8 else "")
            cells.append(f'<td class="{kind}" style="--h:{share:.2f}">{count}</td>' if count else "<td></td>")
        side = named(names[i]) if few else f"{named(names[i], 16)} {i + 1}"
        lines.append(f"<tr><th>{side}</th>{''.join(cells)}</tr>\n")
    top = "".join(f"<th>{named(name) if few else i}</th>" for i, name in enumerate(names, 1))
    note = '<p class="dim">Rows: true class; columns: predicted. Counts, coloured by their share of the row.</p>'
    body = f"<thead><tr><th></th>{top}</tr></thead>\n<tbody>{''.join(lines)}</tbody>"
    return f'<div class="wide">{note}<table class="{"heat" if few else "heat dense"}">\n{body}</table></div>'


STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")

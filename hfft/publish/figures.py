"""What the card takes of a run's scorecard: figures with intervals, and pictures as files of the repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hfft.report.heat import confusion_map, standalone
from hfft.report.sections.calibration import reliability

MOST_CLASSES = 50  # of a confusion matrix
# Block -> figure of it -> its name, and the type of metric in `model-index`.
FIGURES: dict[str, dict[str, tuple[str, str]]] = {
    "calibration": {"ece": ("expected calibration error", "ece"), "rms": ("RMS calibration error", "rms_ce")},
    "selective": {
        "aurc": ("area under the risk-coverage curve", "aurc"),
        "accuracy_at_80": ("accuracy of the surest 80 %", "selective_accuracy"),
    },
    "corruption": {"mean": ("accuracy, mean of corruptions", "corrupted_accuracy")},
    "attack": {
        "fgsm": ("accuracy under FGSM", "adversarial_accuracy"),
        "pgd20": ("accuracy under PGD-20", "adversarial_accuracy"),
        "apgd_ce": ("accuracy under APGD-CE", "adversarial_accuracy"),
        "characters": ("accuracy, characters changed", "adversarial_accuracy"),
        "words": ("accuracy, words changed", "adversarial_accuracy"),
    },
}


@dataclass(frozen=True)
class Scored:
    """A figure of the scorecard.

    Attributes:
        kind: its type of metric in `model-index`.
        found: `value`, and `low` and `high` where it has an interval of 95 %.
    """

    name: str
    kind: str
    split: str
    n: int
    found: Mapping[str, float]

    @property
    def interval(self) -> list[float]:
        """The ends of the interval; empty without one."""
        return [self.found["low"], self.found["high"]] if "low" in self.found else []


def scored(blocks: Mapping[str, Any]) -> list[Scored]:
    """The figures of the task and those of FIGURES, in the order of the scorecard; blocks that failed have none."""
    found = []
    task = blocks.get("task", {})
    for name, figure in task.get("figures", {}).items():
        found.append(Scored(name.replace("_", " "), _kind(name), task["split"], task["n"], figure))
    for block, named in FIGURES.items():
        values = blocks.get(block, {})
        for key, (name, kind) in named.items():
            figure = values.get("figures", values).get(key)
            if isinstance(figure, Mapping) and "value" in figure and "split" in values:
                label = f" {values['label']}" if "label" in values else ""
                found.append(Scored(name + label, kind, values["split"], values["n"], figure))
    return found


def _kind(name: str) -> str:
    return name.partition("_")[0] if name.startswith(("f1", "precision", "recall")) else name


def pictures(metrics: Mapping[str, Any], blocks: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """File -> (description, SVG): the confusion matrix of up to MOST_CLASSES classes, and the reliability diagram."""
    found = {}
    split = next((name for name in ("test", "validation") if name in metrics.get("classes", {})), None)
    table = metrics["classes"][split] if split else {}
    if split and 1 < len(table.get("confusion") or ()) <= MOST_CLASSES:
        names, n = [str(row["class"]) for row in table["classes"]], metrics[split]["n"]
        title = f"Confusion matrix ({split}, n={n})"
        found["confusion.svg"] = (title, standalone(confusion_map(title, table["confusion"], names)))
    block = blocks.get("calibration", {})
    if block.get("bins"):
        title = f"Reliability diagram ({block['split']}, n={block['n']})"
        drawn = reliability(title, block["bins"], f"{block['split']}, n {block['n']}")
        found["reliability.svg"] = (title, standalone(drawn.svg))
    return found

"""What breaks it without malice: accuracy under corruptions of the inputs at five severities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hfft.evaluate.corruptions import SEVERITIES, images, sounds, texts
from hfft.evaluate.intervals import bootstrap, figure, wilson
from hfft.predict.predictor import Predictor
from hfft.scorecard.evidence import Evidence
from hfft.scorecard.scored_rows import drawn_rows, right
from hfft.scorecard.words import with_interval

LABEL = "-c(hfft)"  # our own corruptions: figures are not those of the published sets
AT_ONCE = 64  # rows whose inputs are in memory at the five severities of one corruption

# Modality -> its corruptions, and (input, name, seed, row) -> the input at five severities.
KINDS: dict[str, tuple[list[str], Callable[[Any, str, int, int], list[Any]]]] = {
    "image": ([*images.CORRUPTIONS], images.corrupted),
    "text": ([*texts.CORRUPTIONS], texts.corrupted),
    "audio": ([*sounds.CORRUPTIONS], sounds.corrupted),
}


def block(evidence: Evidence) -> dict[str, Any] | None:
    """Accuracy on corrupted inputs; None for problems without classes, and inputs that are not listed here.

    `mean` is over all corruptions and severities, `drop` what it lacks to `clean`, of the same rows, and `relative_drop` that
    as a share of `clean`. Where a row can have several classes, it is right if all of its decisions are. Images are made as
    small as the model reads them first.
    """
    problem, predictor = evidence.problem, evidence.predictor
    if not problem.class_names or predictor.modality.name not in KINDS:
        return None
    names, corrupted = KINDS[predictor.modality.name]
    rows = drawn_rows(evidence, evidence.recipe.score.corruption.rows)
    side = shorter_side(predictor) if predictor.modality.name == "image" else None
    inputs = [images.within_side(image, side) for image in rows.inputs] if side else rows.inputs

    def answers(name: str) -> np.ndarray:
        """Which rows are right at each severity, `(N, 5)`."""
        found = []
        for begin in range(0, len(inputs), AT_ONCE):
            places = range(begin, min(begin + AT_ONCE, len(inputs)))
            made = [one for i in places for one in corrupted(inputs[i], name, evidence.seed, int(rows.numbers[i]))]
            labels = rows.labels[places.start : places.stop].repeat_interleave(SEVERITIES, 0)
            found.append(right(problem, predictor.logits(made, AT_ONCE), labels))
        return np.concatenate(found).reshape(-1, SEVERITIES)

    clean = right(problem, predictor.logits(inputs, AT_ONCE), rows.labels)
    about = {"split": evidence.split, "n": len(inputs), "seed": evidence.seed, "rows": rows.rule, "label": LABEL}
    return {**about, **figures(clean, {name: answers(name) for name in names}, evidence.seed)}


def figures(clean: np.ndarray, found: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    """The figures of which rows were right `(N,)`, and of which were under each corruption, `(N, severities)`."""
    n = len(clean)
    of_rows = np.stack([answers.mean(1) for answers in found.values()]).mean(0)
    drawn = bootstrap(lambda weights: {"mean": weights @ of_rows / n, "drop": weights @ (clean - of_rows) / n}, n, seed)
    share, accuracies = float(clean.mean()), {name: answers.mean(0).tolist() for name, answers in found.items()}
    worst = min(accuracies, key=lambda name: min(accuracies[name]))
    at = int(np.argmin(accuracies[worst]))
    return {
        "clean": figure(share, *wilson(int(clean.sum()), n)),
        **drawn,
        "relative_drop": drawn["drop"]["value"] / share if share else 0.0,
        "worst": {"name": worst, "severity": at + 1, "accuracy": accuracies[worst][at]},
        "corruptions": accuracies,
    }


def shorter_side(predictor: Predictor) -> int | None:
    """The shorter side in pixels that images are resized to for the model; None if its processor does not say."""
    size: Any = getattr(predictor.processor, "size", None)
    stated = [value for key in ("shortest_edge", "height", "width") if isinstance(value := _entry(size, key), int)]
    return min(stated, default=None)


def _entry(size: Any, key: str) -> Any:
    return size.get(key) if hasattr(size, "get") else getattr(size, key, None)


def lines(found: dict[str, Any]) -> list[str]:
    """The figures, and a line per corruption with its five severities."""
    worst = found["worst"]
    width = max(len(name) for name in found["corruptions"])
    return [
        f"rows: {found['rows']}",
        *(f"{name} {with_interval(found[name])}" for name in ("clean", "mean", "drop")),
        f"relative_drop {found['relative_drop']:.4f}",
        f"worst {worst['accuracy']:.4f}  {worst['name']} at severity {worst['severity']}",
        *(
            f"{name:<{width}} " + " ".join(f"{accuracy:.3f}" for accuracy in values) + f"  {found['label']}"
            for name, values in found["corruptions"].items()
        ),
    ]

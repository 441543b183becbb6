"""Better than doing nothing? Simple answers to the same rows: majority class, 1-NN, a linear probe, the model used directly."""

from __future__ import annotations

from typing import Any

import numpy as np

from hfft.data.splits import column
from hfft.errors import HfftError
from hfft.evaluate.intervals import figure, mcnemar, paired_difference, wilson
from hfft.features import of_recipe
from hfft.scorecard.evidence import Evidence, about, logits_and_references
from hfft.scorecard.sampling import steady
from hfft.scorecard.start import check_start
from hfft.scorecard.words import with_interval
from hfft.wording import first_line

MOST_TRAIN, MOST_SCORED = 2000, 2000  # rows whose features are used


def block(evidence: Evidence) -> dict[str, Any] | None:
    """Accuracy of each, and the model's difference from it on the same rows: a bootstrap interval and McNemar's p-value."""
    if not evidence.problem.classes:
        return None
    outputs = evidence.scored
    logits, references = logits_and_references(outputs)
    right = logits.argmax(1) == references
    counts = evidence.metrics.get("data", {}).get("classes", {}).get("train", {})
    found: dict[str, Any] = {**about(outputs, evidence.seed), "why": {}}
    answers: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # name -> (rows of the split, whether each is right)
    everything = np.arange(len(right))
    if counts:
        names = list(outputs.labels.names)
        most = max(counts, key=lambda name: counts[name])
        found["majority_class"] = most
        answers["majority"] = (
            everything,
            references == names.index(most) if most in names else np.zeros(len(right), bool),
        )
    try:
        answers |= _on_features(evidence, references)
    except (HfftError, OSError) as error:
        found["why"] |= {name: first_line(error) for name in ("knn", "probe")}
    try:
        answers["directly"] = everything, _directly(evidence, references)
    except (HfftError, OSError) as error:
        found["why"]["directly"] = first_line(error)
    found["differences"] = {}
    for name in ("majority", "knn", "probe", "directly"):
        found[name] = None
        if name in answers:
            rows, correct = answers[name]
            found[name] = figure(correct.mean(), *wilson(int(correct.sum()), len(correct))) | {"n": len(correct)}
            gap = paired_difference(right[rows], correct, evidence.seed)
            found["differences"][name] = {**gap, "p": mcnemar(right[rows], correct)}
    return found


def _on_features(evidence: Evidence, references: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """1-NN and logistic regression on the features of the frozen start."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    limits = {"train": MOST_TRAIN, evidence.split: MOST_SCORED}
    places = {name: steady(column(evidence.rows(name), "row").to_numpy(), most) for name, most in limits.items()}
    evidence.afford(sum(map(len, places.values())))
    check_start(evidence.recipe)
    data = evidence.splits, evidence.data_labels
    found = of_recipe(evidence.recipe, tuple(places), places=places, loaded=data)
    known, held, rows = found["train"], found[evidence.split], places[evidence.split]
    assert known.labels is not None
    x, y, of_rows = known.values, evidence.classes_of(known.labels), held.values
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, C=0.1))
    models = {"knn": KNeighborsClassifier(1), "probe": probe}
    if len(np.unique(y)) < 2:
        models.pop("probe")
    return {name: (rows, model.fit(x, y).predict(of_rows) == references[rows]) for name, model in models.items()}


def _directly(evidence: Evidence, references: np.ndarray) -> np.ndarray:
    """The pretrained model with its own head, whose classes are matched to the data's by name."""
    evidence.afford(len(references))
    held = evidence.pretrained()
    rows = evidence.rows(evidence.split)
    predictions = np.concatenate([logits.argmax(1).numpy() for logits, _ in held.answers(rows)])
    names = list(held.labels.names)
    return np.array([names[i] for i in predictions]) == np.array(evidence.scored.labels.names)[references]


def lines(found: dict[str, Any]) -> list[str]:
    """One line per simple answer, with the difference of the model from it."""
    shown = {
        "majority": f"always {found.get('majority_class')!r}",
        "knn": "1-NN on the features of the start",
        "probe": "linear probe on the features of the start",
        "directly": "the pretrained model used directly",
    }
    said = []
    for name, words in shown.items():
        if found[name] is not None:
            gap = found["differences"][name]
            said.append(
                f"{words}: accuracy {with_interval(found[name])}; this model is {gap['value']:+.4f} "
                f"({gap['low']:+.4f} to {gap['high']:+.4f}), McNemar p {gap['p']:.2g}"
            )
        elif name in found["why"]:
            said.append(f"{words}: not computed, {found['why'][name]}")
    return said

"""Rows to look at: labels that are probably wrong, rows that occur more than once, and held-out rows that are in train."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset

from hfft.data.splits import column
from hfft.errors import BadInput, HfftError
from hfft.evaluate import duplicates
from hfft.evaluate.label_doubt import FOLDS, doubted, folds, out_of_fold
from hfft.scorecard.answered import answered, no_features
from hfft.scorecard.evidence import Evidence
from hfft.scorecard.sampling import stratified
from hfft.wording import first_line, listing

MOST = 5000  # rows whose features are computed
KEPT = 1000  # rows of each list that the scorecard has
SHOWN = 5  # of each in a terminal
BY_HEART = 0.5  # error on train as a share of that on held-out rows, below which rows were learned by heart
RUN, START = "of the run", "of the pretrained model before the run"


@dataclass(frozen=True)
class Pool:
    """The rows of all splits, one after another, train first.

    Attributes:
        names: the splits in order.
        split: number of each row's split, `(N,)`.
        place: each row's place in its split, `(N,)`.
        number: each row's number in the split of the data that it was read from, `(N,)`.
        digests: digests of their content, `(N,)`; 0 where it is not known.
        labels: classes `(N,)`; None without one class a row.
    """

    names: list[str]
    split: np.ndarray
    place: np.ndarray
    number: np.ndarray
    digests: np.ndarray
    labels: np.ndarray | None

    @classmethod
    def of(cls, evidence: Evidence) -> Pool:
        """The rows of the recipe's data."""
        named: dict[str, Dataset] = dict(evidence.splits.items())
        sizes = [len(rows) for rows in named.values()]
        digests = [evidence.splits.content.get(name, np.zeros(len(rows), np.int64)) for name, rows in named.items()]
        return cls(
            list(named),
            np.repeat(np.arange(len(sizes)), sizes),
            np.concatenate([np.arange(size) for size in sizes]),
            np.concatenate([column(rows, "row").to_numpy() for rows in named.values()]),
            np.concatenate(digests),
            np.concatenate([column(rows, "labels").to_numpy() for rows in named.values()])
            if evidence.problem.classes
            else None,
        )

    def of_row(self, i: int, prefix: str = "") -> dict[str, Any]:
        """Split and place of a row, and its number in the data."""
        where = {"split": self.names[self.split[i]], "row": int(self.place[i]), "number": int(self.number[i])}
        return {f"{prefix}{key}": value for key, value in where.items()}


def block(evidence: Evidence) -> dict[str, Any] | None:
    """The doubted labels, the duplicates and the leaks; None without a target for each row.

    Labels are doubted by the features of the run or by those of the pretrained model that it started from, whichever tell the
    classes of held-out rows better; of a run that has learned its training rows by heart, and for near-duplicates, by the latter.
    """
    if evidence.problem.per_token:
        return None
    if evidence.recipe.data.streaming:
        raise BadInput("needs stored rows; use data.streaming=false")
    evidence.rows("train")  # refused where its labels are not read
    pool = Pool.of(evidence)
    keys = pool.split if pool.labels is None else pool.split * (pool.labels.max() + 1) + pool.labels
    sample = stratified(keys, MOST, evidence.seed)
    features, why = _features(evidence, pool, sample)
    found: dict[str, Any] = {
        "split": listing(pool.names),
        "n": len(sample),
        "of": len(pool.split),
        "seed": evidence.seed,
        "method": f"confident learning, logistic regression in {FOLDS} folds",
        "similarity": duplicates.NEAR,
        "doubted": [],
    }
    if pool.labels is None:
        found["not_doubted"] = f"labels are doubted by class, and {evidence.labels.problem} has no single one"
    else:
        kinds = {} if features is None else {START: features}
        tuned, errors = _of_run(evidence, pool, sample)
        found |= {"errors": errors} if errors else {}
        kinds |= {} if tuned is None else {RUN: tuned}
        found |= _doubted(evidence, pool, sample, kinds) if kinds else {"not_doubted": why}
    return found | _duplicates(pool, sample, features) | ({} if features is not None else {"no_features": why})


def _of_run(evidence: Evidence, pool: Pool, sample: np.ndarray) -> tuple[np.ndarray | None, dict[str, float]]:
    """Features of the drawn rows by the run's model, and its errors on train and on held-out rows by the given labels.

    None where it has learned its training rows by heart, since its features then agree with wrong labels too.
    """
    predictor = evidence.predictor
    if no_features(predictor) is not None or len(pool.names) < 2:
        return None, {}
    assert pool.labels is not None
    features, wrong = [], []
    for i, name in enumerate(pool.names):
        chosen = sample[pool.split[sample] == i]
        try:
            found = answered(predictor, evidence.held.inputs(evidence.rows(name).select(pool.place[chosen])))
        except BadInput:  # such as a decoder, whose head reads each position
            return None, {}
        assert found.features is not None
        features.append(found.features)
        wrong.append(found.logits.argmax(1) != evidence.classes_of(pool.labels[chosen]))
    errors = {"train": float(wrong[0].mean()), "held_out": float(np.concatenate(wrong[1:]).mean())}
    return np.concatenate(features) if errors["train"] >= BY_HEART * errors["held_out"] else None, errors


def _features(evidence: Evidence, pool: Pool, sample: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Features of the drawn rows by the model that the run started from, or None and why there are none."""
    from hfft.features import of_recipe

    places = {
        name: pool.place[sample[pool.split[sample] == i]] for i, name in enumerate(pool.names)
    }  # in the order of the pool
    try:
        data = evidence.splits, evidence.data_labels
        found = of_recipe(evidence.recipe, pool.names, places=places, loaded=data)
    except HfftError as error:
        return None, f"the model that the run started from has no features: {first_line(error)}"
    return np.concatenate([found[name].values for name in pool.names]), ""


def _doubted(evidence: Evidence, pool: Pool, sample: np.ndarray, kinds: dict[str, np.ndarray]) -> dict[str, Any]:
    """The doubted rows by the features that tell the classes of held-out rows best.

    Args:
        kinds: whose features -> features of the drawn rows, `(N, D)`.
    """
    assert pool.labels is not None
    labels, names = pool.labels[sample], evidence.data_labels.names
    if len(np.unique(labels)) < 2:
        return {"not_doubted": "the rows have a single class"}
    unknown = pool.digests[sample] == 0
    same = np.where(unknown, -np.arange(len(sample)) - 1, pool.digests[sample])
    fold = folds(labels, same, evidence.seed)
    p = {kind: out_of_fold(values, labels, fold, len(names)) for kind, values in kinds.items()}
    apart = pool.split[sample] > 0
    judged = apart if apart.any() else ~apart
    wrong = {kind: float((found.argmax(1) != labels)[judged].mean()) for kind, found in p.items()}
    chosen = min(wrong, key=lambda kind: wrong[kind])
    rows = doubted(p[chosen], labels)
    listed = [
        {
            **pool.of_row(sample[row]),
            "given": names[labels[row]],
            "suggested": names[suggested],
            "confidence": float(confidence),
            "own": float(own),
        }
        for row, suggested, confidence, own in zip(rows.rows, rows.suggested, rows.confidence, rows.own, strict=True)
    ]
    return {"features": chosen, "out_of_fold_errors": wrong, "doubted": listed[:KEPT], "doubted_n": len(listed)}


def _duplicates(pool: Pool, sample: np.ndarray, features: np.ndarray | None) -> dict[str, Any]:
    """Copies among all rows, near-duplicates among those drawn, and how many held-out rows have one in train."""
    rows, of = duplicates.exact(pool.digests)
    pairs = [(int(row), int(other), 1.0, True) for row, other in zip(rows, of, strict=True)]
    copies = set(rows.tolist())
    if features is not None:
        trained = int((pool.split[sample] == 0).sum())
        near, beside, similarity = duplicates.near(features, trained)
        places = zip(sample[near].tolist(), sample[beside].tolist(), similarity.tolist(), strict=True)
        pairs += [(row, other, value, False) for row, other, value in places if row not in copies]
    listed = list(_listed(pool, sorted(pairs, key=lambda pair: (-pair[2], pair[0]))))
    leaks: dict[str, int] = {}
    for i, name in enumerate(pool.names[1:], 1):
        leaked = [same for row, other, _, same in pairs if pool.split[row] == i and pool.split[other] == 0]
        leaks |= {name: len(leaked), f"{name}_exact": sum(leaked)}
    return {"duplicates": listed[:KEPT], "duplicates_n": len(listed), "leaks": leaks}


def _listed(pool: Pool, pairs: list[tuple[int, int, float, bool]]) -> Iterator[dict[str, Any]]:
    for row, other, similarity, same in pairs:
        found = {**pool.of_row(row), **pool.of_row(other, "of_"), "similarity": similarity, "exact": same}
        if pool.labels is not None:
            found["same_label"] = bool(pool.labels[row] == pool.labels[other])
        yield found


def lines(found: dict[str, Any]) -> list[str]:
    """How many rows of each kind, and the first of them."""
    said = [found["not_doubted"]] if "not_doubted" in found else []
    if "doubted_n" in found:
        said.append(f"{found['doubted_n']} labels are doubted ({found['method']}; features {found['features']}):")
        said += [
            f"  {one['split']} row {one['number']}: {one['given']}, probably {one['suggested']} ({one['confidence']:.2f})"
            for one in found["doubted"][:SHOWN]
        ]
    pairs = found["duplicates"]
    exact, other = sum(one["exact"] for one in pairs), sum(not one.get("same_label", True) for one in pairs)
    counted = (
        f"{found['duplicates_n']} rows are like an earlier one (similarity {found['similarity']} or the same content"
    )
    said.append(f"{counted}): {exact} of {len(pairs)} are copies, {other} have another label")
    said += [
        f"  {one['split']} row {one['number']} and {one['of_split']} row {one['of_number']} ({one['similarity']:.4f})"
        for one in pairs[:SHOWN]
    ]
    splits = [name for name in found["leaks"] if not name.endswith("_exact")]
    return said + [
        f"{name}: {found['leaks'][name]} rows are also in train, {found['leaks'][f'{name}_exact']} of them copies"
        for name in splits
    ]

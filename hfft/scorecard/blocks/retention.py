"""What it forgot: the head that the model was pretrained with, on the features of today, beside those of the start."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from datasets import concatenate_datasets

from hfft import backbone
from hfft.backbone.source_head import source_model
from hfft.data import Splits, load_splits
from hfft.data.spec import Data
from hfft.evaluate.intervals import figure, paired_difference, wilson
from hfft.evaluate.old_task import retention, with_old_head
from hfft.features.model import device
from hfft.predict.held_out import HeldOut
from hfft.predict.predictor import Predictor
from hfft.scorecard.evidence import Evidence
from hfft.scorecard.sampling import sampled
from hfft.scorecard.start import without_adapter
from hfft.scorecard.words import with_interval
from hfft.tasks.labels import Labels

MOST = 1000  # rows that both models answer


def block(evidence: Evidence) -> dict[str, Any]:
    """Agreement of the old head's answers before and after on rows of the new task; with `score.old_task` also its accuracy.

    Raises:
        BadInput: the backbone has no classifier of its own, or `score.old_task` has other classes.
        ModelError: the old head does not fit the model.
    """
    old, now = models(evidence)
    rows = evidence.rows(evidence.split)
    inputs = evidence.inputs(rows.select(sampled(len(rows), MOST, evidence.seed)))
    before, after = old.logits(inputs), now.logits(inputs)
    found: dict[str, Any] = {"split": evidence.split, "n": len(inputs), **retention(before, after)}
    spec = evidence.recipe.score.old_task
    if spec is None:
        return {**found, "why": "score.old_task names no rows of the old task, so its accuracy is not known"}
    return found | _accuracies(evidence, spec, old, now)


def models(evidence: Evidence) -> tuple[Predictor, Predictor]:
    """The pretrained model with its own classifier, and the trained one with that classifier."""
    task, spec = evidence.recipe.the_task, backbone.pinned(evidence.recipe.backbone)
    old = source_model(spec, task).eval()
    trained = with_old_head(without_adapter(evidence.predictor.model), old).to(device())
    processor = backbone.load_processor(spec, task)
    return Predictor(old.to(device()), processor, task.modality), Predictor(trained, processor, task.modality)


@torch.no_grad()
def _accuracies(evidence: Evidence, spec: Data, old: Predictor, now: Predictor) -> dict[str, Any]:
    """Accuracy on rows of the old task, before and after, with the paired difference."""
    splits, labels = load_splits(spec, evidence.recipe.the_task, evidence.seed)
    name, rows = old_rows(splits, spec.train)
    rows = rows.select(sampled(len(rows), MOST, evidence.seed))
    right = [_right(predictor, splits.columns, labels, rows, spec.path) for predictor in (old, now)]
    before, after = (figure(one.mean(), *wilson(int(one.sum()), len(one))) for one in right)
    gap = paired_difference(right[1], right[0], evidence.seed)
    return {
        "old_task": {"path": spec.path, "split": name, "n": len(rows)},
        "before": before,
        "after": after,
        "lost": gap,
    }


def old_rows(splits: Splits, train: str) -> tuple[str, Any]:
    """The rows that the old task is scored on: the data's own test or validation split, or all rows where it has one split."""
    for name in ("test", "validation"):
        if name in splits.origin and f" of {train}" not in splits.origin[name]:  # otherwise it is drawn from train
            return name, dict(splits.items())[name]
    return "all rows", concatenate_datasets([rows for _, rows in splits.items()])


def _right(predictor: Predictor, columns: dict[str, str], labels: Labels, rows: Any, where: str) -> np.ndarray:
    held = HeldOut.of(predictor, columns, labels, where)
    return np.concatenate([(logits.argmax(1) == truth).numpy() for logits, truth in held.answers(rows)])


def lines(found: dict[str, Any]) -> list[str]:
    """Agreement, and accuracies where there are rows of the old task."""
    said = [
        f"old head on the new rows: {found['agreement']:.1%} of its answers unchanged, KL {found['divergence']:.4f}"
    ]
    if "before" in found:
        gap, rows = found["lost"], found["old_task"]
        said.append(
            f"old task ({rows['path']}, {rows['split']}, n={rows['n']}): accuracy {with_interval(found['before'])} before, "
            f"{with_interval(found['after'])} after; {gap['value']:+.4f} ({gap['low']:+.4f} to {gap['high']:+.4f})"
        )
    else:
        said.append(found["why"])
    return said

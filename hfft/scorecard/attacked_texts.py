"""The scorecard's attacks on texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hfft.eval_mode import eval_mode
from hfft.evaluate.intervals import figure, wilson
from hfft.evaluate.text_attacks import (
    EXAMINED,
    WORDS,
    Neighbouring,
    by_letters,
    moved_embeddings,
    ordered,
    substituted,
)
from hfft.predict.predictor import Predictor
from hfft.scorecard.evidence import Evidence
from hfft.scorecard.scored_rows import SomeRows, first_rows
from hfft.strategy.adversarial.embeddings import usual_radius

ROWS, STEPS, AT_ONCE = 200, 10, 16
SHARES = (0.5, 1, 2)  # points of the curve over the radius of embeddings, with 0


def of_texts(evidence: Evidence) -> dict[str, Any]:
    """Accuracy clean, with up to three words changed by letters or replaced, and with moved embeddings.

    `curve` is that of rows which no change of so many words makes wrong, by letters or by replacement.
    """
    asked, predictor, seed = evidence.recipe.score.attack, evidence.predictor, evidence.seed
    rows = first_rows(evidence, asked.rows or ROWS)
    labels, steps = rows.labels, asked.steps or STEPS
    with eval_mode(predictor.model):

        def logits(texts: list[Any]) -> torch.Tensor:
            return predictor.logits(texts, AT_ONCE)

        clean = (logits(rows.inputs).argmax(1) == labels).numpy()
        texts = ordered(rows.inputs, labels, logits, seed)
        over = {"characters": substituted(texts, labels, clean, logits, by_letters, seed)}
        left_out, table, radius = {}, embedding_table(predictor), None
        if table is None:
            left_out = dict.fromkeys(("words", "embedding"), "the model has no table of input embeddings")
        else:
            nearest = Neighbouring(predictor.processor, table.weight)
            over["words"] = substituted(texts, labels, clean, logits, nearest, seed)
            radius = asked.radius or usual_radius(table)
            try:
                radii = [share * radius for share in SHARES]
                moved = [clean, *_moved(predictor, rows, clean, table, radii, steps, seed)]
            except RuntimeError as error:  # no gradient reaches the embeddings, such as behind a classifier in NumPy
                left_out["embedding"], moved = f"no gradient reaches the embeddings ({error})"[:200], []
    n = len(clean)
    last = {"clean": clean, **{kind: found[-1] for kind, found in over.items()}}
    curves = {
        kind: [[k, float(right.mean())] for k, right in enumerate([clean, *found])] for kind, found in over.items()
    }
    if "embedding" not in left_out:
        last["embedding"] = moved[1 + SHARES.index(1)]
        curves["embedding"] = [[at, float(right.mean())] for at, right in zip((0.0, *radii), moved, strict=True)]
    either = [np.logical_and.reduce(found) for found in zip(*([clean, *found] for found in over.values()), strict=True)]
    says = (
        f"up to {WORDS} words of a text, the most important of {EXAMINED}, changed by letters or replaced by near ones"
    )
    if radius is not None:
        says += f"; embeddings moved by {radius:.4g} (l2) in {steps} steps"
    return {
        **{"split": evidence.split, "n": n, "seed": seed, "kind": "text", "rows": rows.rule, "says": says},
        **{"words": WORDS, "radius": radius, "steps": steps},
        "figures": {name: figure(right.mean(), *wilson(int(right.sum()), n)) for name, right in last.items()},
        "curve": [[k, float(right.mean())] for k, right in enumerate(either)],
        "curves": curves,
        **({"left_out": left_out} if left_out else {}),
    }


def embedding_table(predictor: Predictor) -> Any:
    """The model's input embedding, `(V, D)`; None if it has none, or answers by pairs with texts of its classes."""
    if predictor.hypotheses:
        return None
    try:
        table: Any = predictor.model.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    weight = getattr(table, "weight", None)
    return table if weight is not None and weight.ndim == 2 else None


def _moved(
    predictor: Predictor, rows: SomeRows, right: np.ndarray, table: Any, radii: list[float], steps: int, seed: int
) -> list[np.ndarray]:
    """Which rows are right `(N,)` at each of some rising radii; rows that a smaller one made wrong stay so."""
    found, width = [], table.weight.shape[1]
    for radius in radii:
        right = right.copy()
        places = right.nonzero()[0]
        inputs = [rows.inputs[i] for i in places]
        for some, batch in predictor.batches(inputs, AT_ONCE) if inputs else ():
            at = places[np.asarray(some)]
            labels = rows.labels[at].to(predictor.model.device)
            mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"]))

            def answer(rows: torch.Tensor, batch: dict[str, Any] = batch) -> torch.Tensor:
                some = {name: value[rows] if torch.is_tensor(value) else value for name, value in batch.items()}
                return predictor.outputs(predictor.model, some).float()

            stays = moved_embeddings(answer, table, mask, width, labels, radius, steps, seed)
            right[at] = stays.cpu().numpy()
        found.append(right)
    return found

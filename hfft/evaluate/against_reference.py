"""Compare the finished model with another one, such as a teacher: how far apart they are, how large, how fast."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from transformers.trainer_utils import has_length

from hfft.errors import HfftError
from hfft.eval_mode import eval_mode
from hfft.processes import say
from hfft.tasks.problem.base import Problem
from hfft.train import FineTuner
from hfft.train.answers import answers
from hfft.train.batches import some_rows
from hfft.wording import first_line

WARM_UP, TIMED = 2, 10  # passes of one row


def against_reference(trainer: FineTuner, splits: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Per method with a model to compare with: distances on the test split, or validation split, and the cost of both models.

    All processes must call this, in the context in which the model is scored.
    """
    split = next((name for name in ("test", "validation") if has_length(splits.get(name))), None)
    found: dict[str, dict[str, Any]] = {}
    if split is None or trainer.problem.per_token:
        return found
    rows = splits[split]
    for method in trainer.steps.of["reference"]:
        try:
            other = method.reference()
        except (HfftError, OSError) as error:  # it was there at the start; the run itself is complete
            say(f"strategy.{method.name}: not compared at the end ({first_line(error)})")
            continue
        if other is not None:
            own = getattr(other, "prepared", None)  # a teacher with another tokenizer reads the rows in its own way
            read, collate = (rows, trainer.data_collator) if own is None else (getattr(own, split), own.collate)
            mine = answers(trainer, trainer.model, rows).logits
            theirs = answers(trainer, other, read, collate=collate).logits
            found[method.name] = {
                "split": split,
                "n": len(rows),
                **distances(trainer.problem, mine, theirs),
                "model": cost(trainer, trainer.model, rows, trainer.data_collator),
                "reference": cost(trainer, other, read, collate),
            }
    return found


def distances(problem: Problem, logits: Tensor, reference: Tensor) -> dict[str, float]:
    """Distances of two models' logits `(N, C)`.

    `divergence` is the mean KL(reference || model) in nats, for regression the mean squared difference; `agreement`
    the fraction of equal decisions, for classes.
    """
    found = {"divergence": float(problem.divergence(reference.double(), logits.double()).mean())}
    if problem.classes:
        found["agreement"] = float((logits.argmax(1) == reference.argmax(1)).float().mean())
    elif problem.multi_label:
        found["agreement"] = float(((logits > 0) == (reference > 0)).float().mean())
    return found


def cost(trainer: FineTuner, model: nn.Module, rows: Any, collate: Any) -> dict[str, float]:
    """Number of parameters, bytes of the weights, and milliseconds of a forward pass of one row (median)."""
    inputs = trainer._prepare_inputs(collate(some_rows(rows, 1)))
    inputs.pop("labels")
    seconds = []
    with eval_mode(model), torch.no_grad(), trainer.compute_loss_context_manager():
        for _ in range(WARM_UP + TIMED):
            begin = time.perf_counter()
            model(**inputs)
            if trainer.args.device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - begin)
    tensors = [*model.parameters(), *model.buffers()]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        "milliseconds": round(1000 * median(seconds[WARM_UP:]), 3),
    }


def in_words(name: str, found: Mapping[str, Any]) -> str:
    """A comparison in one line."""
    mine, other = found["model"], found["reference"]
    agrees = f"agreement {found['agreement']:.4f}, " if "agreement" in found else ""
    return (
        f"{name}: {agrees}divergence {found['divergence']:.4f} from its reference on {found['split']} (n={found['n']}); "
        f"{mine['parameters']:,} of {other['parameters']:,} parameters, {mine['milliseconds']:.1f} of "
        f"{other['milliseconds']:.1f} ms a row"
    )

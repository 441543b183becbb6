"""Answers of a run corrected for the shares of classes among other rows (`hfft score RUN --adapt priors`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hfft.errors import BadInput
from hfft.evaluate.label_free import bbse_priors, em_priors
from hfft.evaluate.label_free import with_priors as corrected
from hfft.evaluate.outputs import Outputs
from hfft.runs.folder import RunFolder


def with_priors(source: str, logits: Any, names: list[str]) -> tuple[Any, list[str]]:
    """Log-probabilities `(N, C)` with the shares of classes that EM finds, and lines about them; BBSE's shares beside.

    Raises:
        BadInput: the shares of classes in training are not known.
    """
    folder = RunFolder(Path(source))
    metrics = folder.metrics_of_run() if folder.metrics.is_file() else {}
    counts = metrics.get("data", {}).get("classes", {}).get("train")
    if not counts:
        raise BadInput(
            f"--adapt priors: needs the classes that {source} was trained on, which a run folder notes; give one"
        )
    prior = np.array([counts.get(name, 0) for name in names], float)
    prior /= prior.sum()
    p = torch.as_tensor(logits, dtype=torch.float64).softmax(1).numpy()
    found = em_priors(p, prior)
    said = [f"shares by EM: {_shares(names, found)}", f"in training: {_shares(names, prior)}"]
    said.append("EM takes the probabilities for calibrated; score.calibrate=temperature makes them so")
    file = next((file for file in folder.stored_outputs() if file.stem == "validation"), None)
    if file is not None:
        held = Outputs.read(file)
        assert held.logits is not None
        validation = torch.from_numpy(np.asarray(held.logits, np.float64)).softmax(1).numpy()
        by_confusion = bbse_priors(p, validation, np.asarray(held.references))
        said.append(f"shares by BBSE: {_shares(names, by_confusion)} (confusion on validation, n={len(held)})")
    else:
        said.append("BBSE needs validation rows of the source with stored outputs, and there are none")
    return torch.from_numpy(np.log(np.maximum(corrected(p, prior, found), 1e-300))), said


def _shares(names: list[str], shares: np.ndarray) -> str:
    order = sorted(range(len(names)), key=lambda i: -shares[i])[:10]
    more = f", and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(f"{names[i]} {shares[i]:.3f}" for i in order) + more

"""Classifier alignment: fit the head again on rows drawn from a Gaussian of each class (SLCA; arXiv:2303.05118)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from hfft import data
from hfft.head.closed_form import check_linear
from hfft.pipeline.save import save_whole, write_folder
from hfft.predict import load_predictor
from hfft.recipe import Recipe
from hfft.scenarios.incremental.answers import answers
from hfft.scenarios.incremental.scored import accuracy, write_outputs
from hfft.train.reader import last_layer

GAUSSIANS = "gaussians.safetensors"
TEMPERATURE = 0.1  # of normalised logits, as in the paper's code
DRAWN = 256  # rows of each class in an epoch
EPOCHS = 5
RATE = 0.01


def gaussian(x: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean `(D,)` and covariance `(D, D)` of features `(n, D)`, with a ridge that keeps few rows from being singular."""
    rows = torch.from_numpy(x).double()
    mean, centred = rows.mean(0), rows - rows.mean(0)
    covariance = centred.T @ centred / max(len(rows) - 1, 1)
    ridge = 1e-4 * (covariance.diagonal().mean() + 1e-12) + 1e-8
    return mean, covariance + ridge * torch.eye(len(mean), dtype=torch.float64)


def align(
    weight: Tensor,
    bias: Tensor | None,
    means: Tensor,
    covariances: Tensor,
    seed: int,
    epochs: int = EPOCHS,
    rate: float = RATE,
) -> tuple[Tensor, Tensor | None]:
    """The last layer after it has learned rows drawn from the classes' Gaussians, with logits of length 1/temperature.

    Args:
        weight, bias: of the layer, `(C, D)` and `(C,)`.
        means, covariances: `(C, D)` and `(C, D, D)`.
        seed: of the draws.
    """
    draws = torch.Generator().manual_seed(seed)
    weight = weight.detach().clone().requires_grad_()
    bias = None if bias is None else bias.detach().clone().requires_grad_()
    learning = [weight] if bias is None else [weight, bias]
    classes, factors = len(means), torch.linalg.cholesky(covariances)
    batch = 32 * max(classes // 8, 1)
    optimiser = torch.optim.SGD(learning, lr=rate, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        noise = torch.randn(classes, DRAWN, means.shape[1], generator=draws, dtype=means.dtype)
        x = (means[:, None] + noise @ factors.mT).reshape(classes * DRAWN, -1).to(weight.dtype)
        y = torch.arange(classes).repeat_interleave(DRAWN)
        for some in torch.randperm(len(x), generator=draws).split(batch):
            loss = F.cross_entropy(normed(F.linear(x[some], weight, bias)), y[some])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    return weight.detach(), None if bias is None else bias.detach()


def normed(logits: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Logits `(B, C)` divided by their length and a temperature, so that no class wins by the length of its row."""
    return logits / (logits.norm(dim=1, keepdim=True) + 1e-7) / temperature


def aligned(recipe: Recipe, before: str | None = None) -> dict[str, Any]:
    """Note the Gaussians of a task's classes, and align the head over all classes so far; a child of a study.

    Writes `model/` with the aligned head, `gaussians.safetensors`, and the outputs of the test rows.

    Args:
        recipe: of the task, with the model that has just learned it as its backbone.
        before: the child with the Gaussians of earlier classes, which are not moved with the features.

    Raises:
        ModelError: the head does not end with one linear layer.
    """
    started = time.perf_counter()
    loaded, labels = data.load_splits(recipe.data, recipe.the_task, recipe.seed)
    predictor = load_predictor(recipe.backbone.name)
    last = check_linear(last_layer(predictor.model), labels.size, predictor.model.config.model_type)
    found: dict[str, Tensor] = {}
    if before is not None:
        found = load_file(recipe.output_dir.parent / before / GAUSSIANS)
    train: Any = loaded.train
    seen = answers(predictor, train, loaded.columns)
    for k in np.unique(seen.labels):
        found[f"mean/{labels.names[k]}"], found[f"covariance/{labels.names[k]}"] = gaussian(
            seen.features[seen.labels == k]
        )
    means, covariances = (
        torch.stack([found[f"{what}/{name}"] for name in labels.names]) for what in ("mean", "covariance")
    )
    torch_bias = None if last.bias is None else last.bias.cpu()
    weight, bias = align(last.weight.cpu(), torch_bias, means, covariances, recipe.seed)
    with torch.no_grad():
        last.weight.copy_(weight)
        if bias is not None:
            last.bias.copy_(bias)
    recipe.output_dir.mkdir(parents=True, exist_ok=True)
    save_file(found, recipe.output_dir / GAUSSIANS)
    write_folder(
        recipe.output_dir / "model",
        lambda folder: save_whole(predictor.model, predictor.processor, recipe.the_task, _made(folder)),
    )
    test = answers(predictor, loaded.test, loaded.columns)  # type: ignore[arg-type]
    path = recipe.output_dir / "outputs" / "test.safetensors"
    write_outputs(path, test.logits, test.labels, labels)
    numbers = sum(tensor.numel() for tensor in found.values())
    return {
        **accuracy(path),
        "memory": {"rows": 0, "bytes": numbers * 8, "numbers": numbers},
        "labels": list(labels.names),
        "train": {"seconds": round(time.perf_counter() - started, 3)},
        "seed": recipe.seed,
    }


def _made(folder: Any) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    return folder

"""Hold the weights that matter most to the start's predictions (EWC; Kirkpatrick et al. 2017, arXiv:1612.00796)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from hfft.errors import BadInput
from hfft.eval_mode import eval_mode
from hfft.lazy import torch
from hfft.strategy.method import At, Method, MethodSpec, Setting
from hfft.strategy.outputs import logits_of
from hfft.strategy.tensors import like
from hfft.strategy.weight import Weight, WeightSpec, is_zero
from hfft.wording import first_line

if TYPE_CHECKING:
    from torch import Tensor, nn

SALT = 17  # of the rows and labels that are drawn


class EWC(MethodSpec):
    """Pull each weight towards its start, in proportion to its Fisher information at the start.

    Attributes:
        weight: lambda of the paper; usually 10 to 10,000, because Fisher information is small.
        on: the name of the set in `data.sets` whose rows give the Fisher information; None for the training rows,
            under the model as it starts, new head included.
        rows: number of rows, drawn at random, of which it is the mean; each takes a pass of its own, once.
        information: a `.safetensors` file with the Fisher information of earlier tasks by parameter, which is read instead
            (online EWC, arXiv:1805.06370; `hfft study incremental` writes it).
    """

    main = "weight"
    weight: WeightSpec
    on: str | None = Field(default=None, min_length=1)
    rows: int = Field(default=256, ge=1)
    information: str | None = Field(default=None, min_length=1)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else Consolidated(self)


class Consolidated(Method):
    """Adds the squared distance from the start, weighted by the Fisher information; without the head.

    The paper's Fisher information is that of the old task. Its rows are not at hand in plain fine-tuning: without `on`, the
    information is that of this task's training rows. It then says on which weights the new head's predictions for these rows
    depend. Name a set of the old task's rows in `on` if there is one.
    """

    needs = frozenset({"start", "rows", "labels"})
    problems = ("single_label_classification", "multi_label_classification")

    def __init__(self, spec: EWC):
        self.spec, self.weight = spec, Weight(spec.weight, default=1000.0)

    def start(self, setting: Setting) -> None:
        """Copy the learning parameters, and compute their Fisher information.

        Raises:
            BadInput: it is 0.
        """
        inspector, model = setting.inspector, setting.model
        own = setting.own_parameters()
        self.before = {name: p.detach().clone() for name, p in own.items()}
        if self.spec.information is not None:
            self.information = stored_information(self.spec.information, own)
            return
        size = setting.rows if self.spec.on is None else setting.sets[self.spec.on]
        assert size is not None
        chosen = np.sort(np.random.default_rng((setting.seed, SALT)).permutation(size)[: self.spec.rows])
        at, device = At(0, 0, 0.0, setting.seed), next(model.parameters()).device

        def drawn() -> Iterator[Tensor]:
            """The loss of a label drawn from the model's own prediction, of each row."""
            for row in chosen:
                inputs = inspector.inputs_of([int(row)], self.spec.on)
                del inputs["labels"]
                logits = logits_of(model(**{key: value.to(device) for key, value in inputs.items()}))
                uniform = torch.from_numpy(at.draws([int(row)], logits.shape[1], SALT)).to(logits)
                yield setting.problem.loss(logits, draw(logits.detach(), uniform, setting.problem.multi_label)).sum()

        with eval_mode(model):
            self.information = fisher(drawn(), own)
        if self.information and not any(value.any() for value in self.information.values()):
            raise BadInput(
                "strategy.ewc: the Fisher information of all weights is 0 at the start, as the head is 0; use "
                "head.init=default, or leave ewc out"
            )

    def weights(self, model: nn.Module, at: At) -> dict[str, Tensor]:
        """The weighted distance."""
        return {"ewc": self.weight(at) * ewc(model, self.before, self.information)}

    def state(self) -> dict[str, Tensor]:
        """The Fisher information."""
        return dict(self.information)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore it."""
        self.information = {n: state[n].to(old.device, old.dtype) for n, old in self.information.items()}


def stored_information(file: str, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The Fisher information of each learning parameter from a file.

    Raises:
        BadInput: the file cannot be read, or is of another model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(file)
    except (OSError, SafetensorError) as error:
        raise BadInput(
            f"strategy.ewc.information: {file} cannot be read ({first_line(error)}); name another"
        ) from error
    for name, parameter in parameters.items():
        if name not in found or found[name].shape != parameter.shape:
            raise BadInput(
                f"strategy.ewc.information: {file} has no value for each weight of {name}; it is of another model"
            )
    return {name: found[name].to(parameter) for name, parameter in parameters.items()}


def draw(logits: Tensor, uniform: Tensor, multi_label: bool = False) -> Tensor:
    """Labels from a model's own predictions.

    Args:
        logits: `(B, C)`.
        uniform: `(B, C)` numbers in [0, 1); of several classes of which one is right, only the first of a row is used.

    Returns:
        `(B,)` classes, or `(B, C)` zeros and ones for multi-label.
    """
    if multi_label:
        return (uniform < logits.sigmoid()).to(logits)
    below = logits.softmax(1).cumsum(1) <= uniform[:, :1]
    return below.sum(1).clamp(max=logits.shape[1] - 1)


def fisher(losses: Iterator[Tensor], parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The diagonal of the Fisher information: the mean over rows of the squared gradient of `-log p(label | row)`.

    Args:
        losses: of one row each, with its label drawn from the model's prediction.
    """
    total, count = {name: torch.zeros_like(p) for name, p in parameters.items()}, 0
    for loss in losses:
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                total[name] += gradient.square()
        count += 1
    return {name: value / max(count, 1) for name, value in total.items()}


def ewc(model: nn.Module, start: Mapping[str, Tensor], information: Mapping[str, Tensor]) -> Tensor:
    """Half the squared distance from the start, weighted by the Fisher information: `1/2 * sum F (w - w0)^2`.

    Args:
        start, information: parameter name -> its pretrained value, and its Fisher information.
    """
    distance = torch.zeros((), device=next(model.parameters()).device)
    for name, parameter in model.named_parameters():
        name = name.removeprefix("module.")  # added by DistributedDataParallel
        if name in start and parameter.requires_grad:
            apart = (parameter - like(start[name], parameter)).square()
            distance = distance + (like(information[name], parameter) * apart).sum()
    return distance / 2

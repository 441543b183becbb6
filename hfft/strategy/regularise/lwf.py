"""Keep the answers of the backbone's own classifier on the new rows (LwF; Li and Hoiem 2016, arXiv:1606.09282)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.errors import BadInput
from hfft.lazy import F, torch
from hfft.strategy.method import TASK, Batch, Method, MethodSpec, Pass, Setting
from hfft.strategy.outputs import logits_of
from hfft.strategy.weight import Weight, WeightSpec, is_zero
from hfft.wording import listing

if TYPE_CHECKING:
    from torch import Tensor, nn


class LwF(MethodSpec):
    """Learn without forgetting: the backbone's own classifier should answer to the new rows as it did at the start.

    Attributes:
        weight: factor of the term; the paper uses 1.
        temperature: softmax temperature of both answers; the paper uses 2.
        classes: of a head that grows and keeps its rows (`head.keep_known`): the classes that it knew, whose answers it should
            keep itself; None for a classifier beside the new head.
    """

    main = "weight"
    weight: WeightSpec = 1.0
    temperature: float = Field(default=2.0, gt=0)
    classes: list[str] | None = Field(default=None, min_length=2)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        if is_zero(self.weight):
            return None
        return Remembering(self) if self.classes is None else GrowingHead(self)


class Remembering(Method):
    """Adds the divergence from the start's answers; the old classifier learns with the model, as in the paper.

    The answers are computed once per row if inputs never change, otherwise by a copy of the pretrained model in each step.
    """

    needs = frozenset({"features", "source_head", "rows"})
    problems = ("single_label_classification", "multi_label_classification", "regression")

    def __init__(self, spec: LwF):
        self.spec, self.weight = spec, Weight(spec.weight, default=1.0)
        self.kept: Tensor | None = None

    def start(self, setting: Setting) -> None:
        """Take the old classifier, and its answers to all rows if inputs never change.

        Raises:
            BadInput: the backbone has no classifier that fits.
        """
        head = setting.source_head("lwf")
        self.place = setting.inspector.place
        precise = torch.promote_types(next(setting.model.parameters()).dtype, torch.float32)
        self.before_head = copy.deepcopy(head).requires_grad_(False).float()
        self.beside = torch.nn.ModuleDict({"head": head.to(precise)})
        if setting.fixed_inputs:
            with torch.no_grad():
                features = setting.inspector.outputs_of(setting.model).features
                self.kept = self.before_head(features.to(setting.device)).cpu()
        else:
            self.before = copy.deepcopy(setting.model).requires_grad_(False).eval().to(setting.device)
            self.reader = setting.inspector.reader(self.before, features=True)

    def modules(self) -> nn.ModuleDict:
        """The old classifier."""
        return self.beside

    def batch(self, batch: Batch) -> None:
        """The start's answers to the rows of the batch."""
        if self.kept is not None:
            assert batch.rows is not None
            answers = self.kept[torch.from_numpy(self.place(batch.rows, batch.at.epoch))].to(batch.labels.device)
        else:
            with torch.no_grad(), self.reader.on():
                self.before(**batch.part(TASK))
                answers = self.before_head(self.reader.take()[0].float())
        batch.notes[self.name] = answers

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted divergence."""
        answers, logits = seen.notes[self.name][: len(seen.labels)], self.beside["head"](seen.features[TASK])
        return {"lwf": self.weight(seen.at) * lwf(answers, logits, self.spec.temperature)}

    def state(self) -> dict[str, Tensor]:
        """The answers."""
        return {} if self.kept is None else {"answers": self.kept}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore them."""
        self.kept = state["answers"].cpu()


class GrowingHead(Method):
    """Holds the model's own answers for the classes that its head knew at the start."""

    needs = frozenset({"head", "rows"})
    problems = ("single_label_classification",)

    def __init__(self, spec: LwF):
        self.spec, self.weight = spec, Weight(spec.weight, default=1.0)
        self.kept: Tensor | None = None

    def start(self, setting: Setting) -> None:
        """Copy the start, or take its answers to all rows if inputs never change.

        Raises:
            BadInput: a class is none of the task's.
        """
        assert self.spec.classes is not None
        strange = [name for name in self.spec.classes if name not in setting.class_names]
        if strange:
            raise BadInput(f"strategy.lwf.classes: {listing(strange)} is no class of the task; name those that it knew")
        self.known = torch.tensor([setting.class_names.index(name) for name in self.spec.classes])
        self.place = setting.inspector.place
        if setting.fixed_inputs:
            self.kept = setting.inspector.outputs_of(setting.model).logits[:, self.known].cpu()
        else:
            self.before = copy.deepcopy(setting.model).requires_grad_(False).eval().to(setting.device)

    def batch(self, batch: Batch) -> None:
        """The start's answers to the rows of the batch."""
        if self.kept is not None:
            assert batch.rows is not None
            answers = self.kept[torch.from_numpy(self.place(batch.rows, batch.at.epoch))].to(batch.labels.device)
        else:
            with torch.no_grad():
                answers = logits_of(self.before(**batch.part(TASK)))[:, self.known.to(batch.labels.device)].float()
        batch.notes[self.name] = answers

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted divergence."""
        answers, logits = seen.notes[self.name][: len(seen.labels)], seen.logits[TASK]
        now = logits[:, self.known.to(logits.device)]
        return {"lwf": self.weight(seen.at) * lwf(answers, now, self.spec.temperature)}

    def state(self) -> dict[str, Tensor]:
        """The answers."""
        return {} if self.kept is None else {"answers": self.kept}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore them."""
        self.kept = state["answers"].cpu()


def lwf(before: Tensor, now: Tensor, temperature: float = 2.0) -> Tensor:
    """`KL(before || now)` of each row at a temperature; logits `(B, S)` -> `(B,)`.

    The paper's `-sum y' log y'` with `y' ~ p^(1/T)` differs from it by the entropy of the old answers, a constant; as there,
    the result is not multiplied by `T^2`.
    """
    p, q = F.log_softmax(before.to(now) / temperature, 1), F.log_softmax(now / temperature, 1)
    return (p.exp() * (p - q)).sum(1)

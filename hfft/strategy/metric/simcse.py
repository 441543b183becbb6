"""SimCSE: a text is like itself under another dropout, and unlike the step's other texts (Gao et al. 2021, arXiv:2104.08821)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.strategy.method import TASK, Batch, Method, MethodSpec, Pass, Setting
from hfft.strategy.metric.contrastive import LogisticHead
from hfft.strategy.metric.fitted_head import FittedHead
from hfft.strategy.metric.nt_xent import nt_xent

if TYPE_CHECKING:
    from torch import Tensor

OTHER = "simcse other"


class SimCSE(MethodSpec):
    """Learn features from texts that are run twice, without labels: pretraining on the data itself, before a fine-tune.

    Labels are used for the head alone, a logistic regression on the features. The paper's layer between features and loss, which
    it leaves out afterwards, is not there.

    Attributes:
        temperature: of the cosines; the paper uses 0.05.
        C: inverse strength of the head's regularisation, as in scikit-learn's `LogisticRegression`.
    """

    main = "temperature"
    temperature: float = Field(default=0.05, gt=0)
    C: float = Field(default=1.0, gt=0)

    def build(self) -> Method:
        """The method."""
        return TwoDropouts(self)


class TwoDropouts(LogisticHead):
    """Runs each row twice; the only difference is dropout, which is drawn for each micro-batch."""

    needs = FittedHead.needs | {"tokens", "inputs"}
    passes = 2

    def start(self, setting: Setting) -> None:
        """Check that something drops out.

        Raises:
            BadInput: nothing does, so that both runs of a text are the same.
        """
        super().start(setting)
        drops = [m.p for m in setting.model.modules() if isinstance(m, torch.nn.Dropout)]
        if drops and not any(drops):
            raise BadInput(
                "strategy.simcse: tells two runs of a text apart by dropout, which is 0 in this model; leave the method out"
            )

    def batch(self, batch: Batch) -> None:
        """Add the same rows again."""
        batch.put(OTHER)

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """The loss of all rows of the step."""
        return {self.name: nt_xent(seen.features[TASK], seen.features[OTHER], self.spec.temperature, symmetric=False)}

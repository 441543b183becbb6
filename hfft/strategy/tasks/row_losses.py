"""The methods that change the loss of single rows and nothing else: what each of several tasks can have of its own."""

from __future__ import annotations

from hfft.spec import Spec
from hfft.strategy.loss.asymmetric_loss import AsymmetricLoss
from hfft.strategy.loss.balanced_softmax import BalancedSoftmax
from hfft.strategy.loss.class_weights import ClassWeights
from hfft.strategy.loss.focal import Focal
from hfft.strategy.loss.gce import GCE
from hfft.strategy.loss.huber import Huber
from hfft.strategy.loss.logit_adjustment import LogitAdjustment
from hfft.strategy.loss.poly import Poly
from hfft.strategy.loss.positive_weights import PositiveWeights
from hfft.strategy.loss.quantile import Quantile
from hfft.strategy.loss.symmetric_cross_entropy import SymmetricCrossEntropy


class RowLosses(Spec):
    """The loss of a task's rows: methods of `strategy` that change the loss of single rows."""

    focal: Focal | None = None
    gce: GCE | None = None
    symmetric_cross_entropy: SymmetricCrossEntropy | None = None
    asymmetric_loss: AsymmetricLoss | None = None
    positive_weights: PositiveWeights | None = None
    huber: Huber | None = None
    quantile: Quantile | None = None
    poly: Poly | None = None
    logit_adjustment: LogitAdjustment | None = None
    balanced_softmax: BalancedSoftmax | None = None
    class_weights: ClassWeights | None = None

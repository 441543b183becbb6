"""SimCLR: two views of an image are alike, and unlike all other images of the step (Chen et al. 2020, arXiv:2002.05709)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from hfft.strategy.method import TASK, Batch, Companion, Method, MethodSpec, Pass
from hfft.strategy.metric.contrastive import LogisticHead
from hfft.strategy.metric.fitted_head import FittedHead
from hfft.strategy.metric.nt_xent import nt_xent
from hfft.strategy.semi_supervised.views import checked

if TYPE_CHECKING:
    from torch import Tensor

OTHER = "simclr other"
# The paper's, at a strength of 0.5, without the blur, which it leaves out for small images as well.
VIEWS: tuple[Any, ...] = (
    {"random_resized_crop": {"scale": (0.2, 1.0)}},
    "horizontal_flip",
    {"color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}},
    {"random_grayscale": {"p": 0.2}},
)


class SimCLR(MethodSpec):
    """Learn features from two views of each image, without labels: pretraining on the data itself, before a fine-tune.

    Labels are used for the head alone, a logistic regression on the features, which scores them as in the paper. There is no
    projection between features and loss: it is the paper's, and worth points of a linear classifier, but not published.

    Attributes:
        temperature: of the cosines; the paper uses 0.1 to 1.
        views: operations of both views, as in `data.augment`, which they follow; None for the paper's crops, flips and colours.
        C: inverse strength of the head's regularisation, as in scikit-learn's `LogisticRegression`.
    """

    main = "temperature"
    temperature: float = Field(default=0.5, gt=0)
    views: Annotated[list[Any] | None, AfterValidator(checked)] = None
    C: float = Field(default=1.0, gt=0)

    def build(self) -> Method:
        """The method."""
        return TwoViews(self)


class TwoViews(LogisticHead):
    """Reads each row in two draws; one of them takes the place of the row."""

    needs = FittedHead.needs | {"inputs", "continuous", "images"}
    passes = 2

    def __init__(self, spec: SimCLR):
        super().__init__(spec)
        if spec.views is None:  # the paper's, of images
            self.needs = self.needs | {"images"}

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """The rows in two further draws."""
        augment = tuple(VIEWS if self.spec.views is None else self.spec.views)
        return {name: Companion(rows, draw=i, augment=augment) for i, name in enumerate((TASK + " view", OTHER), 1)}

    def batch(self, batch: Batch) -> None:
        """Put the first view in the place of the rows."""
        batch.replace(TASK, batch.take(TASK + " view"))

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """The loss of all rows of the step."""
        return {self.name: nt_xent(seen.features[TASK], seen.features[OTHER], self.spec.temperature)}

"""Splits in which hardly anything is asked: figures are finite, and a mean over one is that one."""

import numpy as np
import pytest
import torch

from hfft.evaluate import Metrics
from hfft.evaluate.metrics.info import CLASS, NUMBER, info
from hfft.tasks.labels import Labels
from tests.evaluate.cases import MASKED


@pytest.mark.parametrize(
    ("loss", "targets", "mean"), [(0.0, 0.0, 0.0), (1.5, 1.0, 1.5), (3.0, 2.0, 1.5), (6000.0, 1.0, 6000.0)]
)
def test_tokens_are_averaged_over_those_that_were_asked(loss, targets, mean):
    metrics = Metrics(Labels(MASKED), ["perplexity"])
    metrics.update(torch.tensor([[loss, targets], [0.0, 0.0]]), torch.zeros(2))
    assert metrics.compute() == {"loss": mean, "perplexity": pytest.approx(np.exp(min(mean, 700))), "n": 2}


def test_a_metric_that_is_fed_one_kind_of_row_says_so_without_a_list():
    one, two = info("x", a=CLASS), info("x", {"a": NUMBER}, a=CLASS)
    assert dict(one.features) == {"a": CLASS}
    assert [dict(kind) for kind in two.features] == [{"a": CLASS}, {"a": NUMBER}]
    assert (one.format, two.format) == ("numpy", "numpy")

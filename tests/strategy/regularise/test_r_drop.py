"""R-Drop: which losses count for which of its two passes."""

import torch

from hfft.strategy.method import TASK, At, Batch, Target
from hfft.strategy.regularise.r_drop import COPY
from tests.training import methods_of


def test_only_the_losses_of_the_rows_that_run_twice_are_halved():
    labels = torch.tensor([0, 1])
    mixed = [Target(labels, torch.tensor([0.75, 1.0])), Target(labels.flip(0), torch.tensor([0.25, 0.0]))]
    batch = Batch(
        {"x": torch.arange(4)}, [TASK, "view"], labels, [*mixed, Target(labels, part="view")], None, 2, At(0, 0, 0.0, 1)
    )
    [method] = methods_of(r_drop=1.0)
    method.batch(batch)
    found = {(t.part, tuple(t.labels.tolist())): None if t.factor is None else t.factor.tolist() for t in batch.targets}
    first, second = [0.375, 0.5], [0.125, 0.0]
    halves = {(part, (0, 1)): first for part in (TASK, COPY)} | {(part, (1, 0)): second for part in (TASK, COPY)}
    assert found == {**halves, ("view", (0, 1)): None}
    assert batch.parts == [TASK, "view", COPY]
    assert batch.part(COPY)["x"].tolist() == [0, 1]

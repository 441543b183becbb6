"""Logits and labels on which losses are computed by hand, and a loss as a step computes it of mixed rows."""

import numpy as np
import torch

from hfft.strategy.loss_chain import chain
from hfft.strategy.method import TASK, At, Batch, Pass, Setting, Target
from hfft.tasks.problem import PROBLEMS
from hfft.train.step_loss import task_loss
from tests.examples import SINGLE
from tests.training import methods_of

LOGITS = np.array([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-3.0, 4.0, 1.0], [1.5, 1.5, -2.0], [0.0, -0.7, 0.9]])
LABELS = np.array([0, 2, 0, 1, 2])
AT = At(0, 0, 0.0, 0)


def softmax(logits):
    """Probabilities of each row, without torch."""
    exp = np.exp(logits - logits.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


def sigmoid(logits):
    """Probabilities of each class by itself, without torch."""
    return 1 / (1 + np.exp(-logits))


def started(strategy, counts=(2, 1, 2), problem=SINGLE, class_ids=None, names=("a", "b", "c")):
    """The only method of a strategy, for data with so many rows of each class."""
    [method] = methods_of(**strategy)
    ids = np.repeat(np.arange(len(counts)), counts) if class_ids is None else class_ids
    model = torch.nn.Linear(2, len(names)).double()
    method.start(
        Setting(model, set(), PROBLEMS[problem], len(names), 0, torch.device("cpu"), names, ids, rows=len(ids))
    )
    return method


def loss_of(method, logits=LOGITS, labels=LABELS, problem=SINGLE, at=AT):
    """The loss of each row under a method."""
    return chain([method], PROBLEMS[problem].loss)(torch.tensor(logits), torch.tensor(labels), at)


def total(strategy, share, others, logits=LOGITS, labels=LABELS, problem=SINGLE, **setting):
    """The summed loss of rows mixed with rows of these labels."""
    method = started(strategy, problem=problem, **setting)
    own, mixed = torch.tensor(labels), torch.tensor(others)
    share = torch.tensor(share)
    targets = [Target(own, share), Target(mixed, 1 - share)]
    batch = Batch({}, [TASK], own, targets, None, len(own), AT)
    seen = Pass({TASK: torch.tensor(logits)}, {}, {}, own, None, {}, AT)
    return task_loss(seen, batch, chain([method], PROBLEMS[problem].loss)).item()

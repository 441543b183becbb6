"""The kinds of target: the loss of a row, its number of targets, and its metrics. One file each."""

from hfft.tasks.labels import Labels
from hfft.tasks.problem.base import Problem
from hfft.tasks.problem.masked_patches import MaskedPatches
from hfft.tasks.problem.masked_tokens import MaskedTokens
from hfft.tasks.problem.multi_label import MultiLabel
from hfft.tasks.problem.regression import Regression
from hfft.tasks.problem.several_tasks import SeveralTasks
from hfft.tasks.problem.shown import Shown
from hfft.tasks.problem.single_label import SingleLabel

__all__ = [
    "PROBLEMS",
    "SMALLER_IS_BETTER",
    "MaskedPatches",
    "MaskedTokens",
    "MultiLabel",
    "Problem",
    "Regression",
    "SeveralTasks",
    "Shown",
    "SingleLabel",
    "known_metrics",
    "problem_of",
    "smaller_is_better",
]

PROBLEMS: dict[str, Problem] = {
    problem.name: problem
    for problem in (SingleLabel(), MultiLabel(), Regression(), MaskedTokens(), SeveralTasks(), MaskedPatches())
}


SMALLER_IS_BETTER = {"loss"} | {
    name for problem in PROBLEMS.values() for name, measure in problem.metrics.items() if measure.smaller_is_better
}


def smaller_is_better(metric: str) -> bool:
    """Whether less of a metric is better; of several tasks it has its task's name before it, as in `ink_rmse`."""
    return metric in SMALLER_IS_BETTER or any(metric.endswith(f"_{name}") for name in SMALLER_IS_BETTER)


def known_metrics() -> list[str]:
    """All metric names of all problems, without duplicates."""
    return list(dict.fromkeys(name for problem in PROBLEMS.values() for name in problem.metrics))


def problem_of(labels: Labels) -> Problem:
    """The problem of some outputs; that of several tasks knows which outputs are whose."""
    if not labels.tasks:
        return PROBLEMS[labels.problem]
    return SeveralTasks(labels, [PROBLEMS[one.problem] for _, one in labels.tasks])

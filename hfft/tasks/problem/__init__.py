"""The kinds of target: what a row's loss is, how many targets it holds, how far two answers are apart. One file each."""

from hfft.tasks.problem.base import Problem
from hfft.tasks.problem.masked_tokens import MaskedTokens
from hfft.tasks.problem.multi_label import MultiLabel
from hfft.tasks.problem.regression import Regression
from hfft.tasks.problem.single_label import SingleLabel

__all__ = ["PROBLEMS", "MaskedTokens", "MultiLabel", "Problem", "Regression", "SingleLabel"]

PROBLEMS: dict[str, Problem] = {
    problem.name: problem for problem in (SingleLabel(), MultiLabel(), Regression(), MaskedTokens())
}

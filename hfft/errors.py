"""The exceptions of hfft: every one is a single clear line (value, constraint, remedy) and knows its exit status."""

from __future__ import annotations

from collections.abc import Iterable

from hfft.wording import printable, shortened


class HfftError(Exception):
    """Anything hfft reports to its user; `exit_code` is the status of the command that meets it."""

    exit_code = 1


class BadInput(HfftError):
    """What was given cannot be used: recipe, data, model name, arguments. Exit status 2."""

    exit_code = 2


class RecipeError(BadInput):
    """One or more mistakes in a recipe, one line each.

    Args:
        problems: lines such as `recipes/x.yaml:14  training.learing_rate: unknown key; did you mean 'learning_rate'?`
    """

    def __init__(self, problems: Iterable[str]):
        self.problems = [shortened(printable(problem)) for problem in problems]
        super().__init__("\n".join(self.problems))


class DataError(BadInput):
    """The data set does not hold what the recipe says."""


class ModelError(BadInput):
    """The pretrained model cannot be used as the recipe says."""


class RunError(HfftError):
    """A run failed after it had begun; what was finished is kept."""


class Diverged(RunError):
    """Loss, gradient or weights are no longer finite; the last checkpoint is. Exit status 3."""

    exit_code = 3


class HubError(HfftError):
    """The hub could not be reached, or refused; local work is kept."""

"""The exceptions of hfft: each is one clear line (value, constraint, remedy) and has an exit status."""

from __future__ import annotations

from collections.abc import Iterable

from hfft.wording import printable, shortened


class HfftError(Exception):
    """Any error that hfft reports to its user; `exit_code` is the exit status of the command.

    Args:
        lines: what is wrong, mostly one line; line ends and control characters, which names may hold, are escaped.
    """

    exit_code = 1

    def __init__(self, *lines: str):
        super().__init__(*map(printable, lines))

    def __str__(self) -> str:
        return "\n".join(self.args)


class BadInput(HfftError):
    """The input cannot be used: recipe, data, model name, arguments. Exit status 2."""

    exit_code = 2


class RecipeError(BadInput):
    """One or more mistakes in a recipe, one line each.

    Args:
        problems: lines such as `recipes/x.yaml:14  training.learing_rate: unknown key; did you mean 'learning_rate'?`
    """

    def __init__(self, problems: Iterable[str]):
        self.problems = [shortened(printable(problem)) for problem in problems]
        super().__init__(*self.problems)


class DataError(BadInput):
    """The data set does not match the recipe."""


class ModelError(BadInput):
    """The pretrained model cannot be used with the recipe."""


class RunError(HfftError):
    """A run failed after it began; finished results are saved."""


class Diverged(RunError):
    """Loss, gradient or weights are not finite; the last checkpoint is. Exit status 3."""

    exit_code = 3


class HubError(HfftError):
    """The hub could not be reached or refused a request; local work is saved."""

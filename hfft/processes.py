"""The processes of a launch: what only the first one does or prints. Based on Accelerate's PartialState."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from hfft.errors import HfftError
from hfft.wording import block

P = ParamSpec("P")
R = TypeVar("R")
_alone = False  # set while the first process acts alone and the others wait for the result of the outermost call


def several() -> Any:
    """Accelerate's state if a launch has started several processes and they are initialised; otherwise None."""
    module = sys.modules.get("accelerate.state")
    if module is None or not module.PartialState._shared_state:
        return None
    state = module.PartialState()
    return state if state.num_processes > 1 else None


def is_first() -> bool:
    """Whether this is the first process of its launch, or the only one."""
    state = several()
    return state is None or state.is_main_process


def by_first_process(function: Callable[P, R]) -> Callable[P, R]:
    """Let only the first process call a function; all get its result, and all raise its exception."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        global _alone
        state = None if _alone else several()
        if state is None:
            return function(*args, **kwargs)
        from accelerate.utils import broadcast_object_list

        outcome: list[Any] = [None, None]
        if state.is_main_process:
            _alone = True
            try:
                outcome[0] = function(*args, **kwargs)
            except HfftError as error:
                outcome[1] = error
            finally:
                _alone = False
        broadcast_object_list(outcome)
        if outcome[1] is not None:
            raise outcome[1]
        return outcome[0]

    return run


def say(*lines: str) -> None:
    """Print lines, on the first process only; line ends and control characters within one are escaped."""
    if is_first():
        print(block(lines), flush=True)

"""`python -m tests.pretended_gpu LIBRARY RESULT COMMAND… -- COMMAND…`: hfft's commands on a pretended GPU.

RESULT is a JSON list with the exit status of each, how many training steps were watched, and what they waited for.
Watched are the steps behind the first epoch, but the two that were read before it ended, and what lies between them,
where nothing is logged, scored or saved.
"""

from __future__ import annotations

import gc
import itertools
import json
import sys
from pathlib import Path
from typing import Any

from tests.pretended_gpu import pretend


def watch(waits: Any) -> list[int]:
    """Count what training waits for; the steps that are watched, as they come."""
    from hfft.train.trainer import FineTuner

    watched, step, after = list[int](), FineTuner.training_step, FineTuner._maybe_log_save_evaluate

    def training_step(trainer: FineTuner, *args: Any, **kwargs: Any) -> Any:
        waits.step += 1
        if trainer.state.global_step >= trainer.state.max_steps / trainer.state.num_train_epochs + 2:
            waits.counting = True
            watched.append(trainer.state.global_step)
        return step(trainer, *args, **kwargs)

    def told(trainer: FineTuner, *args: Any, **kwargs: Any) -> None:
        busy = trainer.control.should_log or trainer.control.should_evaluate or trainer.control.should_save
        if busy or trainer.state.global_step >= trainer.state.max_steps:
            waits.counting = False
        after(trainer, *args, **kwargs)

    FineTuner.training_step, FineTuner._maybe_log_save_evaluate = training_step, told
    return watched


def main(library: str, result: str, *words: str) -> None:
    """Run the commands one after the other."""
    gc.disable()  # imports make no garbage, and looking for it takes a quarter of their time
    waits = pretend(Path(library)).waits
    watched = watch(waits)
    from hfft import cli

    gc.freeze()
    gc.enable()

    results = []
    for is_command, command in itertools.groupby(words, lambda word: word != "--"):
        if is_command:
            waits.counting = False
            waits.found.clear()
            watched.clear()
            try:
                code = cli.main(list(command))
            except SystemExit as left:
                code = left.code
            results.append({"code": code, "steps": len(watched), "waits": dict(waits.found)})
    Path(result).write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])

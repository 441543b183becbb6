"""`python -m tests.pretended_gpu LIBRARY RESULT COMMAND… -- COMMAND…`: hfft's commands on a pretended GPU.

RESULT is a JSON list with the exit status of each, how many training steps were watched, and what they waited for.
Watched are the steps behind the first epoch, but the two that were read before it ended, and what lies between them,
where nothing is logged, scored or saved.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

from tests.pretended_gpu import pretend

gpu = pretend(Path(sys.argv[1]))
import torch  # noqa: E402

from hfft.cli import main  # noqa: E402
from hfft.train.trainer import FineTuner  # noqa: E402

steps = 0
step, after = FineTuner.training_step, FineTuner._maybe_log_save_evaluate


def watched(trainer: FineTuner, *args: object, **kwargs: object) -> torch.Tensor:
    """A step; what follows is watched until the epoch ends or the step is told of."""
    global steps
    torch.cuda.Event.now += 1
    epoch = trainer.state.max_steps / trainer.state.num_train_epochs
    if trainer.state.global_step >= epoch + 2:
        gpu.waits.counting, steps = True, steps + 1
    return step(trainer, *args, **kwargs)


def told(trainer: FineTuner, *args: object, **kwargs: object) -> None:
    """What is logged, scored and saved."""
    busy = trainer.control.should_log or trainer.control.should_evaluate or trainer.control.should_save
    last = trainer.state.global_step >= trainer.state.max_steps
    gpu.waits.counting = gpu.waits.counting and not (busy or last)
    after(trainer, *args, **kwargs)


FineTuner.training_step, FineTuner._maybe_log_save_evaluate = watched, told
results = []
for is_command, words in itertools.groupby(sys.argv[3:], lambda word: word != "--"):
    if is_command:
        steps = 0
        gpu.waits.counting, gpu.waits.found = False, type(gpu.waits.found)()
        try:
            code = main(list(words))
        except SystemExit as left:
            code = left.code
        results.append({"code": code, "steps": steps, "waits": dict(gpu.waits.found)})
Path(sys.argv[2]).write_text(json.dumps(results))

"""What a run tells, and doing things on one process of many."""

from __future__ import annotations

import os
import sys
from typing import Any

import datasets
import huggingface_hub
import transformers
from accelerate.utils import broadcast_object_list
from transformers import TrainingArguments

from hfft.errors import HfftError
from hfft.hub import client


def say(arguments: TrainingArguments, text: str) -> None:
    """Print on the first process only."""
    if arguments.process_index == 0:
        print(text, flush=True)


def on_main(arguments: TrainingArguments, action: Any, *args: Any) -> Any:
    """Do something on the first process alone; all get its result, and all raise what it raised."""
    if arguments.world_size == 1:
        return action(*args)
    outcome: list[Any] = [None, None]
    if arguments.process_index == 0:
        try:
            outcome[0] = action(*args)
        except HfftError as error:
            outcome[1] = error
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def quiet_libraries() -> None:
    """Keep other libraries' chatter out of a run's output, unless their own variables ask for it, and their line open."""
    client.use()
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # local files are told of too: offline seconds are waited for it
    if "TRANSFORMERS_VERBOSITY" not in os.environ:
        transformers.logging.set_verbosity_error()
    if "HF_HUB_VERBOSITY" not in os.environ:
        huggingface_hub.utils.logging.set_verbosity_error()  # each retry would be a line; the outcome is told once
    if not sys.stderr.isatty():
        transformers.logging.disable_progress_bar()
        datasets.disable_progress_bars()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

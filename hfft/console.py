"""Other libraries' chatter, kept out of a run's output."""

from __future__ import annotations

import os
import sys

import datasets
import huggingface_hub
import transformers

from hfft.hub import client


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

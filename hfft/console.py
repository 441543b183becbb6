"""Suppress other libraries' output during a run."""

from __future__ import annotations

import logging
import os
import sys

import datasets
import huggingface_hub
import transformers

from hfft.hub import client

STREAM_ATTEMPTS = 3  # to read from a stream, of about a minute each; datasets makes twenty, a run can be continued


def quiet_libraries() -> None:
    """Suppress other libraries' output during a run, unless their own environment variables ask for it, and set hub timeouts."""
    client.use()
    datasets.config.STREAMING_READ_MAX_RETRIES = datasets.config.STREAMING_OPEN_MAX_RETRIES = STREAM_ATTEMPTS
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # also sent for local files, which wastes seconds offline
    if "TRANSFORMERS_VERBOSITY" not in os.environ:
        transformers.logging.set_verbosity_error()
    if "DATASETS_VERBOSITY" not in os.environ:
        logging.getLogger("datasets.utils.file_utils").setLevel(logging.ERROR)  # likewise of streams
    if "HF_HUB_VERBOSITY" not in os.environ:
        huggingface_hub.utils.logging.set_verbosity_error()  # each retry would print a line; the outcome is reported once
    if not sys.stderr.isatty():
        transformers.logging.disable_progress_bar()
        datasets.disable_progress_bars()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

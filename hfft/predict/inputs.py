"""What a command line names as inputs: images and folders of them, texts and files of texts, tables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hfft.data.predicted import Reading, read_rows
from hfft.data.spectrogram import spectrogram
from hfft.data.tables.endings import KINDS, kind_of
from hfft.data.tables.files import is_table_of_text
from hfft.errors import BadInput, DataError
from hfft.tasks.modality import AUDIO, Modality
from hfft.wording import listing

# Endings by which a word is taken for the name of a file.
NAMES = {*KINDS, ".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif"}
NAMES |= {".svg", ".txt", ".md", ".pdf", ".docx", ".html", ".xml", ".xls", ".xlsx", ".ods"}
NAMES |= {".gz", ".bz2", ".xz", ".zip", ".arrow", ".feather", ".log"}


def read_inputs(arguments: list[str], modality: Modality, reading: Reading) -> Iterator[tuple[Any, Any]]:
    """(id, input) of everything that a command line names, in its order; what cannot be read is given as a DataError.

    A table is read with the columns of the run, and any other file of texts as one text per line.

    Raises:
        BadInput: an argument looks like a file that does not exist, contains nothing to predict, or is a single text where
            the model takes pairs.
    """
    tables = [argument for argument in arguments if is_table(argument, reading)]
    others = [argument for argument in arguments if argument not in tables]
    for argument in others:
        check_name(argument, modality)
    check_options(tables, others, modality, reading)
    sources = [
        read_rows(argument, modality, reading, file=True)
        if argument in tables
        else _opened(argument, modality, reading)
        for argument in arguments
    ]
    return (row for source in sources for row in source)


def is_table(argument: str, reading: Reading) -> bool:
    """Whether an argument names a file that is read as a table: by its ending, and a `.txt` by its tabs, as in training."""
    kind = kind_of(argument) if os.path.isfile(argument) else None
    return kind is not None and (kind != "text" or is_table_of_text(Path(argument), reading.data(argument)))


def check_name(argument: str, modality: Modality) -> None:
    """Raise if an argument is a folder or file that cannot be read, or looks like a name of one that does not exist."""
    if os.path.exists(argument):
        if os.path.isdir(argument) and modality.tokens:
            raise BadInput(
                f"{argument!r} is a folder; give its files, --data for a data set, or pipe it to - if it is a text"
            )
        return
    if argument == "-" and not modality.tokens:
        raise BadInput(f"-: standard input is read as texts, but the model takes {modality.one}; give files")
    if modality.tokens and looks_like_file(argument):
        raise BadInput(
            f"no file {argument!r}; check the name, or pipe it to - if it is a text: echo … | hfft predict RUN -"
        )


def looks_like_file(text: str) -> bool:
    """Whether a text is probably meant as the name of a file or folder."""
    if "://" in text or "\n" in text or len(text) > 255:
        return False
    if Path(text).suffix.lower() in NAMES:
        return True
    path = re.search(r"[/\\]", text) and re.search(r"(\.[A-Za-z]\w{0,4}|[/\\])$", text)
    return bool(path) and not re.search(r"\s", text)


def check_options(tables: list[str], others: list[str], modality: Modality, reading: Reading) -> None:
    """Raise if an option does not apply to what is given, or single texts are given where the model takes pairs."""
    unused = [flag for flag, given in (("--column", reading.chosen), ("--pair", reading.pair)) if given]
    if "--column" in unused and not tables:
        raise BadInput(f"--column, --pair-column, --id: are for tables and --data; {listing(others, 3)} is none")
    if reading.pair is not None and (not modality.tokens or not others):
        raise BadInput("--pair: is the second text for texts and files of texts; leave it out")
    pairs = reading.columns.get("text_pair")
    if others and pairs is not None and reading.pair is None:
        raise BadInput(
            f"the model was trained on pairs of texts; add --pair TEXT as the second, or give a table with columns "
            f"{reading.columns.get('text', 'text')!r} and {pairs!r}"
        )
    if reading.pair is not None and reading.options and pairs is None:
        raise BadInput("--pair: the model was trained on single texts; leave it out")


def _opened(argument: str, modality: Modality, reading: Reading) -> Iterator[tuple[str, Any]]:
    """The inputs of an argument that is not a table, each with the second text of its pair."""
    how = reading.data("-").render
    if how is not None and how.kind == "spectrogram":
        sounds = AUDIO.inputs.open(argument, reading.note)
        return ((name, one if isinstance(one, DataError) else spectrogram(one, how)) for name, one in sounds)
    found = modality.inputs.open(argument, reading.note)
    return found if reading.pair is None else ((name, (value, reading.pair)) for name, value in found)

"""Texts: tokenised once, batched by length, padded once per batch."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from datasets import Dataset
from datasets.fingerprint import Hasher
from torch import nn
from transformers import DataCollatorForLanguageModeling, PretrainedConfig

from hfft.data.audit import BadRow
from hfft.data.augment import grammar
from hfft.data.augmented_texts import AugmentedTexts, PlainTexts
from hfft.data.columns import RowError, holds_text
from hfft.data.digest import digest_of
from hfft.data.masking import MaskStep
from hfft.data.modality.base import Inputs, Rows
from hfft.data.spec import Data
from hfft.data.text_step import TextStep
from hfft.data.texts import CUT, LENGTH, TextCollate, TextRows, longest_first
from hfft.errors import DataError
from hfft.wording import listing

MAX_TEXT = 512  # tokens, if a tokenizer states no limit
UNLIMITED = 100_000  # a tokenizer without a limit states a huge number


class TextInputs(Inputs):
    """One text per row, in the column with role `text`, or a pair with the column of role `text_pair`."""

    gathered = 50

    def plays(self, role: str, feature: Any) -> bool:
        """Whether a column contains texts."""
        return holds_text(feature)

    def read(self, rows: Rows, columns: Mapping[str, str], data: Data, split: str, source: str) -> Rows:
        """The rows unchanged; checks that the columns contain text."""
        features = rows.features or {}
        for role, column in columns.items():
            if not holds_text(features[column]):
                raise DataError(
                    f"data.columns.{role}: column {column!r} has type {features[column]}, not text; choose another"
                )
        return rows

    def digest(self, row: tuple[Any, ...], names: Sequence[str]) -> int:
        """The digest of a text or a pair, ignoring case and whitespace."""
        for value, name in zip(row, names, strict=True):
            if not isinstance(value, str) or not value.strip():
                raise BadRow(f"column {name!r} holds no text ({value!r:.20})")
        return digest_of(
            "\0".join(" ".join(value.casefold().split()) for value in row).encode("utf-8", "surrogatepass")
        )

    def of_row(self, row: Mapping[str, Any], columns: Mapping[str, str]) -> Any:
        """The text, or the pair as a tuple."""
        pair = columns.get("text_pair")
        return row[columns["text"]] if pair is None else (row[columns["text"]], row[pair])

    def decode_row(self, row: dict[str, Any], columns: Mapping[str, str], split: str, number: int) -> dict[str, Any]:
        """The row unchanged; checks that its texts are there."""
        for column in columns.values():
            if not isinstance(row[column], str) or not row[column].strip():
                raise RowError(f"split {split}, row {number}: column {column!r} holds no text ({row[column]!r:.20})")
        return row

    def open(self, argument: str, note: Callable[[str], None]) -> Iterator[tuple[str, Any]]:
        """The non-blank lines of a file, or of standard input for `-`; otherwise the text itself."""
        if argument == "-":
            return iter(_lines(sys.stdin.buffer.read(), "-", "standard input", note))
        if os.path.isfile(argument):  # pathlib's is_file raises if a text is too long for a file's name
            return iter(_lines(Path(argument).read_bytes(), argument, argument, note))
        if not argument.strip():
            raise DataError("an empty text; give one with words")
        return iter([(argument, argument)])

    def ready(self, processor: Any) -> None:
        """Make a tokenizer without a padding token pad with its end token.

        Raises:
            DataError: it has neither.
        """
        if processor.pad_token is None:
            processor.pad_token = processor.eos_token
        if processor.pad_token is None:
            known = [token.content for token in processor.added_tokens_decoder.values()]
            some = f"such as {listing(known, 4)}" if known else "or add one with backbone.edit=[{tokens: [<pad>]}]"
            raise DataError(
                f"backbone.processor.pad_token: {type(processor).__name__} has neither a padding nor an end token, and "
                f"texts of several lengths need one; name one of its tokens, {some}"
            )

    def fit_config(self, config: PretrainedConfig, processor: Any) -> None:
        """Set the padding id in the config, which a decoder needs to find the last token of each row."""
        text, kind = config.get_text_config(), type(config)
        stated = getattr(text, "pad_token_id", None)
        decoder = (
            kind in transformers.MODEL_FOR_CAUSAL_LM_MAPPING and kind not in transformers.MODEL_FOR_MASKED_LM_MAPPING
        )
        if (
            stated is None or stated < 0 or decoder
        ):  # LLaMA's first configs state -1; RoBERTa counts positions from its own
            text.pad_token_id = processor.pad_token_id

    def check_limit(self, model: Any, wanted: int | None) -> None:
        """Raise if the recipe asks for more tokens than the model has positions."""
        positions(model, wanted)

    def set_limit(self, processor: Any, model: Any, wanted: int | None, taken: int = 0) -> None:
        """Truncate texts to `max_length` tokens, minus those that an adapter puts before them."""
        processor.model_max_length = max_length(processor, model, wanted) - taken

    def limit_notes(self, rows: Mapping[str, Any], processor: Any, model: Any, taken: int = 0) -> list[str]:
        """One line for each split with texts that were cut; of a stream they are not known."""
        limit, most = processor.model_max_length, position_limit(model)
        remedy = "a larger data.max_length keeps more of them"
        if most is not None:
            end = "the model takes no more: shorten or divide them"
            remedy = f"data.max_length={most}, the model's limit, keeps more of them" if limit + taken < most else end
        cuts = {name: (found.cut, len(found)) for name, found in rows.items() if isinstance(found, TextRows)}
        return [
            f"split {name}: {cut} of {size} texts are longer than {limit} tokens and are cut; {remedy}"
            for name, (cut, size) in cuts.items()
            if cut
        ]

    def batch(self, inputs: Sequence[Any], processor: Any) -> dict[str, Any]:
        """The tokenizer's output for the first tokens of texts."""
        columns = _columns(inputs)
        return dict(processor(*columns, padding=True, truncation=True, max_length=32, return_tensors="pt"))

    def blank(self, processor: Any) -> dict[str, Any]:
        """One short text; vocabularies of few letters tend to have the capital ones."""
        return dict(processor(["A TEXT"], return_tensors="pt"))

    def step(
        self,
        processor: Any,
        columns: Mapping[str, str],
        split: str,
        seed: int = 0,
        augment: Sequence[Any] = (),
        on_device: Any = None,
        draws: MaskStep | None = None,
    ) -> TextStep:
        """Texts -> token ids, augmented before."""
        return TextStep(processor, columns, split, draws, grammar.compose_texts([*augment]) if augment else None, seed)

    def rows(self, rows: Dataset, step: TextStep, known: str, content: np.ndarray | None = None) -> TextRows:
        """Tokenised rows."""
        return tokenised(rows, step, known)

    def collate(self, processor: Any, problem: str, mlm_probability: float | None = None) -> TextCollate:
        """Pads a batch to its longest row; masks tokens in masked language modelling."""
        mask = None
        if mlm_probability is not None:
            mask = DataCollatorForLanguageModeling(processor, mlm_probability=mlm_probability)
        return TextCollate(processor, problem, mask)

    def batches(
        self, inputs: Sequence[Any], size: int, processor: Any, on_device: Any
    ) -> Iterator[tuple[Sequence[int], dict[str, Any]]]:
        """Batches of texts of similar length, to keep padding low."""
        firsts, *seconds = _columns(inputs)
        limit = processor.model_max_length < UNLIMITED
        tokens = processor(firsts, *seconds, truncation=limit, return_attention_mask=False)
        order = longest_first(np.array([len(ids) for ids in tokens["input_ids"]]))
        collate = TextCollate(processor, "")
        for start in range(0, len(order), size):
            places = order[start : start + size]
            yield places, collate([{name: column[i] for name, column in tokens.items()} for i in places])


def _columns(inputs: Sequence[Any]) -> list[list[str]]:
    """The texts, or the first and the second texts of pairs."""
    pairs = isinstance(inputs[0], tuple)
    firsts = [x[0] if isinstance(x, tuple) else x for x in inputs]
    return [firsts, [x[1] for x in inputs]] if pairs else [firsts]


def _lines(content: bytes, name: str, where: str, note: Callable[[str], None]) -> list[tuple[str, str]]:
    """(name:line, text) of the non-blank lines of a file; only line ends separate lines, as in `datasets`.

    Raises:
        DataError: it is not UTF-8 text, or has no text.
    """
    try:
        lines = re.split(r"\r\n|\r|\n", content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{where}: line {line} is not UTF-8 text; save the file as text in UTF-8, one text per line"
        ) from None
    if not lines[-1]:
        lines.pop()
    there = [(f"{name}:{i}", line) for i, line in enumerate(lines, 1) if line.strip()]
    if not there:
        raise DataError(f"{where} contains no text; expected one text per line")
    if blank := len(lines) - len(there):
        note(f"{where}: {blank} blank line{'s' if blank > 1 else ''} left out; ids are line numbers")
    return there


def positions(model: nn.Module, wanted: int | None = None) -> list[int]:
    """Number of tokens that each of the model's position tables has room for.

    Raises:
        DataError: the recipe asks for more.
    """
    places = [
        table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)  # RoBERTa counts from there
        for name, table in model.named_modules()
        if isinstance(table, nn.Embedding) and "position_embeddings" in name
    ]
    if wanted is not None and places and wanted > min(places):
        raise DataError(
            f"data.max_length: is {wanted}, but the model has {min(places)} positions; use at most {min(places)}"
        )
    return places


def max_length(processor: Any, model: nn.Module, wanted: int | None) -> int:
    """Length limit in tokens: the recipe's, otherwise the tokenizer's or the model's limit, otherwise 512.

    Raises:
        DataError: the recipe asks for more tokens than the model has positions.
    """
    positions(model, wanted)
    limit = min(processor.model_max_length, position_limit(model) or UNLIMITED)
    return wanted or (limit if limit < UNLIMITED else MAX_TEXT)


def position_limit(model: nn.Module) -> int | None:
    """Number of tokens that the model takes at most; None if its positions have no end."""
    stated = getattr(model.config.get_text_config(), "max_position_embeddings", None)  # type: ignore[union-attr, operator]
    places = positions(model)
    if isinstance(stated, int) and stated > 0:  # XLNet states -1: it takes texts of any length
        places = [*places, stated]
    limit = min(places, default=UNLIMITED)
    return limit if limit < UNLIMITED else None


def tokenised(rows: Dataset, step: TextStep, known: str) -> TextRows:
    """All rows as token ids, computed once; texts that are augmented are tokenised again whenever they are read.

    The cache of `datasets` finds them by `known`, a digest of everything that they depend on besides the rows.
    """

    def tokenise(batch: dict[str, list[Any]]) -> dict[str, Any]:
        tokens = step.encoded(batch)
        return {**tokens, LENGTH: [len(ids) for ids in tokens["input_ids"]], CUT: step.cut(batch, tokens)}

    stays = {"labels"} if step.draws is None else {"labels", "row"}
    drop = [name for name in rows.column_names if name not in stays]
    kept, title = Hasher.hash((rows._fingerprint, known)), f"tokenise {step.split}"
    plain = rows.map(tokenise, batched=True, remove_columns=drop, new_fingerprint=kept, desc=title)
    if step.augmentation is not None:
        return AugmentedTexts(plain, rows, step, known)
    return PlainTexts(plain, rows, step, known) if step.draws is None else TextRows(plain).masked_by(step.draws)

"""The recipe section for part 5, the data."""

from __future__ import annotations

import codecs
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from hfft.data.augment import grammar
from hfft.spec import Spec


def _augmentation(value: Any) -> Any:
    grammar.parse([value])
    return value


def _separator(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = {"\\t": "\t", "tab": "\t"}.get(value, value)
    if len(value) != 1 or value in '"\r\n' or ord(value) > 127:
        raise ValueError(f"is {value!r:.20}; expected one character, such as ';', or tab")
    return value


def _encoding(value: str) -> str:
    try:
        codecs.lookup(value)
        "".encode(value)
    except LookupError:
        raise ValueError(f"is {value!r:.40}; expected an encoding, such as utf-8, cp1252 or utf-16") from None
    return value


class Columns(Spec):
    """Which column of the data has which role; the default is the task's usual name. Values of `id` must be unique in a split."""

    image: str | None = None
    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    id: str | None = None


class DataSet(Spec):
    """Further rows besides the task's, for methods that read them; their labels, if any, are ignored.

    Attributes:
        split: the split whose rows are read.
    """

    path: str = Field(min_length=1)
    name: str | None = None
    data_files: str | list[str] | dict[str, str | list[str]] | None = None
    data_dir: str | None = None
    revision: str | None = None
    sep: Annotated[str, BeforeValidator(_separator)] | None = None
    encoding: Annotated[str, AfterValidator(_encoding)] | None = None
    quoting: Literal["minimal", "none"] | None = None
    missing: list[str] = [""]
    field: str | None = Field(default=None, min_length=1)
    columns: Columns = Columns()
    split: str = "train"
    labels: Literal["none"] = "none"
    max_samples: int | None = Field(default=None, ge=1)


class Data(Spec):
    """Part 5: the data. `path`, `name`, `data_files`, `data_dir` and `revision` are arguments of `datasets.load_dataset`.

    Attributes:
        sep, encoding, quoting: how tables of text are written, where that is not found rightly: the separator, the encoding,
            and whether a mark `"` at the start of a cell opens a quotation (minimal) or is a character (none).
        missing: cells of tables that count as missing; all others are what they say, such as the words None and NA.
        field: the key of a JSON file under which its rows are, as in `a.b`.
        validation: a split's name, or a share of the training rows to set aside (stratified, seeded).
        classes: use only these classes, in this order.
        on_bad_rows: raise an error if rows cannot be used, or skip, count and report these.
        max_bad_rows: largest share of a split's rows that may be skipped.
        sets: name -> further rows, which methods of `strategy` refer to by `on`.
    """

    path: str = Field(min_length=1)
    name: str | None = None
    data_files: str | list[str] | dict[str, str | list[str]] | None = None
    data_dir: str | None = None
    revision: str | None = None
    sep: Annotated[str, BeforeValidator(_separator)] | None = None
    encoding: Annotated[str, AfterValidator(_encoding)] | None = None
    quoting: Literal["minimal", "none"] | None = None
    missing: list[str] = [""]
    field: str | None = Field(default=None, min_length=1)
    columns: Columns = Columns()
    train: str = "train"
    validation: str | float | None = None
    test: str | float | None = None
    classes: list[str] | None = Field(default=None, min_length=2)
    max_train_samples: int | None = Field(default=None, ge=1)
    max_eval_samples: int | None = Field(default=None, ge=1)
    on_bad_rows: Literal["error", "skip"] = "error"
    max_bad_rows: float = Field(default=0.01, gt=0, le=1)
    streaming: bool = False
    sets: dict[str, DataSet] = {}
    shuffle_buffer: int = Field(default=1000, ge=1)
    max_length: int | None = Field(default=None, ge=2)
    mlm_probability: float = Field(default=0.15, gt=0, lt=1)
    augment: list[Annotated[str | dict[str, dict[str, Any] | None], AfterValidator(_augmentation)]] = []

    @field_validator("validation", "test")
    @classmethod
    def _share(cls, value: str | float | None) -> str | float | None:
        if isinstance(value, float) and not 0 < value < 1:
            raise ValueError(f"is {value}; expected a split's name or a share between 0 and 1")
        return value

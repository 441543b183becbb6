"""The recipe section for part 5, the data."""

from __future__ import annotations

import codecs
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from hfft.data.augment import grammar
from hfft.data.render_spec import Render
from hfft.data.rows_spec import Client, Fold, LabelNoise
from hfft.spec import Spec, as_list, check_pattern

NONE = "none"  # as a split's name: leave the split off
SET = "set"  # the column of a mix that names the set of each row


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
    """Which column of the data has which role; the default is the task's usual name.

    Attributes:
        image: images, or paths of image files.
        audio: sounds, or paths of sound files.
        text, text_pair: the text, and the second one where a row is a pair.
        series: series of numbers `(time steps, channels)`, or paths of files of one each.
        label: one column, or one for each class (or number to predict): a list of names, or a `/regex/`.
        id: names of the rows, which must be unique in a split; predictions carry them.
        group: rows with the same value, such as a speaker or a patient, stay together when shares or folds are set aside; or a
            `/regex/` over the names of files, whose first group is the value.
        domain: where each row comes from, such as a style, a camera or a hospital, for methods that learn from several domains.
    """

    image: str | None = None
    audio: str | None = None
    text: str | None = None
    text_pair: str | None = None
    series: str | None = None
    label: str | Annotated[list[str], Field(min_length=1)] | None = None
    id: str | None = None
    group: str | None = Field(default=None, min_length=1)
    domain: str | None = Field(default=None, min_length=1)

    @field_validator("group")
    @classmethod
    def _pattern(cls, value: str | None) -> str | None:
        return None if value is None else check_pattern(value)

    @field_validator("label")
    @classmethod
    def _patterns(cls, value: str | list[str] | None) -> str | list[str] | None:
        for i, entry in enumerate(as_list(value)):
            check_pattern(entry)
            if entry in as_list(value)[:i]:
                raise ValueError(f"names {entry!r} twice; name each column once")
        return value

    @property
    def several_labels(self) -> bool:
        """Whether labels are spread over columns."""
        return isinstance(self.label, list) or (len(self.label or "") > 2 and self.label[0] == self.label[-1] == "/")  # type: ignore[index]


class FurtherRows(Spec):
    """Further rows besides the task's.

    Attributes:
        path, name, data_files, data_dir, revision: as in `data`.
        sep, encoding, quoting, missing, field: as in `data`.
        split: the split whose rows are read.
        max_samples: at most so many rows, the first ones.
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
    max_samples: int | None = Field(default=None, ge=1)

    def data(self, **more: Any) -> Data:
        """The section `data` that reads the same files.

        Args:
            more: further keys of it.
        """
        same = {key: value for key in FurtherRows.model_fields if (value := getattr(self, key)) is not None}
        return Data(**{key: value for key, value in same.items() if key in Data.model_fields}, **more)


class DataSet(FurtherRows):
    """Further rows besides the task's, for methods that read them.

    Attributes:
        path, name, data_files, data_dir, revision: as in `data`.
        sep, encoding, quoting, missing, field: as in `data`.
        split: the split whose rows are read.
        labels: `none`: the rows count as unlabelled; `given`: their classes are read, for methods that learn them again.
        max_samples: at most so many rows, the first ones.
    """

    labels: Literal["none", "given"] = "none"


class MixedSet(FurtherRows):
    """A labelled set that is trained on together with the first one, as one task.

    Attributes:
        path, name, data_files, data_dir, revision: as in `data`.
        sep, encoding, quoting, missing, field: as in `data`.
        columns: where its columns have other names than in `data`, and are not the only ones of their type.
        split: the split that is trained on.
        validation, test: the set's own splits, found as in `data`; `none` leaves one off. Shares are those of `data`.
        map: class of this set -> class of the task, or null, which leaves its rows out.
        share: share of its training rows that are used, drawn by `data.seed` in proportion to its classes.
        max_samples: at most so many of them.
    """

    validation: str | None = None
    test: str | None = None
    map: dict[str, str | None] | None = None
    share: float | None = Field(default=None, gt=0, le=1)


class Data(Spec):
    """Part 5: the data.

    Attributes:
        path: a repository, a folder, a file, or a built-in set (`digits`, `printed_digits`, `letters`, `docstrings`, `tones`).
        name, data_files, data_dir, revision: as for `datasets.load_dataset`.
        train: the split to train on.
        labels: `none`: labels of the training rows, if there are any, are not read, for a method that learns without; those of
            held-out splits are, for scoring. The classes are `classes`, or those that the data names.
        sep, encoding, quoting: how tables of text are written, where that is not found rightly: the separator, the encoding,
            and whether a mark `"` at the start of a cell opens a quotation (minimal) or is a character (none).
        missing: cells of tables that count as missing; all others are what they say, such as the words None and NA.
        field: the key of a JSON file under which its rows are, as in `a.b`.
        validation, test: a split's name, a share of the training rows to set aside (stratified, seeded), or `none`.
        label_sep: what separates the classes in a text that names several, such as `|`.
        fold: one fold of a cross-validation over the training rows, which becomes the test split; other test rows are not read.
        client: train on the rows of one of several clients, as in federated learning; held-out splits stay whole.
        held_out_domain: the domain (`columns.domain`) whose training rows become the test split; other test rows are not read.
        seed: the draws of rows (shares, samples, imbalance, wrong labels); default: `training.seed`.
        classes: use only these classes, in this order.
        train_classes: train on rows of these classes alone; the head, and held-out splits of their own, have all of `classes`.
        shots: train on so many rows of each class (`hfft.data.shots`).
        shots_seed: which rows these are; they do not depend on `training.seed`.
        max_train_samples: train on so many rows, equally from every class.
        max_eval_samples: score so many rows of each held-out split, in its own proportions.
        imbalance: how many times as many training rows the first class has as the last, with exponential steps between them.
        label_noise: wrong labels on purpose (`hfft.data.label_noise`).
        on_bad_rows: raise an error if rows cannot be used, or skip, count and report these.
        max_bad_rows: largest share of a split's rows that may be skipped.
        streaming: read rows as they are needed, without storing them first.
        shuffle_buffer: rows of a stream that are shuffled together.
        max_length: limit of a text in tokens; default: the tokenizer's or the model's.
        max_length_seconds: a part of this length, drawn anew in each epoch, is all that is read of a longer training sound;
            held-out sounds are scored whole.
        mlm_probability: share of the tokens that are masked, for `fill-mask`.
        mask_ratio: share of an image that is masked, for `masked-image-modeling`; default: 0.6, and for a ViTMAE that of its
            config.
        mask_patch_size: edge in pixels of what is masked together; default: 32 where it fits into the model's images, as in
            SimMIM, and otherwise a patch of the model.
        render: draw texts or sounds as images: `columns.image` then names a column of texts, or of sounds or their paths.
        augment: augmentations of the training rows, in order (`hfft.data.augment`).
        mix: name -> a labelled set that is trained on together with this one, as one task; each is scored apart as well.
        map: class of this set -> class of the task, or null, which leaves its rows out.
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
    labels: Literal["read", "none"] = "read"
    validation: str | float | None = None
    test: str | float | None = None
    fold: Fold | None = None
    client: Client | None = None
    held_out_domain: str | None = Field(default=None, min_length=1)
    seed: int | None = Field(default=None, ge=0)
    classes: list[str] | None = Field(default=None, min_length=2)
    train_classes: list[str] | None = Field(default=None, min_length=1)
    label_sep: str | None = Field(default=None, min_length=1)
    shots: int | None = Field(default=None, ge=1)
    shots_seed: int = Field(default=0, ge=0)
    max_train_samples: int | None = Field(default=None, ge=1)
    max_eval_samples: int | None = Field(default=None, ge=1)
    imbalance: float | None = Field(default=None, ge=1)
    label_noise: LabelNoise | None = None
    on_bad_rows: Literal["error", "skip"] = "error"
    max_bad_rows: float = Field(default=0.01, gt=0, le=1)
    streaming: bool = False
    mix: dict[str, MixedSet] = {}
    map: dict[str, str | None] | None = None
    sets: dict[str, DataSet] = {}
    shuffle_buffer: int = Field(default=1000, ge=1)
    max_length: int | None = Field(default=None, ge=2)
    max_length_seconds: float = Field(default=20.0, gt=0)
    mlm_probability: float = Field(default=0.15, gt=0, lt=1)
    mask_ratio: float | None = Field(default=None, gt=0, lt=1)
    mask_patch_size: int | None = Field(default=None, ge=1)
    render: Render | None = None
    augment: list[Annotated[str | dict[str, dict[str, Any] | None], AfterValidator(_augmentation)]] = []

    @property
    def chosen_by_class(self) -> list[str]:
        """The options that choose or change rows by their class."""
        return [name for name in ("shots", "imbalance", "label_noise") if getattr(self, name) is not None]

    @field_validator("shots_seed")
    @classmethod
    def _drawn(cls, value: int, info: ValidationInfo) -> int:
        if value and info.data.get("shots", 0) is None:
            raise ValueError("chooses the rows of data.shots, which is not set; leave it out")
        return value

    @model_validator(mode="after")
    def _of_its_classes(self) -> Data:
        if self.train_classes is None:
            return self
        if self.streaming:
            raise ValueError("has train_classes, which needs all rows at once, and streaming; leave one of them out")
        if self.classes is None:
            raise ValueError("has train_classes, but no classes that the head should have; name all in classes")
        strange = [name for name in self.train_classes if name not in self.classes]
        if strange or len(set(self.train_classes)) < len(self.train_classes):
            what = f"names {strange[0]!r}, which is not in classes" if strange else "names a class twice"
            raise ValueError(f"has train_classes that {what}; name some of classes, each once")
        return self

    @model_validator(mode="after")
    def _fold_alone(self) -> Data:
        if self.fold is not None and self.streaming:
            raise ValueError("has a fold, which needs all rows at once, and streaming; leave one of them out")
        if self.fold is not None and self.test is not None:
            raise ValueError(f"has a fold, whose rows are the test split, and test={self.test}; leave data.test out")
        return self

    @model_validator(mode="after")
    def _client_of_rows(self) -> Data:
        if self.client is None:
            return self
        if self.streaming:
            raise ValueError("has a client, which needs all rows at once, and streaming; leave one of them out")
        if self.client.domain is not None and self.columns.domain is None:
            raise ValueError("has a client.domain; name the column of the domains in data.columns.domain")
        return self

    @model_validator(mode="after")
    def _mixed(self) -> Data:
        if not self.mix and self.map is None:
            return self
        for key, is_set in (("streaming", self.streaming), ("labels=none", self.labels == NONE)):
            if is_set:
                raise ValueError(
                    f"has {'mix' if self.mix else 'map'}, which needs all rows with labels, and {key}; leave one out"
                )
        if self.columns.several_labels or self.label_sep is not None:
            raise ValueError("has mix or map, which is for one class a row in one column; name that in columns.label")
        maps = {"map": self.map, **{f"mix.{name}.map": one.map for name, one in self.mix.items()}}
        known = self.classes or []
        for key, given in maps.items() if known else ():
            if strange := [name for name in (given or {}).values() if name is not None and name not in known]:
                raise ValueError(
                    f"has {key} to {strange[0]!r}, which is not in classes; name one of {', '.join(known)}"
                )
        return self

    @property
    def test_from_train(self) -> bool:
        """Whether the test split is made of training rows in a way of its own, so that other test rows are not read."""
        return self.fold is not None or self.held_out_domain is not None

    @model_validator(mode="after")
    def _domain_alone(self) -> Data:
        if self.held_out_domain is None:
            return self
        for key, is_set in (("fold", self.fold), ("test", self.test), ("streaming", self.streaming or None)):
            if is_set is not None:
                raise ValueError(f"has a held_out_domain, whose rows are the test split, and {key}; leave {key} out")
        if self.columns.domain is None:
            raise ValueError("has a held_out_domain; name the column of the domains in data.columns.domain")
        return self

    @field_validator("validation", "test")
    @classmethod
    def _share(cls, value: str | float | None) -> str | float | None:
        if isinstance(value, float) and not 0 < value < 1:
            raise ValueError(f"is {value}; expected a split's name or a share between 0 and 1, or none")
        return value

"""How the rows of a modality are read, decoded and batched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from datasets import Dataset, IterableDataset

if TYPE_CHECKING:
    import numpy as np
    from transformers import PretrainedConfig

    from hfft.data.masking import MaskStep
    from hfft.data.spec import Data

Rows: TypeAlias = Dataset | IterableDataset
OnDevice = Callable[[dict[str, Any]], dict[str, Any]]


class Inputs:
    """The half of a modality that needs torch; `hfft.tasks.modality` has the other half. It has no state.

    Attributes:
        gathered: number of batches of inputs that are sorted by length at once if the order does not matter.
        threads: whether rows are checked in threads, because decoding releases the GIL.
    """

    gathered: int = 1
    threads: bool = False

    # --- reading

    def plays(self, role: str, feature: Any) -> bool:
        """Whether a column of this type can have one of the modality's roles."""
        raise NotImplementedError

    def read(self, rows: Rows, columns: Mapping[str, str], data: Data, split: str, source: str) -> Rows:
        """The rows with these columns converted to their type (such as paths to images); in a stream they are not decoded yet.

        Args:
            columns: role -> column.
            source: the name of this split in the data.

        Raises:
            DataError: a column has another type.
        """
        return rows

    def stored(self, rows: Rows, columns: Mapping[str, str]) -> Rows:
        """The rows, not decoded."""
        return rows

    def decoded(self, rows: IterableDataset, columns: Mapping[str, str], split: str) -> IterableDataset:
        """A stream of decoded rows."""
        return rows

    def decode_row(self, row: dict[str, Any], columns: Mapping[str, str], split: str, number: int) -> dict[str, Any]:
        """A stored row, decoded.

        Raises:
            DataError: it cannot be decoded; the message names split and row.
        """
        return row

    def digest(self, row: tuple[Any, ...], names: Sequence[str]) -> int:
        """A digest of a row's content, equal for rows with equal content; 0 if the content is not read.

        Args:
            row: stored values of the columns `names`.

        Raises:
            BadRow: it is empty, or cannot be decoded.
        """
        raise NotImplementedError

    def inspect(self, row: tuple[Any, ...], names: Sequence[str]) -> tuple[int, str]:
        """`digest`, and what a user should know about how the row is read; usually nothing."""
        return self.digest(row, names), ""

    def file(self, row: tuple[Any, ...]) -> str | None:
        """The path of the file that a stored row is read from, if it is known."""
        return None

    def of_row(self, row: Mapping[str, Any], columns: Mapping[str, str]) -> Any:
        """The input of a decoded row, in the form that a user would pass."""
        return row[next(iter(columns.values()))]

    def is_one(self, inputs: Any) -> bool:
        """Whether what a user passes is one input and no list of them."""
        return isinstance(inputs, str | tuple) or not hasattr(inputs, "__len__")

    def served(self, value: Any, pipe: Any) -> Any:
        """A plain input as this transformers pipeline reads it."""
        return value

    def plain(self, value: Any) -> Any:
        """An input in a form that every transformers pipeline can read."""
        return value

    def open(self, argument: str, note: Callable[[str], None]) -> Iterator[tuple[str, Any]]:
        """(id, input) for a command-line argument: a file, a folder, `-` for standard input, or the input itself.

        An input that cannot be read is given as the DataError that says why.

        Args:
            note: told what is left out.

        Raises:
            DataError: there is no such file, or nothing to predict in it.
        """
        raise NotImplementedError

    # --- processor and model

    def ready(self, processor: Any) -> None:
        """Prepare a newly loaded processor for batches."""

    def make_processor(self, config: Any, length: int | None, channels: int | None, **given: Any) -> Any:
        """A processor for a model without one (`Modality.processor_made`).

        Args:
            config: the model's.
            length, channels: of the inputs, if the recipe says them.
            given: further entries.
        """
        raise NotImplementedError

    def fit(self, processor: Any, tasks: Mapping[str, tuple[Mapping[str, Rows], Mapping[str, str]]]) -> None:
        """Set what the processor takes from the training rows of all tasks; called once, before the model is loaded.

        Args:
            tasks: task, "" if it is the only one -> split -> decoded rows, and role -> column.

        Raises:
            DataError: the rows do not fit the model.
        """

    def fit_config(self, config: PretrainedConfig, processor: Any) -> None:
        """Copy settings that the processor knows into a model's config."""

    def check_limit(self, model: Any, wanted: int | None) -> None:
        """Raise DataError if the recipe asks for longer inputs than the model takes."""

    def set_limit(self, processor: Any, model: Any, wanted: int | None, taken: int = 0) -> None:
        """Make the processor truncate inputs to the recipe's limit, or else the model's.

        Args:
            taken: positions before the input that are used by something else.
        """

    def augmentation(self, data: Data) -> list[Any]:
        """What is done to each training row, as in a recipe's `data.augment`."""
        return data.augment

    def limit_notes(self, rows: Mapping[str, Any], processor: Any, model: Any, taken: int = 0) -> list[str]:
        """One line for each split with inputs that were cut to the limit.

        Args:
            rows: split -> what `rows` made of it.
            taken: as for `set_limit`.
        """
        return []

    def batch(self, inputs: Sequence[Any], processor: Any) -> dict[str, Any]:
        """A batch from a few inputs, which are in the form that a user would pass."""
        raise NotImplementedError

    def blank(self, processor: Any) -> dict[str, Any]:
        """A batch of one arbitrary input, to run a model on before there is data."""
        raise NotImplementedError

    # --- training

    def on_device(self, processor: Any) -> OnDevice | None:
        """The preprocessing left for a batch on the device; None if there is none."""
        return None

    def step(
        self,
        processor: Any,
        columns: Mapping[str, str],
        split: str,
        seed: int = 0,
        augment: Sequence[Any] = (),
        on_device: OnDevice | None = None,
        draws: MaskStep | None = None,
    ) -> Any:
        """The function that turns rows into inputs; its `of_cells` does so for a stream.

        Args:
            columns: role -> column.
            draws: gives each row its draw for masking, in masked language modelling.
        """
        raise NotImplementedError

    def rows(self, rows: Dataset, step: Any, known: str, content: np.ndarray | None = None) -> Any:
        """A dataset of a split's inputs.

        Args:
            known: a digest of everything that the inputs depend on besides the rows.
            content: a digest of each row's inputs, `(N,)`, 0 where they are not known.
        """
        raise NotImplementedError

    def collate(self, processor: Any, problem: str, mlm_probability: float | None = None) -> Callable[[Any], Any]:
        """The function that makes a batch from inputs and labels.

        Args:
            mlm_probability: the share of masked tokens, in masked language modelling.
        """
        raise NotImplementedError

    def batches(
        self, inputs: Sequence[Any], size: int, processor: Any, on_device: OnDevice | None
    ) -> Iterator[tuple[Sequence[int], dict[str, Any]]]:
        """(places, batch) for inputs that a user passes, each exactly once, in an efficient order."""
        for start in range(0, len(inputs), size):
            places = range(start, min(start + size, len(inputs)))
            yield places, self.batch([inputs[i] for i in places], processor)

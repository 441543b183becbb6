"""What reads, decodes and batches the rows of a modality."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from datasets import Dataset, IterableDataset

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from hfft.data.columns import Rows
    from hfft.data.masking import MaskStep
    from hfft.data.spec import Data

OnDevice = Callable[[dict[str, Any]], dict[str, Any]]


class Inputs:
    """The half of a modality that needs torch; `hfft.tasks.modality` has the other. It holds no state.

    Attributes:
        gathered: how many batches of inputs are sorted by length at once where the order is free.
        threads: whether rows are looked at in threads, as decoding lets go of the interpreter.
    """

    gathered: int = 1
    threads: bool = False

    # --- reading

    def plays(self, role: str, feature: Any) -> bool:
        """Whether a column of this type can have one of the modality's roles."""
        raise NotImplementedError

    def read(self, rows: Rows, columns: Mapping[str, str], data: Data, split: str, source: str) -> Rows:
        """The rows with their columns as what they hold, whatever they are stored as; in a stream they stay undecoded.

        Args:
            columns: role -> column.
            source: the name that the data has for this split.

        Raises:
            DataError: a column holds something else.
        """
        return rows

    def stored(self, rows: Rows, columns: Mapping[str, str]) -> Rows:
        """The rows undecoded."""
        return rows

    def decoded(self, rows: IterableDataset, columns: Mapping[str, str], split: str) -> IterableDataset:
        """A stream of decoded rows."""
        return rows

    def decode_row(self, row: dict[str, Any], columns: Mapping[str, str], split: str, number: int) -> dict[str, Any]:
        """A row that is stored, decoded.

        Raises:
            DataError: it cannot be, with split and row.
        """
        return row

    def digest(self, row: tuple[Any, ...], names: Sequence[str]) -> int:
        """A digest of what a row holds, the same for rows that say the same; 0 where it is not looked at.

        Args:
            row: values as they are stored, of the columns `names`.

        Raises:
            BadRow: there is nothing in it, or it cannot be decoded.
        """
        raise NotImplementedError

    def of_row(self, row: Mapping[str, Any], columns: Mapping[str, str]) -> Any:
        """The input of a decoded row, as a user would pass it."""
        return row[next(iter(columns.values()))]

    def plain(self, value: Any) -> Any:
        """An input as every pipeline of transformers reads it."""
        return value

    def open(self, argument: str) -> Iterator[tuple[str, Any]]:
        """(id, input) of what a command line names: a file, a folder, or the input itself.

        Raises:
            DataError: a file that is not there or cannot be read.
        """
        raise NotImplementedError

    # --- processor and model

    def ready(self, processor: Any) -> None:
        """Make a processor that was just loaded ready for batches."""

    def fit_config(self, config: PretrainedConfig, processor: Any) -> None:
        """Let a model's config state what the processor knows."""

    def check_limit(self, model: Any, wanted: int | None) -> None:
        """Raise DataError where the recipe asks for longer inputs than the model takes."""

    def set_limit(self, processor: Any, model: Any, wanted: int | None, taken: int = 0) -> None:
        """Let the processor cut inputs to what the recipe, or else the model, allows.

        Args:
            taken: places in front of the input that something else takes.
        """

    def batch(self, inputs: Sequence[Any], processor: Any) -> dict[str, Any]:
        """The batch that a processor makes of a few inputs, as a user would pass them."""
        raise NotImplementedError

    def blank(self, processor: Any) -> dict[str, Any]:
        """A batch of one input that says nothing, to run a model on before there are data."""
        raise NotImplementedError

    # --- training

    def on_device(self, processor: Any) -> OnDevice | None:
        """What is left to be done to a batch that has arrived on the device; None where nothing is."""
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
        """What makes rows into inputs; its `of_cells` makes those of a stream.

        Args:
            columns: role -> column.
            draws: gives each row the draw it is masked by, where the task is to fill in what is hidden.
        """
        raise NotImplementedError

    def rows(self, rows: Dataset, step: Any, known: str) -> Any:
        """A dataset of a split's inputs.

        Args:
            known: a digest of all that the inputs depend on beside the rows.
        """
        raise NotImplementedError

    def collate(self, processor: Any, problem: str, mlm_probability: float | None = None) -> Callable[[Any], Any]:
        """What makes a batch of inputs and labels.

        Args:
            mlm_probability: the share of tokens that are hidden, where the task is to fill them in.
        """
        raise NotImplementedError

    def batches(
        self, inputs: Sequence[Any], size: int, processor: Any, on_device: OnDevice | None
    ) -> Iterator[tuple[Sequence[int], dict[str, Any]]]:
        """(places, batch) of inputs that a user passes, each input once, in an order that is quick."""
        for start in range(0, len(inputs), size):
            places = range(start, min(start + size, len(inputs)))
            yield places, self.batch([inputs[i] for i in places], processor)

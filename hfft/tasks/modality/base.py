"""What every modality defines: the columns of a task's rows, and the parts of transformers that read them. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfft.data.modality.base import Inputs


@dataclass(frozen=True, eq=False, kw_only=True)
class Modality:
    """A kind of input.

    Attributes:
        name: its name in messages, and the usual name of its column.
        columns: role -> usual name of the column; `None` if there is no usual one, such as for the second text of a pair.
        input_name: the argument of a bare model that takes the input, its `main_input_name`.
        other_input_names: what it is called in other architectures.
        noun: what one input is called in messages; default: the name.
        auto_processor: the transformers class that loads the processor.
        inputs_class: `module:class` that reads, decodes and batches rows (`hfft.data.modality`), imported when first used.
        tokens: whether inputs are token sequences, which are batched by length and can be preceded by learned prompts.
        continuous: whether inputs are numbers that can be mixed and perturbed.
        augmented: whether `data.augment` applies to its rows.
        processor_made: whether the processor is made for the model's config and fitted on the training rows, since models of
            this kind are published without one.
        edits_refused: kinds of `backbone.edit`, and of inserted modules, that do not suit the input -> why.
        pipeline_options: arguments for `transformers.pipeline` in addition to the input.
    """

    name: str
    columns: Mapping[str, str | None]
    input_name: str
    auto_processor: str
    inputs_class: str
    other_input_names: tuple[str, ...] = ()
    noun: str = ""
    tokens: bool = False
    continuous: bool = False
    augmented: bool = False
    processor_made: bool = False
    edits_refused: Mapping[str, str] = field(default_factory=dict)
    pipeline_options: Mapping[str, bool] = field(default_factory=dict)

    def load_processor(self, where: str, **how: Any) -> Any:
        """The processor that was saved with a model, by its Auto class.

        Args:
            how: arguments of `from_pretrained`.
        """
        import transformers

        assert self.inputs is not None  # its module makes the processors that are hfft's own known to transformers
        return getattr(transformers, self.auto_processor).from_pretrained(where, **how)

    @property
    def input_names(self) -> tuple[str, ...]:
        """All names of the argument that takes the input."""
        return (self.input_name, *self.other_input_names)

    @property
    def plural(self) -> str:
        """What several inputs are called in messages."""
        noun = self.noun or self.name
        return noun if noun.endswith("s") else f"{noun}s"  # one series, several series

    @property
    def one(self) -> str:
        """What one input is called in messages, with its article."""
        noun = self.noun or self.name
        return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"

    @cached_property
    def inputs(self) -> Inputs:
        """The class that reads, decodes and batches its rows; this imports torch."""
        module, _, name = self.inputs_class.partition(":")
        return getattr(import_module(module), name)()

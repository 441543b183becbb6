"""What every modality answers: what the rows of a task hold, and which parts of transformers read it. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hfft.data.modality.base import Inputs


@dataclass(frozen=True, eq=False, kw_only=True)
class Modality:
    """A kind of input.

    Attributes:
        name: what messages call it, and the usual name of its column.
        columns: role -> usual name of the column; `None` where there is no usual one, such as the second text of a pair.
        input_name: the argument by which a bare model takes it, its `main_input_name`.
        auto_processor: the class of transformers that loads the processor.
        inputs_class: `module:class` of what reads, decodes and batches rows (`hfft.data.modality`), loaded when first used.
        tokens: whether inputs are sequences of tokens, which are batched by length and learned prompts may precede.
        continuous: whether inputs are numbers, which can be mixed and moved.
        augmented: whether `data.augment` changes its rows.
        edits_refused: kinds of `backbone.edit`, and modules that an edit inserts, that do not go with it -> why.
        pipeline_options: what `transformers.pipeline` is called with beside the input.
    """

    name: str
    columns: Mapping[str, str | None]
    input_name: str
    auto_processor: str
    inputs_class: str
    tokens: bool = False
    continuous: bool = False
    augmented: bool = False
    edits_refused: Mapping[str, str] = field(default_factory=dict)
    pipeline_options: Mapping[str, bool] = field(default_factory=dict)

    @cached_property
    def inputs(self) -> Inputs:
        """What reads, decodes and batches its rows; this imports torch."""
        module, _, name = self.inputs_class.partition(":")
        return getattr(import_module(module), name)()

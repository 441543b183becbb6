"""The section of `data` that says how texts or sounds are drawn as images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hfft.spec import Spec

DEFAULTS: dict[str, dict[str, Any]] = {
    "text": {"font_size": 10},
    "spectrogram": {"seconds": 1.0, "sampling_rate": 16000},
}
MOST = 1024  # bands and steps of a spectrogram


class Render(Spec):
    """Texts drawn as lines of pixels, or sounds as spectrograms, for an image network.

    Attributes:
        kind: `text`, or `spectrogram` of sounds.
        size: height and width of the image in pixels. Text that does not fit is cut; of a spectrogram these are bands of
            frequencies (mel) and steps in time.
        font_size: of Pillow's own font, in pixels; for text, default: 10.
        seconds: how much of a sound is drawn, default: 1. A shorter one is followed by silence, of a longer one the beginning
            counts.
        sampling_rate: in Hz, to which sounds are brought, default: 16000; half of it is the highest frequency that is drawn.
    """

    kind: Literal["text", "spectrogram"] = "text"
    size: list[Annotated[int, Field(ge=8, le=4096)]] = Field(default=[64, 128], min_length=2, max_length=2)
    font_size: int | None = Field(default=None, ge=6, le=256)
    seconds: float | None = Field(default=None, ge=0.05, le=600)
    sampling_rate: int | None = Field(default=None, ge=1000, le=96000)

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, given: Any) -> Any:
        """The defaults of the kind stated, so that a finished run keeps them whatever they become."""
        if not isinstance(given, Mapping):
            return given
        own = DEFAULTS.get(str(given.get("kind", "text")), {})
        return {**given, **{key: value for key, value in own.items() if given.get(key) is None}}

    @model_validator(mode="after")
    def _of_its_kind(self) -> Render:
        others = ("seconds", "sampling_rate") if self.kind == "text" else ("font_size",)
        if strange := [name for name in others if getattr(self, name) is not None]:
            other = "spectrogram" if self.kind == "text" else "text"
            raise ValueError(
                f"has {strange[0]}, but is of kind {self.kind}; set kind: {other}, or leave {strange[0]} out"
            )
        if self.kind == "spectrogram" and max(self.size) > MOST:
            raise ValueError(f"has size {self.size}; spectrograms have at most {MOST} bands and steps")
        return self

    @property
    def heard(self) -> tuple[float, int]:
        """How many seconds of a sound are drawn, and at which sampling rate."""
        own = {**DEFAULTS["spectrogram"], **self.plain()}
        return own["seconds"], own["sampling_rate"]

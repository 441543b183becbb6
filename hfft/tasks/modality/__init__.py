"""The kinds of input: which columns a row has and what reads them. One file each, without torch; the other half of each
is in `hfft/data/modality/`."""

from hfft.tasks.modality.audio import AUDIO
from hfft.tasks.modality.base import Modality
from hfft.tasks.modality.image import IMAGE
from hfft.tasks.modality.series import SERIES
from hfft.tasks.modality.text import TEXT

__all__ = ["AUDIO", "IMAGE", "SERIES", "TEXT", "Modality"]

"""Train: one Trainer subclass, the arguments it runs with, and the folder a run lives in."""

from hfft.train.arguments import training_arguments
from hfft.train.folder import RunFolder
from hfft.train.trainer import FineTuner

__all__ = ["FineTuner", "RunFolder", "training_arguments"]

"""What the runs have loaded already: imports make no garbage, and looking for it takes a quarter of their time."""

import gc

gc.disable()

import hfft.pipeline.finetune  # noqa: E402, F401
import tests.torture.runs  # noqa: E402, F401

gc.freeze()
gc.enable()

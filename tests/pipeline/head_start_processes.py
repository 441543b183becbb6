"""Run by a launcher: the head that a run with `head.init: lda` begins with, in each of two processes."""

import os
import sys
from pathlib import Path

import torch

from tests.pipeline.test_head_start import begun

if __name__ == "__main__":
    target = Path(sys.argv[1])
    torch.save(begun(target), target / f"{os.environ['RANK']}.pt")
    torch.distributed.destroy_process_group()

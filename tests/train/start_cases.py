"""Run in each of two processes: `python start_cases.py WHEN VICTIM`; the victim dies at that moment, without a word."""

import os
import sys

import torch.distributed

from hfft import run
from hfft.train import distributed

WHEN, VICTIM = sys.argv[1:]


def die(*_):
    os._exit(0)


def start() -> int:
    mine = os.environ["RANK"] == VICTIM
    if mine and WHEN == "before the start":
        die()
    if mine and WHEN == "before the group":
        os.environ.pop("GLOO_SOCKET_IFNAME", None)
        distributed.interface_to = die
    with distributed.together():
        distributed.join(use_cpu=True, timeout=3)
        if WHEN == "before the first step":
            torch.distributed.barrier()  # so that the other one has joined as well
            if mine:
                die()
        torch.distributed.barrier()
    return 0


run.leave(run.guarded(start))

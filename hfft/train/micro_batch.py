"""Choose how many rows run through the model at once; the step is the same for any split of its batch."""

from __future__ import annotations

import gc
from typing import Any

import torch
from torch import Tensor, nn

from hfft.train.batches import some_rows
from hfft.train.memory import out_of_memory, split_batch
from hfft.train.trainer import FineTuner

CPU = 32  # a larger micro-batch is no faster on a CPU, and texts are padded more


def settle(trainer: FineTuner, limit: int | None = None) -> tuple[int, int]:
    """Split the step's rows into micro-batches that fit on the device, the same on all processes.

    Args:
        limit: the largest micro-batch to try; by default 32 on a CPU, otherwise all rows.

    Returns:
        (micro-batch, accumulation), as from `memory.split_batch`.
    """
    args = trainer.args
    rows, on_cpu = args.per_device_train_batch_size * args.gradient_accumulation_steps, args.device.type == "cpu"
    most = limit or (CPU if on_cpu else rows)
    # On a CPU nothing is tried: the system would swap before it ran out of memory.
    micro, _ = split_batch(rows, lambda size: size <= most and (on_cpu or fits(trainer, size)))
    micro = int(trainer.accelerator.gather(torch.tensor([micro], device=args.device)).min())
    args.per_device_train_batch_size, args.gradient_accumulation_steps = micro, rows // micro
    trainer._train_batch_size = args.train_batch_size
    return micro, rows // micro


def fits(trainer: FineTuner, micro: int) -> bool:
    """Whether a training step of `micro` rows, the longest if they are texts, fits into the device's memory.

    Random state and buffers are restored and gradients cleared. Empty tensors stand in for the optimiser's state, which
    does not exist yet.
    """
    model, device = trainer.model, trainer.args.device
    with trainer.accompanied(trainer.train_dataset) as rows:
        batch = trainer.data_collator(some_rows(rows, micro))

    def step(model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        with trainer.compute_loss_context_manager():
            loss = trainer.compute_loss(model, inputs)
        trainer.accelerator.backward(loss)
        return loss.detach()

    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            model.train()
            state = [torch.empty_like(p) for p in model.parameters() if p.requires_grad for _ in range(2)]
            trainer.steps.begin([batch], None, None, alone=True)
            trainer.steps.micro_batch(model, batch, step)
            del state
            return True
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            return False
        finally:
            model.zero_grad(set_to_none=True)
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
            trainer.steps.begin([], None, None)
            trainer.term_log.settle(taken=False)
            trainer.term_log.left_out = 0
            trainer.loss_terms.clear()
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()

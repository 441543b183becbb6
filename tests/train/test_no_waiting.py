"""No step makes a GPU wait: nothing of it is read by the host, and no number is brought from the host's memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import ViTImageProcessorPil

from hfft import layers
from hfft.data.batch_transform import learn, pack
from hfft.frozen_cache.frozen_cache import FrozenCacheSettings
from tests.examples import SINGLE, head_and_depths, tiny
from tests.training import arguments, examples, finetuner, labels_of, methods_of

# What reads a value (`item`, `tolist`, `if tensor`), asks how many there are, or makes a tensor of Python's numbers,
# which is then copied from memory that a GPU cannot read by itself.
WAITING = {"_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "lift_fresh", "_unique2"}


class Seen(TorchDispatchMode):
    """The operations that make a GPU wait, of those that run inside."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.overloadpacket.__name__
        indices = args[1] if name in ("index", "index_put_") else ()
        if name in WAITING or any(t is not None and t.dtype == torch.bool for t in indices):
            self.found.append(name)
        return operation(*args, **(kwargs or {}))


def test_what_makes_a_gpu_wait_is_seen():
    with Seen() as seen:
        ones = torch.ones(3)
        ones.sum().item()
        _ = ones[ones > 0]
        torch.tensor(2.0)
    assert seen.found == ["_local_scalar_dense", "index", "lift_fresh"]


@pytest.mark.slow
@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_a_training_step_waits_for_nothing(name, cached, tmp_path, monkeypatch):
    model = tiny(name)
    head_names, depths = head_and_depths(model)
    model = layers.adapt(model, "head", None, depths, head_names)
    weights = {"class_weights": {"class 0": 1.0, "class 1": 2.0, "class 2": 1.0}}
    methods = methods_of(**weights, **({} if cached else {"l2_sp": 0.1, "bss": 0.1, "ema": 0.9}))
    trainer = finetuner(
        model,
        labels_of(SINGLE),
        examples("image", SINGLE, 16),
        arguments(tmp_path / "run", num_train_epochs=3, logging_steps=100, gradient_accumulation_steps=2),
        depths=depths,
        methods=methods,
        cache_settings=FrozenCacheSettings(tmp_path / "cache", 10**9) if cached else None,
    )
    monkeypatch.setattr(
        trainer.finite_check, "step", lambda *_: False
    )  # which is read one step late, see test_finite_check
    steps, one = [], trainer.compute_loss
    counted = trainer._get_num_items_in_batch

    def watched(function):
        def run(*args, **kwargs):
            with Seen() as seen:
                result = function(*args, **kwargs)
            steps.append(seen.found)
            return result

        return run

    monkeypatch.setattr(trainer, "compute_loss", watched(one))
    monkeypatch.setattr(trainer, "_get_num_items_in_batch", watched(counted))
    trainer.train()
    assert len(steps) == 3 * 3
    assert steps[-3:] == [[], [], []], "in the last epoch, when all that is kept is there"
    assert trainer.frozen_cache is None
    assert bool(trainer.cache_report.get("cut")) == cached


@pytest.mark.parametrize("turned", [False, True])
def test_images_wait_for_nothing_once_their_scale_is_there(turned):
    pixels = learn(ViTImageProcessorPil(size={"height": 32, "width": 32}))
    assert pixels is not None
    pixels = replace(pixels, order=(2, 1, 0)) if turned else pixels
    batch = pack([np.zeros((40, 50, 3), np.uint8)] * 2)
    pixels(batch)
    with Seen() as seen:
        pixels(batch)
    assert seen.found == []

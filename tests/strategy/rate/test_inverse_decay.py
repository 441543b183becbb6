"""The rates fall in inverse proportion to the steps, on top of a constant schedule alone."""

import pytest
from transformers import TrainerCallback

from hfft.strategy import inverse_decay
from tests.examples import SINGLE, tiny
from tests.training import arguments, examples, finetuner, labels_of, methods_of


def test_the_factor_is_the_papers():
    assert [inverse_decay(0), inverse_decay(1000), inverse_decay(9000)] == pytest.approx([1, 2**-0.75, 10**-0.75])
    assert inverse_decay(4, gamma=0.5, power=2.0) == pytest.approx(1 / 9)


class Rates(TrainerCallback):
    """The learning rate of each step, as the optimiser has it."""

    def __init__(self):
        self.found = []

    def on_optimizer_step(self, args, state, control, optimizer, **kwargs):
        self.found.append(optimizer.param_groups[0]["lr"])


def test_the_optimiser_has_these_rates(tmp_path):
    settings = arguments(tmp_path, learning_rate=0.1, num_train_epochs=2, logging_steps=1)
    rows, methods, rates = examples("text", SINGLE, 16), methods_of(inverse_decay={"gamma": 0.5, "power": 1.0}), Rates()
    trainer = finetuner(tiny("bert"), labels_of(SINGLE), rows, settings, methods=methods)
    trainer.callback_handler.callbacks.insert(0, rates)  # before the scheduler's rates are put back
    trainer.train()
    assert rates.found == pytest.approx([0.1 / (1 + 0.5 * step) for step in range(len(rates.found))])
    assert len(rates.found) == trainer.state.global_step > 2

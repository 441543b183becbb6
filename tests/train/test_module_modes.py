"""What a training asks of the model's tree in each step, from lists: the same answers, and nothing of it stays."""

import pytest
import torch
from torch import nn
from transformers import TrainerCallback

from hfft.train.module_modes import asked_once
from tests.examples import SINGLE, tiny
from tests.training import arguments, examples, finetuner, labels_of


def test_the_answers_are_those_of_a_walk_and_nothing_stays():
    model = tiny("bert")
    own = dict(vars(model))
    whole, alone = list(model.parameters()), list(model.parameters(recurse=False))
    model.bert.encoder.layer[0].eval()
    with asked_once(model):
        assert [id(p) for p in model.parameters()] == [id(p) for p in whole]
        assert list(model.parameters(recurse=False)) == alone
        assert model.train() is model
        assert all(module.training for module in model.modules())
        model.eval()
        assert not any(module.training for module in model.modules())
        model(torch.tensor([[3, 4]])).logits.sum().backward()
        model.zero_grad()
        assert all(p.grad is None for p in whole)
    assert vars(model).keys() == own.keys()
    model.train()
    assert all(module.training for module in model.modules())


def test_a_module_with_a_train_of_its_own_is_asked():
    model = tiny("bert")

    class Forgetful(nn.Linear):
        kept = 1

        def train(self, mode=True):
            self.kept = 0
            return super().train(mode)

    model.classifier = Forgetful(*reversed(model.classifier.weight.shape))
    with asked_once(model):
        model.train()
    assert model.classifier.kept == 0


def test_what_is_inside_ends_also_where_training_breaks_off():
    model = tiny("bert")
    with pytest.raises(KeyboardInterrupt), asked_once(model):
        raise KeyboardInterrupt
    assert "train" not in vars(model)


class Walks(TrainerCallback):
    """Counts, step by step, how often the tree is walked."""

    def __init__(self, monkeypatch):
        self.steps = []
        for name in ("named_children", "named_modules", "_named_members"):
            monkeypatch.setattr(nn.Module, name, self.counted(getattr(nn.Module, name)))

    def counted(self, function):
        def walk(*args, **kwargs):
            if self.steps:
                self.steps[-1] += 1
            return function(*args, **kwargs)

        return walk

    def on_step_begin(self, args, state, control, **kwargs):
        self.steps.append(0)


@pytest.mark.slow
def test_no_step_walks_the_tree_once_training_runs(tmp_path, monkeypatch):
    trainer = finetuner(
        tiny("bert"),
        labels_of(SINGLE),
        examples("text", SINGLE, 24),
        arguments(tmp_path, per_device_train_batch_size=4),
    )
    trainer.floating_point_ops = lambda inputs: 0  # transformers counts the parameters for it
    trainer.add_callback(walks := Walks(monkeypatch))
    trainer.train()
    assert len(walks.steps) >= 6
    assert walks.steps[2:-1] == [0] * len(walks.steps[2:-1])

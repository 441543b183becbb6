"""The largest micro-batch that fits, the step's rows kept by accumulation."""

import pytest
import torch

from hfft.train import micro_batch, training_arguments
from hfft.train.device import cores, lay_out, layout
from hfft.train.memory import split_batch
from hfft.train.micro_batch import fits, settle
from tests.examples import SINGLE, tiny
from tests.train.test_by_length import rows_of, trainer_of
from tests.train.test_train_arguments import recipe
from tests.training import arguments, examples, finetuner, labels_of


@pytest.mark.parametrize(
    ("rows", "limit", "expected"),
    [(32, 32, (32, 1)), (32, 31, (16, 2)), (48, 20, (16, 3)), (30, 9, (6, 5)), (7, 6, (1, 7)), (8, 0, (1, 8))],
)
def test_the_largest_split_that_fits_keeps_the_rows_of_a_step(rows, limit, expected):
    assert split_batch(rows, lambda micro: micro <= limit) == expected


class Small(torch.nn.Module):
    """A device with memory for so many rows."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def forward(self, inputs):
        if len(inputs[0]) > self.limit:
            raise torch.OutOfMemoryError("too many rows")
        return inputs


def limited(trainer, limit):
    small = Small(limit)
    trainer.model.bert.embeddings.register_forward_pre_hook(
        lambda module, args, kwargs: small([kwargs["input_ids"]]) and None, with_kwargs=True
    )
    return trainer


@pytest.mark.slow
def test_what_does_not_fit_is_found_by_trying_and_leaves_nothing_behind(tmp_path):
    trainer = limited(trainer_of(tmp_path, rows_of(40), per_device_train_batch_size=16), 5)
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    state = torch.get_rng_state()
    assert [fits(trainer, size) for size in (16, 8, 5, 4)] == [False, False, True, True]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in trainer.model.parameters())
    assert all(torch.equal(before[key], value) for key, value in trainer.model.state_dict().items())


@pytest.mark.slow
def test_statistics_of_norms_do_not_move_when_a_batch_is_tried(tmp_path):
    model = tiny("resnet")
    trainer = finetuner(model, labels_of(SINGLE), examples("image", SINGLE, 4), arguments(tmp_path))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert fits(trainer, 8), "rows are repeated where there are fewer"
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.slow
def test_a_run_that_was_split_trains_what_the_whole_batch_does(tmp_path, monkeypatch):
    def trained(limit):
        trainer = trainer_of(tmp_path, rows_of(40), per_device_train_batch_size=16, optim="sgd", max_grad_norm=0)
        for module in trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        trainer.model.double()
        if limit:
            monkeypatch.setattr(micro_batch, "CPU", limit)
            assert settle(trainer) == (limit, 16 // limit)
        trainer.train()
        assert trainer.state.global_step == 9
        return trainer.model.state_dict()

    whole, split = trained(None), trained(4)
    assert all((whole[key] - split[key]).abs().max() < 1e-6 for key in whole)


def test_a_cpu_takes_thirty_two_rows_at_once(tmp_path):
    trainer = trainer_of(tmp_path, rows_of(40), per_device_train_batch_size=128)
    assert settle(trainer) == (32, 4)
    assert trainer.get_train_dataloader().batch_sampler.batch_size == 32
    assert (trainer.args.per_device_train_batch_size, trainer.args.gradient_accumulation_steps) == (32, 4)


@pytest.mark.parametrize(("training", "rows"), [({}, 32), ({"gradient_accumulation_steps": 48}, 48)])
def test_auto_splits_the_rows_that_accumulation_names(training, rows, tmp_path):
    found = training_arguments(recipe(tmp_path, per_device_train_batch_size="auto", **training))
    assert (found.per_device_train_batch_size, found.gradient_accumulation_steps) == (rows, 1)


# --- layout


def test_a_convolutional_net_is_kept_channels_last_and_computes_and_saves_the_same(tmp_path):
    model = tiny("resnet", seed=1)
    inputs = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = model(pixel_values=inputs).logits
        assert lay_out(model)
        assert (model(pixel_values=inputs).logits - before).abs().max() < 1e-6
    convolution = next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.in_channels > 1)
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["vit", "swin", "bert", "convnext"])
def test_other_models_stay_as_they_are(name):
    model = tiny(name)
    strides = [p.stride() for p in model.parameters()]
    assert not lay_out(model)
    assert [p.stride() for p in model.parameters()] == strides


def test_a_recipe_says_otherwise():
    assert not lay_out(net := tiny("resnet"), "contiguous_format")
    assert layout(net) == "contiguous_format"
    assert lay_out(net)
    assert layout(net) == "channels_last"
    assert lay_out(mixed := tiny("convnext"), "channels_last")
    assert layout(mixed) == "channels_last"


def test_cores_are_shared_by_the_processes_of_a_machine(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert cores() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert cores() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert cores() == 1

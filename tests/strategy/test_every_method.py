"""What holds for every method: neutral is absent, any split of a batch is the same step, resumed is uninterrupted."""

import functools

import pytest
import torch
from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification, TrainerCallback

from hfft.strategy.spec import Strategy
from tests.examples import ALL
from tests.strategy import cases
from tests.strategy.cases import CASES, RANDOM, apart, run, trainer_of
from tests.torture.runs import equal
from tests.train.test_processes import free_port, launch, stderr_of
from tests.train.test_resume import Stop, outcome
from tests.training import methods_of

NEUTRAL = {
    "mcc": {"on": "target", "weight": 0.0},
    "mixup": 0.0,
    "cutmix": 0.0,
    "sam": 0.0,
    "distillation": {"teacher": "x", "weight": 0.0},
    "focal": 0.0,
    "poly": 0.0,
    "logit_adjustment": 0.0,
    "class_weights": {},
    "l2_sp": 0.0,
    "bss": 0.0,
    "r_drop": 0.0,
    "ema": 0.0,
    "non_finite": "stop",
}


@pytest.mark.parametrize("name", Strategy.model_fields)
def test_a_neutral_option_is_no_method_at_all(name):
    if name == "balanced":  # which has no option that leaves the order alone: it is left out of the recipe
        assert name not in NEUTRAL
        return
    assert methods_of(**{name: NEUTRAL[name]}) == []


# Logged figures are sums in float32; gradients and weights are float64.
def close(found, logs=2e-5):
    return all(value < (1e-12 if key in ("gradients", "weights", "state") else logs) for key, value in found.items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A case trained with whole batches, once."""
    return functools.cache(lambda name, rows: run(name, tmp_path_factory.mktemp("whole"), 8, 1, rows))


@pytest.mark.slow_but("focal-17")
@pytest.mark.parametrize(("name", "rows"), cases.WAYS)
def test_any_accumulation_is_the_same_step(name, rows, whole, tmp_path):
    found = apart(whole(name, rows), run(name, tmp_path, 2, 4, rows))
    assert close(found), found


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """Outcome of every case in each of two processes."""
    folder = tmp_path_factory.mktemp("two")
    port = ("--master-addr", "127.0.0.1", "--master-port", free_port())
    process = launch("torch.distributed.run", "--nproc-per-node", 2, *port, cases.__file__, folder)
    said = stderr_of(process)
    assert process.returncode == 0, said[-3000:]
    return [
        {way: cases.Outcome(**found) for way, found in torch.load(folder / f"{rank}.pt", weights_only=False).items()}
        for rank in (0, 1)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rows"), cases.WAYS)
def test_two_processes_take_the_same_step(name, rows, two_processes, whole):
    for rank in (0, 1):
        found = apart(whole(name, rows), two_processes[rank][name, rows])
        assert close(found), found


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_run_that_goes_on_ends_where_it_would_have(name, tmp_path):
    stop = 4

    def trainer(folder, seed, callbacks=()):
        torch.manual_seed(100 + seed)  # another process has drawn other numbers by then
        return trainer_of(
            CASES[name],
            folder,
            4,
            2,
            rows=20,
            dtype=torch.float32,
            dropout=0.1,
            callbacks=callbacks,
            optim="adamw_torch",
            learning_rate=0.01,
            lr_scheduler_type="linear",
            num_train_epochs=3,
            save_strategy="steps",
            save_steps=stop,
        )

    straight = trainer(tmp_path / "straight", 0)
    straight.train()
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "broken", 1, (Stop(stop),)).train()
    resumed = trainer(tmp_path / "broken", 2)
    resumed.train(str(tmp_path / "broken" / f"checkpoint-{stop}"))
    assert equal(outcome(straight), outcome(resumed))
    assert equal(straight.steps.state(), resumed.steps.state())


@pytest.mark.slow_but("balanced")
@pytest.mark.parametrize("name", CASES)
def test_what_is_saved_is_a_plain_model(name, tmp_path):
    trainer = trainer_of(CASES[name], tmp_path, dtype=torch.float32, num_train_epochs=1)
    trainer.train()
    with trainer.scored():
        trainer.whole_model().save_pretrained(tmp_path / "model")
        expected = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    auto = (
        AutoModelForImageClassification
        if ALL[CASES[name].model].modality == "image"
        else AutoModelForSequenceClassification
    )
    again, told = auto.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert equal(expected, again.state_dict())


class Count(TrainerCallback):
    """Counts the steps that were taken."""

    taken = 0

    def on_optimizer_step(self, args, state, control, **kwargs):
        self.taken += 1


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The weights of a model that is trained without methods, once."""

    @functools.cache
    def weights(model):
        trainer = trainer_of(cases.Case(model=model), tmp_path_factory.mktemp("plain"), dropout=0.0)
        trainer.train()
        return {name: parameter.detach() for name, parameter in trainer.model.named_parameters()}

    return weights


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_method_changes_the_run(name, plain, tmp_path):
    """Equalities prove nothing of a method that does nothing."""
    changed = trainer_of(CASES[name], tmp_path, dropout=0.1 if name in RANDOM else 0.0)
    changed.train()
    with changed.scored():
        with_it = {n: p.detach().clone() for n, p in changed.model.named_parameters()}
    same = all(torch.equal(p, with_it[n]) for n, p in plain(CASES[name].model).items())
    assert same == (name in ("none", "non_finite"))

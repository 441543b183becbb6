"""What methods need is given, or the run is refused, or what would mislead them is switched off."""

import pytest
import torch

from hfft.errors import BadInput
from hfft.frozen_cache.frozen_cache import FrozenCacheSettings
from hfft.layers import adapt
from hfft.strategy.method import TASK, Method, Pass
from hfft.strategy.needs import Situation, needed, refusals, row_numbers, uncacheable
from hfft.train.batches import NUM_OWN_ROWS
from hfft.train.last_block import LastBlock
from hfft.train.micro_batch import fits
from tests import training
from tests.examples import ALL, MULTI, REGRESSION, SINGLE, head_and_depths, tiny
from tests.strategy.cases import CASES, NOT_DIVIDED, NearStates, trainer_of
from tests.strategy.check import apart, run
from tests.training import arguments, examples, finetuner, labels_of, methods_of

# --- the frozen cache


def frozen_run(name, folder, cached, train="head"):
    """A case whose backbone is frozen, with and without what is kept of it."""
    case = CASES[name]
    trainer = trainer_of(case, folder / f"{cached}", dtype=torch.float32, num_train_epochs=3, rows=20)
    head_names, depths = head_and_depths(tiny(case.model))
    adapt(trainer.model, train, None, depths, head_names)
    for method in trainer.methods:
        method.start(trainer.setting)
    said = []
    if cached:
        trainer.cache_settings = FrozenCacheSettings(folder / "cache", 10**9, say=said.append)
    gradients = training.Gradients()
    trainer.add_callback(gradients)
    trainer.train()
    return trainer, gradients.steps, [entry for entry in trainer.state.log_history if "loss" in entry], said


@pytest.mark.sampled(14)
@pytest.mark.slow
@pytest.mark.parametrize("train", ["head", "last-1"])
@pytest.mark.parametrize(
    "name",
    [
        "l2_sp",
        "bss",
        "r_drop",
        "sam",
        "ema",
        "class_weights",
        "balanced",
        "focal",
        "distillation",
        "elr",
        "logit_adjustment",
        "curriculum",
        "hard_examples",
        "self_distillation from the start",
        "entropy",
        "mcc, two rows for each",
        "dann, two rows for each, sam",
    ],
)
def test_what_is_kept_of_frozen_layers_changes_nothing(name, train, tmp_path):
    assert uncacheable(trainer_of(CASES[name], tmp_path).methods) is None
    (_, expected, logs, _), (kept, found, told, said) = (frozen_run(name, tmp_path, c, train) for c in (False, True))
    assert kept.cache_report["cut"] is not None, said
    assert max(training.difference(a, b) for a, b in zip(expected, found, strict=True)) < 2e-5
    for left, right in zip(logs, told, strict=True):  # the logged values: a frozen feature has no gradient to differ
        assert left.keys() == right.keys()
        for key in left:
            assert right[key] == pytest.approx(left[key], rel=2e-4, abs=1e-6), key


@pytest.mark.parametrize("name", ["mixup", "cutmix", "fgm", "freelb", "pgd", "trades", "smart"])
def test_what_reads_inputs_keeps_nothing(name, tmp_path):
    why = uncacheable(trainer_of(CASES[name], tmp_path).methods)
    assert why == f"strategy.{name} needs the inputs themselves"


def test_states_of_blocks_are_not_read_of_rows_that_are_kept():
    method = NearStates()
    assert "which are not run for cached rows" in uncacheable([method])
    assert needed([method], "states")


# --- the short last block


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bss", "r_drop", "sam", "fgm", "smart"])
def test_a_short_last_block_changes_nothing_where_it_is_allowed(name, tmp_path):
    whole, short = (
        run(
            CASES[name],
            tmp_path / f"{wanted}",
            8,
            1,
            dropout=0.0 if name != "r_drop" else 0.1,
            last_block=LastBlock(wanted),
        )
        for wanted in (False, True)
    )
    found = apart(whole, short)
    if name == "r_drop":  # its dropout draws for fewer tokens in the last block
        assert found["r_drop"] < 1
    else:
        assert all(value < 2e-5 for value in found.values()), found


# --- filler rows, labels, empty micro-batches


class Seen(Method):
    """Keeps how many rows each hook sees."""

    name = "seen"

    def __init__(self):
        self.rows = []

    def losses(self, seen: Pass):
        self.rows.append((len(seen.logits[TASK]), len(seen.labels)))
        return {"seen": torch.full((len(seen.labels),), 3.0) + 0 * seen.logits[TASK].sum(1)}


def test_filler_rows_and_labels_are_seen_by_no_method(tmp_path):
    method = Seen()
    trainer = finetuner(
        tiny("bert"), labels_of(SINGLE), examples("text", SINGLE, 8), arguments(tmp_path), methods=[method]
    )
    batch = {**training.collate(examples("text", SINGLE, 8)), NUM_OWN_ROWS: 5}
    trainer.model.train()
    prepared = trainer.steps.prepared(batch)
    assert "labels" not in prepared.inputs
    plain = finetuner(tiny("bert"), labels_of(SINGLE), examples("text", SINGLE, 8), arguments(tmp_path))
    plain.model.train()
    expected, found = plain.compute_loss(plain.model, dict(batch)), trainer.compute_loss(trainer.model, dict(batch))
    assert method.rows == [(5, 5)]
    torch.testing.assert_close(found - expected, torch.tensor(3.0))


# --- steps that are left out


class Constant(Method):
    """A constant, and NaN in one step."""

    name = "constant"

    def __init__(self, bad):
        self.bad, self.updates = bad, 0

    def weights(self, model, at):
        return {"constant": torch.tensor(2.0) + 0 * sum(p.sum() for p in model.parameters())}

    def losses(self, seen):
        value = float("nan") if seen.at.step in self.bad else 0.0
        return {"broken": seen.logits[TASK].sum(1) * value}

    def updated(self, model, at):
        self.updates += 1


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 5])
def test_a_step_that_is_left_out_counts_nowhere(every, tmp_path):
    method = Constant({2})
    methods = [method, *methods_of(non_finite={"skip": 1}, ema=0.5)]
    settings = arguments(
        tmp_path, per_device_train_batch_size=4, logging_steps=every, num_train_epochs=1, learning_rate=0.0
    )
    trainer = finetuner(tiny("bert"), labels_of(SINGLE), examples("text", SINGLE, 20), settings, methods=methods)
    trainer.train()
    plain = finetuner(
        tiny("bert"), labels_of(SINGLE), examples("text", SINGLE, 20), arguments(tmp_path, **settings_of(every))
    )
    plain.train()
    assert method.updates == 4
    assert trainer.finite_check.skipped == 1
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    taken = [entry for entry in logs if "constant" in entry]
    assert [entry["constant"] for entry in taken] == [2.0] * (4 if every == 1 else 1)
    losses = [entry["loss"] for entry in plain.state.log_history if "loss" in entry]
    if every == 5:  # the mean of the four steps that were taken, each 2 above the task's
        each = finetuner(
            tiny("bert"), labels_of(SINGLE), examples("text", SINGLE, 20), arguments(tmp_path, **settings_of(1))
        )
        each.train()
        losses = [entry["loss"] for entry in each.state.log_history if "loss" in entry]
        expected = sum(loss for i, loss in enumerate(losses) if i != 2) / 4 + 2.0
        assert logs[0]["loss"] == pytest.approx(expected, rel=1e-5)


def settings_of(every):
    return {"per_device_train_batch_size": 4, "logging_steps": every, "num_train_epochs": 1, "learning_rate": 0.0}


@pytest.mark.slow
def test_an_average_does_not_move_in_a_step_that_is_left_out(tmp_path):
    methods = [Constant({0, 1, 2, 3, 4}), *methods_of(non_finite={"skip": 9}, ema=0.5)]
    settings = arguments(tmp_path, per_device_train_batch_size=4, num_train_epochs=1)
    model = tiny("bert")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer = finetuner(model, labels_of(SINGLE), examples("text", SINGLE, 20), settings, methods=methods)
    trainer.train()
    average = next(method for method in trainer.methods if method.name == "ema")
    assert all(torch.equal(before[name], tensor) for name, tensor in average.mean.items())


# --- what a step costs beside one forward and backward


@pytest.mark.slow
def test_the_trial_of_memory_sees_replayed_steps(tmp_path):
    ran = []
    for name in ("none", "sam"):
        trainer = trainer_of(CASES[name], tmp_path, dtype=torch.float32)
        before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
        calls = []
        handle = trainer.model.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        assert fits(trainer, 4)
        handle.remove()
        ran.append(len(calls))
        assert all(torch.equal(before[key], value) for key, value in trainer.model.state_dict().items())
        assert trainer.term_log.left_out == trainer.term_log.taken == 0
    assert ran == [1, 2]


def test_memory_that_runs_out_in_a_replayed_step_is_told_as_in_any(tmp_path):
    from hfft.train.memory import TooLarge

    trainer = trainer_of(CASES["sam"], tmp_path, dtype=torch.float32)
    again, calls = trainer.run, []

    def failing(*args):
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("out of memory")
        return again(*args)

    trainer.run = failing
    with pytest.raises(TooLarge):
        trainer.train()


# --- an order of another length


class Fewer(Method):
    """An epoch of 10 rows of 16."""

    name = "fewer"

    def order(self, epoch, seed):
        return torch.arange(10).numpy()


def test_an_epoch_may_be_shorter_than_the_data(tmp_path):
    settings = arguments(tmp_path, per_device_train_batch_size=4, num_train_epochs=2)
    trainer = finetuner(tiny("bert"), labels_of(SINGLE), examples("text", SINGLE, 16), settings, methods=[Fewer()])
    trainer.train()
    loader = trainer.callback_handler.train_dataloader
    assert trainer.state.global_step == 6
    assert loader.dataset.total_dataset_length == 10


# --- refusals

KEYS = {
    "classes for a regression": ({"focal": 2.0}, Situation(REGRESSION), "focal", "needs classes"),
    "classes for several labels": ({"mcc": "t"}, Situation(MULTI, sets=("t",)), "mcc", "needs classes"),
    "several labels for one": ({"asymmetric_loss": 4.0}, Situation(SINGLE), "asymmetric_loss", "not for single_label"),
    "classes for outliers": ({"huber": 1.0}, Situation(SINGLE), "huber", "is for regression, not for single_label"),
    "mixed rows": ({"mixup": 0.2, "elr": 3.0}, Situation(SINGLE), "elr", "mixup mixes them; leave one of them out"),
    "shares twice": (
        {"logit_adjustment": 1.0, "balanced_softmax": True},
        Situation(SINGLE),
        "balanced_softmax",
        "shifts the logits by the shares of the classes, as logit_adjustment does",
    ),
    "an epoch that never comes": (
        {"forward_correction": {"matrix": "anchors", "after": 3}},
        Situation(SINGLE, epochs=3.0),
        "forward_correction",
        "begins after 3 epochs, but the run has 3; begin earlier, or raise training.num_train_epochs",
    ),
    "rows of a stream": ({"distillation": "x"}, Situation(SINGLE, streaming=True), "distillation", "row numbers"),
    "counts of a stream": (
        {"logit_adjustment": 1.0},
        Situation(SINGLE, streaming=True),
        "logit_adjustment",
        "rows of each class",
    ),
    "words to be mixed": ({"mixup": 0.2}, Situation(SINGLE, continuous=False), "mixup", "averages inputs"),
    "a set that is not there": ({"mcc": "webcam"}, Situation(SINGLE, sets=("dslr",)), "mcc", "(known: dslr)"),
    "a stream's target": ({"dann": "t"}, Situation(SINGLE, sets=("t",), streaming=True), "dann", "row numbers"),
    "a network that is sharded": ({"cdan": "t"}, Situation(SINGLE, sets=("t",), divided=True), "cdan", "FSDP"),
    "a second schedule": ({"inverse_decay": 0.1}, Situation(SINGLE, schedule="cosine"), "inverse_decay", "=constant"),
    "nothing to pull": ({"l2_sp": 0.1}, Situation(SINGLE, adapter=True), "l2_sp", "are frozen"),
    "DeepSpeed": ({"sam": 0.1}, Situation(SINGLE, deepspeed=True), "sam", "DeepSpeed"),
}


@pytest.mark.parametrize("what", KEYS)
def test_what_cannot_be_is_refused_with_the_key_and_the_reason(what):
    strategy, situation, key, reason = KEYS[what]
    [(found, why)] = refusals(methods_of(**strategy), situation)
    assert found == key
    assert reason in why


def test_what_begins_within_the_run_is_not_refused():
    anchors = methods_of(forward_correction={"matrix": "anchors", "after": 2})
    assert refusals(anchors, Situation(SINGLE, epochs=2.5)) == []
    assert refusals(methods_of(forward_correction=0.2), Situation(SINGLE, epochs=1.0)) == []


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("replaces", "replaces the loss"),
        ("order", "sets the order of rows"),
        ("gradients", "recomputes the gradient"),
    ],
)
def test_two_that_exclude_each_other_are_refused_by_both_names(hook, said):
    class One(Method):
        name = "one"
        replaces_loss = hook == "replaces"

    if hook != "replaces":
        setattr(One, hook, lambda *_: None)
    other = type("Two", (One,), {"name": "two"})
    [(key, why)] = refusals([One(), other()], Situation(SINGLE))
    assert (key, why) == ("two", f"{said}, as one does; leave one of them out")


def test_nothing_is_refused_under_fsdp_that_reads_no_whole_weights():
    for name, case in CASES.items():
        continuous = ALL[case.model].modality == "image"
        divided = Situation(
            case.problem,
            divided=True,
            sets=("target", "memory"),
            labelled_sets=("memory",),
            domains=True,
            continuous=continuous,
        )
        told = refusals([*methods_of(**case.strategy), *(make() for make in case.more)], divided)
        assert (told != []) == (name in NOT_DIVIDED), name


def test_rows_are_numbered_only_where_a_method_asks():
    assert not row_numbers(methods_of(l2_sp=0.1, bss=0.1, ema=0.9, sam=0.1))
    assert row_numbers(methods_of(mixup=0.1))
    assert row_numbers(methods_of(distillation="x"))


def test_a_head_that_reads_every_token_has_no_features_of_a_row(tmp_path):
    trainer = finetuner(
        tiny("gpt2"), labels_of(SINGLE), examples("text", SINGLE, 8), arguments(tmp_path), methods=methods_of(bss=1.0)
    )
    with pytest.raises(BadInput, match=r"reads features of each position, .* leave the method out"):
        trainer.train()


def test_two_passes_without_dropout_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"strategy\.r_drop: the model has no dropout"):
        trainer_of(CASES["r_drop"], tmp_path, dropout=0.0)


assert "bert" in ALL

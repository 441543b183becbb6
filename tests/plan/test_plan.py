"""The plan of a recipe: its bytes are exact, its seconds near what the run takes, and its alternatives the ones it names."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch

from hfft import cli, load_recipe
from hfft.pipeline.build import build_run
from hfft.plan import breakdown, measure, plan
from hfft.plan.measure import MOST, Measured, batch_size, pick, step_seconds, text_lengths
from hfft.recipe.alternatives import changed, choices
from hfft.train import training_arguments
from tests import stand_ins


@pytest.fixture(scope="module")
def trec(tmp_path_factory):
    """A recipe over a tiny text model."""
    folder = tmp_path_factory.mktemp("plan")
    model = stand_ins.model("google-bert/bert-base-uncased", folder / "model")
    data = stand_ins.data("CogComp/trec", folder / "data")
    given = [f"backbone.name={model}", f"data.path={data}", f"training.output_dir={folder / 'run'}"]
    return load_recipe("distilbert_trec", *given, "training.bf16=false", "training.per_device_train_batch_size=8")


@pytest.mark.slow
def test_weights_gradients_and_optimiser_are_exact(trec):
    for train in ("all", "last-1", "head"):
        recipe = changed(trec, layers={"train": train})
        run, found = plan.measured(recipe)
        assert run.trainer.args.max_steps == MOST + 1, "the first is not timed"
        model = run.trainer.model
        learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert found.learning == learning
        assert found.weights == 4 * found.parameters + sum(b.numel() * b.element_size() for b in model.buffers())
        assert found.gradients == 4 * learning
        tensors = sum(p.requires_grad for p in model.parameters())
        assert found.optimizer == 8 * learning + 4 * tensors, "two moments, and a step count for each tensor"


@pytest.mark.slow
def test_activations_are_what_a_step_keeps_and_grow_with_what_learns(trec):
    kept = {train: plan.measured(changed(trec, layers={"train": train}))[1] for train in ("all", "last-1", "head")}
    assert kept["all"].activations > 1.5 * kept["last-1"].activations > 3 * kept["head"].activations > 0
    assert kept["all"].state is None, "nothing in front of the embeddings is frozen"
    run = build_run(trec, training_arguments(trec))
    tokens, size = int(text_lengths(run.prepared.train).sum()), run.trainer.model.config.hidden_size
    assert kept["last-1"].state == 4 * tokens * size, "the second block's input, without padding"
    assert kept["head"].state == 4 * len(run.prepared.train) * size
    assert 0 < kept["last-1"].prefix < kept["head"].prefix < 1


@pytest.mark.slow
def test_rows_that_methods_read_beside_the_tasks_are_measured_as_well(tmp_path):
    few = ["layers.train=last-1", "data.max_train_samples=64", f"training.output_dir={tmp_path}"]
    _, plain = plan.measured(load_recipe("digits", *few))
    target = "data.sets={target: {path: digits, split: test, max_samples: 40}}"
    _, both = plan.measured(load_recipe("digits", *few, target, "strategy={dann: {on: target, hidden: 16}}"))
    assert both.steps == plain.steps
    assert both.activations > 1.5 * plain.activations
    assert both.methods == 4 * (97 * 16 + 17 * 16 + 17)


@pytest.mark.slow
def test_one_linear_layer_keeps_its_input(tmp_path):
    """Counted by hand: a linear head behind a frozen backbone keeps the features, the logits' softmax and little else."""
    recipe = load_recipe("digits", "layers.train=head", f"training.output_dir={tmp_path}", "data.augment=[]")
    _, found = plan.measured(recipe)
    batch, hidden, classes = 16, 64, 10
    assert 4 * batch * (hidden + classes) <= found.activations <= 4 * 65 * batch * hidden


@pytest.mark.slow
def test_the_time_of_an_epoch_is_near_that_of_a_real_one(tmp_path):
    recipe = load_recipe(
        "digits", "training.num_train_epochs=2", "score.from_scratch=false", f"training.output_dir={tmp_path}"
    )

    def real() -> float:
        trainer = build_run(recipe, training_arguments(recipe, eval_strategy="no", save_strategy="no")).trainer
        trainer.train()  # warms up
        started = time.perf_counter()
        trainer.train()
        return (time.perf_counter() - started) / 2

    ratios = []
    for _ in range(5):  # other processes come and go
        ratios.append(plan.measured(recipe)[1].epoch / real())
        if 0.5 < ratios[-1] < 2:
            return
    pytest.fail(f"planned over real: {ratios}")


def test_batches_are_drawn_from_the_whole_epoch_the_largest_first():
    sizes = torch.arange(1000).flip(0).numpy()
    drawn = pick(sizes, accumulated=2)
    assert len(drawn) == 2 * (MOST + 1)
    assert sizes[drawn[0]] == sizes.max()
    assert sorted(drawn[2:])[0] == 0
    assert sorted(drawn[2:])[-1] == 999
    assert abs(sizes[drawn[2:8]].mean() - sizes.mean()) < 300, "a few of them stand for all"


def test_a_batch_is_as_large_as_its_tokens_with_padding(trec):
    lengths = text_lengths(build_run(trec, training_arguments(trec)).prepared.train)
    assert batch_size([0, 1, 2], lengths) == 3 * max(lengths[:3])
    assert batch_size([0, 1, 2], None) == 3


@pytest.mark.slow
def test_a_stream_is_planned_by_its_steps(trec):
    recipe = changed(
        trec, data={**trec.resolved()["data"], "streaming": True, "validation": "test", "max_train_samples": 120}
    )
    recipe = changed(recipe, training={**recipe.resolved()["training"], "max_steps": 50})
    _, found = plan.measured(recipe)
    assert found.steps == 15, "of eight rows each"
    assert plan.seconds(recipe.training, found) == 50 * found.step


@pytest.mark.slow
def test_the_command_names_every_choice_and_where_the_time_goes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["layers.train=last-1", "data.max_train_samples=64", "training.dataloader_num_workers=1"]
    assert cli.main(["plan", "digits", "--profile", *given]) == 0
    said = capsys.readouterr().out
    for part in ("as the recipe says", "layers.train=all", "layers.train=last-2", "layers.train=head", "lora", "bf16"):
        assert part in said
    assert "the whole run: about" in said
    assert "matrix products" in said
    assert "cannot be" not in said
    assert list(tmp_path.iterdir()) == [], "a plan leaves nothing behind"


@pytest.mark.parametrize(("on", "other"), [(True, "training.bf16=false"), (False, "training.bf16=true")])
def test_the_precision_that_is_not_on_is_offered(trec, on, other):
    assert [name for name, _ in choices(trec, 2, on, False) if "bf16" in name] == [other]


@pytest.mark.slow
def test_a_choice_that_cannot_be_is_told_in_its_line(trec, monkeypatch):
    monkeypatch.setattr(plan, "choices", lambda *_: [("none", changed(trec, layers={"train": "/no such/"}))])
    (told,) = [line for line in plan.plan(trec) if line.startswith("none")]
    assert "not possible: " in told


# --- the parts, without a training


def costs(**changes) -> Measured:
    """What was measured of a training of a million parameters, a tenth of which learns."""
    mebibyte = 2**20
    values = {
        "parameters": 1000,
        "learning": 100,
        "weights": 4 * mebibyte,
        "gradients": mebibyte,
        "optimizer": 2 * mebibyte,
        "methods": 0,
        "activations": 3 * mebibyte,
        "steps": 50,
        "step": 0.5,
        "reading": 0.1,
        "prefix": 0.25,
        "state": None,
        "evaluation": 2.0,
        "peak": None,
    }
    return Measured(**{**values, **changes})


def test_numbers_are_written_as_a_person_says_them():
    assert [plan.count(n, "thread") for n in (0, 1, 2, 3)] == ["0 threads", "1 thread", "2 threads", "3 threads"]
    assert [plan.clock(s) for s in (1.4, 119, 120, 7199, 7200, 36000)] == [
        *("1 s", "119 s", "2 min", "120 min", "2.0 h", "10.0 h")
    ]
    assert (plan.short(None), plan.short(0.0), plan.short(1234.56)) == ("–", "0.0", "1,234.6")
    assert (plan.mib(0), plan.mib(3 * 2**19), plan.mib(2**30)) == ("0.0", "1.5", "1,024.0")


def test_a_line_of_the_table_has_what_was_measured_under_its_heading():
    assert plan.line("all", costs()).split() == [
        "all",
        "10.00%",
        "4.0",
        "1.0",
        "2.0",
        "3.0",
        "10.0",
        "0.500",
        "25.0",
        "2.0",
        "25%",
    ]
    kept = plan.line("all", costs(state=2**20))
    assert kept.split()[-2:] == ["1.0", plan.short(costs(state=2**20).later_epoch)]
    assert len(kept) == len(plan.HEAD.rstrip())


def test_methods_are_told_by_what_they_cost():
    methods = [{"name": "sam", "passes": 2, "bytes": 0}, {"name": "ema", "passes": 1, "bytes": 3 * 2**19}]
    assert plan.methods_line(methods) == "strategy: sam 2 passes a step, 0.0 MiB; ema 1 pass a step, 1.5 MiB"
    assert plan.methods_line([]) == ""
    assert costs(methods=5).memory == costs().memory + 5


def test_the_whole_training_is_its_steps_or_its_epochs_with_their_evaluations():
    assert plan.seconds({"max_steps": 10}, costs()) == 5.0
    assert plan.seconds({"max_steps": 1}, costs()) == 0.5
    assert plan.seconds({"num_train_epochs": 2, "max_steps": 0}, costs()) == 2 * (25.0 + 2.0)
    assert plan.seconds({"num_train_epochs": 2, "eval_strategy": "no"}, costs()) == 50.0
    assert plan.seconds({"num_train_epochs": 2}, costs(evaluation=None)) == 50.0
    assert plan.seconds({}, costs(steps=None)) is None


@pytest.mark.parametrize(("device", "said"), [("cpu", "cpu, 3 threads"), ("cuda", "a card")])
def test_the_plan_says_on_what_it_was_measured(trec, monkeypatch, device, said):
    args = SimpleNamespace(device=torch.device(device), train_batch_size=8, gradient_accumulation_steps=2, bf16=False)
    trainer = SimpleNamespace(args=args, depths=SimpleNamespace(blocks=2), methods=[], model=torch.nn.Linear(1, 1))
    run = SimpleNamespace(trainer=trainer, splits=SimpleNamespace(sizes={"train": 1600}))
    monkeypatch.setattr(plan, "measured", lambda recipe: (run, costs(reading=0.4)))
    monkeypatch.setattr(plan.torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(plan.torch.cuda, "get_device_name", lambda device: "a card")
    lines = list(plan.plan(trec))
    assert lines[0] == f"{trec.name} on {said}: 1600 training rows, batches of 8 × 2, 50 steps an epoch"
    assert any("reading takes 40% of a step" in line for line in lines)
    monkeypatch.setattr(plan, "measured", lambda recipe: (run, costs(reading=0.3)))
    assert not any("reading takes" in line for line in plan.plan(trec))


def run_through(callback, steps, monkeypatch, module):
    """A training of seconds that pass in the steps alone, each `(reading, work)`; how many were taken."""
    now = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    control = SimpleNamespace(should_training_stop=False)
    for taken, (reading, work) in enumerate(steps):
        now[0] += reading
        callback.on_step_begin(None, SimpleNamespace(global_step=taken), control)
        now[0] += work
        callback.on_step_end(None, SimpleNamespace(global_step=taken + 1), control)
        if control.should_training_stop:
            return taken + 1
    return None


def test_the_clock_times_reading_and_work_of_all_steps_but_the_first(monkeypatch):
    clock = measure.Clock(None)
    each = (measure.SECONDS / 16, measure.SECONDS / 8)
    assert run_through(clock, [(9, 9), *[each] * 20], monkeypatch, measure) == 1 + 6, "until they are seconds enough"
    assert clock.steps == [pytest.approx(each)] * 6


@pytest.mark.parametrize(("seconds", "taken"), [(measure.SECONDS, 1 + measure.STEPS), (0, 1 + MOST)])
def test_some_steps_are_measured_however_long_and_not_many_however_short(seconds, taken, monkeypatch):
    assert run_through(measure.Clock(None), [(seconds, 0)] * (MOST + 5), monkeypatch, measure) == taken


def test_one_step_is_profiled_after_those_that_warm_up(monkeypatch):
    step, calls = breakdown.OneStep(), []
    step.profile = SimpleNamespace(start=lambda: calls.append("start"), stop=lambda: calls.append("stop"))
    taken = run_through(step, [(1, 9)] * breakdown.WARM + [(0.5, 0.25)] * 5, monkeypatch, breakdown)
    assert taken == breakdown.WARM + 1
    assert calls == ["start", "stop"]
    assert (step.reading, step.seconds) == (0.5, 0.25)


def test_operators_are_told_by_kind():
    names = {
        "aten::addmm": "matrix products",
        "Optimizer.step#AdamW.step": "optimiser",
        "aten::_foreach_add_": "optimiser",
        "aten::native_layer_norm": "softmax, norms, activations",
        "aten::embedding": "embeddings and copies",
        "aten::nonzero_static": "embeddings and copies",
        "aten::sum": "other operators",
    }
    assert {name: breakdown.kind(name) for name in names} == names


def test_steps_are_timed_in_proportion_to_their_size_and_the_warm_up_is_left_out():
    timed = [[0.05, 0.05], [0.2, 0.1], [0.2]]  # a tenth of a second for each unit of size
    assert step_seconds(timed, [9, 1, 3, 2, 7], 4) == pytest.approx(0.4)

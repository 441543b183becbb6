"""The same examples give the same loss and gradients, however their batch is split."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer

from tests.examples import EVERY, PROBLEMS, SINGLE, tiny
from tests.train.split_cases import ALL_AT_ONCE, MASKED, Case, run, worst
from tests.training import Gradients, arguments, collate, difference, examples

# batch size and accumulation; 3 x 3 splits eight examples unevenly, the last micro-batch has two
SPLITS = [(4, 2), (2, 4), (3, 3)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The training on whole batches of eight, once for each case."""
    folder = tmp_path_factory.mktemp("whole")
    done: dict[str, Any] = {}

    def trained(case):
        if repr(case) not in done:
            done[repr(case)] = run(case, folder, 8, 1)
        return done[repr(case)]

    return trained


def same(left, right):
    """Float64 leaves rounding far below; what is logged is summed in float32."""
    found = worst(left, right)
    return found["gradients"] < 1e-12 and found["weights"] < 1e-12 and max(found.values()) < 1e-6


@pytest.mark.slow_but("vit-regression")
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", EVERY)
def test_a_batch_trains_the_same_whole_and_in_uneven_micro_batches(name, problem, whole, tmp_path):
    assert same(whole(Case(name, problem)), run(Case(name, problem), tmp_path, 3, 3))


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "accumulation"), SPLITS)
@pytest.mark.parametrize("name", ["bert", "vit", "resnet"])
def test_terms_weights_smoothing_and_clipping_train_the_same_for_every_split(
    name, batch, accumulation, whole, tmp_path
):
    case = Case(name, SINGLE, **ALL_AT_ONCE)
    together, split = whole(case), run(case, tmp_path, batch, accumulation)
    assert same(together, split)
    assert together.logs[0]["grad_norm"] > 0.05  # it was clipped
    assert together.logs[0]["l2_sp"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("problem", [*PROBLEMS, MASKED])
@pytest.mark.parametrize(("batch", "accumulation"), [(4, 2), (2, 4)])
def test_the_ragged_end_of_an_epoch_counts_its_own_examples(problem, batch, accumulation, whole, tmp_path):
    case = Case("bert", problem, count=10)  # a step of eight, a step of two
    together = whole(case)
    assert len(together.gradients) == 4
    assert same(together, run(case, tmp_path, batch, accumulation))


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "accumulation"), SPLITS)
def test_masked_tokens_count_alike_in_whichever_micro_batch_they_stand(batch, accumulation, whole, tmp_path):
    case = Case("bert", MASKED)
    assert same(whole(case), run(case, tmp_path, batch, accumulation))


@pytest.mark.slow
def test_the_logged_loss_is_the_mean_over_the_examples(tmp_path):
    logged = run(Case("bert", SINGLE), tmp_path, 3, 3).logs[0]["loss"]
    model, batch = tiny("bert"), collate(examples("text", SINGLE, 8))
    assert logged == pytest.approx(
        torch.nn.functional.cross_entropy(
            model(batch["input_ids"], batch["attention_mask"]).logits, batch["labels"]
        ).item(),
        rel=1e-6,
    )


@pytest.mark.slow
def test_the_stock_trainer_gives_four_times_the_gradient_so_these_tests_would_notice(tmp_path):
    def stock(folder: Path, batch: int, accumulation: int) -> tuple[dict[str, torch.Tensor], float]:
        model, gradients = tiny("bert").double(), Gradients()
        settings = arguments(
            folder, per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation, max_grad_norm=0.0
        )
        trainer = Trainer(model, settings, collate, examples("text", SINGLE, 8), callbacks=[gradients])
        trainer.train()
        return gradients.steps[0], trainer.state.log_history[0]["loss"]

    (once, loss), (split, split_loss) = stock(tmp_path, 8, 1), stock(tmp_path, 2, 4)
    assert difference({n: 4 * g for n, g in once.items()}, split) < 1e-12
    assert split_loss == pytest.approx(4 * loss)

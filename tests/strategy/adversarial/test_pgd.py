"""PGD adversarial training: radius and range in pixels before normalisation, norms that stand still, draws that know no split."""

import pytest
import torch

from hfft.errors import BadInput
from hfft.strategy.adversarial.attacks import pgd
from hfft.strategy.method import TASK
from hfft.strategy.needs import Situation, refusals
from hfft.tasks.problem import PROBLEMS
from tests import training
from tests.examples import SINGLE, tiny
from tests.strategy.cases import PIXELS, Case, trainer_of
from tests.training import methods_of

BLACK, WHITE = PIXELS.black_and_white
SPAN = WHITE[0] - BLACK[0]


def prepared(trainer, rows=8):
    """A batch as it is trained on, and its images before, in [0, 1]."""
    loader = trainer.get_train_dataloader()
    batch = next(iter(loader))
    before = ((batch["pixel_values"] - BLACK[0]) / SPAN).clamp(0, 1)
    trainer.model.train()
    random = torch.get_rng_state()
    found = trainer.steps.prepared(batch)
    assert torch.equal(torch.get_rng_state(), random)
    return found, before, (found.part(TASK)["pixel_values"] - BLACK[0]) / SPAN


def test_images_are_attacked_in_the_units_of_pixels(tmp_path):
    trainer = trainer_of(Case({"pgd": {"epsilon": 0.05, "step": 0.02, "steps": 5}}, model="vit"), tmp_path)
    batch, before, after = prepared(trainer)
    apart = (after - before).abs().flatten(1).amax(1)
    torch.testing.assert_close(apart, torch.full_like(apart, 0.05))
    assert after.min() >= -1e-12
    assert after.max() <= 1 + 1e-12
    assert all(p.grad is None for p in trainer.model.parameters())
    assert trainer.model.training
    model = trainer.model.eval()
    losses = [
        torch.nn.functional.cross_entropy(model(x * SPAN + BLACK[0]).logits, batch.labels, reduction="none")
        for x in (before, after)
    ]
    assert (losses[1] > losses[0]).all()


def test_the_attack_is_that_of_the_pure_function_from_the_rows_own_draws(tmp_path):
    trainer = trainer_of(Case({"pgd": {"epsilon": 0.05, "step": 0.02, "steps": 3}}, model="vit"), tmp_path)
    batch, before, after = prepared(trainer)
    start = (2 * torch.from_numpy(batch.at.draws(batch.rows, before[0].numel(), 3)) - 1).view_as(before) * 0.05
    model = trainer.model.eval()

    def loss(x):
        return PROBLEMS[SINGLE].loss(model(x * SPAN + BLACK[0]).logits, batch.labels)

    torch.testing.assert_close(after, pgd(loss, before, 0.05, 0.02, 3, start))


def test_norms_stand_still_while_the_attack_is_crafted(tmp_path):
    trainer = trainer_of(Case({"pgd": 0.05}, model="resnet"), tmp_path)
    before = [buffer.clone() for buffer in trainer.model.buffers()]
    prepared(trainer)
    assert all(torch.equal(old, new) for old, new in zip(before, trainer.model.buffers(), strict=True))
    assert trainer.model.training


def test_a_mixed_row_is_attacked_for_both_of_its_labels(tmp_path):
    trainer = trainer_of(
        Case({"mixup": 1.0, "pgd": {"epsilon": 0.05, "step": 0.05, "steps": 1}}, model="vit"), tmp_path
    )
    batch, _, after = prepared(trainer)
    assert len(batch.targets) == 2
    plain = trainer_of(Case({"mixup": 1.0}, model="vit"), tmp_path)
    mixed, _, before = prepared(plain)
    model = trainer.model.eval()

    def loss(x):
        logits = model(x * SPAN + BLACK[0]).logits
        return sum(PROBLEMS[SINGLE].loss(logits, t.labels) * t.factor for t in mixed.targets)

    before = before.clamp(0, 1)
    start = (2 * torch.from_numpy(batch.at.draws(batch.rows, before[0].numel(), 3)) - 1).view_as(before) * 0.05
    torch.testing.assert_close(after, pgd(loss, before, 0.05, 0.05, 1, start))


def test_a_radius_may_be_written_as_a_fraction():
    [method] = methods_of(pgd="8/255")
    assert method.spec.epsilon == 8 / 255
    assert method.passes == 11


def test_texts_are_referred_to_what_suits_them():
    [(key, why)] = refusals(methods_of(pgd=0.1), Situation(SINGLE, continuous=False))
    assert (key, why) == ("pgd", "attacks pixels, which texts do not have; use fgm or freelb")


def test_a_processor_that_is_not_understood_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"strategy\.pgd: attacks pixels in \[0, 1\], but the model's image processor"):
        training.finetuner(
            tiny("vit"),
            training.labels_of(SINGLE),
            training.examples("image", SINGLE, 8),
            training.arguments(tmp_path),
            methods=methods_of(pgd=0.1),
        )


@pytest.mark.parametrize(("first", "second"), [("pgd", "fast_at"), ("pgd", "trades"), ("fast_at", "smart")])
def test_two_attacks_on_a_batch_are_refused(first, second):
    [(key, why)] = refusals(methods_of(**{first: 0.1, second: 0.1}), Situation(SINGLE))
    assert (key, why) == (second, f"attacks the inputs, as {first} does; leave one of them out")


def test_what_another_launcher_cannot_do_is_refused():
    [(_, why)] = refusals(methods_of(pgd=0.1), Situation(SINGLE, deepspeed=True))
    assert why == "computes gradients of its own, which DeepSpeed does not allow; launch without it"

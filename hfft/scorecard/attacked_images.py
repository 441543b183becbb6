"""The scorecard's attacks on images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hfft.errors import BadInput
from hfft.eval_mode import eval_mode
from hfft.evaluate.attacks import (
    APGD_STEPS,
    Attack,
    Budget,
    apgd,
    one_step,
    over_radii,
    steps,
    still_right,
    usual_radius,
    whole,
)
from hfft.evaluate.intervals import figure, wilson
from hfft.evaluate.spec import STEPS
from hfft.predict.predictor import Predictor
from hfft.scorecard.evidence import Evidence
from hfft.scorecard.scored_rows import first_rows
from hfft.strategy.adversarial.pixels import Pixels

ROWS, CHECKED, AT_ONCE = 1000, 200, 64  # rows attacked, rows that the checks attack again, rows at once
BELOW, ABOVE = (0.25, 0.5), (2, 4)  # points of the curve, in radii: with 0 and the radius itself they are six
SLACK = 0.005  # by which more steps may raise an accuracy: rows at the border go either way


@dataclass(frozen=True)
class Target:
    """What is attacked: pixels `(N, C, H, W)` in [0, 1], the logits of such images, their labels `(N,)`, and the budget."""

    x: Tensor
    logits: Callable[[Tensor], Tensor]
    labels: Tensor
    budget: Budget
    rule: str

    @classmethod
    def of(cls, evidence: Evidence) -> Target:
        """The rows of the split, as the recipe's `score.attack` asks.

        Raises:
            BadInput: it is not known how the processor normalises, or outputs have no gradient.
        """
        asked, predictor = evidence.recipe.score.attack, evidence.predictor
        rows = first_rows(evidence, asked.rows or ROWS)
        x, logits = as_pixels(predictor, rows.inputs)
        norm = asked.norm or "linf"
        radius = asked.radius or usual_radius(norm, min(x.shape[-2:]))
        budget = Budget(norm, radius, asked.steps or STEPS, evidence.seed)
        return cls(x, logits, rows.labels.to(x.device), budget, rows.rule)

    def under(self, attack: Attack, right: Tensor) -> Tensor:
        """Which of the rows `right` `(N,)` are right under an attack."""
        return still_right(attack, self.logits, self.x, self.labels, right, self.budget, AT_ONCE)

    def clean(self) -> Tensor:
        """Which rows are right without one."""
        everyone = torch.ones(len(self.x), dtype=torch.bool, device=self.x.device)
        return self.under(lambda _, images, *__: images, everyone)


def under_pgd(evidence: Evidence) -> dict[str, Any]:
    """Accuracy clean and under PGD alone, for a study of many models.

    Raises:
        BadInput: as for `of_images`.
    """
    with eval_mode(evidence.predictor.model):
        target = Target.of(evidence)
        clean = target.clean()
        left = {"clean": clean, f"pgd{target.budget.steps}": target.under(steps, clean)}
    return {"split": evidence.split, "n": len(clean), "seed": evidence.seed, "figures": _shares(left)}


def of_images(evidence: Evidence) -> dict[str, Any]:
    """Accuracy clean, under FGSM, PGD and APGD, over six radii, and checks of the attacks.

    Raises:
        BadInput: it is not known how the processor normalises, or outputs have no gradient.
    """
    with eval_mode(evidence.predictor.model):
        target = Target.of(evidence)
        x, logits, labels, budget = target.x, target.logits, target.labels, target.budget
        clean = target.clean()
        left = {"clean": clean, "fgsm": target.under(one_step, clean)}
        pgd = f"pgd{budget.steps}"
        below = over_radii(logits, x, labels, clean, budget, [share * budget.radius for share in BELOW])
        left |= {pgd: target.under(steps, clean), "apgd_ce": target.under(apgd, clean)}
        above = over_radii(logits, x, labels, left[pgd], budget, [share * budget.radius for share in ABOVE])
        checks = checked(logits, x, labels, left, budget)
    radii = [0.0, *(share * budget.radius for share in (*BELOW, 1, *ABOVE))]
    curve = [int(right.sum()) / len(x) for right in (clean, *below, below[-1] & left[pgd], *above)]
    says = f"{budget.norm} {budget.radius:.4g} of pixels in [0, 1], step a quarter of it, APGD {APGD_STEPS} steps"
    return {
        **{"split": evidence.split, "n": len(x), "seed": evidence.seed, "rows": target.rule, "says": says},
        **{"norm": budget.norm, "radius": budget.radius, "steps": budget.steps},
        "figures": _shares(left),
        "curve": [[radius, accuracy] for radius, accuracy in zip(radii, curve, strict=True)],
        "checks": checks,
    }


def _shares(left: dict[str, Tensor]) -> dict[str, Any]:
    """Attack -> the share of rows `(N,)` that are right under it."""
    counts = {name: int(right.sum()) for name, right in left.items()}
    return {name: figure(count / len(left[name]), *wilson(count, len(left[name]))) for name, count in counts.items()}


def checked(
    logits: Callable[[Tensor], Tensor], x: Tensor, labels: Tensor, left: dict[str, Tensor], budget: Budget
) -> list[dict[str, Any]]:
    """Signs that an attack works, which hidden gradients would spoil (Athalye et al. 2018, arXiv:1802.00420).

    Args:
        left: attack -> which rows are right under it: `clean`, `fgsm`, PGD and `apgd_ce`, in this order.
    """
    clean, one, pgd, automatic = left.values()
    name = f"PGD-{budget.steps}"
    some = clean & (clean.cumsum(0) <= CHECKED)
    size, chance = int(some.sum()), 1 / logits(x[:1]).shape[1]
    everything = Budget(budget.norm, whole(budget.norm, x), budget.steps, budget.seed)
    doubled = Budget(budget.norm, budget.radius, 2 * budget.steps, budget.seed)
    at_all = still_right(steps, logits, x, labels, some, everything, AT_ONCE)
    at_more = still_right(steps, logits, x, labels, some, doubled, AT_ONCE)
    share_at_all, before, after = (float(right.sum()) / max(size, 1) for right in (at_all, some & pgd, at_more))
    of_one, of_pgd, of_auto = (float(right.float().mean()) for right in (one, pgd, automatic))
    return [
        {
            "check": f"{name} with radius {everything.radius:.3g}, which holds every image, leaves at most chance level "
            f"({chance:.3f}): {share_at_all:.4f} of {size} rows",
            "passed": share_at_all <= chance,
        },
        {
            "check": f"twice as many steps of PGD do not raise accuracy: {before:.4f}, then {after:.4f} of {size} rows",
            "passed": after <= before + SLACK,
        },
        {
            "check": f"{name} leaves no more than FGSM, APGD no more than {name}: {of_one:.4f}, {of_pgd:.4f}, {of_auto:.4f}",
            "passed": of_pgd <= of_one + SLACK and of_auto <= of_pgd + SLACK,
        },
    ]


def as_pixels(predictor: Predictor, inputs: list[Any]) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Images as the model reads them, `(N, C, H, W)` in [0, 1], and the logits of such images.

    Raises:
        BadInput: it is not known how the processor normalises, images have several sizes, or outputs have no gradient.
    """
    levels = getattr(predictor.on_device, "black_and_white", None)
    name, device = predictor.modality.input_name, predictor.model.device
    batches = [batch for _, batch in predictor.batches(inputs, AT_ONCE)]
    sizes = {tuple(batch[name].shape[1:]) for batch in batches}
    if levels is None or len(sizes) > 1 or any(set(batch) != {name} for batch in batches):
        raise BadInput(
            "attacks are on pixels in [0, 1], but the model's image processor does more than resize, crop and normalise; "
            "choose another backbone.processor, or leave the block out"
        )
    pixels = Pixels(*(torch.tensor(values, device=device) for values in levels))
    dtype = batches[0][name].dtype

    def logits(images: Tensor) -> Tensor:
        return predictor.outputs(predictor.model, {name: pixels.normalised(images).to(dtype)}).float()

    x = torch.cat([pixels.shown(batch[name].float()) for batch in batches])
    with torch.enable_grad():
        try:
            reached = logits(x[:1].clone().requires_grad_()).requires_grad
        except RuntimeError:  # such as of a classifier in NumPy, which gradients do not reach
            reached = False
    if not reached:
        raise BadInput(
            "the model's answers have no gradient with respect to its pixels, which attacks need; nothing is said"
        )
    return x, logits

"""What breaks it with malice: accuracy under attacks, and whether the attacks themselves work."""

from __future__ import annotations

from typing import Any

from hfft.errors import BadInput
from hfft.scorecard.attacked_images import of_images
from hfft.scorecard.attacked_texts import of_texts
from hfft.scorecard.evidence import Evidence
from hfft.scorecard.words import with_interval

KINDS = {"image": of_images, "text": of_texts}


def block(evidence: Evidence) -> dict[str, Any] | None:
    """Accuracy under attacks; None for other problems than one class per row.

    Raises:
        BadInput: inputs are neither images nor texts, the model gives no gradient of its pixels, or its processor hides them.
    """
    if not evidence.problem.classes:
        return None
    modality = evidence.recipe.the_task.modality
    if modality.name not in KINDS:
        raise BadInput(f"does not apply: attacks change pixels or words, which {modality.plural} do not have")
    return KINDS[modality.name](evidence)


def lines(found: dict[str, Any]) -> list[str]:
    """The figures, the curve and the checks."""
    figures = [f"{name} {with_interval(value)}" for name, value in found["figures"].items()]
    limit = "words changed" if found.get("kind") == "text" else f"radius ({found['norm']})"
    curve = "  ".join(f"{at:.4g}: {accuracy:.4f}" for at, accuracy in found["curve"])
    return [
        f"{found['says']}; rows: {found['rows']}",
        *figures,
        f"accuracy by {limit}  {curve}",
        *(f"{name} left out: {why}" for name, why in found.get("left_out", {}).items()),
        *(f"check {'passed' if one['passed'] else 'FAILED'}: {one['check']}" for one in found.get("checks", [])),
    ]

"""What a trainer gives its methods before the first step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn
from transformers.trainer_utils import has_length

from hfft.strategy.method import Setting
from hfft.strategy.needs import needed
from hfft.train.answers import answers
from hfft.train.inspector import TrainingInspector
from hfft.train.norm_statistics import estimated, moving_norms


def setting_of(
    trainer: Any,
    class_ids: np.ndarray | None,
    load_model: Callable[[str], nn.Module] | None,
    source_head: Callable[[], nn.Linear] | None = None,
) -> Setting:
    """What a trainer's methods receive before its first step."""
    rows, model, depths = trainer.train_dataset, trainer.model, trainer.depths
    augmented = getattr(getattr(rows, "step", None), "augmentation", None) is not None
    return Setting(
        model=model,
        head_names={name for name, _ in model.named_parameters() if depths.of(name) == depths.head},
        problem=trainer.problem,
        outputs=trainer.labels.size,
        seed=trainer.args.seed,
        device=trainer.args.device,
        class_names=trainer.labels.names,
        class_ids=class_ids,
        rows=len(rows) if has_length(rows) else None,
        sets={name: len(found) for name, found in trainer.sets.items()},
        fixed_inputs=not augmented and not needed(trainer.methods, "inputs"),
        load_model=load_model,
        answers=lambda other: answers(trainer, other, rows).logits,
        inspector=TrainingInspector(trainer, source_head),
        black_and_white=getattr(trainer.on_device, "black_and_white", None),
        methods=trainer.methods,
        tokenizer=getattr(trainer.data_collator, "tokenizer", None),
        norm_statistics=lambda other: estimated(trainer, moving_norms(trainer, other), other),
        moving_norms=bool(moving_norms(trainer, model)),
    )

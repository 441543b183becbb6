"""What a trainer gives its methods before the first step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn
from transformers.trainer_utils import has_length

from hfft.strategy.method import Setting
from hfft.strategy.needs import needed
from hfft.train.inspector import TrainingInspector
from hfft.train.kept_answers import shown_views
from hfft.train.norm_statistics import estimated, moving_norms


def setting_of(
    trainer: Any,
    class_ids: np.ndarray | None,
    domain_ids: np.ndarray | None,
    load_model: Callable[[str], nn.Module] | None,
    source_head: Callable[[], nn.Linear] | None = None,
) -> Setting:
    """What a trainer's methods receive before its first step."""
    rows, model, depths = trainer.train_dataset, trainer.model, trainer.depths
    augmented = getattr(getattr(rows, "step", None), "augmentation", None) is not None
    args, views = trainer.args, shown_views(trainer)
    counted = has_length(rows)
    batch = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    steps = math.ceil(len(rows) / batch) if counted else 1

    return Setting(
        model=model,
        head_names={name for name, _ in model.named_parameters() if depths.of(name) == depths.head},
        problem=trainer.problem,
        outputs=trainer.labels.size,
        seed=trainer.args.seed,
        device=trainer.args.device,
        class_names=trainer.labels.names,
        class_ids=class_ids,
        domain_ids=domain_ids,
        rows=len(rows) if counted else None,
        batch_rows=batch,
        sets={name: len(found) for name, found in trainer.sets.items()},
        epochs=math.ceil(args.max_steps / steps if args.max_steps > 0 else args.num_train_epochs),
        fixed_inputs=(not augmented or views > 0) and not needed(trainer.methods, "inputs"),
        load_model=load_model,
        inspector=TrainingInspector(trainer, source_head, views),
        black_and_white=getattr(trainer.on_device, "black_and_white", None),
        methods=trainer.methods,
        tokenizer=getattr(trainer.data_collator, "tokenizer", None),
        modality=getattr(trainer.data_collator, "modality", ""),
        norm_statistics=lambda other: estimated(trainer, moving_norms(trainer, other), other),
        moving_norms=bool(moving_norms(trainer, model)),
    )

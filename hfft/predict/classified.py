"""A features model with the classifier that is stored beside it, as `use: classifier` saves them where no head can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch import Tensor
from transformers import PretrainedConfig

from hfft.classifier.files import ARRAYS, REST
from hfft.errors import BadInput
from hfft.features.views import View, Views
from hfft.hub.client import arrived
from hfft.tasks.modality import Modality
from hfft.tasks.table import TASKS

if TYPE_CHECKING:
    from hfft.classifier.fitted import Fitted

MARK = "classifier_file"  # the key of a features model's config that names the classifier beside it


@dataclass(frozen=True)
class Classified:
    """The outputs of a features model with a classifier.

    Attributes:
        fitted: the classifier.
        view: which features it reads.
    """

    fitted: Fitted
    view: View

    def __call__(self, model: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits `(B, C)` of a batch."""
        views = Views(model, [self.view])
        with views.on():
            features = views(batch)[0]
        return torch.from_numpy(self.fitted.logits(features.cpu().numpy()))


def load_classified(
    where: str, config: PretrainedConfig, revision: str | None
) -> tuple[Any, Any, Modality, Classified]:
    """The features model, its processor, the modality and the outputs of a folder or a hub repository.

    Raises:
        BadInput: the classifier is missing or damaged, or is of a task that hfft does not know.
    """
    from hfft.classifier.store import load_files  # imports scikit-learn, which other models do not need

    fitted, about = load_files(_file(where, REST, revision), _file(where, ARRAYS, revision))
    if about.get("task") not in TASKS:
        raise BadInput(f"{where}: its classifier is of task {about.get('task')!r}, which hfft does not know")
    modality = TASKS[about["task"]].modality
    safe: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    how: dict[str, Any] = {"config": config, "dtype": torch.float32, "use_safetensors": True, **safe}
    model = transformers.AutoModel.from_pretrained(where, **how)
    processor = modality.load_processor(where, config=config, **safe)
    return model, processor, modality, Classified(fitted, View(about["pooling"], about["layer"]))


def _file(where: str, name: str, revision: str | None) -> Path:
    if Path(where).is_dir():
        return Path(where) / name
    from huggingface_hub import hf_hub_download

    return Path(arrived("model", where, lambda again: hf_hub_download(where, name, revision=revision)))

"""The meta model: the full module tree without weights, built from the config alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from hfft.backbone import own_head
from hfft.backbone.load import auto_class, keeps_structure, load_config
from hfft.backbone.load_checks import check_dropout
from hfft.backbone.published_code import bare_class, class_of
from hfft.errors import ModelError
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS, SeveralTasks
from hfft.wording import first_line

if TYPE_CHECKING:
    from hfft.backbone.spec import Backbone
    from hfft.head.spec import Head
    from hfft.tasks.table import Task


def build_meta_model(
    backbone: Backbone, head: Head, task: Task, processor: Any = None, tasks: int = 2
) -> PreTrainedModel | None:
    """The model on the meta device, with the fewest outputs its problem allows, since the data is not known yet.

    Only the config of a hub model is downloaded. None if the architecture cannot be built without weight values.

    Args:
        tasks: how many there are, for a problem of several.

    Raises:
        BadInput: the model is not there, has no class for the task, or the recipe's changes do not fit it.
    """
    labels = Labels(task.problem, size=PROBLEMS[task.problem].fewest_outputs)
    if task.problem == SeveralTasks.name:
        labels = Labels.of_tasks((f"task {i}", Labels("regression", size=1)) for i in range(tasks))
    config = load_config(backbone, head, task, labels)
    if keeps_structure(backbone, head, config):
        with torch.device("meta"):
            return class_of(config, task.auto_class_of(config))(config)
    own = own_head.wanted(backbone, head, task, config)
    cls = bare_class(config) if own else auto_class(config, backbone, task)
    try:
        if own:
            with torch.device("meta"):
                bare = cls(config, **own_head.without_pooler(config)).to("meta")  # wav2vec 2.0 puts a vector elsewhere
            return own_head.put_on(bare, head, task, labels, processor)
        with torch.device("meta"):
            model = cls.from_config(config, trust_remote_code=False).to("meta")
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(
            f"{backbone.name} needs a library that is not installed ({first_line(error)}); install it, or use another model"
        ) from error
    except Exception:  # mistakes in the config itself are reported when the model is loaded
        return None
    check_dropout(model, head.dropout)
    return model

"""The outline of a model: its whole module tree without weights, from the config alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from hfft.backbone import own_head
from hfft.backbone.load import auto_class, check_dropout, load_config
from hfft.backbone.published_code import bare_class
from hfft.errors import ModelError
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS

if TYPE_CHECKING:
    from hfft.backbone.spec import Backbone
    from hfft.head.spec import Head
    from hfft.tasks.table import Task


def build_meta_model(backbone: Backbone, head: Head, task: Task, processor: Any = None) -> PreTrainedModel | None:
    """The model on the meta device, with as few outputs as its problem takes, whatever the data will ask for.

    Of a model of the hub nothing but the config is fetched. None where the architecture cannot be built without values.

    Raises:
        BadInput: the model is not there, has no class for the task, or cannot be changed as the recipe says.
    """
    config = load_config(backbone, head, task, Labels(task.problem, size=PROBLEMS[task.problem].fewest_outputs))
    own = own_head.wanted(backbone, head, task, config)
    cls = bare_class(config) if own else auto_class(config, backbone, task)
    try:
        if own:
            with torch.device("meta"):
                bare = cls(config, **own_head.without_pooler(config))
            return own_head.put_on(bare, head, task, processor)
        with torch.device("meta"):
            model = cls.from_config(config, trust_remote_code=False)
    except ModelError:
        raise
    except Exception:  # what is wrong with the config itself, loading the model tells
        return None
    check_dropout(model, head.dropout)
    return model

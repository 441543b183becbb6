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

if TYPE_CHECKING:
    from hfft.recipe import Recipe


def build_meta_model(recipe: Recipe, processor: Any = None) -> PreTrainedModel | None:
    """The recipe's model on the meta device, with two outputs (one for regression) whatever the data will ask for.

    Of a model of the hub nothing but the config is fetched. None where the architecture cannot be built without values.

    Raises:
        BadInput: the model is not there, has no class for the task, or cannot be changed as the recipe says.
    """
    config = load_config(recipe, Labels(recipe.problem, size=1 if recipe.problem == "regression" else 2))
    own = own_head.wanted(recipe, config)
    cls = bare_class(config) if own else auto_class(config, recipe)
    try:
        if own:
            with torch.device("meta"):
                bare = cls(config, **own_head.without_pooler(config))
            return own_head.put_on(bare, recipe, processor)
        with torch.device("meta"):
            model = cls.from_config(config, trust_remote_code=False)
    except ModelError:
        raise
    except Exception:  # what is wrong with the config itself, loading the model tells
        return None
    check_dropout(model, recipe.head.dropout)
    return model

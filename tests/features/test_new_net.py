"""A recurrent net that is not trained has no features."""

import pytest

from hfft import load_recipe
from hfft.errors import BadInput
from hfft.features.model import FeatureModel
from hfft.scorecard.start import Start
from hfft.tasks.labels import Labels


def test_a_new_recurrent_net_has_no_features_and_is_no_start_to_compare_with():
    recipe = load_recipe("docstrings", "backbone.rnn.type=gru")
    labels = Labels.of("single_label_classification", "ab")
    with pytest.raises(
        BadInput, match=r"backbone\.rnn: its layers are new, so they have no features yet; train it, and"
    ):
        FeatureModel(recipe, None, labels, "mean")
    with pytest.raises(
        BadInput, match="began with a new recurrent net, so there is no pretrained model to compare with"
    ):
        Start.of(recipe, labels)

"""The classifier with which a backbone was published: its last layer to the bit, or the reason why there is none."""

import pytest
import torch
from transformers import BertModel

from hfft.backbone.source_head import source_head
from hfft.backbone.spec import Backbone, Rnn
from hfft.errors import ModelError
from hfft.tasks.table import TASKS
from tests.examples import ALL, tiny, tiny_config


@pytest.mark.parametrize("kind", ["bert", "vit", "resnet", "gpt2"])
def test_it_is_the_published_last_layer(kind, tmp_path):
    model = tiny(kind)
    model.save_pretrained(tmp_path)
    found = source_head(Backbone(name=str(tmp_path)), TASKS[ALL[kind].task])
    own = dict(model.named_parameters())
    names = ALL[kind].last
    assert torch.equal(found.weight, own[names[0]])
    assert (found.bias is None) == (len(names) == 1)
    if found.bias is not None:
        assert torch.equal(found.bias, own[names[1]])


def test_a_head_with_a_layer_of_its_own_before_is_not_one_that_reads_the_new_heads_features(tmp_path):
    tiny("roberta").save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"starts at classifier\.dense\.bias, a layer that the new head trains anew"):
        source_head(Backbone(name=str(tmp_path)), TASKS["text-classification"])


def test_a_backbone_that_was_no_classifier_has_none(tmp_path):
    BertModel(tiny_config("bert")).save_pretrained(tmp_path)
    with pytest.raises(
        ModelError, match="has no classifier of its own; choose a backbone that was trained as a classifier"
    ):
        source_head(Backbone(name=str(tmp_path)), TASKS["text-classification"])
    with pytest.raises(
        ModelError, match=r"random weights and has no classifier of its own; use backbone\.init=pretrained"
    ):
        source_head(Backbone(name=str(tmp_path), init="random"), TASKS["text-classification"])


def test_one_output_is_no_classifier(tmp_path):
    tiny("bert", labels=1).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is not one linear layer"):
        source_head(Backbone(name=str(tmp_path)), TASKS["text-classification"])


def test_a_new_recurrent_net_has_none(tmp_path):
    tiny("bert").save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"the recurrent net on .* is new and has no classifier of its own; choose"):
        source_head(Backbone(name=str(tmp_path), rnn=Rnn()), TASKS["text-classification"])

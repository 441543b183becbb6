"""The nano backbones that the package ships are what `make nano` would make again."""

import pytest
from transformers import AutoConfig, AutoTokenizer

from hfft import backbone, nano
from hfft.errors import BadInput


def test_the_shipped_vocabulary_is_as_large_and_its_texts_as_long_as_they_would_be_made():
    home = backbone.source("nano-bert")
    tokenizer, config = AutoTokenizer.from_pretrained(home), AutoConfig.from_pretrained(home)
    assert (len(tokenizer), config.vocab_size) == (nano.VOCABULARY, nano.VOCABULARY)
    assert (tokenizer.model_max_length, config.max_position_embeddings) == (nano.LONGEST, nano.LONGEST)


def test_no_other_kind_is_made():
    with pytest.raises(BadInput, match="'gpt' is not a nano backbone; choose from vit, bert"):
        nano.make("gpt")

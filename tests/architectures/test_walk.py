"""A sample of the walk over all architectures, one of each kind of structure."""

import pytest

from tests.architectures.case import REFUSED, WITHOUT
from tests.architectures.tiny import ROWS, tiny_config
from tests.architectures.walk import COLUMNS, TABLE, read, table, walk

SAMPLE = {
    "image": {
        "cvt": "stages with a stem of their own",
        "levit": "batch norms, and biases kept between calls",
        "mobilenet_v1": "convolutions that are asked for their stride",
        "poolformer": "patch embeddings beside the blocks, and norms named like the head's",
        "pvt_v2": "a norm behind each stage",
        "siglip": "no base model",
        "swiftformer": "stages that end in a block of another kind, and are joined",
        "swinv2": "windows",
        "vit": "a class token that alone is read",
    },
    "text": {
        "albert": "one block for all",
        "bart": "encoder and decoder, tied embeddings",
        "canine": "three stacks",
        "falcon": "linear layers of its own",
        "gte": "a pooler in front of the blocks",
        "ibert": "no plain linear layer, and statistics without parameters",
        "jamba": "Mamba and attention, experts",
        "modernvbert": "a tower for images",
        "phimoe": "a router that is a linear layer",
        "qwen2": "a tokenizer that transformers builds itself",
        "reformer": "gradients of its own",
        "t5gemma": "norms in front of the blocks",
        "xlm": "lists side by side",
        "zamba2": "weights shared by blocks",
    },
}

KNOWN = {
    "mobilenet_v1": {"LoRA apart"},  # PEFT alone does not tell the padding a wrapped convolution's stride
    "albert": {"cache"},  # its one block learns
    "canine": {"end to end"},  # padding changes its outputs: its texts are scored one by one
    "t5gemma": {"end to end"},  # the same
    "reformer": {"cache", "end to end"},  # its reversible layers hand on two streams; it takes texts of one length
    "xlm": {"cache"},  # random behind its embeddings wherever a block learns
}
READ_ONE = {"vit"}  # of the others the head reads more than the first token of the last block


@pytest.mark.slow
@pytest.mark.sampled(10)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("modality", "name"), [(modality, name) for modality in SAMPLE for name in SAMPLE[modality]])
def test_everything_holds(modality, name):
    assert (modality, name) in ROWS
    missed = {column: reason for column, reason in walk(modality, name).items() if reason is not None}
    assert missed.keys() == KNOWN.get(name, set()) | (set() if name in READ_ONE else {"last block"}), missed


@pytest.mark.parametrize("kind", ROWS[::20], ids="/".join)
def test_a_config_is_tiny(kind):
    config = tiny_config(*kind)
    assert getattr(config, "vocab_size", 0) <= 64
    assert config.num_labels == 3


def test_a_miss_stands_in_the_table_with_its_reason():
    held = dict.fromkeys(COLUMNS)
    page = table({("text", "one"): held, ("text", "two"): {**held, "reload": "no file"}})
    assert "2 model types in tiny random instances, 1 of them without a miss, and 0 that" in page
    assert "| one |" in page
    assert "- two (text), reload: no file" in page


def test_a_table_is_read_as_it_was_written_and_tells_refusals_from_misses():
    held = dict.fromkeys(COLUMNS)
    results = {
        ("image", "one"): {**held, "end to end": f"{REFUSED}model: reads input_ids (of colours), not pixels"},
        ("image", "two"): {**held, "cache": f"{WITHOUT}no frozen layers", "last block": f"{WITHOUT}no frozen layers"},
        ("text", "one"): dict.fromkeys(COLUMNS, "cannot be built: ImportError: no library"),
        ("text", "two"): {**held, "reload": "no file", "cache": "KeyError: 3"},
    }
    page = table(results)
    assert read(page) == results
    assert "4 model types in tiny random instances, 1 of them without a miss, and 1 that" in page
    assert page.count(" refused |") == 1


def test_every_type_was_walked():
    assert read(TABLE.read_text()).keys() == set(ROWS)
    assert "not walked yet" not in TABLE.read_text()

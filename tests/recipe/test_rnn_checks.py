"""What a recurrent net on word vectors cannot be combined with is reported before anything is loaded."""

import subprocess
import sys

import pytest

from hfft import load_recipe
from hfft.errors import RecipeError

BASE = {
    "task": "text-classification",
    "backbone": {"name": "v.txt", "rnn": {}},
    "data": {"path": "x.csv", "columns": {"text": "text", "label": "label"}},
}


def changed(**sections):
    """The recipe with other sections."""
    return load_recipe({**BASE, **sections})


def test_what_suits_it_is_accepted():
    found = changed(layers={"freeze": "embeddings", "layer_decay": 0.9}, head={"kind": "mlp"})
    assert found.backbone.rnn.plain() == {
        "type": "lstm", "hidden_size": 150, "num_layers": 1, "bidirectional": True, "dropout": 0.5, "pooling": "max",
        "max_words": 50_000,
    }  # fmt: skip
    assert changed(backbone={"name": "nano-bert", "rnn": {}}).head.new == []  # it takes no pooler


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (
            {"task": "image-classification", "data": {"path": "digits"}},
            "backbone.rnn: reads the words of texts, but task image-classification takes images; leave it out",
        ),
        (
            {"task": "fill-mask", "data": {"path": "x.csv"}},
            "backbone.rnn: classifies texts, which task fill-mask does not",
        ),
        (
            {"use": "classifier", "classifier": {"type": "svm"}},
            "backbone.rnn: has to be trained, but use is classifier",
        ),
        (
            {"backbone": {"name": "v", "rnn": {}, "edit": [{"remove": "last-1"}]}},
            "backbone.edit: is for pretrained layers, but those of backbone.rnn are new; leave it out",
        ),
        (
            {"layers": {"adapter": {"type": "lora"}}},
            "layers.adapter: freezes the layers, but those of backbone.rnn are new and must learn; leave it out",
        ),
        (
            {"layers": {"train": "head"}},
            "layers.train: leaves out the layers of backbone.rnn, which are new; use all, and layers.freeze=embeddings for",
        ),
        (
            {"head": {"keep_known": True}},
            "head.keep_known: keeps the head of a whole model, but backbone.rnn takes its",
        ),
        ({"backbone": {"name": "v", "rnn": {"type": "rnn"}}}, "backbone.rnn.type: "),
        ({"backbone": {"name": "v", "rnn": {"dropout": 1.0}}}, "backbone.rnn.dropout: "),
        ({"backbone": {"name": "v", "rnn": {"hidden": 3}}}, "backbone.rnn.hidden: unknown key"),
    ],
)
def test_what_does_not_is_refused_with_its_remedy(sections, said):
    with pytest.raises(RecipeError) as caught:
        changed(**sections)
    assert sum(said in problem for problem in caught.value.problems) == 1
    assert len(caught.value.problems) == 1


def test_a_recipe_with_one_is_checked_without_torch():
    code = f"import sys; from hfft import load_recipe; load_recipe({BASE!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

"""A recurrent net on word vectors: its table, tokenizer and config come from a file or from a model, or it is refused."""

import numpy as np
import pytest
import torch
import transformers

from hfft import backbone
from hfft.backbone import published_code
from hfft.backbone.spec import Backbone, Rnn
from hfft.backbone.word_vectors import build
from hfft.errors import BadInput
from hfft.head.spec import Head
from hfft.tasks.table import TASKS
from tests import stand_ins
from tests.backbone.word_vectors.test_read import VECTORS, WORDS, saved, text
from tests.examples import SINGLE, tiny
from tests.training import labels_of

TASK = TASKS["text-classification"]


def loaded(given, head=None):
    """The model of a backbone."""
    return backbone.load_model(given, head or Head(), TASK, labels_of(SINGLE), backbone.load_processor(given, TASK))


def of_file(folder, name="v.txt", content=None, **changes):
    """A backbone whose word vectors are in a file."""
    path = saved(folder, name, text() if content is None else content)
    return Backbone(name=str(path), rnn=Rnn(hidden_size=3, **changes.pop("rnn", {})), **changes)


def test_each_word_has_its_vector_and_words_without_one_share_the_mean(tmp_path):
    given = of_file(tmp_path)
    tokenizer, model = backbone.load_processor(given, TASK), loaded(given)
    table = model.get_input_embeddings().weight.detach().numpy()
    for word, vector in zip(WORDS, VECTORS, strict=True):
        np.testing.assert_array_equal(table[tokenizer.convert_tokens_to_ids(word)], vector)
    np.testing.assert_allclose(table[tokenizer.unk_token_id], VECTORS.mean(0))
    assert not table[tokenizer.pad_token_id].any()
    assert model.config.pad_token_id == tokenizer.pad_token_id == 0
    assert len(table) == len(tokenizer) == model.config.vocab_size == 8
    assert model.config.num_labels == 3


def test_a_file_may_have_a_vector_for_words_that_it_does_not_know(tmp_path):
    given = of_file(tmp_path, content=text(words=["<unk>", "<pad>", *WORDS[2:]]))
    tokenizer, model = backbone.load_processor(given, TASK), loaded(given)
    table = model.get_input_embeddings().weight.detach().numpy()
    np.testing.assert_array_equal(table[tokenizer.unk_token_id], VECTORS[0])
    assert not table[tokenizer.pad_token_id].any()
    assert len(table) == len(tokenizer) == 6


def test_texts_are_lower_case_where_the_vectors_are(tmp_path):
    lower = of_file(tmp_path, content=text(words=[word.lower() for word in WORDS])).with_words(("GOOD", "bad"))
    assert backbone.load_processor(lower, TASK)("Good")["input_ids"] == [4]
    assert build.without_vector(lower) == ["bad"]
    cased = of_file(tmp_path, "w.txt").with_words(("GOOD", "Good"))
    assert backbone.load_processor(cased, TASK)("GOOD Good")["input_ids"] == [1, 4]
    assert build.without_vector(cased) == ["GOOD"]


def test_the_vocabulary_is_the_first_words_and_those_of_the_training_texts(tmp_path):
    given = of_file(tmp_path, rnn={"max_words": 2})
    assert set(backbone.load_processor(given, TASK).get_vocab()) == {"<pad>", "<unk>", "the", "film"}
    more = given.with_words((".", "x"))
    known = {"<pad>": 0, "<unk>": 1, "the": 2, "film": 3, ".": 4}
    assert backbone.load_processor(more, TASK).get_vocab() == known
    assert loaded(more).config.vocab_size == 5
    assert more.model_copy(update={"revision": "x"}).words == (".", "x")


def test_texts_of_which_no_word_is_known_are_refused(tmp_path):
    with pytest.raises(
        BadInput, match=r"none of the 2 words of the training texts has a vector in .*v\.txt; choose vecto"
    ):
        build.without_vector(of_file(tmp_path).with_words(("kein", "Wort")))


@pytest.mark.parametrize("name", ["bert", "gpt2", "roberta"])
def test_the_table_of_a_model_is_taken_and_nothing_else(name, tmp_path):
    whole = tiny(name)
    whole.save_pretrained(tmp_path)
    stand_ins.tokenizer().save_pretrained(tmp_path)
    given = Backbone(name=str(tmp_path), rnn=Rnn(type="gru", num_layers=2, hidden_size=3))
    model = loaded(given)
    assert torch.equal(model.get_input_embeddings().weight, whole.get_input_embeddings().weight)
    assert model.config.model_type == "hfft_rnn"
    assert {key.split(".")[1] for key in model.state_dict() if key.startswith("model.")} == {"embeddings", "layers"}


def test_a_random_table_has_the_spread_of_the_vectors_and_their_words(tmp_path):
    words, vectors = [f"w{i}" for i in range(500)], np.random.default_rng(0).normal(0, 0.4, (500, 20))
    content = text(words=words, vectors=vectors.astype(np.float32))
    given = of_file(tmp_path, content=content, init="random")
    model = loaded(given)
    found = model.get_input_embeddings().weight.detach()
    assert float(found.std()) == pytest.approx(0.4, rel=0.05)
    assert abs(float(np.corrcoef(found[2:].numpy().ravel(), vectors.ravel())[0, 1])) < 0.05
    assert len(backbone.load_processor(given, TASK)) == len(found) == 502


def test_an_own_head_and_its_dropout_are_put_on_it(tmp_path):
    given = of_file(tmp_path)
    model = loaded(given, Head(kind="mlp", hidden=4, dropout=0.2, pooling="max"))
    assert model.head.dense.in_features == 6
    batch = backbone.load_processor(given, TASK)(["the film", "Good"], padding=True, return_tensors="pt")
    assert model.eval()(**batch).logits.shape == (2, 3)
    assert loaded(given, Head(dropout=0.25)).dropout.p == 0.25
    assert loaded(given).dropout.p == 0.5


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.vec", r"backbone\.name: there is no file nowhere\.vec; give a file of word vectors, or a model"),
        ("nano-vit", r"backbone\.rnn: nano-vit is a vit, which has no embedding table of words; choose a text model"),
    ],
)
def test_a_name_without_word_vectors_is_refused(name, said):
    with pytest.raises(BadInput, match=said):
        backbone.load_config(Backbone(name=name, rnn=Rnn()), Head(), TASK, labels_of(SINGLE))


def test_a_file_without_a_net_on_it_is_refused(tmp_path):
    path = saved(tmp_path, "v.txt", text())
    with pytest.raises(
        BadInput, match=r"v\.txt is a file; to read word vectors from it, add backbone\.rnn=\{type: lstm\}"
    ):
        backbone.source(str(path))


def test_the_auto_classes_of_transformers_know_a_net_without_running_code(tmp_path):
    model = loaded(of_file(tmp_path))
    folder = tmp_path / "model"
    published_code.save(model, folder, TASK.auto_class)
    (folder / "modeling_hfft.py").write_text("raise SystemExit('run')")
    again = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())

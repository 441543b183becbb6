"""Features are what a plain loop over the model gives, come from the store when they are there, and name what is wrong."""

import numpy as np
import pytest
import torch
import transformers

from hfft import backbone
from hfft.errors import BadInput, DataError, ModelError
from hfft.features import layers_of_recipe, of_recipe
from hfft.features.extract import extract
from hfft.features.model import FeatureModel
from hfft.features.store import FeatureStore
from hfft.features.views import bare
from hfft.recipe import load_recipe
from hfft.tasks.table import TASKS

TEXTS = ["A TEXT", "A LONGER TEXT OF MANY WORDS", "THE LONGEST TEXT OF THEM ALL, WITH MANY MANY WORDS", "SHORT"] * 3


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def digits(*overrides):
    return load_recipe("digits", "data.max_train_samples=60", "data.max_eval_samples=40", *overrides)


@pytest.fixture(scope="module")
def bert():
    where = backbone.source("nano-bert")
    model = transformers.AutoModel.from_pretrained(where, add_pooling_layer=False, dtype=torch.float32).eval()
    return model, transformers.AutoTokenizer.from_pretrained(where)


@pytest.mark.parametrize("layer", [-1, 0, 1])
@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "last"])
def test_features_of_texts_are_those_of_a_plain_loop(pooling, layer, bert):
    model, tokenizer = bert
    found = extract(model, tokenizer, TEXTS, TASKS["text-classification"], pooling=pooling, layer=layer, batch_size=3)
    for i, text in enumerate(TEXTS):
        with torch.no_grad():
            out = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        states = (out[0] if layer == -1 else out.hidden_states[layer])[0].numpy()
        want = {"cls": states[0], "mean": states.mean(0), "max": states.max(0), "last": states[-1]}[pooling]
        np.testing.assert_allclose(found[i], want, atol=1e-5)


def test_a_module_by_its_path_is_a_hidden_state(bert):
    model, tokenizer = bert
    task = TASKS["text-classification"]
    named = extract(model, tokenizer, TEXTS, task, pooling="mean", layer="encoder.layer.0")
    np.testing.assert_array_equal(named, extract(model, tokenizer, TEXTS, task, pooling="mean", layer=1))


def test_a_convolutional_net_is_pooled_over_its_map(tmp_path):
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], num_labels=3)
    torch.manual_seed(0)
    model = transformers.ResNetForImageClassification(config).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(backbone.source("nano-vit"))
    from PIL import Image

    images = [Image.new("RGB", (16, 16), (i * 20, 90, 200 - i * 20)) for i in range(5)]
    task = TASKS["image-classification"]
    pixels = processor(images, return_tensors="pt")
    with torch.no_grad():
        out = model.resnet(**pixels, output_hidden_states=True)
    found = extract(model, processor, images, task)  # its own pooler
    np.testing.assert_allclose(found, out.pooler_output.flatten(1), atol=1e-5)
    first = extract(model, processor, images, task, pooling="max", layer=1)
    np.testing.assert_allclose(first, out.hidden_states[1].amax((2, 3)), atol=1e-5)
    with pytest.raises(ModelError, match="which has no cls position; use mean or max"):
        extract(model, processor, images, task, pooling="cls")


def test_features_of_a_recipe_follow_its_data_and_are_computed_once(monkeypatch):
    first = of_recipe(digits())
    assert {name: (part.values.shape, part.pooling) for name, part in first.items()} == {
        "train": ((60, 96), "cls"),
        "validation": ((40, 96), "cls"),
        "test": ((40, 96), "cls"),
    }
    assert first["train"].names == tuple("0123456789")
    assert first["train"].labels.dtype == np.int64
    monkeypatch.setattr(FeatureModel, "loaded", lambda self: pytest.fail("computed again"))
    again = of_recipe(digits("training.learning_rate=1e-5", "layers.train=head", "head.dropout=0.1"))
    fewer = of_recipe(digits("data.max_train_samples=30"))  # nested: drawn from the same permutation of each class
    for name, part in again.items():
        np.testing.assert_array_equal(part.values, first[name].values)
        np.testing.assert_array_equal(part.labels, first[name].labels)
    of = dict(zip(first["train"].ids.tolist(), first["train"].values, strict=True))
    assert len(fewer["train"].ids) == 30
    for number, row in zip(fewer["train"].ids.tolist(), fewer["train"].values, strict=True):
        np.testing.assert_array_equal(row, of[number])


def test_several_layers_take_one_pass_and_are_each_layer_alone(monkeypatch):
    both = layers_of_recipe(digits(), [-1, 1], ["test"])
    alone = of_recipe(digits("layers.cache=off"), ["test"], layer=1)
    np.testing.assert_array_equal(both[1]["test"].values, alone["test"].values)
    assert not np.array_equal(both[1]["test"].values, both[-1]["test"].values)


@pytest.mark.parametrize("override", ["backbone.config={layer_norm_eps: 0.1}", "backbone.init=random"])
def test_another_model_has_other_features(override):
    first = of_recipe(digits("layers.train=all"), ["test"])["test"]
    other = of_recipe(digits("layers.train=all", override), ["test"])["test"]
    assert not np.allclose(first.values, other.values)


def test_random_weights_are_those_of_the_seed():
    one, two, three = (
        of_recipe(
            digits("layers.train=all", "backbone.init=random", "layers.cache=off", f"training.seed={seed}"), ["test"]
        )
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one["test"].values, two["test"].values)
    assert one["test"].values.shape == three["test"].values.shape
    assert not np.array_equal(one["test"].values[:5], three["test"].values[:5])


def test_what_was_damaged_is_computed_again(cache):
    first = of_recipe(digits(), ["test"])["test"]
    (file,) = cache.glob("*/*.values.npy")
    content = bytearray(file.read_bytes())
    content[-50] ^= 1
    file.write_bytes(content)
    np.testing.assert_allclose(
        of_recipe(digits(), ["test"])["test"].values, first.values, atol=1e-5
    )  # in another batch
    for path in cache.glob("*/*.npy"):
        path.write_bytes(b"none")
    np.testing.assert_array_equal(of_recipe(digits(), ["test"])["test"].values, first.values)


def test_a_cache_that_cannot_be_written_is_told_and_gone_without(cache, capsys):
    cache.write_text("a file")
    assert of_recipe(digits(), ["test"])["test"].values.shape == (40, 96)
    assert "features: not stored" in capsys.readouterr().out


def test_the_store_finds_rows_by_key_and_keeps_to_its_limit(tmp_path):
    store, rng = FeatureStore(tmp_path / "a", "x"), np.random.default_rng(0)
    keys, values = np.array([5, -3, 9, 5]), rng.normal(size=(4, 3)).astype(np.float32)
    values[3] = values[0]
    assert store.add(keys, values, 10**6) is None
    assert "above its limit" in store.add(np.array([7]), values[:1], 100)
    found, there = store.find(np.array([9, 4, 5]))
    assert there.tolist() == [True, False, True]
    np.testing.assert_array_equal(found[[0, 2]], values[[2, 0]])
    assert store.find(np.array([1]))[0] is None


def test_features_that_are_not_finite_are_refused_with_the_first_rows_number(monkeypatch):
    loaded, second = FeatureModel.loaded, of_recipe(digits("backbone.dtype=bfloat16"), ["test"])["test"].ids[1]

    def broken(self):
        model = loaded(self)
        model.base_model.register_forward_hook(spoil)
        return model

    def spoil(module, inputs, out):
        out.last_hidden_state[1:3] = torch.nan

    monkeypatch.setattr(FeatureModel, "loaded", broken)
    with pytest.raises(DataError, match=f"split test: the features of row {second} and of 3 more are not finite"):
        of_recipe(digits(), ["test"])
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"layer": 99}, "layer: is 99, but vit has the states -"),
        ({"layer": "vit.layer.99"}, "layer: the model has no module 'vit.layer.99'; did you mean"),
        ({"pooling": "average"}, "pooling: is 'average'; expected one of cls, mean, max, last, pooler"),
        ({"pooling": "pooler", "layer": 1}, "pooling: the pooler reads the last layer, not layer 1; use mean"),
        ({"pooling": "pooler"}, "pooling: is pooler, but vit has none; use mean"),
    ],
)
def test_what_the_model_does_not_have_is_refused(given, said):
    with pytest.raises(BadInput) as caught:
        of_recipe(digits(), ["test"], **given)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_text_model_without_a_trained_pooler_says_so(tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\n" + "".join(f"a text {i} of words,{i % 2}\n" for i in range(20)))
    recipe = load_recipe(
        {"task": "text-classification", "backbone": {"name": "nano-bert"}, "data": {"path": str(rows)}}
    )
    found = of_recipe(recipe, ["train"])["train"]
    assert (found.pooling, found.values.shape) == ("mean", (18, 128))
    with pytest.raises(BadInput, match="nano-bert has no trained pooler; use mean"):
        of_recipe(recipe, ["train"], pooling="pooler")
    assert found.names == ("0", "1")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [(["data.streaming=true"], "data.streaming: features are kept by row; use data.streaming=false")],
)
def test_recipes_without_features_by_row_are_refused(overrides, said):
    with pytest.raises(BadInput, match=said):
        of_recipe(load_recipe("digits", "data.validation=none", *overrides))


def test_a_bare_model_whose_encoder_is_a_class_of_its_own_is_run_whole():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    model = transformers.Dinov2Model(transformers.Dinov2Config(**sizes))
    assert bare(model) is model

"""Predictions: of each input what the model says of it alone, in the order of the inputs, with little padding."""

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from hfft.errors import BadInput
from hfft.predict.predictor import Predictor, load_predictor
from hfft.tasks.modality import IMAGE, TEXT
from tests import stand_ins
from tests.examples import tiny


def texts(count):
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(stand_ins.WORDS, rng.integers(1, 12))) for _ in range(count)]


def alone(predictor, inputs):
    found = []
    for item in inputs:
        given = (item,) if isinstance(item, str) else item
        with torch.no_grad():
            found.append(predictor.model(**predictor.processor(*given, return_tensors="pt")).logits[0])
    return torch.stack(found)


@pytest.mark.slow_but("distilbert-right-False")
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize(("name", "side"), [("bert", "right"), ("llama", "left"), ("distilbert", "right")])
def test_texts_of_any_length_are_predicted_in_their_order(name, side, pairs):
    tokenizer = stand_ins.tokenizer()
    tokenizer.padding_side = side
    if name == "distilbert":
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    predictor = Predictor(tiny(name, max_position_embeddings=64), tokenizer, TEXT)
    inputs = texts(23)
    inputs = [(a, b) for a, b in zip(inputs, texts(46)[23:], strict=True)] if pairs else inputs
    expected = alone(predictor, inputs)
    for batch in (1, 4, 64):
        torch.testing.assert_close(predictor.logits(inputs, batch), expected, rtol=1e-4, atol=1e-5)


def test_a_single_input_is_one_row():
    predictor = Predictor(tiny("bert"), stand_ins.tokenizer(), TEXT)
    for one in ("a text of several words", ("a text", "and another")):
        assert torch.equal(predictor(one), predictor([one]))
    picture = Image.new("RGB", (40, 30), (200, 90, 20))
    images = Predictor(tiny("vit"), transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}), IMAGE)
    assert torch.equal(images(picture), images([picture]))


def test_texts_of_like_length_share_a_batch():
    widths = []
    predictor = Predictor(tiny("bert"), stand_ins.tokenizer(), TEXT)
    predictor.model.register_forward_pre_hook(
        lambda module, args, kwargs: widths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    rows = list(predictor.table(((str(i), text) for i, text in enumerate(texts(40))), batch_size=8))
    assert [row["id"] for row in rows] == [str(i) for i in range(40)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 2 * widths[-1]


def test_images_are_seen_as_the_processor_sees_them():
    processor = transformers.ViTImageProcessorPil(size={"height": 32, "width": 32})
    predictor = Predictor(tiny("vit"), processor, IMAGE)
    rng = np.random.default_rng(0)
    sizes = [(40, 50), (32, 32), (40, 50), (90, 31)]
    images = [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]
    with torch.no_grad():
        expected = predictor.model(**processor(images=images, return_tensors="pt")).logits
    for batch in (1, 3, 8):
        torch.testing.assert_close(predictor.logits(images, batch), expected, rtol=1e-2, atol=1e-3)


def test_a_model_that_was_saved_predicts_as_it_did(tmp_path):
    model, tokenizer = tiny("bert", max_position_embeddings=64), stand_ins.tokenizer()
    for folder in (tmp_path / "plain", tmp_path / "run" / "model"):
        model.train().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    expected = Predictor(model.eval(), tokenizer, TEXT).logits(texts(3))
    for source in (tmp_path / "plain", tmp_path / "run"):
        found = load_predictor(str(source), device="cpu")
        assert not found.model.training
        assert found.modality == TEXT
        assert torch.equal(found.logits(texts(3)), expected)


def test_what_is_no_finished_model_or_classifies_nothing_is_refused(tmp_path):
    with pytest.raises(BadInput, match="has no finished model"):
        load_predictor(str(tmp_path))
    tiny("bert").bert.save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="is a BertModel; hfft predicts classes of images and texts"):
        load_predictor(str(tmp_path))

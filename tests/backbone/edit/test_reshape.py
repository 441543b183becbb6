"""Images of another size or other channels, and new tokens: the model sees with the old weights what it saw before."""

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from hfft.backbone import published_code
from hfft.backbone.edit import edit, reshape
from hfft.backbone.edit.reshape import on_meta
from hfft.data import image_processor as data_modes
from hfft.data.image_processor import as_input, processed
from hfft.errors import ModelError
from hfft.tasks.table import TASKS
from tests import stand_ins
from tests.examples import EVERY, IMAGE, SIDE, tiny


def images(side: int = SIDE, channels: int = 3) -> torch.Tensor:
    """Four images `(4, channels, side, side)`."""
    return torch.randn(4, channels, side, side, generator=torch.Generator().manual_seed(0))


def done(model, *edits, side=SIDE, channels=3, processor=None):
    """The model with the edits done, compared on images of its own size before and of the new one after."""
    calls = []

    def inputs(_):
        calls.append(None)
        new = len(calls) > 1
        return {"pixel_values": images(side if new else SIDE, channels if new else 3)}

    return edit.edit(model, list(edits), processor, inputs)


# --- size


@pytest.mark.parametrize("side", [16, 48, 96])
@pytest.mark.parametrize("name", ["vit", "dinov2"])
def test_positions_are_interpolated_as_the_model_does_itself(name, side):
    pretrained = tiny(name)
    torch.nn.init.normal_(pretrained.get_submodule(f"{name}.embeddings").position_embeddings)
    how = {"interpolate_pos_encoding": True} if name == "vit" else {}
    with torch.no_grad():
        want = pretrained(images(side), **how).logits
        model, rows = done(pretrained, {"image_size": side}, side=side)
        assert torch.allclose(model(images(side)).logits, want, atol=1e-5)
    assert model.config.image_size == side
    assert type(model) is type(pretrained)
    assert rows[0]["moved"] > 0


@pytest.mark.parametrize("name", [name for name in EVERY if name.values[0] in IMAGE])
def test_every_architecture_takes_images_of_twice_the_side_and_saves_as_stock(name, tmp_path):
    model, _ = done(tiny(name), {"image_size": 64}, side=64)
    meta, _ = done(on_meta(tiny(name), tiny(name).config), {"image_size": 64}, side=64)
    assert {k: v.shape for k, v in meta.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}
    before = tiny(name).state_dict()
    kept = [key for key, tensor in model.state_dict().items() if tensor.shape == before[key].shape]
    assert all(torch.equal(model.state_dict()[key], before[key]) for key in kept)
    published_code.save(model, tmp_path, TASKS["image-classification"].auto_class)
    again = transformers.AutoModelForImageClassification.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again(images(64)).logits, model.eval()(images(64)).logits)


@pytest.mark.parametrize(
    ("processor", "size", "crop"),
    [
        (transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}), {"height": 96, "width": 96}, None),
        (transformers.ConvNextImageProcessorPil(size={"shortest_edge": 64}), {"shortest_edge": 96}, None),
        (
            transformers.BitImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 48, "width": 48}),
            {"shortest_edge": 128},
            {"height": 96, "width": 96},
        ),
    ],
    ids=["sides", "edge", "crop"],
)
def test_the_processor_delivers_the_new_size(processor, size, crop):
    data_modes.resize(processor, 96)
    assert dict(processor.size) == size or {k: v for k, v in dict(processor.size).items() if v} == size
    assert crop is None or {k: v for k, v in dict(processor.crop_size).items() if v} == crop
    assert processed([Image.new("RGB", (200, 200))], processor)["pixel_values"].shape == (1, 3, 96, 96)


# --- channels


@pytest.mark.slow_but("vit")
@pytest.mark.parametrize("name", ["vit", "dinov2", "beit", "convnext", "swin", "resnet", "siglip"])
def test_grey_is_seen_as_rgb_of_three_equal_channels_was(name, tmp_path):
    pretrained, grey = tiny(name), images(channels=1)
    with torch.no_grad():
        want = pretrained(grey.repeat(1, 3, 1, 1)).logits
        model, rows = done(pretrained, {"channels": 1}, channels=1)
        assert rows[0]["places"] == 1
        assert torch.allclose(model(grey).logits, want, atol=1e-5)
    published_code.save(model, tmp_path, TASKS["image-classification"].auto_class)
    again = transformers.AutoModelForImageClassification.from_pretrained(tmp_path)
    assert torch.equal(again(grey).logits, model(grey).logits)


def test_a_fourth_channel_starts_as_timm_starts_it():
    weight = tiny("resnet").resnet.embedder.embedder.convolution.weight
    model, _ = done(tiny("resnet"), {"channels": 4}, channels=4)
    new = model.resnet.embedder.embedder.convolution.weight
    assert torch.allclose(new, torch.cat([weight, weight[:, :1]], 1) * 3 / 4)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (4, "RGBA"), (3, "RGB")])
@pytest.mark.parametrize("kind", ["ViT", "ConvNext"])
def test_the_processor_takes_images_of_the_new_channels(channels, mode, kind):
    processor = getattr(transformers, f"{kind}ImageProcessorPil")(
        image_mean=[0.2, 0.4, 0.6],
        image_std=[0.5, 0.5, 0.5],
        size={"height": 32, "width": 32} if kind == "ViT" else {"shortest_edge": 32},
    )
    before = len(processor.image_mean)
    data_modes.rechannel(processor, channels)
    assert before == 3
    assert processor.image_mean == ([pytest.approx(0.4)] if channels == 1 else [0.2, 0.4, 0.6, 0.2][:channels])
    image = Image.new("RGB", (40, 40), (10, 200, 30))
    pixels = processed([image, image], processor)["pixel_values"]
    assert pixels.shape == (2, channels, 32, 32)
    assert np.asarray(as_input(image, processor)).reshape(40, 40, -1).shape[2] == channels
    level = np.asarray(image.convert(mode)).reshape(40, 40, -1)[0, 0].astype(float) / 255
    if kind == "ViT":
        want = (level - np.array(processor.image_mean)) / np.array(processor.image_std)
        assert np.allclose(pixels[0, :, 3, 3].numpy(), want, atol=1e-4)


# --- tokens


@pytest.mark.parametrize("name", ["bert", "distilbert", "gpt2", "llama"])
def test_a_new_token_starts_as_the_mean_of_all(name, tmp_path):
    tokenizer = stand_ins.tokenizer()
    model = tiny(name, vocab_size=len(tokenizer))
    old = model.get_input_embeddings().weight.detach().clone()
    inputs = lambda t: dict(t(["the film was good"], return_tensors="pt", return_token_type_ids=False))  # noqa: E731
    before = model(**inputs(tokenizer)).logits
    model, rows = edit.edit(model, [{"tokens": ["[X]", "[Y]"]}], tokenizer, inputs)
    assert torch.equal(model(**inputs(tokenizer)).logits, before)
    assert rows == [{"edit": "tokens [X], [Y]", "places": 2, "moved": 0.0, "ids": [len(old), len(old) + 1]}]
    number = tokenizer.convert_tokens_to_ids("[X]")
    table = model.get_input_embeddings().weight
    assert tokenizer("the [X] film")["input_ids"].count(number) == 1
    assert torch.equal(table[: len(old)], old)
    assert torch.allclose(table[number], old.mean(0), atol=1e-6)
    assert model.config.get_text_config().vocab_size == len(tokenizer) == len(table)
    model.save_pretrained(tmp_path)
    again = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert torch.allclose(again(**inputs(tokenizer)).logits, before, atol=1e-6)


@pytest.mark.parametrize("rows_of_table", [0, 1])
def test_a_token_of_the_tokenizer_that_the_table_lacks_gets_a_row(rows_of_table):
    tokenizer = stand_ins.tokenizer()
    count = len(tokenizer) + rows_of_table
    model = tiny("bert", vocab_size=count)
    tokenizer.add_tokens(["[X]", "[Y]"])
    old = model.get_input_embeddings().weight.detach().clone()
    model, ids = reshape.tokens(model, tokenizer, ["[X]", "[Y]"])
    assert ids == [count - rows_of_table + i for i in range(rows_of_table, 2)], "[X] may have an untrained row already"
    table = model.get_input_embeddings().weight
    assert len(table) == len(tokenizer)
    assert torch.equal(table[:count], old)
    assert torch.allclose(table[-1], old.mean(0), atol=1e-6)
    with pytest.raises(ModelError, match=r"the tokenizer already has \[X\]"):
        reshape.tokens(model, tokenizer, ["[X]"])

"""A text transformer reads images by a new input layer; everything else of it is the pretrained model, unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

from hfft import finetune, head, layers, load_recipe
from hfft.backbone import build_meta_model, load_processor, published_code
from hfft.data.image_processor import processed
from hfft.errors import ModelError, RecipeError
from hfft.modeling_inputs import Patches
from hfft.predict import load_predictor
from hfft.recipe import Recipe
from tests import stand_ins
from tests.backbone.test_published_code import ALONE
from tests.examples import SINGLE, tiny
from tests.parts import model_of
from tests.training import labels_of

SIZES = {"patch": 4, "image_size": [8, 12], "channels": 1}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Folders of tiny text transformers."""
    root = tmp_path_factory.mktemp("texts")
    for name in ("bert", "gpt2", "distilbert", "roberta", "electra", "vit"):
        tiny(name).save_pretrained(root / name)
        stand_ins.tokenizer().save_pretrained(root / name)
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "vocab_size": 40}
    sizes |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    transformers.BartModel(transformers.BartConfig(**sizes)).save_pretrained(root / "bart")
    return root


def made(folder, name="bert", sizes=SIZES, **changes):
    """A recipe for images on a text transformer."""
    backbone = {"name": str(folder / name), "cross_modal": sizes, **changes.pop("backbone", {})}
    parts = {"name": "r", "task": "image-classification", "backbone": backbone, "data": {"path": "digits"}}
    return Recipe(**{**parts, **changes})


def built(recipe):
    """Its model and its processor."""
    processor = load_processor(recipe.backbone, recipe.the_task)
    return model_of(recipe, labels_of(SINGLE), processor), processor


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_are_a_convolution_of_that_stride_row_by_row(channels):
    layer, images = Patches(16, 4, channels, [8, 12]), torch.randn(2, channels, 8, 12)
    weight = layer.projection.weight.view(16, channels, 4, 4)
    expected = torch.nn.functional.conv2d(images, weight, stride=4).flatten(2).transpose(1, 2)
    torch.testing.assert_close(layer(images), expected)


def test_pieces_of_a_series_are_its_rows_one_behind_the_other():
    layer, series = Patches(16, 2, 3, [5]), torch.randn(2, 5, 3)
    padded = torch.cat([series, torch.zeros(2, 1, 3)], 1).reshape(2, 3, 6)
    torch.testing.assert_close(layer(series), padded @ layer.projection.weight.T)


def test_a_side_that_the_patch_does_not_divide_is_filled_with_zeros():
    layer, images = Patches(16, 4, 1, [7, 10]), torch.randn(2, 1, 7, 10)
    torch.testing.assert_close(layer(images), layer(torch.nn.functional.pad(images, (0, 2, 0, 1))))


@pytest.mark.slow_but("bert", "gpt2")
@pytest.mark.parametrize("name", ["bert", "gpt2", "distilbert", "roberta", "electra"])
def test_states_are_those_of_the_text_model_on_the_embeddings(pretrained, name):
    model, processor = built(made(pretrained, name))
    stock = transformers.AutoModel.from_pretrained(pretrained / name).eval()
    pixels = processed([Image.new("L", (30, 20), 99)], processor)["pixel_values"]
    assert pixels.shape == (1, 1, 8, 12)
    embedded = model.base_model.get_input_embeddings()(pixels)
    with torch.no_grad():
        torch.testing.assert_close(
            model.eval().base_model(pixel_values=pixels)[0], stock(inputs_embeds=embedded)[0], atol=1e-6, rtol=0
        )
        states = stock(inputs_embeds=embedded)[0]
        pooled = states[:, -1] if name == "gpt2" else states.mean(1)
        torch.testing.assert_close(model(pixel_values=pixels).logits, model.head.out(pooled), atol=1e-6, rtol=0)
    assert model.main_input_name == model.base_model.main_input_name == "pixel_values"
    kept = {n: p for n, p in stock.named_parameters() if "word_embeddings" not in n and "wte" not in n}
    found = dict(model.base_model.named_parameters())
    assert all(torch.equal(found[n], p) for n, p in kept.items() if n in found)
    assert {n for n in kept if n not in found} <= {n for n in kept if "pooler" in n}


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_by_default_norms_positions_input_and_head_learn(pretrained, name):
    recipe = made(pretrained, name)
    model, _ = built(recipe)
    depths = layers.depths(model, head.parameter_names(model))
    chosen = layers.learning(model, depths, recipe.train_layers)
    rest = {n for n, _ in model.named_parameters()} - chosen
    assert any("projection.weight" in n for n in chosen)
    assert not any("norm" in n.lower() or "ln_" in n or "position" in n or n.startswith("head.") for n in rest)
    assert all("attention" in n or "attn" in n or "dense" in n or "mlp" in n for n in rest)
    assert sum(p.numel() for n, p in model.named_parameters() if n in rest) > 0
    only = layers.learning(model, depths, ["norms"])  # positions as pretrained
    assert any("projection" in n for n in only)
    assert not any("position" in n or "wpe" in n for n in only)
    assert layers.learning(model, depths, ["all"]) == {n for n, _ in model.named_parameters()}
    assert not any("projection" in n for n in layers.learning(model, depths, ["norms"], ["embeddings"]))


def test_the_module_tree_without_weights_is_the_same(pretrained):
    recipe = made(pretrained)
    model, processor = built(recipe)
    meta = build_meta_model(recipe.backbone, recipe.head, recipe.the_task, processor)
    shapes = {n: p.shape for n, p in model.named_parameters() if not n.startswith("head.out")}
    assert shapes == {n: p.shape for n, p in meta.named_parameters() if not n.startswith("head.out")}


def test_random_weights_can_be_frozen_since_the_input_layer_learns(pretrained):
    model, _ = built(made(pretrained, backbone={"init": "random"}))
    pretrained_one, _ = built(made(pretrained))
    name = "encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(model.base_model.get_parameter(name), pretrained_one.base_model.get_parameter(name))


@pytest.mark.slow
def test_transformers_alone_answers_the_same(pretrained, tmp_path):
    folders = {}
    for name in ("bert", "gpt2"):
        torch.manual_seed(0)
        model, processor = built(made(pretrained, name, {**SIZES, "channels": 3}))
        pixels = torch.rand(2, 3, 8, 12)
        with torch.no_grad():
            want = model.eval()(pixel_values=pixels).logits
        folder = folders[name] = tmp_path / name
        published_code.save(model, folder, "AutoModelForImageClassification")
        processor.save_pretrained(folder)
        save_file({"pixel_values": pixels, "want": want}, folder / "inputs.st")
    asked = [(str(folder), "AutoModelForImageClassification") for folder in folders.values()]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", ALONE, json.dumps(asked)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    answers = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    for folder, answer in zip(folders.values(), answers, strict=True):
        predictor = load_predictor(str(folder), device="cpu")
        probabilities = predictor([Image.new("RGB", (40, 40), (9, 99, 199))])[0].tolist()
        names = predictor.model.config.id2label
        assert {names[i]: p for i, p in enumerate(probabilities)} == pytest.approx(answer, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "sizes", "said"),
    [
        ("vit", SIZES, "backbone.cross_modal: .* is a vit, which does not read embeddings of tokens"),
        ("bart", SIZES, "backbone.cross_modal: .* is a bart, an encoder with a decoder"),
        ("bert", {"patch": 1, "image_size": 64}, "patch: is 1, which makes 4096 patches, but bert has .* positions"),
    ],
)
def test_a_model_that_cannot_read_patches_is_refused_in_one_line(pretrained, name, sizes, said):
    with pytest.raises(ModelError, match=said):
        built(made(pretrained, name, sizes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "text-classification"}, "is for other inputs than texts"),
        ({"head": {"keep_known": True}}, "a text transformer has none"),
        ({"backbone": {"edit": [{"channels": 1}]}}, "backbone.cross_modal makes the input layer"),
        ({"layers": {"adapter": {"type": "ia3"}}, "publish": {"as": "adapter"}}, "backbone.cross_modal changes it"),
        ({"use": "directly"}, "cross_modal"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(pretrained, changes, said):
    with pytest.raises(RecipeError, match=said):
        made(pretrained, **changes)


@pytest.mark.slow
def test_a_run_trains_saves_and_is_continued(pretrained, tmp_path):
    plain = {"max_steps": 4, "per_device_train_batch_size": 8, "use_cpu": True}
    data = {"path": "digits", "max_train_samples": 80, "max_eval_samples": 40}
    given = {"data": data, "score": {"scorecard": "off"}}
    training = {**plain, "output_dir": str(tmp_path / "run")}
    result = finetune(
        made(pretrained, "bert", {"patch": 2, "image_size": 8, "channels": 1}, training=training, **given)
    )
    assert result.metrics["test"]["n"] == 40
    again = {"name": str(result.folder), "config": {}}
    further = Recipe(
        name="again",
        task="image-classification",
        backbone=again,
        training={**plain, "output_dir": str(tmp_path / "again")},
        **given,
    )
    model, processor = built(further)
    assert any(isinstance(module, Patches) for module in model.modules())
    assert processor.size["height"] == 8
    assert finetune(further).metrics["test"]["n"] == 40
    lora = made(
        pretrained,
        "bert",
        {"patch": 2, "image_size": 8, "channels": 1},
        layers={"adapter": {"type": "lora", "r": 2}},
        training={**plain, "output_dir": str(tmp_path / "lora")},
        **given,
    )
    found = finetune(lora)
    learned = load_predictor(str(found.folder)).model.base_model.get_input_embeddings()
    assert isinstance(learned, Patches)


def test_the_shipped_recipes_name_the_paper_settings():
    published = load_recipe("fpt_cifar10")
    assert published.backbone.cross_modal.positions == 64
    assert published.train_layers == ["embeddings", "norms"]

"""Adapters at prediction: which transformers loads by itself, on which model they stand, and what is in memory once."""

import json

import pytest
import torch
import transformers

from hfft import layers
from hfft.errors import BadInput
from hfft.layers.adapters.published import Published
from hfft.predict.adapted import is_apart, load_adapted, outputs, share
from hfft.predict.predictor import load_predictor, load_predictors
from tests import stand_ins
from tests.examples import head_and_depths, tiny


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A backbone of three classes, and an adapter of two on it, with values of its own; what that answers."""
    root = tmp_path_factory.mktemp("adapted")
    backbone, folder = root / "backbone", root / "adapter"
    tiny("bert", max_position_embeddings=64).save_pretrained(backbone)
    stand_ins.tokenizer().save_pretrained(backbone)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        backbone, num_labels=2, ignore_mismatched_sizes=True
    )
    head_names, depths = head_and_depths(model)
    model = layers.adapt(model, "head", {"type": "lora", "r": 2}, depths, head_names).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.normal_()
    model.save_pretrained(folder, save_embedding_layers=False)
    stand_ins.tokenizer().save_pretrained(folder)
    with torch.no_grad():
        expected = model(**stand_ins.tokenizer()("the film was good", return_tensors="pt")).logits[0]
    return backbone, folder, expected


def says(folder, **changes):
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **changes}))
    return str(folder)


def test_what_transformers_loads_by_itself_is_not_apart(tmp_path):
    assert not is_apart(str(tmp_path)), "there is no adapter"
    assert is_apart(says(tmp_path / "a", base_model_name_or_path="me/base")), "nor is the backbone there"
    own = str(tmp_path / "b")
    assert not is_apart(says(tmp_path / "b", base_model_name_or_path=own))
    (tmp_path / "a" / "model.safetensors").touch()
    assert not is_apart(str(tmp_path / "a"))
    assert is_apart(says(tmp_path / "b", base_model_name_or_path=own, use_dora=True)), "PEFT alone puts it back"
    assert is_apart(says(tmp_path / "b", base_model_name_or_path=own, peft_type="PROMPT_TUNING"))


def test_a_plain_model_and_an_adapter_apart_from_its_backbone_both_predict(world):
    backbone, folder, expected = world
    found = load_predictor(str(folder), device="cpu")
    torch.testing.assert_close(found.logits(["the film was good"])[0], expected, rtol=1e-5, atol=1e-6)
    assert found.model.config.num_labels == 2, "as the tensors of its head say"
    assert not found.model.training
    assert load_predictor(str(backbone), device="cpu").logits(["the film was good"]).shape == (1, 3)


def test_models_of_one_backbone_share_its_tensors(world):
    backbone, folder, expected = world
    found = load_predictors({"plain": str(backbone), "adapted": str(folder)}, device="cpu")
    plain = {id(p) for p in found["plain"].model.parameters()}
    shared = {name: id(p) in plain for name, p in found["adapted"].model.named_parameters()}
    own = {name for name, there in shared.items() if not there}
    assert own
    assert all("lora_" in name or "classifier" in name for name in own)
    assert shared["base_model.model.bert.embeddings.word_embeddings.weight"]
    torch.testing.assert_close(found["adapted"].logits(["the film was good"])[0], expected, rtol=1e-5, atol=1e-6)


def test_tensors_that_differ_in_a_bit_are_not_shared():
    first, second, third = (torch.nn.Linear(2, 2) for _ in range(3))
    with torch.no_grad():
        for linear in (first, second, third):
            linear.weight.fill_(1)
            linear.bias.fill_(0)
        third.weight[0, 0] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    pool = {}
    for linear in (first, second, third):
        share(linear, pool)
    assert second.weight is first.weight
    assert second.bias is third.bias is first.bias
    assert third.weight is not first.weight
    assert not any(p.requires_grad for p in third.parameters())


def test_the_classes_are_counted_in_the_file_of_the_adapter(world, tmp_path):
    assert outputs(Published(world[1], "lora", "me/base", None, None)) == 2
    from safetensors.torch import save_file

    save_file({"base_model.model.lora_A.classifier": torch.zeros(5)}, tmp_path / "adapter_model.safetensors")
    assert outputs(Published(tmp_path, "lora", "me/base", None, None)) is None


def test_an_adapter_of_what_does_not_classify_is_refused(world, tmp_path):
    (tmp_path / "adapter_model.safetensors").touch()
    bare = tmp_path / "bare"
    transformers.AutoModel.from_pretrained(world[0]).save_pretrained(bare)
    where = says(tmp_path, base_model_name_or_path=str(bare))
    with pytest.raises(BadInput, match="is an adapter of a BertModel; hfft predicts classes of images and texts"):
        load_adapted(where)

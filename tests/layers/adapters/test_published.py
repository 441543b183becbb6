"""An adapter that was published before: what it says of itself, which backbone it fits, and that it goes on learning."""

import json

import pytest
import torch

from hfft import layers
from hfft.errors import BadInput, ModelError
from hfft.layers.adapters.published import Published, check_base, continue_adapter, pinned_adapter, published
from tests.examples import head_and_depths, tiny


def said_by(tmp_path, base="me/base", kind="lora"):
    return Published(tmp_path, kind, base, None, None)


@pytest.mark.parametrize("name", ["me/base", "folder"])
def test_the_backbone_that_an_adapter_was_trained_on_is_accepted(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    check_base(said_by(tmp_path, name), name, "a/b")
    check_base(said_by(tmp_path, str(tmp_path / "folder")), "folder", "a/b")
    check_base(said_by(tmp_path, "folder"), str(tmp_path / "folder"), "a/b")


def test_another_backbone_is_refused_with_both_names(tmp_path):
    for base, name in (("me/base", "me/other"), ("me/base", "base"), ("me/base", str(tmp_path)), ("base", "me/other")):
        with pytest.raises(ModelError) as error:
            check_base(said_by(tmp_path, base), name, "a/b")
        said = f"layers.adapter.from: a/b was trained on {base}, the recipe's backbone is {name}"
        assert str(error.value) == said


def test_what_cannot_go_on_or_leave_so_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"layers.adapter.from: a/b: is xlora"):
        check_base(said_by(tmp_path, kind="xlora"), "me/base", "a/b")
    with pytest.raises(ModelError, match=r"publish\.as: is merged, which lily cannot be"):
        check_base(said_by(tmp_path, kind="lily"), "me/base", "a/b", "merged")
    check_base(said_by(tmp_path, kind="lily"), "me/base", "a/b", "adapter")
    with pytest.raises(ModelError, match="the ranks of a/b"):
        check_base(said_by(tmp_path, kind="adalora"), "me/base", "a/b", "merged")


def test_a_folder_says_what_it_holds(tmp_path):
    (tmp_path / "adapter_model.safetensors").touch()
    config = {"peft_type": "LORA", "base_model_name_or_path": "me/base", "revision": "abc", "task_type": "SEQ_CLS"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"10": "k", "9": "j", "0": "a"}}))
    found = published(str(tmp_path))
    assert (found.kind, found.base, found.base_revision, found.task) == (
        "lora",
        "me/base",
        "abc",
        "SequenceClassification",
    )
    assert found.classes == ("a", "j", "k")
    (tmp_path / "recipe.yaml").write_text("backbone: {name: me/true, revision: def}\n")
    assert (published(str(tmp_path)).base, published(str(tmp_path)).base_revision) == ("me/true", "def")
    (tmp_path / "recipe.yaml").unlink()
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(BadInput, match="does not say which model it was trained on"):
        published(str(tmp_path))
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"has no adapter_model\.safetensors"):
        published(str(tmp_path))
    with pytest.raises(BadInput, match="there is no folder"):
        published(str(tmp_path / "nowhere"))


def test_an_adapter_on_this_machine_needs_no_commit(tmp_path):
    assert pinned_adapter({"type": "lora"}) == {"type": "lora"}
    assert pinned_adapter({"from": str(tmp_path)}) == {"from": str(tmp_path)}


@pytest.fixture
def trained(tmp_path):
    """An adapter with values of its own, in a folder."""
    model = tiny("bert")
    head_names, depths = head_and_depths(model)
    model = layers.adapt(model, "head", {"type": "lora", "r": 2}, depths, head_names)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.normal_()
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    return model, tmp_path


def test_it_goes_on_with_its_values_and_learns(trained):
    before, folder = trained
    model = tiny("bert")
    classes = tuple(model.config.id2label[i] for i in range(model.config.num_labels))
    model = continue_adapter(model, Published(folder, "lora", "me/base", None, classes), head_and_depths(model)[0])
    learned = {name: p for name, p in before.named_parameters() if p.requires_grad}
    found = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert found.keys() == learned.keys()
    assert any("lora_A" in name for name in found)
    assert any("classifier" in name for name in found)
    assert all(torch.equal(found[name], p) for name, p in learned.items())


def test_for_other_classes_the_head_alone_is_new(trained):
    before, folder = trained
    model = tiny("bert")
    model = continue_adapter(model, Published(folder, "lora", "me/base", None, ("x",)), head_and_depths(model)[0])
    learned = dict(before.named_parameters())
    same = {name: torch.equal(learned[name], p) for name, p in model.named_parameters() if p.requires_grad}
    assert {"classifier" in name for name, equal in same.items() if not equal} == {True}
    assert {"classifier" in name for name, equal in same.items() if equal} == {False}

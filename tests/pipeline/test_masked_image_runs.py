"""Whole runs: pretraining by masked images, its figures and files, and the fine-tune that starts from it."""

import json
import math

import pytest
import torch
import transformers

from hfft import finetune
from hfft.data.patch_masks import MaskedCollate, MaskedTargets, PatchMasks
from hfft.errors import BadInput, ModelError
from hfft.predict import load_predictor
from hfft.publish.reload import whole_model
from hfft.recipe.build import build
from hfft.tasks.labels import Labels
from hfft.tasks.table import TASKS
from hfft.train.resume import Resumable
from tests import stand_ins
from tests.torture.runs import compare
from tests.training import Gradients, arguments, difference, finetuner

RECIPE = """
task: masked-image-modeling
backbone: {name: nano-vit}
data: {path: digits, max_train_samples: 32, max_eval_samples: 24, validation: none}
training: {max_steps: 6, per_device_train_batch_size: 8, learning_rate: 1e-3, eval_strategy: "no", save_steps: 2}
"""
CLASSES = """
task: image-classification
data: {path: digits, max_train_samples: 20, max_eval_samples: 20, validation: none}
training: {max_steps: 1, per_device_train_batch_size: 8, eval_strategy: "no", save_strategy: "no", learning_rate: 0}
"""


def recipe(folder, *overrides, text=RECIPE):
    return build(text, "test.yaml", "test", (f"training.output_dir={folder}", *overrides))


def plain(result, auto):
    return getattr(transformers, auto).from_pretrained(result.model).state_dict()


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A finished pretraining."""
    return finetune(recipe(tmp_path_factory.mktemp("whole") / "run"))


@pytest.mark.slow
def test_a_run_has_the_loss_of_its_held_out_images_and_loads_in_plain_transformers(pretrained):
    figures = json.loads((pretrained.folder / "metrics.json").read_text())
    assert set(figures["test"]) == {"loss", "reconstruction_loss", "n"}
    assert figures["test"]["loss"] == figures["test"]["reconstruction_loss"] > 0
    assert figures["encoder"] == "AutoModelForImageClassification"
    card = (pretrained.model / "README.md").read_text()
    assert "AutoModelForImageClassification.from_pretrained(name, num_labels=2)" in card
    scored = json.loads((pretrained.folder / "scorecard.json").read_text())
    assert "reconstruction_loss" in json.dumps(scored)
    assert "perplexity" not in json.dumps(scored)
    own = plain(pretrained, "AutoModelForMaskedImageModeling")
    assert {"decoder.0.weight", "vit.embeddings.mask_token"} <= set(own)
    with pytest.raises(BadInput, match="is a ViTForMaskedImageModeling; hfft predicts classes"):
        load_predictor(str(pretrained.folder))


@pytest.mark.slow
def test_a_classifier_starts_from_the_weights_of_the_run(pretrained, tmp_path):
    result = finetune(recipe(tmp_path / "run", f"backbone.name={pretrained.folder}", text=CLASSES))
    before, after = (
        plain(pretrained, "AutoModelForMaskedImageModeling"),
        plain(result, "AutoModelForImageClassification"),
    )
    body = [name for name in after if not name.startswith("classifier")]
    assert len(body) > 60
    assert all(torch.equal(before[name], after[name]) for name in body)  # its learning rate was 0
    nano = transformers.AutoModel.from_pretrained("hfft/backbone/nano/vit").state_dict()
    assert not torch.equal(after["vit.layernorm.weight"], nano["layernorm.weight"].float())


@pytest.mark.slow
def test_a_vitmae_is_pretrained_and_then_classifies_as_a_vit(tmp_path):
    folder = stand_ins.model("facebook/vit-mae-base", tmp_path / "mae")
    before = transformers.ViTMAEForPreTraining.from_pretrained(folder).state_dict()
    first = finetune(recipe(tmp_path / "A", f"backbone.name={folder}", "data.mask_ratio=0.5"))
    assert first.metrics["encoder"] == "ViTForImageClassification"
    assert json.loads((first.model / "config.json").read_text())["mask_ratio"] == 0.5
    own = plain(first, "AutoModelForPreTraining")
    fixed = "vit.embeddings.position_embeddings"
    assert torch.equal(own[fixed], before[fixed])
    assert not torch.equal(own["decoder.decoder_pred.weight"], before["decoder.decoder_pred.weight"])
    for head in ([], ["head.pooling=mean"]):
        where = tmp_path / f"B{len(head)}"
        result = finetune(recipe(where, f"backbone.name={first.folder}", *head, text=CLASSES))
        model = load_predictor(str(result.folder)).model
        assert model.config.model_type == "vit"
        body = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("vit.layers.")}
        assert len(body) == 32
        assert all(torch.equal(tensor, own[name]) for name, tensor in body.items())


@pytest.mark.slow
def test_masked_patches_are_the_same_after_a_stop_and_for_every_worker(tmp_path, pretrained, monkeypatch):
    ordinary = Resumable.judge_step

    def killed(self, model):
        if self.state.global_step == 3:
            monkeypatch.setattr(Resumable, "judge_step", ordinary)
            raise KeyboardInterrupt
        ordinary(self, model)

    monkeypatch.setattr(Resumable, "judge_step", killed)
    with pytest.raises(KeyboardInterrupt):
        finetune(recipe(tmp_path / "run"))
    finetune(recipe(tmp_path / "run", "training.dataloader_num_workers=2"))
    assert compare(pretrained.folder, tmp_path / "run") == []


def rows(count, size=8):
    draw = torch.Generator().manual_seed(0)
    return [{"pixel_values": torch.randn(3, size, size, generator=draw), "draw": i} for i in range(count)]


def stacked(rows):
    return {"pixel_values": torch.stack([row["pixel_values"] for row in rows]).double()}


def trained(folder, kind, batch, accumulation, count=10):
    """Two epochs of plain SGD in float64: a step of eight rows, a step of two."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    sizes |= {"image_size": 8, "patch_size": 2}
    torch.manual_seed(0)
    if kind == "vit":
        model = transformers.ViTForMaskedImageModeling(transformers.ViTConfig(**sizes, encoder_stride=2))
    else:
        decoder = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
        config = transformers.ViTMAEConfig(**sizes, **decoder, decoder_intermediate_size=32, norm_pix_loss=True)
        model = transformers.ViTMAEForPreTraining(config)
    masks = PatchMasks(2, 1, 4, 12, by_noise=kind == "vit_mae", normed=kind == "vit_mae")
    gradients = Gradients()
    trainer = finetuner(
        model.double(),
        Labels("masked_image_modelling"),
        rows(count),
        arguments(folder, per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation),
        callbacks=[gradients],
        on_device=MaskedTargets(None, masks),
    )
    trainer.data_collator = MaskedCollate(stacked, masks)
    trainer.train()
    return gradients.steps, [log["loss"] for log in trainer.state.log_history if "loss" in log], trainer


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vit", "vit_mae"])
def test_a_batch_trains_the_same_for_every_split(kind, tmp_path):
    whole, losses, _ = trained(tmp_path, kind, 8, 1)
    assert len(whole) == 4
    for batch, accumulation in ((4, 2), (2, 4), (3, 3)):
        count = 10 if accumulation != 3 else 9
        first = whole if count == 10 else trained(tmp_path, kind, 9, 1, 9)[0]
        split, again, _ = trained(tmp_path, kind, batch, accumulation, count)
        assert max(difference(a, b) for a, b in zip(first, split, strict=True)) < 1e-12
        assert count == 9 or again == pytest.approx(losses, rel=1e-6)


@pytest.mark.slow
def test_the_first_loss_is_that_of_the_models_own_head(tmp_path):
    _, losses, trainer = trained(tmp_path, "vit", 10, 1)
    torch.manual_seed(0)
    model = transformers.ViTForMaskedImageModeling(trainer.model.config).double()
    batch = MaskedCollate(stacked, PatchMasks(2, 1, 4, 12))(rows(10))
    own = model(batch["pixel_values"], bool_masked_pos=batch["bool_masked_pos"]).loss
    assert losses[0] == pytest.approx(own.item(), rel=1e-5)
    assert math.isfinite(losses[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["data.mask_patch_size=3"], "data.mask_patch_size: is 3, but vit reads 8 x 8 pixels in patches of 2; use 2, 4"),
        (["data.mask_ratio=0.99"], "data.mask_ratio: is 0.99, which hides 16 of the 16 squares of 2 pixels; use one between"),
        (["backbone.config.image_size=9", "backbone.init=random"], "is 9, no multiple of the 2 pixels that vit completes"),
        (
            ["backbone.processor.size={height: 10, width: 10}"],
            "backbone.processor: makes 10 x 10 pixels of an image of 64 x 64, but the model completes 8 x 8; set",
        ),
        (["backbone.processor.size={shortest_edge: 8}"], "makes 8 x 12 pixels of an image of 64 x 96"),
        (["backbone.config.encoder_stride=4", "backbone.init=random"], "vit cannot be run on masked images"),
        (["backbone.name=nano-bert"], "nano-bert is a bert, for which transformers has no AutoModelForMaskedImageModeling"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(overrides, told, tmp_path):
    with pytest.raises(ModelError) as caught:
        finetune(recipe(tmp_path / "run", *overrides))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["masked-image-modeling", "fill-mask"])
@pytest.mark.parametrize(
    "override",
    [
        "layers.adapter={type: lora, r: 2}",
        "backbone.edit=[{insert: '/layers?.0$/', module: {type: bottleneck, size: 4}}]",
    ],
)
def test_with_an_adapter_or_an_inserted_module_the_saved_model_is_the_trained_one(task, override, tmp_path):
    other = ["backbone.name=nano-bert", "data.path=docstrings"] if task == "fill-mask" else []
    result = finetune(recipe(tmp_path / "run", f"task={task}", *other, override, "training.max_steps=2"))
    again = whole_model(str(result.model), TASKS[task])
    assert result.metrics["test"]["n"] == 24
    assert type(again).__name__.startswith("Edited") == ("edit" in override)
    assert not any("lora" in name for name in again.state_dict())

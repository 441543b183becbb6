"""Models that complete masked images: their decoder's size, and their encoder's weights in a model that classifies."""

import pytest
import torch
import transformers

from hfft import backbone
from hfft.backbone.masked_images import encoder_class, encoder_of, fit_decoder
from hfft.backbone.spec import Backbone
from hfft.errors import ModelError
from hfft.head.spec import Head
from hfft.tasks.labels import Labels
from hfft.tasks.table import TASKS
from tests import stand_ins

MASKED, CLASSES = TASKS["masked-image-modeling"], TASKS["image-classification"]
TWO = Labels.of("single_label_classification", ["a", "b"])
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
STAGES = {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [1, 1]}
CONFIGS = {
    "vit": transformers.ViTConfig(**SMALL, image_size=16, patch_size=4),
    "deit": transformers.DeiTConfig(**SMALL, image_size=16, patch_size=4),
    "swin": transformers.SwinConfig(**STAGES, num_heads=[2, 2], window_size=4),
    "swinv2": transformers.Swinv2Config(**STAGES, num_heads=[2, 2], window_size=4),
    "focalnet": transformers.FocalNetConfig(**STAGES, hidden_sizes=[16, 32], focal_levels=[2, 2], focal_windows=[3, 3]),
}


def loaded(name, task, labels, **more):
    return backbone.load_model(Backbone(name=str(name), **more), Head(), task, labels)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_model_completes_images_and_its_encoder_classifies_with_the_same_weights(kind, tmp_path):
    torch.manual_seed(0)
    transformers.AutoModel.from_config(CONFIGS[kind]).save_pretrained(tmp_path / "bare")
    model = loaded(tmp_path / "bare", MASKED, Labels(MASKED.problem))
    size = CONFIGS[kind].image_size
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        completed = model(images, bool_masked_pos=torch.rand(2, (size // 4) ** 2) < 0.6).reconstruction
    assert completed.shape == images.shape
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.01
    model.save_pretrained(tmp_path / "completes")
    classifier = loaded(tmp_path / "completes", CLASSES, TWO)
    plain = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "completes", num_labels=2)
    own, encoder = model.state_dict(), set()
    for name, tensor in classifier.state_dict().items():
        if name.startswith("classifier"):
            continue
        encoder.add(name)
        assert torch.equal(tensor, own[name])
        assert torch.equal(plain.state_dict()[name], tensor)
    assert (
        not {name for name in own if not name.startswith("decoder")}
        - encoder
        - {
            f"{kind}.embeddings.mask_token",
            f"{kind}.embeddings.position_ids",
        }
    )
    assert encoder_class(model.config) == "AutoModelForImageClassification"


def test_the_encoder_of_a_vitmae_is_a_vit_with_its_weights(tmp_path):
    stand_ins.model("facebook/vit-mae-base", tmp_path / "mae")
    model = loaded(tmp_path / "mae", MASKED, Labels(MASKED.problem))
    assert type(model).__name__ == "ViTMAEForPreTraining"
    fixed = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert fixed == {"vit.embeddings.position_embeddings", "decoder.decoder_pos_embed"}
    classifier = loaded(tmp_path / "mae", CLASSES, TWO)
    assert type(classifier).__name__ == encoder_class(model.config) == "ViTForImageClassification"
    plain = transformers.ViTForImageClassification.from_pretrained(tmp_path / "mae", num_labels=2).state_dict()
    own = model.state_dict()
    for name, tensor in classifier.state_dict().items():
        if not name.startswith("classifier"):
            assert torch.equal(tensor, own[name])
            assert torch.equal(plain[name], tensor)
    assert set(classifier.state_dict()) - set(own) == {"classifier.weight", "classifier.bias"}


def test_with_labels_or_as_another_model_a_config_stays_what_it_is():
    mae = transformers.ViTMAEConfig(**SMALL, mask_ratio=0.5)
    assert encoder_of(mae, MASKED) is mae
    assert encoder_of(CONFIGS["vit"], CLASSES) is CONFIGS["vit"]
    found = encoder_of(mae, CLASSES)
    assert (found.model_type, found.hidden_size, found.layer_norm_eps) == ("vit", 16, mae.layer_norm_eps)


def test_the_decoder_enlarges_to_the_image_unless_the_recipe_says_otherwise():
    for kind, step in {"vit": 4, "deit": 4, "swin": 8, "swinv2": 8, "focalnet": 8}.items():
        config = CONFIGS[kind].from_dict(CONFIGS[kind].to_dict())
        fit_decoder(config)
        assert config.encoder_stride == step
        config.encoder_stride = 5
        fit_decoder(config, fixed=True)
        assert config.encoder_stride == 5


@pytest.mark.parametrize(
    ("kind", "changes", "told"),
    [
        ("vit", {"image_size": 18}, "image_size: is 18, no multiple of the 4 pixels that vit completes as a whole; use 16"),
        ("swin", {"image_size": 36}, "image_size: is 36, no multiple of the 8 pixels that swin completes as a whole; use 32"),
        ("vit", {"image_size": (16, 20)}, "image_size: is 16 x 20, but only squares can be masked; use one number"),
    ],
)  # fmt: skip
def test_images_that_are_no_whole_number_of_patches_are_refused_in_one_line(kind, changes, told):
    config = CONFIGS[kind].from_dict({**CONFIGS[kind].to_dict(), **changes})
    with pytest.raises(ModelError) as caught:
        fit_decoder(config)
    assert str(caught.value).startswith("backbone.config.")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_that_completes_no_images_is_refused(tmp_path):
    stand_ins.dinov2(tmp_path)
    with pytest.raises(ModelError, match="is a dinov2, for which transformers has no AutoModelForMaskedImageModeling"):
        loaded(tmp_path, MASKED, Labels(MASKED.problem))

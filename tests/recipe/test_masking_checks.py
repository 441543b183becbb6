"""What masked images have no use for is refused with the recipe, in one line each."""

import re

import pytest

from hfft.errors import RecipeError
from hfft.recipe.build import build

RECIPE = """
task: masked-image-modeling
backbone: {name: nano-vit}
data: {path: digits}
"""
NO_CLASSES = "which masked_image_modelling does not have"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("strategy.mixup=0.2", "strategy.mixup: is for single_label_classification"),
        ("strategy.class_weights=balanced", f"strategy.class_weights: needs classes, {NO_CLASSES}"),
        ("strategy.simclr=0.5", f"strategy.simclr: needs classes, {NO_CLASSES}"),
        ("strategy.pgd={}", "strategy.pgd: changes the pixels that task masked-image-modeling completes; leave it out"),
        ("strategy.smart={}", "strategy.smart: changes the pixels that task masked-image-modeling completes; leave it out"),
        ("strategy.distillation={teacher: x}", "strategy.distillation: compares classes, which task"),
        ("head.kind=mlp", "head.kind: task masked-image-modeling keeps the head it was pretrained with; leave it out"),
        ("head.init=zeros", "head.init: is zeros, but task masked-image-modeling has no new layer of classes; leave it out"),
        ("head.init=lda", "head.init: is lda, which needs one class a row, but masked_image_modelling has not; use default"),
        ("head.keep_known=true", f"head.keep_known: needs named classes, {NO_CLASSES}; leave it out"),
        ("use=directly", "use: is directly, which answers with classes, but task masked-image-modeling has none"),
        ("score.metrics=[accuracy]", "score.metrics.0: 'accuracy' does not measure masked_image_modelling; choose from"),
        ("score.calibrate=temperature", "score.calibrate: is temperature, which scales the probabilities of classes"),
        ("score.groups=[label]", "score.groups: needs labels, which task masked-image-modeling does not have"),
        ("data.shots=4", f"data.shots: needs one class a row, {NO_CLASSES}; leave it out"),
        ("data.classes=[a, b]", "data.classes: names classes, but task masked-image-modeling reads no labels; leave it out"),
        ("data.columns.label=label", "data.columns.label: is not used by task masked-image-modeling, which takes image"),
        ("data.sets={u: {path: digits}}", "data.sets: has rows that nothing masks for task masked-image-modeling"),
        ("data.mlm_probability=0.3", "data.mlm_probability: is for fill-mask, not for task masked-image-modeling; use"),
        ("layers.adapter={type: lora} publish.as=adapter", "publish.as: is adapter, but a model of task masked-image"),
        ("data.mask_ratio=1.2", "data.mask_ratio: is 1.2; expected less than 1"),
    ],
)  # fmt: skip
def test_what_masked_images_have_no_use_for_is_refused(override, told):
    with pytest.raises(RecipeError) as caught:
        build(RECIPE, "r.yaml", "r", tuple(re.split(r" (?=publish)", override)))
    assert told in str(caught.value)


@pytest.mark.parametrize("key", ["mask_ratio=0.5", "mask_patch_size=2"])
def test_masks_of_images_are_for_no_other_task(key):
    with pytest.raises(
        RecipeError, match="is for masked-image-modeling, not for task image-classification; leave it out"
    ):
        build(RECIPE.replace("masked-image-modeling", "image-classification"), "r.yaml", "r", (f"data.{key}",))


def test_images_are_augmented_before_they_are_masked():
    made = build(RECIPE, "r.yaml", "r", ("data.augment=[horizontal_flip, random_resized_crop]", "data.mask_ratio=0.5"))
    assert made.problem == "masked_image_modelling"
    assert made.metrics == ("reconstruction_loss",)
    assert (made.data.mask_ratio, made.data.mask_patch_size) == (0.5, None)

"""The founding article's run and its faults: arms, the test in training mode, and a table computed by hand."""

import numpy as np
import pytest
import torch
from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification

from hfft.data import load_splits
from hfft.recipe import load_recipe
from hfft.studies.find import make_study
from hfft.studies.run import run_study
from hfft.studies.study import Figures, recipe_of
from hfft.studies.training_mode import score
from tests.studies.figures import came_to, seeds_of


def study(**options):
    return make_study("founding", None, **{"seeds": 2, **options})


def test_each_arm_mends_one_fault_of_the_article(tmp_path):
    asked = study()
    assert asked.recipe.name == "resnet50_cifar10_plain"
    children = {child.name: child for child in asked.plan({})}
    assert children["training-mode-2"].begins_from == "founding-2"
    assert [name for name in children if name.startswith("plain-loop")] == ["plain-loop-1"]
    recipes = {arm: recipe_of(asked, children[f"{arm}-1"], tmp_path) for arm in ("founding", *asked.mended())}
    base = recipes["founding"]
    assert recipes["pixels"].backbone.processor == {**base.backbone.processor, "size": {"shortest_edge": 224}}
    assert set(base.backbone.processor) - set(recipes["statistics"].backbone.processor) == {"image_mean", "image_std"}
    assert recipes["head-rate"].layers.head_lr_scale == 10
    assert recipes["schedule"].training["lr_scheduler_type"] == "cosine"
    assert (recipes["validation"].data.validation, recipes["validation"].training["load_best_model_at_end"]) == (
        0.1,
        True,
    )
    whole = recipes["all-mended"]
    assert set(whole.backbone.processor) == {"size", "crop_pct"}
    assert (whole.layers.head_lr_scale, whole.data.validation) == (10, 0.1)


def test_the_table_has_the_run_its_tests_and_what_mending_gains():
    done = seeds_of(
        {"founding": [0.60, 0.62], "pixels": [0.80, 0.82], "statistics": [0.61, 0.63], "all-mended": [0.9, 0.92]}
    )
    modes = {"training mode, batches of 100": 0.55, "training mode, sorted by class": 0.3}
    done |= {f"training-mode-{seed}": came_to(0.6, modes=modes) for seed in (1, 2)}
    done["plain-loop-1"] = Figures({"difference": 3e-15, "steps": 20})
    table = study().table(done)
    assert table.row("tested in training mode, sorted by class").cells["minus it"].values == pytest.approx(
        {1: -0.3, 2: -0.32}
    )
    assert table.row("pixels mended").cells["minus it"].values == pytest.approx({1: 0.2, 2: 0.2})
    assert table.answer == (
        "resnet50_cifar10_plain: as published, test accuracy is 0.610 (n=500, 2 seeds); of the faults, most is gained by pixels "
        "(+20.0 ± 0.0 points), by all together +30.0 ± 0.0 points; 20 steps differ by 3e-15 at most from a plain loop (float64)."
    )


def test_nothing_done_is_a_table_too():
    assert study().table({}).answer == "resnet50_cifar10_plain: no run has finished."


def resnet(folder):
    """A small residual net for digits, saved in a folder, and its processor."""
    torch.manual_seed(0)
    names = {i: str(i) for i in range(10)}
    config = ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", id2label=names)
    model, processor = ResNetForImageClassification(config), ConvNextImageProcessor(size={"shortest_edge": 32})
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


@pytest.mark.slow
def test_in_training_mode_the_score_depends_on_which_rows_share_a_batch(tmp_path):

    torch.manual_seed(0)
    names = {i: str(i) for i in range(10)}
    config = ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", id2label=names)
    model = ResNetForImageClassification(config)
    model.save_pretrained(tmp_path)
    processor = ConvNextImageProcessor(size={"shortest_edge": 32})
    processor.save_pretrained(tmp_path)
    recipe = load_recipe("digits", f"backbone.name={tmp_path}", "data.max_eval_samples=60")
    found = score(recipe, [20, 2])
    assert list(found["modes"]) == [
        f"training mode, {how}" for how in ("batches of 20", "batches of 2", "sorted by class")
    ]
    rows, _ = load_splits(recipe.data, recipe.the_task, recipe.seed)
    images, truth = rows.test["image"], np.array(rows.test["labels"])
    pixels = processor([image.convert("RGB") for image in images], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        evaluated = model.eval()(pixels).logits.argmax(1).numpy()
        order = np.argsort(truth, kind="stable")
        parts = [model.train()(pixels[order[i : i + 20]]).logits.argmax(1).numpy() for i in range(0, 60, 20)]
    assert found["test"] == {"accuracy": pytest.approx(np.mean(evaluated == truth)), "n": 60}
    assert found["modes"]["training mode, sorted by class"] == pytest.approx(
        np.mean(np.concatenate(parts) == truth[order])
    )
    assert score(recipe, [20, 2]) == found


@pytest.mark.slow
def test_a_small_one_runs_to_its_page(tmp_path):
    resnet(tmp_path / "resnet")
    few = ("data.path=digits", "data.columns={}", "data.max_train_samples=40", "data.max_eval_samples=20")
    few += ("data.augment=[horizontal_flip]", "training.num_train_epochs=1", "training.per_device_train_batch_size=20")
    few += (f"backbone.name={tmp_path / 'resnet'}", "training.dataloader_num_workers=0")
    table = run_study(make_study("founding", None, few, pixels=64, steps=2, seeds=1), tmp_path / "study")
    assert not table.failed
    assert {"pixels mended", "all of these mended", "tested in training mode, sorted by class"} < {
        row.arm for row in table.rows
    }
    assert "from a plain loop (float64)" in table.answer

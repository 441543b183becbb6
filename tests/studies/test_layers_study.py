"""The study of layers: its arms, the models of which only the first blocks are kept, and a table computed by hand."""

import pytest
import torch
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
)

from hfft.backbone import source
from hfft.errors import BadInput, RecipeError
from hfft.recipe import load_recipe
from hfft.studies.find import make_study
from hfft.studies.measures import count_blocks, keep_first, layer_probes, place_of_block
from hfft.studies.run import run_study
from tests.studies.figures import came_to, seeds_of


def study(*overrides, **options):
    return make_study("layers", "digits", overrides, **{"seeds": 2, **options})


def test_the_treatments_of_yosinski_begin_from_their_source():
    children = {child.name: child for child in study(blocks=[2]).plan({})}
    assert {"all-1", "freeze-first-2-1", "freeze-middle-2-1", "freeze-last-2-1", "random-1"} < children.keys()
    assert children["start-A2-1"].begins_from is None
    assert children["start-B2-1"].begins_from == "random-1"
    for arm, start, frozen in (("A2B", "A2", True), ("A2B+", "A2", False), ("B2B", "B2", True), ("B2B+", "B2", False)):
        child = children[f"{arm}-2"]
        assert child.begins_from == f"start-{start}-2"
        assert child.overrides["layers.freeze"] == (["embeddings", "first-2"] if frozen else [])


def test_every_number_of_blocks_but_all_is_kept_by_default():
    found = study()
    assert count_blocks(found.recipe) == 4
    assert found.kept() == [1, 2, 3]
    assert {"freeze-first-1", "freeze-first-2", "freeze-first-3"} < set(found.frozen())
    small = study(blocks=1, treatments="none", features=False)
    assert {c.arm for c in small.plan({})} == {
        *("all", "freeze-first-1", "freeze-first-2", "freeze-middle-2", "freeze-last-2", "random")
    }


def test_the_answer_is_what_freezing_costs_and_saves():
    done = seeds_of({"all": [0.90, 0.94]}, seconds=10) | seeds_of({"freeze-first-2": [0.89, 0.93]}, seconds=8)
    done |= seeds_of({"freeze-first-3": [0.91, 0.92]}, seconds=5)
    table = study(blocks=[3]).table(done)
    assert table.row("freeze-first-3").cells["minus all"].values == pytest.approx({1: 0.01, 2: -0.02})
    assert table.row("freeze-first-3").cells["time saved, %"].values == {1: 50, 2: 50}
    # the last that costs nothing for sure: -0.005 ± t(1) 0.0212 / sqrt(2)
    assert table.answer.startswith(
        "digits: freeze first-3: costs 0.5 ± 19.1 points, saves 50 % of the time (test accuracy 0.915"
    )
    sure = (
        done
        | seeds_of({"freeze-first-3": [0.70, 0.74]}, seconds=5)
        | seeds_of({"freeze-first-2": [0.88, 0.92]}, seconds=8)
    )
    assert "freeze first-2: costs 2.0 ± 0.0 points, saves 20 %" in study(blocks=[3]).table(sure).answer


def test_the_layer_with_the_best_features_is_named():
    done = {"all-1": came_to(0.9)}
    for seed, shift in ((1, 0.0), (2, 0.02)):
        found = {"1": 0.7 + shift, "2": 0.9 + shift, "3": 0.8 + shift, "4": 0.6 + shift}
        done[f"features-{seed}"] = came_to(0.9, layers=found)
    notes = study().table(done).notes
    assert "best features: layer 2 of 4 (0.910, +30.0 ± 0.0 points beside the last layer; logistic regression)" in notes


def test_the_kept_blocks_are_the_backbones_and_the_others_are_untrained(tmp_path):
    recipe = load_recipe("digits", f"training.output_dir={tmp_path}")
    keep_first(recipe, 2)
    made = AutoModelForImageClassification.from_pretrained(tmp_path / "model").state_dict()
    source = AutoModelForImageClassification.from_pretrained("hfft/backbone/nano/vit", dtype=torch.float32).state_dict()
    same = {name for name in made if name in source and torch.equal(made[name], source[name])}
    for i in range(4):
        weights = [name for name in made if f".{i}." in name and name.endswith("weight") and "norm" not in name]
        assert weights
        assert all((name in same) == (i < 2) for name in weights)
    assert all(name in same for name in made if "embeddings" in name)
    again = tmp_path / "again"
    keep_first(load_recipe("digits", f"training.output_dir={again}", "training.seed=7"), 2)
    other = AutoModelForImageClassification.from_pretrained(again / "model").state_dict()
    last = next(name for name in made if ".3." in name and name.endswith("weight") and "norm" not in name)
    assert not torch.equal(other[last], made[last])


def test_the_first_blocks_of_a_text_model_are_kept_whose_ids_of_positions_are_no_weights(tmp_path):
    recipe = load_recipe("docstrings", f"training.output_dir={tmp_path}")
    counts = keep_first(recipe, 1)
    made = AutoModel.from_pretrained(tmp_path / "model").state_dict()
    source = AutoModel.from_pretrained("hfft/backbone/nano/bert", dtype=torch.float32).state_dict()
    for i in range(2):
        weights = [
            name for name in made if f"layer.{i}." in name and name.endswith("weight") and "LayerNorm" not in name
        ]
        assert weights
        assert all(torch.equal(made[name], source[name]) == (i < 1) for name in weights)
    assert counts["kept"] >= sum("embeddings" in name for name in made)


def test_unknown_treatments_are_refused():
    with pytest.raises(RecipeError, match=r"is 'AnA'; expected some of AnB, AnB\+, BnB, BnB\+, or none"):
        study(treatments=["AnA"])


def test_more_blocks_than_there_are_are_refused():
    with pytest.raises(BadInput, match="blocks: 9 are more than the 4 of nano-vit"):
        study(blocks=[2, 9]).plan({})


@pytest.mark.slow
def test_probes_of_layers_are_those_of_scikit_learn(tmp_path, monkeypatch):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    from hfft.classifier.logistic import GRID
    from hfft.features import of_recipe

    monkeypatch.setenv("HFFT_CACHE", str(tmp_path))
    recipe = load_recipe("digits", "data.max_train_samples=200", "data.max_eval_samples=200")
    found = layer_probes(recipe, [2, 4])
    parts = of_recipe(recipe, layer=2)
    scale = StandardScaler().fit(parts["train"].values)
    x, held, test = (scale.transform(parts[name].values) for name in ("train", "validation", "test"))
    fitted = [LogisticRegression(C=c, max_iter=1000).fit(x, parts["train"].labels) for c in GRID]
    scores = [model.score(held, parts["validation"].labels) for model in fitted]
    tied = [model for model, score in zip(fitted, scores, strict=True) if score == max(scores)]
    accuracies = [model.score(test, parts["test"].labels) for model in tied]
    assert any(found["layers"]["2"] == pytest.approx(accuracy, abs=0.006) for accuracy in accuracies)
    assert found["test"] == {"accuracy": max(found["layers"].values()), "n": 200}


@pytest.mark.slow
def test_a_small_one_runs_to_its_page(tmp_path, monkeypatch):
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "cache"))
    few = ("data.max_train_samples=20", "data.max_eval_samples=20", "training.num_train_epochs=1")
    small = study(*few, blocks=1, treatments=["BnB"], seeds=1, features=False)
    table = run_study(small, tmp_path / "study")
    assert not table.failed
    assert table.row("B1B").cells["test accuracy"].values.keys() == {1}
    begun = (tmp_path / "study" / "children" / "B1B-1" / "recipe.yaml").read_text()
    assert "children/start-B1-1/model" in begun


@pytest.mark.parametrize(
    ("overrides", "options", "message"),
    [
        (["backbone.edit=[{remove: last-1}]"], {}, "as they were pretrained, but backbone.edit is set"),
        (["data.test=none"], {}, "scores features on the test split, but data.test is none"),
    ],
)
def test_what_a_study_of_layers_cannot_do_is_refused_before_it_begins(overrides, options, message):
    with pytest.raises(RecipeError, match=message):
        make_study("layers", "digits", overrides, **options)


def staged(folder):
    """A recipe with a ResNet of three blocks in two stages, saved in a folder."""
    torch.manual_seed(0)
    config = ResNetConfig(num_channels=3, embedding_size=8, hidden_sizes=[8, 12], depths=[1, 2], num_labels=3)
    ResNetForImageClassification(config).save_pretrained(folder / "model")
    AutoImageProcessor.from_pretrained(source("nano-vit")).save_pretrained(folder / "model")
    few = ("data.max_train_samples=40", "data.max_eval_samples=20")
    return load_recipe("digits", f"backbone.name={folder / 'model'}", *few)


def test_features_of_a_net_of_stages_are_those_of_its_blocks(tmp_path, monkeypatch):
    monkeypatch.setenv("HFFT_CACHE", str(tmp_path / "cache"))
    recipe = staged(tmp_path)
    assert count_blocks(recipe) == 3
    places = [place_of_block(recipe, block) for block in (1, 2, 3, -1)]
    assert places == ["resnet.encoder.stages.0.layers.0", "resnet.encoder.stages.1.layers.0", -1, -1]
    assert set(layer_probes(recipe, [1, 2, 3])["layers"]) == {"1", "2", "3"}
    assert place_of_block(load_recipe("digits"), 2) == 2

"""What the outline of a model tells is told before any data or weights are fetched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
import transformers

from hfft import head, layers
from hfft.errors import BadInput, ModelError
from hfft.layers.adapters.add import adapter_targets
from hfft.pipeline.dry_build import dry_build
from hfft.recipe import Recipe
from hfft.recipe.build import build
from tests import stand_ins
from tests.architectures.tiny import tiny_model
from tests.examples import ALL, EVERY, head_and_depths, tiny, tiny_config
from tests.hub_server import Hub
from tests.parts import meta_model_of

ROOT = Path(__file__).parents[2]
BERT = "google-bert/bert-base-uncased"


def recipe(model: Path, *overrides: str, task: str = "text-classification") -> Recipe:
    """A recipe for the model in a folder, whose data is nowhere."""
    text = f"task: {task}\nbackbone: {{name: {model}}}\ndata: {{path: nowhere/to-be-found}}\n"
    return build(text, "test.yaml", "test", overrides)


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    """The config of a tiny BERT of three blocks, and no weights."""
    folder = tmp_path_factory.mktemp("models") / "bert"
    tiny_config("bert").save_pretrained(folder)
    return folder


@pytest.mark.slow_but("vit")
@pytest.mark.parametrize("name", EVERY)
def test_the_outline_is_the_model_without_its_weights(name, tmp_path):
    model = tiny(name, labels=2)
    model.config.save_pretrained(tmp_path)
    outlined = meta_model_of(recipe(tmp_path, task=ALL[name].task))
    assert {p.device.type for p in outlined.parameters()} == {"meta"}
    assert {n: p.shape for n, p in outlined.named_parameters()} == {n: p.shape for n, p in model.named_parameters()}
    assert head_and_depths(outlined) == head_and_depths(model)
    targets = layers.adapt(model, "head", {"type": "lora"}, layers.depths(model), head.parameter_names(model))
    dry_build(recipe(tmp_path, "layers.adapter={type: lora}", task=ALL[name].task))
    found = layers.adapt(
        outlined, "head", {"type": "lora"}, layers.depths(tiny(name)), head.parameter_names(tiny(name))
    )
    assert [n for n, _ in found.named_parameters()] == [n for n, _ in targets.named_parameters()]


@pytest.mark.parametrize("name", ["falcon", "phimoe"])
def test_adapter_targets_are_found_among_layers_of_an_architectures_own_without_values(name):
    model = tiny_model("text", name)
    with torch.device("meta"):
        outlined = type(model)(model.config)
    depths = layers.depths(model)
    assert adapter_targets(outlined, depths) == adapter_targets(model, depths) != []


MISTAKES = [
    ("layers.train=last-30", "layers.train: last-30, but the model has 3 blocks; use at most last-3"),
    ("layers.train=/encoder.layer.2.atention/", "did you mean 'encoder.layer.2.attention'?"),
    ("layers.freeze=[/poler/]", "layers.freeze: /poler/ matches no parameter; did you mean 'pooler'?"),
    ("layers.freeze=[all]", "layers.freeze: all leaves nothing to learn; freeze less"),
    (
        "layers.lr={/clasifier/: 0.1}",
        "layers.lr: /clasifier/ matches no parameter that learns; did you mean 'classifier'",
    ),
    ("layers.weight_decay={/LayerNrom/: 0}", "did you mean 'LayerNorm'?"),
    ("head.new=[bert.poolr]", "head.new: bert has no module 'bert.poolr'; did you mean 'bert.pooler'?"),
    ("data.max_length=25", "data.max_length: is 25, but the model has 24 positions"),
    ("backbone.config={num_layers_hidden: 2}", "backbone.config.num_layers_hidden: bert has no such entry"),
    (
        "layers.adapter={type: lora, target_modules: [query, valu]}",
        "layers.adapter.target_modules: bert has no module 'valu'; did you mean 'value'?",
    ),
    ("layers.adapter={type: lora, target_modules: 'bert.*(query'}", "'bert.*(query' is not a regular expression"),
    (
        "layers.adapter={type: lora, target_modules: [classifier]}",
        "'classifier' is in the head, which is trained in full",
    ),
    ("layers.adapter={type: lora, modules_to_save: [poler]}", "has no module 'poler'; did you mean 'pooler'?"),
    ("layers.adapter={type: lora, exclude_modules: [qery]}", "exclude_modules: bert has no module 'qery'"),
    ("layers.adapter={type: lora, rank_pattern: {qery: 2}}", "rank_pattern: bert has no module 'qery'"),
    ("layers.adapter={type: lora, target_parameters: [qery.weight]}", "bert has no parameter 'qery.weight'; did you"),
    ("layers.adapter={type: lora, layers_to_transform: [1, 3]}", "there is no block 3; blocks are numbered 0 to 2"),
    (
        "layers.adapter={type: lora, layers_to_transform: 1, layers_pattern: block}",
        "layers_pattern: 'block' matches no list of blocks (such as: layer)",
    ),
]


@pytest.mark.parametrize(("override", "text"), MISTAKES)
def test_a_mistake_about_the_model_is_one_line(bert, override, text):
    dry_build(recipe(bert))
    with pytest.raises(BadInput) as error:
        dry_build(recipe(bert, override))
    assert text in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_names_of_modules_that_are_there_pass(bert):
    named = "target_modules: [query, value], exclude_modules: [dense], rank_pattern: {'layer.2.*query': 2}"
    more = "modules_to_save: [bert.pooler], layers_to_transform: [2], layers_pattern: layer"
    dry_build(recipe(bert, f"layers.adapter={{type: lora, {named}, {more}}}"))
    dry_build(recipe(bert, "layers.adapter={type: lora, target_modules: all-linear, exclude_modules: '.*pooler.*'}"))


def test_an_architecture_that_cannot_take_an_adapter_or_a_dropout_or_the_task_is_told(tmp_path):
    transformers.BitConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_groups=2).save_pretrained(
        tmp_path
    )
    image = "image-classification"
    dry_build(recipe(tmp_path, task=image))
    with pytest.raises(
        ModelError, match=r"layers\.adapter: bit cannot take this adapter: its blocks have no plain linear layer"
    ):
        dry_build(recipe(tmp_path, "layers.adapter={type: lora}", task=image))
    with pytest.raises(ModelError, match=r"head\.dropout: the head of bit has no dropout"):
        dry_build(recipe(tmp_path, "head.dropout=0.1", task=image))
    with pytest.raises(ModelError, match="is a bit, for which transformers has no AutoModelForSequenceClassification"):
        dry_build(recipe(tmp_path))


def test_what_cannot_be_built_without_values_is_left_to_the_run(bert, monkeypatch):
    class Computing(transformers.BertForSequenceClassification):
        def __init__(self, config):
            super().__init__(config)
            # Not linspace: transformers replaces it while it loads a model, and if that is when torch first lists what
            # `torch.device` moves (a list it then keeps), linspace stays off the meta device from there on.
            self.steps = torch.ones(3)[1].item()

    mapping = transformers.AutoModelForSequenceClassification._model_mapping
    monkeypatch.setitem(mapping._extra_content, transformers.BertConfig, Computing)
    assert meta_model_of(recipe(bert)) is None
    dry_build(recipe(bert, "layers.train=last-30"))


@pytest.mark.slow
def test_of_a_model_of_the_hub_only_the_config_is_fetched(tmp_path):
    model = stand_ins.model(BERT, tmp_path / "bert")
    rows = stand_ins.data("CogComp/trec", tmp_path / "rows")
    script = textwrap.dedent("""
        import json, sys
        from hfft import cli
        for override in json.loads(sys.argv[1]):
            print(cli.main(["train", "given.yaml", override]))
    """)
    (tmp_path / "given.yaml").write_text(
        "task: text-classification\nbackbone: {name: alice/bert}\ndata: {path: alice/rows}\n"
    )
    wrong = {
        "layers.train=last-30": "layers.train: last-30, but the model has 2 blocks; use at most last-2",
        "layers.adapter={type: lora, target_modules: [none]}": "layers.adapter.target_modules: bert has no module 'none'",
        "head.new=[poler]": "head.new: bert has no module 'poler'; did you mean 'pooler'?",
    }
    with Hub(tmp_path / "store") as hub:
        hub.add("models", "alice/bert", model)
        hub.add("datasets", "alice/rows", rows)
        environment = {**os.environ, **hub.env(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", script, json.dumps(list(wrong))]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        asked = [path for _, path in hub.requests]
    assert done.stdout.split() == ["2"] * len(wrong), done.stdout + done.stderr
    for text in wrong.values():
        assert text in done.stderr
    assert any("config.json" in path for path in asked)
    fetched = {path.rpartition("/")[2] for path in asked if "/resolve/" in path}
    assert fetched == {"config.json"}, asked
    assert not [path for path in asked if "dataset" in path], asked

"""An adapter leaves a run apart: plain transformers and PEFT answer by it, it is trained on, and switched for another."""

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

import hfft
from hfft.commands.predict import predict
from hfft.commands.publish import publish_run
from hfft.commands.score import score
from hfft.errors import BadInput, ModelError, RunError
from hfft.layers.adapters.published import published
from hfft.pipeline import deep_check
from hfft.recipe.build import build
from tests import stand_ins
from tests.publish.conftest import TOKEN

pytestmark = pytest.mark.slow

SST2 = "{text: sentence, label: label}"
TREC = "{text: text, label: coarse_label}"
KINDS = ["ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"]
ROOT = Path(__file__).parents[2]
TEXTS = ["a film was good", "who is it"]


def text_of(backbone, data, columns, adapter, more=""):
    return f"""
task: text-classification
backbone: {{name: {backbone}}}
layers: {{adapter: {adapter}}}
data: {{path: {data}, columns: {columns}, validation: 0.2}}
training: {{max_steps: 4, per_device_train_batch_size: 8, learning_rate: 1e-2, use_cpu: true, save_strategy: 'no'}}
publish: {{as: adapter{more}}}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A backbone, two sets of data, and two adapters trained one after another."""
    folder = tmp_path_factory.mktemp("world")
    backbone = stand_ins.model("google-bert/bert-base-uncased", folder / "model")
    data = {name: stand_ins.data(name, folder / name) for name in ("stanfordnlp/sst2", "CogComp/trec")}

    def train(name, data_name, adapter, *overrides):
        columns = SST2 if "sst2" in data_name else TREC
        given = (f"training.output_dir={folder / name}", *overrides)
        recipe = build(text_of(backbone, data[data_name], columns, adapter), name, name, given)
        return recipe

    def run(*args):
        return hfft.finetune(train(*args))

    run.recipe, run.folder, run.backbone = train, folder, backbone
    run.two = run("two", "stanfordnlp/sst2", "{type: lora, r: 4}")
    run.six = run("six", "CogComp/trec", "{type: ia3}")
    run.rest = run("rest", "CogComp/trec", "{type: vera, r: 8}")
    return run


def test_plain_transformers_answers_with_the_right_classes(world):
    script = textwrap.dedent(f"""
        import json, sys
        sys.modules["hfft"] = None
        from transformers import pipeline
        model = pipeline("text-classification", model={str(world.six.model)!r})
        print(json.dumps([sorted((x["label"], x["score"]) for x in row) for row in model({TEXTS!r}, top_k=None)]))
    """)
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=world.folder, env=env)
    assert done.returncode == 0, done.stderr
    ours = hfft.load_predictor(str(world.six.folder))
    for found, row in zip(json.loads(done.stdout.splitlines()[-1]), ours(TEXTS), strict=True):
        assert dict(found) == pytest.approx(dict(zip(KINDS, row.tolist(), strict=True)), abs=1e-6)


def test_the_folder_holds_the_adapter_and_names_its_backbone(world):
    files = {path.name for path in world.two.model.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "config.json", "tokenizer.json", "README.md"} <= files
    config = json.loads((world.two.model / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(world.backbone)
    assert "peft" in (world.two.model / "README.md").read_text()


def test_peft_alone_puts_it_onto_the_backbone(world):
    from peft import PeftModel

    config = transformers.AutoConfig.from_pretrained(world.six.model)
    base = transformers.AutoModelForSequenceClassification.from_pretrained(world.backbone, config=config)
    model = PeftModel.from_pretrained(base, str(world.six.model)).eval()
    inputs = stand_ins.tokenizer()(TEXTS, return_tensors="pt", padding=True)
    with torch.no_grad():
        found = model(**inputs).logits
    torch.testing.assert_close(found, hfft.load_predictor(str(world.six.folder)).logits(TEXTS), rtol=1e-6, atol=1e-6)


def test_several_adapters_are_switched_on_one_backbone_in_memory(world):
    alone = {name: hfft.load_predictor(str(getattr(world, name).folder)) for name in ("two", "six")}
    both = hfft.load_predictors({name: str(getattr(world, name).folder) for name in ("two", "six")})
    for name in ("two", "six", "two"):
        assert torch.equal(both[name].logits(TEXTS), alone[name].logits(TEXTS))
    assert (both["two"].logits(TEXTS).shape, both["six"].logits(TEXTS).shape) == ((2, 2), (2, 6))
    backbone = transformers.AutoModel.from_pretrained(world.backbone)
    two, six = ({id(p): p.numel() for p in both[name].model.parameters()} for name in ("two", "six"))
    wide = sum(p.numel() for p in backbone.parameters())
    assert sum(size for key, size in two.items() if key in six) > 0.9 * wide
    assert sum({**two, **six}.values()) < 1.3 * wide


def test_score_and_predict_read_the_adapter(world):
    said = list(score(str(world.six.folder), [], fresh=True))
    expected = world.six.metrics["test"]["accuracy"]
    assert any(line.startswith("test") and f"accuracy {expected:.4f}" in line for line in said)
    [row] = predict(str(world.two.folder), ["a film was good"], None, "test", None, 1)
    assert row["label"] in ("negative", "positive")


def test_what_peft_alone_puts_back_says_so_and_is_read_all_the_same(world):
    card = (world.rest.model / "README.md").read_text()
    assert "PeftModel.from_pretrained" in card
    assert "pipeline(" not in card
    assert not list(world.rest.model.glob("model*.safetensors"))
    predictor = hfft.load_predictor(str(world.rest.folder))
    assert tuple(predictor.model.config.id2label.values()) == tuple(KINDS)
    [line] = [line for line in score(str(world.rest.folder), [], fresh=True) if line.startswith("test")]
    assert f"accuracy {world.rest.metrics['test']['accuracy']:.4f}" in line


# --- trained on


def test_a_published_adapter_goes_on_where_it_was_with_its_head(world):
    recipe = world.recipe("on", "stanfordnlp/sst2", f"{{from: {world.two.folder}}}", "training.learning_rate=0")
    result = hfft.finetune(recipe)
    before, after = (hfft.load_predictor(str(run.folder)).logits(TEXTS) for run in (world.two, result))
    torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-6)


def test_for_other_classes_its_head_is_new(world):
    recipe = world.recipe(
        "other", "CogComp/trec", f"{{from: {world.two.folder}}}", "training.learning_rate=0", "head.init=zeros"
    )
    result = hfft.finetune(recipe)
    from safetensors.torch import load_file

    before, after = (load_file(published(str(run.folder)).weights) for run in (world.two, result))
    lora = [key for key in before if "lora_" in key]
    assert lora
    assert all(torch.equal(before[key], after[key]) for key in lora)
    assert not hfft.load_predictor(str(result.folder)).logits(TEXTS).any()


def test_an_adapter_of_another_backbone_is_refused_before_the_data(world, tmp_path):
    other = stand_ins.model("google-bert/bert-base-uncased", tmp_path / "other")
    text = text_of(other, "no/such-data", SST2, f"{{from: {world.two.folder}}}")
    recipe = build(text, "x", "x", (f"training.output_dir={tmp_path / 'run'}",))
    with pytest.raises(ModelError, match=rf"was trained on {world.backbone}, the recipe's backbone is {other}"):
        hfft.finetune(recipe)


def test_a_folder_without_an_adapter_or_with_pickles_is_refused(world, tmp_path):
    with pytest.raises(BadInput, match=r"has no adapter_config\.json"):
        published(str(world.backbone))
    (tmp_path / "adapter_config.json").write_text((world.two.model / "adapter_config.json").read_text())
    (tmp_path / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"has no adapter_model\.safetensors"):
        published(str(tmp_path))
    with pytest.raises(BadInput, match=r"layers\.adapter\.from: there is no folder .*nowhere"):
        published(str(tmp_path / "nowhere"))


# --- learned tokens, and what cannot be an adapter


def test_learned_tokens_leave_as_an_adapter_that_peft_loads(world):
    recipe = world.recipe("tokens", "stanfordnlp/sst2", "{type: prompt_tuning, num_virtual_tokens: 4}", "publish=null")
    assert recipe.published_as == "adapter"
    lines = list(deep_check.check(recipe))
    assert lines[-1] == "save and reload: the same outputs"


@pytest.mark.parametrize("adapter", ["{type: dora, r: 2}", "{type: tinylora}", "{type: lokr}", "{type: osf}"])
def test_an_adapter_that_is_saved_answers_as_it_was_trained(world, adapter):
    recipe = world.recipe("whole", "stanfordnlp/sst2", adapter)
    assert list(deep_check.check(recipe))[-1] == "save and reload: the same outputs"


def test_an_architecture_that_transformers_cannot_put_it_back_onto_is_told(tmp_path):
    config = transformers.MobileNetV2Config(depth_multiplier=0.25, image_size=32, num_labels=10, min_depth=8)
    transformers.MobileNetV2ForImageClassification(config).save_pretrained(tmp_path / "model")
    transformers.MobileNetV2ImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(tmp_path / "model")
    text = f"""
task: image-classification
backbone: {{name: {tmp_path / "model"}}}
layers: {{adapter: {{type: lora, r: 2}}}}
data: {{path: {stand_ins.data("uoft-cs/cifar10", tmp_path / "data")}, columns: {{image: img, label: label}}, validation: 0.2}}
training: {{per_device_train_batch_size: 8, learning_rate: 1e-2, use_cpu: true, output_dir: {tmp_path / "run"}}}
publish: {{as: adapter}}
"""
    with pytest.raises(RunError, match=r"publish\.as: .* mobilenet_v2 .*; use publish\.as=merged"):
        list(deep_check.check(build(text, "x", "x")))
    assert (
        list(deep_check.check(build(text, "x", "x", ("publish.as=merged",))))[-1] == "save and reload: the same outputs"
    )


@pytest.mark.parametrize(
    ("layers", "publish", "said"),
    [
        ("{}", "{as: adapter}", "publish.as: is for adapters"),
        (
            "{adapter: {type: lily}}",
            "{as: merged}",
            "publish.as: is merged, which lily cannot be; use publish.as=adapter",
        ),
        ("{adapter: {type: lora}}", "{as: both}", "publish.as: is 'both'; expected 'merged' or 'adapter'"),
    ],
)
def test_a_way_to_publish_that_cannot_be_is_refused(layers, publish, said):
    text = (
        f"task: text-classification\nbackbone: {{name: a}}\nlayers: {layers}\ndata: {{path: b}}\npublish: {publish}\n"
    )
    with pytest.raises(BadInput) as error:
        build(text, "x", "x")
    assert said in str(error.value)


def test_a_finished_run_is_published_in_the_form_it_was_saved_in(world):
    with pytest.raises(BadInput, match=r"publish\.as: the run saved its model as adapter; train it again"):
        publish_run(str(world.two.folder), ["publish.hub_model_id=me/x", "publish.as=merged"])


# --- the hub


def test_from_the_hub_plain_transformers_answers_by_the_repository_alone(alices_hub, tmp_path):
    hub = alices_hub
    hub.add("models", "org/bert", stand_ins.model("google-bert/bert-base-uncased", tmp_path / "model"))
    hub.add("datasets", "org/trec", stand_ins.data("CogComp/trec", tmp_path / "trec"))
    (tmp_path / "six.yaml").write_text(
        text_of("org/bert", "org/trec", TREC, "{type: lora, r: 4}", ", hub_model_id: six")
    )

    def python(*command):
        done = hub.forks.run(*command, folder=tmp_path, HF_TOKEN=TOKEN)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "published: " in python("-m", "hfft.run", "--recipe", "six.yaml")
    config = json.loads(hub.files("models", "alice/six")["adapter_config.json"])
    assert config["base_model_name_or_path"] == "alice/six", "there lies a config with the classes"
    card = hub.files("models", "alice/six")["README.md"].decode()
    assert "base_model: org/bert" in card
    assert "base_model_relation: adapter" in card
    plain = python(
        "-c",
        "import json, sys; sys.modules['hfft'] = None\n"
        "from transformers import pipeline\n"
        "print(json.dumps(pipeline('text-classification', model='alice/six')('who is it', top_k=None)))",
    )
    assert {row["label"] for row in json.loads(plain.splitlines()[-1])} == set(KINDS)
    on = text_of("org/bert", "org/trec", TREC, "{from: alice/six}", ", hub_model_id: null")
    (tmp_path / "on.yaml").write_text(on)
    python("-m", "hfft.run", "--recipe", "on.yaml")
    recipe = hfft.load_recipe(tmp_path / "runs/on/recipe.yaml")
    assert recipe.layers.adapter == {"from": "alice/six", "revision": hub.commits("models", "alice/six")[0].id}

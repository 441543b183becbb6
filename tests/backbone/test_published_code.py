"""An edited model answers the same without hfft, by the file beside it, and with hfft, which never runs that file."""

import ast
import json
import os
import subprocess
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from hfft import finetune, head, load_recipe
from hfft.backbone import build_meta_model, load_model, published_code
from hfft.backbone.edit import edit
from hfft.backbone.spec import Backbone
from hfft.commands.predict import predict
from hfft.commands.score import score
from hfft.errors import BadInput
from hfft.head import replace_head
from hfft.head.spec import Head
from hfft.predict.predictor import load_predictor
from hfft.tasks.labels import Labels
from hfft.tasks.table import TASKS
from tests import stand_ins
from tests.examples import ALL, SINGLE, tiny
from tests.head.test_kinds import recipe
from tests.parts import model_of
from tests.training import collate, examples, labels_of

ALONE = """
import json, sys
sys.modules["hfft"] = None  # importing it fails
import torch, transformers
from safetensors.torch import load_file
for folder, auto in json.loads(sys.argv[1]):
    model = getattr(transformers, auto).from_pretrained(folder, trust_remote_code=True).eval()
    given = load_file(f"{folder}/inputs.st")
    want = given.pop("want")
    with torch.no_grad():
        assert torch.equal(model(**given).logits, want), folder
    task = "image-classification" if "Image" in auto else "text-classification"
    piped = transformers.pipeline(task, folder, trust_remote_code=True)
    if task == "image-classification":
        from PIL import Image
        answer = piped(Image.new("RGB", (40, 40), (9, 99, 199)), top_k=3)
    else:
        answer = piped("the film was good", top_k=3)
    print(json.dumps({one["label"]: one["score"] for one in answer}))
"""


def made(name, root):
    """A saved edited model of an architecture, with its processor, inputs and what it answers."""
    folder, task = root / name, ALL[name].task
    pretrained = root / f"{name}-pretrained"
    tiny(name).save_pretrained(pretrained)
    if ALL[name].modality == "text":
        processor = stand_ins.tokenizer()
    else:
        processor = transformers.ViTImageProcessorPil(size={"height": 32, "width": 32})
    own = {"kind": "attention-pool", "dropout": 0.1} if name in ("distilbert", "dinov2") else {}
    given = recipe(pretrained, task, **own)
    model = model_of(given, labels_of(SINGLE))
    head.replace(model, given.head)
    batch = collate(examples(ALL[name].modality, SINGLE, 3))
    batch.pop("labels")
    place = r"/\.(layer|layers|h|blocks)\.\d+$/" if name != "resnet" else r"/stages\.\d+\.layers\.\d+$/"
    edits = [{"insert": place, "module": {"type": "bottleneck", "size": 4}}]
    edits += [{"insert": "/embed/", "module": {"type": "prompt", "tokens": 3}}] if name == "vit" else []
    edits += [{"replace": place, "with": {"activation": "silu"}}]
    model, _ = edit.edit(model, edits, None, lambda _: batch)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
        want = model.eval()(**batch).logits
    published_code.save(model, folder, TASKS[task].auto_class)
    processor.save_pretrained(folder)
    save_file({**batch, "want": want}, folder / "inputs.st")
    return folder


@pytest.mark.slow
def test_transformers_alone_answers_the_same_and_hfft_runs_no_code(tmp_path):
    torch.manual_seed(0)
    names = ("bert", "distilbert", "gpt2", "vit", "dinov2", "resnet", "swin")
    folders = {name: made(name, tmp_path) for name in names}
    asked = [(str(folder), TASKS[ALL[name].task].auto_class) for name, folder in folders.items()]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", ALONE, json.dumps(asked)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    answers = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    for folder, answer in zip(folders.values(), answers, strict=True):
        code = folder / "modeling_hfft.py"
        code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n" + code.read_text())
        predictor = load_predictor(str(folder), device="cpu")
        inputs = "the film was good" if predictor.modality.tokens else stand_ins_image()
        probabilities = predictor([inputs])[0].tolist()
        names_of = predictor.model.config.id2label
        assert {names_of[i]: p for i, p in enumerate(probabilities)} == pytest.approx(answer, abs=1e-5)
    assert not (tmp_path / "ran").exists()


def stand_ins_image():
    """The picture that is asked about."""
    from PIL import Image

    return Image.new("RGB", (40, 40), (9, 99, 199))


def test_the_file_beside_a_model_imports_torch_and_transformers_alone(tmp_path):
    folder = made("vit", tmp_path)
    tree = ast.parse((folder / "modeling_hfft.py").read_text())
    found = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert found - set(sys.stdlib_module_names) == {"torch", "transformers"}
    compile(tree, "modeling_hfft.py", "exec")


# --- whole runs


def run(folder, task, model, data, *overrides, columns="{image: img, label: label}"):
    """A recipe over stand-ins."""
    text = (
        f"task: {task}\nbackbone: {{name: {stand_ins.model(model, folder / 'backbone')}}}\n"
        f"data: {{path: {stand_ins.data(data, folder / 'data')}, columns: {columns}, validation: 0.2}}\n"
        f"training: {{max_steps: 6, per_device_train_batch_size: 8, use_cpu: true, save_strategy: steps, save_steps: 3}}\n"
    )
    (folder / "r.yaml").write_text(text)
    return load_recipe(folder / "r.yaml", f"training.output_dir={folder / 'run'}", *overrides)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_other_channels_and_size_are_delivered_trained_on_and_predicted(channels, tmp_path):
    edits = f"backbone.edit=[{{channels: {channels}}}, {{image_size: 48}}]"
    made = run(tmp_path, "image-classification", "google/vit-base-patch16-224-in21k", "uoft-cs/cifar10", edits)
    result = finetune(made)
    assert [row["edit"] for row in result.metrics["edits"]] == [f"channels {channels}", "image_size 48"]
    assert all(row["moved"] > 0 for row in result.metrics["edits"])
    assert "own_code" not in result.metrics  # the config says it all: the stock class loads it
    model = transformers.AutoModelForImageClassification.from_pretrained(result.model)
    assert (model.config.num_channels, model.config.image_size) == (channels, 48)
    assert result.metrics["test"]["n"] == 20
    again = [line for line in score(str(result.folder), [], fresh=True) if line.startswith("test")]
    assert f"accuracy {result.metrics['test']['accuracy']:.4f}" in again[0]
    image = stand_ins_image()
    image.save(tmp_path / "a.png")
    assert len(list(predict(str(result.folder), [str(tmp_path / "a.png")], None, "test", None, 4))) == 1
    assert f"images of {channels} channel(s)" in (result.model / "README.md").read_text()


@pytest.mark.slow
def test_a_run_with_edits_and_an_own_head_scores_reports_and_resumes(tmp_path, capsys):
    edits = "backbone.edit=[{remove: last-1}, {insert: /mlp$/, module: {type: bottleneck}}]"
    more = (
        edits,
        "head.kind=mlp",
        "head.pooling=mean",
        "layers.train=last-1",
        "score.metrics=[accuracy]",
        "training.save_total_limit=2",
    )
    given = ("image-classification", "google/vit-base-patch16-224-in21k", "uoft-cs/cifar10")
    whole = finetune(run(tmp_path, *given, *more))
    told = capsys.readouterr().out
    assert "edit: remove last-1  (1 place, outputs moved by" in told
    assert "module bottleneck  (3 places, outputs unchanged)" in told
    card = (whole.model / "README.md").read_text()
    assert "trust_remote_code=True" in card
    assert "modeling_hfft.py" in card
    assert (
        load_recipe(whole.model / "recipe.yaml").backbone.edit == load_recipe(tmp_path / "r.yaml", edits).backbone.edit
    )
    assert whole.metrics["frozen"]["moved"] == []
    assert "bottleneck" in (whole.folder / "report.html").read_text()
    # From the checkpoint in the middle, to the same end bit for bit.
    (whole.folder / "metrics.json").unlink()
    before = load_predictor(str(whole.folder), device="cpu").model.state_dict()
    for checkpoint in whole.folder.glob("checkpoint-6"):
        (checkpoint / "trainer_state.json").unlink()
    again = finetune(load_recipe(whole.folder / "recipe.yaml"))
    after = load_predictor(str(again.folder), device="cpu").model.state_dict()
    assert "continuing from" in capsys.readouterr().out
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert again.metrics["test"] == whole.metrics["test"]


@pytest.mark.slow
def test_new_tokens_train_and_the_tokenizer_that_is_saved_knows_them(tmp_path):
    edits = 'backbone.edit=[{tokens: ["[X]"]}, {remove: last-1}]'
    result = finetune(
        run(tmp_path, "text-classification", "distilbert/distilbert-base-uncased", "CogComp/trec", edits,
            columns="{text: text, label: coarse_label}")
    )  # fmt: skip
    tokenizer = transformers.AutoTokenizer.from_pretrained(result.model)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(result.model)
    assert tokenizer.convert_tokens_to_ids("[X]") == len(tokenizer) - 1
    assert model.config.vocab_size >= len(tokenizer)  # the table of the stand-in has rows to spare
    assert model.config.n_layers == 1


def test_a_path_that_is_not_there_is_told_before_any_data_is_read(tmp_path, monkeypatch):
    made = run(
        tmp_path, "image-classification", "google/vit-base-patch16-224-in21k", "uoft-cs/cifar10",
        "backbone.edit=[{insert: vit.layer.0, module: {type: linear}}]",
    )  # fmt: skip
    monkeypatch.setattr("hfft.data.load_splits", lambda *_: pytest.fail("data were read"), raising=False)
    with pytest.raises(
        BadInput, match=r"backbone\.edit\.0: there is no module 'vit\.layer\.0'; did you mean"
    ) as caught:
        finetune(made)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_a_head_that_keeps_its_rows_keeps_the_edits_and_the_head_that_hfft_saved(name, tmp_path):
    torch.manual_seed(0)
    folder, task = made(name, tmp_path), TASKS[ALL[name].task]
    grown = Labels.of(SINGLE, ["new", *labels_of(SINGLE).names])
    own, keep = Backbone(name=str(folder)), Head(keep_known=True)
    known = replace_head.rows(load_model(own, keep, task, labels_of(SINGLE)))
    model = load_model(own, keep, task, grown).eval()
    assert head.replace(model, keep, known) == 3
    given = load_file(folder / "inputs.st")
    want = given.pop("want")
    with torch.no_grad():
        torch.testing.assert_close(model(**given).logits[:, 1:], want)
    meta = build_meta_model(own, keep, task)
    assert {n for n, _ in meta.named_parameters()} == {n for n, _ in model.named_parameters()}
    with pytest.raises(BadInput, match=r"was edited by hfft, which a new head does not know; add head.keep_known=true"):
        load_model(own, Head(), task, grown)

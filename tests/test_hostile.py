"""Hostile recipes and hostile models: no canary is made, nothing is written beside the run folder, one line says why."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hfft import cli, load_recipe
from tests import stand_ins

EVIL = "import pathlib\npathlib.Path('canary').write_text('code ran')\n"


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """A working folder beside a home, both watched."""
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def files(folder: Path) -> dict[Path, bytes]:
    """Everything below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ended(*words: str) -> tuple[int, list[str]]:
    """The status of a command and the lines it says as errors; an exception comes through."""
    error = io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        status = cli.main(list(words))
    return status, error.getvalue().splitlines()


# --- recipes

GOOD = """\
task: image-classification
backbone: {name: nano-vit}
data: {path: digits, max_train_samples: 20}
training: {max_steps: 1}
"""
RECIPES = {
    "an object": GOOD + "score: !!python/object/apply:os.system ['touch canary']\n",
    "a name of python": GOOD + "score: {metrics: [!!python/name:os.system ]}\n",
    "a module": GOOD + "head: {new: !!python/module:os }\n",
    "a local tag": GOOD + "head: !exec 'touch canary'\n",
    "a target": GOOD + "head: {_target_: os.system}\n",
    "a component": GOOD.replace("name: nano-vit", "name: nano-vit, _component_: os.system"),
    "an interpolation": GOOD + "publish: {hub_model_id: '${oc.env:HF_TOKEN}'}\n",
    "a repository above": GOOD + "publish: {hub_model_id: ../canary}\n",
    "a name above": GOOD + "name: ../../canary\n",
    "an absolute name": GOOD + "name: /tmp/canary\n",
    "a name with a line end": GOOD + 'name: "canary\\n"\n',
    "a name with a zero": GOOD + 'name: "canary\\0"\n',
    "a variable": GOOD.replace("max_steps: 1", "max_steps: 1, output_dir: $HOME/canary"),
    "a folder with a line end": GOOD.replace("max_steps: 1", 'max_steps: 1, output_dir: "runs\\ncanary"'),
    "a folder with a zero": GOOD.replace("max_steps: 1", 'max_steps: 1, output_dir: "runs\\0canary"'),
    "a folder that is a file": GOOD.replace("max_steps: 1", "max_steps: 1, output_dir: evil.py"),
    "a script as data": GOOD.replace("path: digits", "path: evil.py"),
    "a folder with a script": GOOD.replace("path: digits", "path: ./evil"),
    "remote code": GOOD.replace("name: nano-vit", "name: nano-vit, trust_remote_code: true"),
    "an automatic class": GOOD.replace("nano-vit", "nano-vit, config: {auto_map: {AutoConfig: evil.Config}}"),
    "an attention of the hub": GOOD.replace("nano-vit", "nano-vit, config: {_attn_implementation: evil/kernel}"),
    "a token": GOOD.replace("max_steps: 1", "max_steps: 1, hub_token: hf_canary"),
    "a metric of the hub": GOOD + "score: {metrics: [evaluate-metric/accuracy]}\n",
    "an augmentation of python": GOOD.replace(
        "samples: 20", "samples: 20, augment: [{os.system: {command: touch canary}}]"
    ),
    "a pattern without end": GOOD + "layers: {train: '/((((((((((a*)*)*)*)*)*)*)*)*)*$b/'}\n",
}


@pytest.mark.parametrize("kind", RECIPES)
def test_a_hostile_recipe_ends_in_a_line_and_does_nothing(kind, tmp_path):
    Path("evil").mkdir()
    for name in ("evil.py", "evil/evil.py"):
        Path(name).write_text(EVIL)
    Path("recipe.yaml").write_text(RECIPES[kind])
    before = files(tmp_path)
    status, said = ended("train", "recipe.yaml")
    assert (status, len(said)) == (2, 1), said
    assert "hf_canary" not in said[0]
    assert files(tmp_path) == before
    assert {path.name for path in tmp_path.rglob("*") if path.is_dir()} <= {"work", "home", "evil", "runs", "recipe"}


def test_a_run_folder_below_the_home_is_there_and_not_in_a_folder_called_tilde(tmp_path):
    assert load_recipe("digits", "training.output_dir=~/runs").output_dir == tmp_path / "home" / "runs"


def test_a_path_of_a_recipe_that_holds_a_zero_or_is_endless_is_no_file():
    for name in ("a\0b", "x" * 5000, "../" * 2000, "/dev/null", "."):
        status, said = ended("train", name)
        assert (status, len(said)) == (2, 1), said


# --- models


class Canary:
    """Makes a canary when it is read as a pickle."""

    def __reduce__(self):
        return os.system, ("touch canary",)


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"x": Canary()}, folder / "pytorch_model.bin")


def disguised(folder: Path) -> None:
    torch.save({"x": Canary()}, folder / "model.safetensors")


def long_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")


def overlapping(folder: Path) -> None:
    entry = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}
    header = json.dumps({"classifier.weight": entry}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 8)


def linked(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("/etc/hostname")


def edited(name: str, **entries):
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **entries}))

    return change


MAP = {"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Model", "AutoModel": "evil.Model"}
MODELS = {  # what is done to a good model, and whether it can be trained nevertheless
    "a pickle": (pickled, False),
    "a pickle called safetensors": (disguised, False),
    "a header without end": (long_header, False),
    "a tensor larger than its file": (overlapping, False),
    "a link out of the folder": (linked, False),
    "code for an unknown type": (edited("config.json", model_type="evil", auto_map=MAP), False),
    "code beside a known type": (edited("config.json", auto_map=MAP), True),
    "code for the tokenizer": (
        edited("tokenizer_config.json", tokenizer_class="Evil", auto_map={"AutoTokenizer": ["evil.Slow", "evil.Fast"]}),
        None,
    ),
    "code for a processor": (edited("processor_config.json", auto_map={"AutoProcessor": "evil.Processor"}), True),
    "code of another repository": (edited("config.json", auto_map={"AutoModel": "other/repo--evil.Model"}), True),
    "code for generation": (edited("generation_config.json", custom_generate="evil"), True),
    "a kernel of the hub": (
        edited("config.json", _attn_implementation_internal="evil/kernel", _attn_implementation="evil/kernel"),
        None,
    ),
    "a template that runs": (
        edited("tokenizer_config.json", chat_template="{{ ''.__class__.__mro__[1].__subclasses__() }}"),
        True,
    ),
    "a vocabulary elsewhere": (
        edited("tokenizer_config.json", vocab_file="../../.env", tokenizer_file="/etc/passwd"),
        None,
    ),
    "sizes without end": (edited("config.json", vocab_size=2**40), False),
    "labels that are code": (edited("config.json", id2label={"0": "__import__('os').system('touch canary')"}), True),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A tiny model and data to train it on."""
    folder = tmp_path_factory.mktemp("good")
    stand_ins.model("google-bert/bert-base-uncased", folder / "model")
    stand_ins.data("stanfordnlp/sst2", folder / "data")
    return folder


@pytest.mark.slow_but("code for an unknown type")
@pytest.mark.parametrize("kind", MODELS)
def test_a_hostile_model_runs_no_code_and_ends_in_a_line(kind, good, tmp_path):
    change, usable = MODELS[kind]
    shutil.copytree(good / "model", "model")
    for name in ("evil.py", "modeling_evil.py", "custom_generate/generate.py"):
        Path("model", name).parent.mkdir(exist_ok=True)
        Path("model", name).write_text(EVIL)
    change(Path("model"))
    words = ["backbone.name=./model", f"data.path={good / 'data'}", "data.columns={text: sentence}"]
    words += ["training.max_steps=1", "training.output_dir=run", "publish=null", "data.max_eval_samples=8"]
    before = {path for path in files(tmp_path) if "run" not in path.parts}
    status, said = ended("train", "bert_sst2", *words)
    assert not list(tmp_path.rglob("canary"))
    assert {path for path in files(tmp_path) if "run" not in path.parts} == before
    assert status == 0 if usable else status == 2 if usable is False else status in (0, 2), said
    assert len(said) == (1 if status else 0), said
    if status == 0:
        kept = {path.name for path in Path("run/model").rglob("*")}
        assert not [name for name in kept if Path(name).suffix in (".py", ".bin", ".pt", ".pth", ".pkl")]
        assert "auto_map" not in Path("run/model/config.json").read_text()


@pytest.mark.slow
def test_importing_hfft_opens_no_socket():
    script = """
import sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "subprocess.Popen", "os.system"):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(watch)
import hfft, hfft.cli, hfft.pipeline.finetune, hfft.pipeline.deep_check, hfft.predict.predictor
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert (done.returncode, done.stderr) == (0, "")

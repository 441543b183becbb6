"""Hostile repositories of a hub: names that lead out of a folder, code, pointers elsewhere. No canary is ever made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import zeros

from tests.hub_server import Commit, Hub
from tests.publish.test_push import cifar, vit

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
TOKEN = "hf_canary_hostile_token"
NAMES = (
    "../canary",
    "../../../../canary",
    "/tmp/hfft-canary",
    "sub/../../../canary",
    "..\\..\\canary",
    "~/canary",
    "C:\\canary",
)
EVIL = "import pathlib\npathlib.Path('canary').write_text('code ran')\n"
SCRIPT = """
import contextlib, io, json, os, sys
from hfft import cli
for name, words in json.loads(sys.argv[1]).items():
    error, output = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(output):
        try:
            status = cli.main(words)
        except Exception as raised:
            status, _ = -1, print(f"{type(raised).__name__}: {raised}", file=sys.stderr)
    print(json.dumps([name, status, error.getvalue(), output.getvalue()]))
"""


def with_names(hub: Hub, kind: str, name: str) -> None:
    """Add files to a repository whose names lead out of it; no client should have sent them."""
    repo = hub._repos[kind, name]
    files = {each: hub._keep(b"a canary") for each in NAMES}
    repo.commits[-1] = Commit(repo.commits[-1].id, "Add files", {**repo.commits[-1].files, **files})


def change(folder: Path, name: str, **entries: object) -> None:
    """Set entries of a JSON file of a model."""
    path = folder / name
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **entries}))


def shards_elsewhere(folder: Path) -> None:
    os.rename(folder / "model.safetensors", folder / "model-00001-of-00001.safetensors")
    weights = dict.fromkeys(("embeddings.cls_token", "layernorm.weight"), "../../../../canary")
    change(folder, "model.safetensors.index.json", metadata={"total_size": 1}, weight_map=weights)


def shards_of_another_host(folder: Path) -> None:
    os.rename(folder / "model.safetensors", folder / "model-00001-of-00001.safetensors")
    weights = {"layernorm.weight": "http://127.0.0.1:9/weights.safetensors"}
    change(folder, "model.safetensors.index.json", metadata={"total_size": 1}, weight_map=weights)


def code(folder: Path) -> None:
    (folder / "evil.py").write_text(EVIL)
    maps = {"AutoConfig": "evil.C", "AutoModel": "evil.M", "AutoModelForImageClassification": "evil.M"}
    change(folder, "config.json", auto_map=maps)
    change(folder, "preprocessor_config.json", auto_map={"AutoImageProcessor": "other/repo--evil.P"})


def code_alone(folder: Path) -> None:
    code(folder)
    change(folder, "config.json", model_type="evil")


MAPPING = {"base_model_class": "system", "parent_library": "os"}


def adapter(where: str):
    """An adapter beside the model that says it belongs to another one."""

    def put(folder: Path) -> None:
        entries = {"peft_type": "LORA", "base_model_name_or_path": where, "r": 2, "target_modules": ["query"]}
        change(
            folder,
            "adapter_config.json",
            **entries,
            auto_mapping={"base_model_class": "system", "parent_library": "os"},
        )

    return put


def endless(folder: Path) -> None:
    change(folder, "config.json", hidden_size=2**40)


# What is done to a good model, and whether it can be trained nevertheless.
MODELS = {
    "names that lead out": (None, True),
    "shards elsewhere": (shards_elsewhere, False),
    "shards of another host": (shards_of_another_host, False),
    "code beside a known type": (code, True),
    "code for an unknown type": (code_alone, False),
    "an adapter of a folder": (adapter("../../../../canary"), None),
    "an adapter of another repository": (adapter("other/repo"), None),
    "sizes without end": (endless, False),
}
# Where an adapter of the hub says that its model is, and what else its files say.
ADAPTERS = {
    "a model above": {"base_model_name_or_path": "../../../../canary"},
    "a folder of the system": {"base_model_name_or_path": "/etc"},
    "a model of another": {"base_model_name_or_path": "other/repo"},
    "a model that is none": {"base_model_name_or_path": ["a", {"b": 1}]},
    "a class of python": {"base_model_name_or_path": "google/vit", "auto_mapping": MAPPING},
    "a type that is none": {"base_model_name_or_path": "google/vit", "peft_type": "../evil"},
    "targets without end": {"base_model_name_or_path": "google/vit", "target_modules": "((((a*)*)*)*)*$b"},
}
# Lines of a data set's card, and whether its data can be used.
CARD = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: {}\n---\n"
DATA = {
    "names that lead out": (None, True),
    "files above": (CARD.format("../../../../canary"), False),
    "an absolute file": (CARD.format("/etc/passwd"), False),
    "a file by its address": (CARD.format("file:///etc/passwd"), False),
    "a file of another host": (CARD.format("http://127.0.0.1:9/canary.csv"), False),
    "a pattern of the whole disk": (CARD.format("'/**/canary*'"), False),
    "a script": (None, False),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Each hostile repository met by `hfft train`, in one process; status, error and output by name."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "work").mkdir()
    model, data = vit(folder / "vit"), cifar(folder / "cifar10", train=20, test=10)
    short = ["training.max_steps=1", "training.dataloader_num_workers=0", "publish=null"]
    commands = {}
    with Hub(folder / "store", tokens={TOKEN: "alice"}) as hub:
        hub.add("models", "google/vit", model)
        hub.add("datasets", "uoft-cs/cifar10", data)
        for i, (name, (put, _)) in enumerate(MODELS.items()):
            copy = Path(shutil.copytree(model, folder / f"model-{i}"))
            if put:
                put(copy)
            hub.add("models", f"evil/model-{i}", copy)
            if not put:
                with_names(hub, "models", f"evil/model-{i}")
            words = [f"backbone.name=evil/model-{i}", f"training.output_dir=runs/model-{i}"]
            commands[f"model: {name}"] = ["train", "vit_cifar10", *words, *short]
        for i, (name, (card, _)) in enumerate(DATA.items()):
            copy = Path(shutil.copytree(data, folder / f"data-{i}"))
            if card:
                (copy / "README.md").write_text(card)
            elif name == "a script":
                (copy / f"data-{i}.py").write_text(EVIL)
            hub.add("datasets", f"evil/data-{i}", copy)
            if not card and name != "a script":
                with_names(hub, "datasets", f"evil/data-{i}")
            words = ["backbone.name=google/vit", f"data.path=evil/data-{i}", f"training.output_dir=runs/data-{i}"]
            commands[f"data: {name}"] = ["train", "vit_cifar10", *words, *short]
        for i, (name, entries) in enumerate(ADAPTERS.items()):
            copy = folder / f"adapter-{i}"
            copy.mkdir()
            code_alone(copy)
            usual = {"peft_type": "LORA", "r": 2, "target_modules": ["query"]}
            change(copy, "adapter_config.json", **{**usual, **entries})
            save_file({"base_model.model.vit.x.lora_A.weight": zeros(2, 32)}, copy / "adapter_model.safetensors")
            hub.add("models", f"evil/adapter-{i}", copy)
            words = ["backbone.name=google/vit", "data.path=uoft-cs/cifar10", f"training.output_dir=runs/adapter-{i}"]
            words += ["layers=null", f"layers.adapter={{from: evil/adapter-{i}}}"]
            commands[f"adapter: {name}"] = ["train", "vit_cifar10", *words, *short]
            commands[f"predict: {name}"] = ["predict", f"evil/adapter-{i}", "--data", "uoft-cs/cifar10"]
        commands["predict: names that lead out"] = ["predict", "evil/model-0", "--data", "evil/data-0"]
        secret = {"WANDB_API_KEY": TOKEN, "HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
        env = {**os.environ, **hub.env(folder / "home" / "hub", TOKEN), "OMP_NUM_THREADS": "1", **secret}
        (folder / "home").mkdir()
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, json.dumps(commands)],
            cwd=folder / "work",
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = {name: rest for name, *rest in map(json.loads, done.stdout.splitlines())}
    return folder, answers, done


CASES = [f"model: {name}" for name in MODELS] + [f"data: {name}" for name in DATA]
CASES += [f"{kind}: {name}" for name in ADAPTERS for kind in ("adapter", "predict")]


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_repository_is_used_as_far_as_it_is_good_or_refused_in_a_line(told, case):
    kind, _, name = case.partition(": ")
    usable = {"model": MODELS, "data": DATA}[kind][name][1] if kind in ("model", "data") else False
    status, error, _ = told[1][case]
    assert status == 0 if usable else status in (1, 2) if usable is False else status in (0, 2), error
    assert len(error.splitlines()) == (1 if status else 0), error


def test_no_canary_is_made_and_nothing_is_written_beside_runs_and_cache(told):
    folder, _, _ = told
    made = [path for path in folder.rglob("*") if "canary" in path.name]
    made += [path for path in (Path("/tmp/hfft-canary"), Path("/canary"), Path.cwd() / "canary") if path.exists()]
    assert made == []
    assert {path.name for path in (folder / "work").iterdir()} <= {"runs"}
    assert {path.name for path in (folder / "home").iterdir()} <= {"hub", ".cache"}


def test_what_is_kept_holds_no_code_and_what_is_told_no_token(told):
    folder, _, done = told
    assert TOKEN not in done.stdout + done.stderr
    for path in (folder / "work").rglob("*"):
        assert path.suffix not in (".py", ".bin", ".pkl"), path
        assert not path.is_file() or (TOKEN.encode() not in path.read_bytes() and b"evil.C" not in path.read_bytes()), (
            path
        )

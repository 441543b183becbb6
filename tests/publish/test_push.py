"""The main job from end to end: the shipped recipe, unmodified, against a hub on loopback, with the unmodified clients."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.hub_server import Fault, Hub
from tests.publish.conftest import TOKEN

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def cifar(folder: Path, train: int = 60, test: int = 20) -> Path:
    """A few images in the layout, columns and metadata of the hub's uoft-cs/cifar10."""
    import datasets
    from PIL import Image

    rng = np.random.default_rng(0)
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})

    def png(label: int) -> dict[str, bytes]:
        pixels = rng.integers(0, 80, (32, 32, 3), dtype=np.uint8)
        pixels[3 * label : 3 * label + 3] += 150  # a bar whose height is the class
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png")
        return {"bytes": file.getvalue(), "path": None}

    (folder / "plain_text").mkdir(parents=True)
    for split, count in (("train", train), ("test", test)):
        labels = [i % 10 for i in range(count)]
        rows = datasets.Dataset.from_dict({"img": [png(y) for y in labels], "label": labels}, features=features)
        rows.to_parquet(folder / "plain_text" / f"{split}-00000-of-00001.parquet")
    info = {
        "config_name": "plain_text",
        "features": [
            {"name": "img", "dtype": "image"},
            {"name": "label", "dtype": {"class_label": {"names": {str(i): name for i, name in enumerate(CLASSES)}}}},
        ],
        "splits": [{"name": n, "num_bytes": 1, "num_examples": c} for n, c in (("train", train), ("test", test))],
    }
    files = [{"split": split, "path": f"plain_text/{split}-*"} for split in ("train", "test")]
    configs = [{"config_name": "plain_text", "default": True, "data_files": files}]
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'dataset_info': info, 'configs': configs})}---\n")
    return folder


def vit(folder: Path) -> Path:
    """A small ViT without a head, as google/vit-base-patch16-224-in21k is."""
    import torch
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, patch_size=32)
    ViTModel(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 224, "width": 224}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def hub(alices_hub, tmp_path_factory):
    """A hub that serves both under their real names."""
    folder = tmp_path_factory.mktemp("hub")
    alices_hub.add("models", "google/vit-base-patch16-224-in21k", vit(folder / "vit"))
    alices_hub.add("datasets", "uoft-cs/cifar10", cifar(folder / "cifar10"))
    return alices_hub


def run(hub: Hub, *command: str, folder: Path, token: str = TOKEN, **more: str) -> subprocess.CompletedProcess[str]:
    """A command of hfft in a process of its own, whose only hub is ours."""
    if not more:
        return hub.forks.run(*command, folder=folder, HF_TOKEN=token)
    env = {**os.environ, **hub.env(hub.home, token), "OMP_NUM_THREADS": "1", **more}
    return subprocess.run([sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def published(hub, tmp_path_factory):
    """The recipe as it is shipped, trained and pushed once."""
    folder = tmp_path_factory.mktemp("work")
    done = run(hub, str(ROOT / "hfft" / "run.py"), "--recipe", "vit_cifar10", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_the_shipped_recipe_trains_pushes_and_loads_back(hub, published):
    _, done = published
    assert re.search(r"test accuracy \d\.\d{4} .*\(n=20, seed 42\)", done.stdout)
    assert f"published: {hub.url}/alice/vit-cifar10/tree/" in done.stdout
    assert len(hub.commits("models", "alice/vit-cifar10")) == 2, "the repository's first commit, and one push"
    files = set(hub.files("models", "alice/vit-cifar10")) - {".gitattributes"}
    assert files == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "recipe.yaml",
        "metrics.json",
        "confusion.svg",
        "reliability.svg",
    }


def test_nothing_that_is_pushed_or_kept_holds_the_token_or_a_pickle(hub, published):
    folder, done = published
    assert TOKEN not in done.stdout + done.stderr
    for name, content in hub.files("models", "alice/vit-cifar10").items():
        assert TOKEN.encode() not in content, name
        assert str(folder).encode() not in content, name
    for path in folder.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path


def test_the_card_tells_the_truth(hub, published):
    folder, _ = published
    from huggingface_hub import ModelCard

    files = hub.files("models", "alice/vit-cifar10")
    figures = json.loads((folder / "runs/vit_cifar10/metrics.json").read_text())
    data = ModelCard(files["README.md"].decode()).data
    assert data.pipeline_tag == "image-classification"
    assert (data.base_model, data.base_model_relation) == ("google/vit-base-patch16-224-in21k", "finetune")
    assert data.datasets == ["uoft-cs/cifar10"]
    results = {(r.dataset_split, r.metric_type): r for r in data.eval_results}
    accuracy = results["test", "accuracy"]
    assert accuracy.metric_value == figures["test"]["accuracy"]
    assert accuracy.dataset_args["rows"] == 20
    assert accuracy.dataset_revision == hub.commits("datasets", "uoft-cs/cifar10")[0].id
    text = files["README.md"].decode()
    assert all(f"| {name} |" in text for name in CLASSES)
    assert 'pipeline("image-classification", model="alice/vit-cifar10")' in text


def test_the_run_records_the_commits_it_used(hub, published):
    from hfft import load_recipe

    folder, _ = published
    recipe = load_recipe(folder / "runs/vit_cifar10/recipe.yaml")
    assert recipe.backbone.revision == hub.commits("models", "google/vit-base-patch16-224-in21k")[0].id
    assert recipe.data.revision == hub.commits("datasets", "uoft-cs/cifar10")[0].id


def test_the_snippet_of_the_card_and_hfft_predict_agree(hub, published, tmp_path):
    """In an interpreter that cannot import hfft, the pushed model gives hfft's own probabilities."""
    folder, _ = published
    from PIL import Image

    picture = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 30, 3), dtype=np.uint8)).save(picture)
    script = textwrap.dedent(f"""
        import json, sys
        sys.modules["hfft"] = None                      # any import of it fails
        from transformers import pipeline
        model = pipeline("image-classification", model="alice/vit-cifar10")
        print(json.dumps(model({str(picture)!r}, top_k=1)[0]))
    """)
    plain = run(hub, "-c", script, folder=tmp_path)
    assert plain.returncode == 0, plain.stderr
    ours = run(hub, "-m", "hfft.cli", "predict", str(folder / "runs/vit_cifar10"), str(picture), folder=tmp_path)
    assert ours.returncode == 0, ours.stderr
    expected = json.loads(plain.stdout.splitlines()[-1])
    name, label, probability, _ = ours.stdout.splitlines()[1].rsplit(",", 3)
    assert (name, label) == (str(picture), expected["label"])
    assert float(probability) == pytest.approx(expected["score"], abs=2e-6)


def test_an_edited_model_is_pushed_with_its_file_and_answers_the_same_from_there(hub, tmp_path):
    edits = r"backbone.edit=[{insert: '/layers\.\d+$/', module: {type: bottleneck, size: 4}}, {image_size: 48}]"
    command = (str(ROOT / "hfft" / "run.py"), "--recipe", "vit_cifar10", edits, "head.kind=mlp", "layers.train=head")
    done = run(hub, *command, "publish.hub_model_id=alice/edited", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    files = hub.files("models", "alice/edited")
    assert "modeling_hfft.py" in files
    assert "hfft" not in re.sub(r"modeling_hfft|without hfft|of hfft", "", files["modeling_hfft.py"].decode())
    assert "trust_remote_code=True" in files["README.md"].decode()
    script = textwrap.dedent("""
        import json, sys
        sys.modules["hfft"] = None
        from PIL import Image
        from transformers import pipeline
        model = pipeline("image-classification", model="alice/edited", trust_remote_code=True)
        Image.new("RGB", (40, 30), (200, 90, 20)).save("picture.png")
        print(json.dumps(model("picture.png", top_k=1)[0]))
    """)
    plain = run(hub, "-c", script, folder=tmp_path)
    assert plain.returncode == 0, plain.stderr
    ours = run(hub, "-m", "hfft.cli", "predict", "alice/edited", "picture.png", folder=tmp_path)
    assert ours.returncode == 0, ours.stderr
    expected = json.loads(plain.stdout.splitlines()[-1])
    _, label, probability, _ = ours.stdout.splitlines()[1].rsplit(",", 3)
    assert label == expected["label"]
    assert float(probability) == pytest.approx(expected["score"], abs=2e-6)
    # What came back is compared before the run calls itself published.
    broken = textwrap.dedent(f"""
        from pathlib import Path
        from hfft.publish import push
        from hfft.runs import RunFolder
        from safetensors.torch import load_file, save_file
        folder = RunFolder(Path({str(tmp_path / "runs" / "vit_cifar10")!r}))
        weights = folder.model / "model.safetensors"
        tensors = load_file(weights)
        tensors["head.out.bias"][0] += 1
        save_file(tensors, weights, {{"format": "pt"}})
        try:
            push.verify(folder, "alice/edited")
        except push.HubError as error:
            print("refused:", error)
    """)
    told = run(hub, "-c", broken, folder=tmp_path)
    assert "refused: the outputs of alice/edited differ from those of" in told.stdout, told.stderr


def test_text_written_by_hand_survives_the_next_push_also_without_card_validation_and_with_faults(hub, published):
    folder, _ = published
    card = hub.files("models", "alice/vit-cifar10")["README.md"].decode()
    script = textwrap.dedent("""
        from huggingface_hub import HfApi
        text = open("card.md").read()
        class Api(HfApi):
            def _validate_yaml(self, *a, **k): pass
        Api().upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id="alice/vit-cifar10")
    """)
    edited = card.replace("---\n", "---\nlanguage: en\n", 1) + "\n## Limits\nWritten by hand.\n"
    (folder / "card.md").write_text(edited)
    assert run(hub, "-c", script, folder=folder).returncode == 0
    before = len(hub.commits("models", "alice/vit-cifar10"))
    hub.validate_yaml = False
    hub.faults += [
        Fault(r"/commit/", status=503, times=2),
        Fault(r"repos/create", drop=True),
        Fault(r"whoami-v2", status=503),
    ]
    done = run(hub, "-m", "hfft.cli", "publish", "runs/vit_cifar10", folder=folder)
    hub.validate_yaml = True
    assert done.returncode == 0, done.stderr
    again = hub.files("models", "alice/vit-cifar10")["README.md"].decode()
    assert "## Limits\nWritten by hand." in again
    assert "language: en" in again
    assert again.count("## Results") == 1
    assert len(hub.commits("models", "alice/vit-cifar10")) <= before + 1


def test_a_push_that_fails_keeps_the_model_and_says_how_to_go_on(hub, published):
    folder, _ = published
    hub.faults += [Fault(r"/preupload/", status=403, times=9)]
    done = run(hub, "-m", "hfft.cli", "publish", "runs/vit_cifar10", folder=folder)
    hub.faults.clear()
    assert done.returncode == 1
    assert "hfft publish runs/vit_cifar10" in done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "runs/vit_cifar10/model/model.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "fault", "how"),
    [
        ("busy", {"method": "HEAD", "status": 503}, "the hub returned status 503"),
        ("silent", {"method": "HEAD", "hang": 10**5}, "the hub did not answer in time"),
        ("cut", {"method": "GET", "cut": True}, ""),
    ],
)
def test_weights_that_cannot_be_loaded_back_are_told_with_the_cause_and_compared_later(
    hub, published, name, fault, how
):
    folder, _ = published
    hub.faults[:] = [Fault(f"/alice/{name}/resolve/.*/model.safetensors", times=10**6, **fault)]
    script = """if True:
        import sys
        from hfft import cli
        from hfft.hub import client
        from tests.torture.hub import hasten
        client.SILENCE = 0.5
        hasten(1000)
        raise SystemExit(cli.main(["publish", "runs/vit_cifar10", f"publish.hub_model_id=alice/{sys.argv[1]}"]))
    """
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{script}"
    done = run(hub, "-c", script, name, folder=folder)
    hub.faults.clear()
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.strip().splitlines()
    commit = hub.commits("models", f"alice/{name}")[0].id
    assert line.startswith(f"alice/{name} was pushed at {commit[:12]}, but could not be loaded back: {how}")
    assert line.endswith("push it later with `hfft publish runs/vit_cifar10`")
    assert "no file named" not in line.partition(" (")[0]
    assert run(hub, "-c", script, name, folder=folder).returncode == 0
    assert len(hub.commits("models", f"alice/{name}")) == 2, "the repository's first commit, and one push"


LOUD = dict.fromkeys(("TRANSFORMERS_VERBOSITY", "HF_HUB_VERBOSITY", "DATASETS_VERBOSITY"), "debug") | {"HF_DEBUG": "1"}


@pytest.mark.parametrize(
    "fault", [None, Fault("/preupload/", status=403, times=9), Fault("whoami", drop=True, times=99)]
)
def test_the_token_is_told_nowhere_however_much_is_told(hub, published, fault):
    folder, _ = published
    hub.faults[:] = [fault] if fault else []
    script = """if True:
        import datasets, huggingface_hub, transformers
        huggingface_hub.constants.HF_DEBUG = True  # as the variables of the environment do, which were read with the libraries
        for library in (huggingface_hub, datasets, transformers):
            library.utils.logging.set_verbosity_debug()
        from hfft import cli
        from tests.torture.hub import hasten
        hasten(1000)
        raise SystemExit(cli.main(["publish", "runs/vit_cifar10"]))
    """
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{script}"
    done = hub.forks.run("-c", script, folder=folder, HF_TOKEN=TOKEN, **LOUD)
    hub.faults.clear()
    assert done.returncode == (1 if fault else 0), done.stderr[-2000:]
    assert "authorization" in done.stderr.lower(), "requests are told"
    assert TOKEN not in done.stdout + done.stderr
    assert not [path for path in folder.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_a_warm_cache_gives_the_same_weights_without_a_hub(hub, published):
    folder, _ = published
    short = ["training.max_steps=2", "training.dataloader_num_workers=0", "publish=null"]
    for name, more in (("there", {}), ("away", {"HF_HUB_OFFLINE": "1"})):
        words = ["train", "vit_cifar10", f"training.output_dir=runs/{name}", *short]
        asked = len(hub.requests)
        done = run(hub, "-m", "hfft.cli", *words, folder=folder, **more)
        assert done.returncode == 0, done.stderr
    assert len(hub.requests) == asked
    there, away = (folder / "runs" / name / "model/model.safetensors" for name in ("there", "away"))
    assert there.read_bytes() == away.read_bytes()


REFUSED = {
    "no token": ([], "", 2, "HF_TOKEN"),
    "a token that is refused": ([], "hf_wrong", 2, "refuses the token"),
    "another's account": (["publish.hub_model_id=bob/model"], TOKEN, 2, "name a repository of yours"),
    "a model that is not there": (["publish=null", "backbone.name=google/no-such-model"], TOKEN, 2, "no-such-model"),
    "a data set that is not there": (["publish=null", "data.path=uoft-cs/cifar11"], TOKEN, 2, "cifar11"),
    "a column that is not there": (["publish=null", "data.columns.image=image"], TOKEN, 2, "img"),
    "a split that is not there": (["publish=null", "data.validation=dev"], TOKEN, 2, "test"),
    "a revision that is not there": (["publish=null", "backbone.revision=v9"], TOKEN, 2, "revision"),
}


def test_what_the_hub_refuses_is_one_line_before_anything_is_trained(hub, tmp_path):
    """One process for all: each case is a command of its own, run in it one after the other."""
    script = "import json, sys\nfrom hfft import cli\nimport huggingface_hub, os\n" + textwrap.dedent("""
        import contextlib, io
        for name, (overrides, token, *_) in json.loads(sys.argv[1]).items():
            os.environ["HF_TOKEN"] = token
            error = io.StringIO()
            with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
                status = cli.main(["train", "vit_cifar10", *overrides])
            print(json.dumps([name, status, error.getvalue()]))
    """)
    done = run(hub, "-c", script, json.dumps(REFUSED), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = {name: (status, text) for name, status, text in map(json.loads, done.stdout.splitlines())}
    for name, (_, _, status, part) in REFUSED.items():
        assert answers[name][0] == status, (name, answers[name])
        assert part in answers[name][1], (name, answers[name])
        assert len(answers[name][1].strip().splitlines()) == 1, (name, answers[name])
    assert not list(tmp_path.rglob("*.safetensors")), "nothing was trained"
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").rglob("metrics.json"))

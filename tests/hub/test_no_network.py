"""Every shipped recipe without a network: the same line and status 1, whatever the recipe reads first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hfft.recipe import load_recipe
from hfft.recipe.find import shipped

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# What comes with the package, or begins with a run of one's own, needs no network.
RECIPES = [name for name in shipped() if not load_recipe(name).backbone.name.startswith(("nano-", "runs/"))]
RECIPES = [name for name in RECIPES if not load_recipe(name).backbone.name.endswith(".zip")]  # a file that one fetches
SCRIPT = """
import contextlib, io, json, sys
from hfft import cli
from tests.torture.hub import hasten
hasten(1000)
for words in json.loads(sys.argv[1]):
    error = io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        status = cli.main(words)
    print(json.dumps([status, error.getvalue()]))
"""
SAID = {
    "offline": "model {} is not in the cache and HF_HUB_OFFLINE is set; unset it to fetch model {} once\n",
    "no hub": "model {} could not be read: We couldn't connect to 'http://127.0.0.1:9' to load the files, and couldn't find "
    "them in the cached files. (no network? HF_HUB_OFFLINE=1 uses only what is cached)\n",
}


@pytest.fixture(scope="module", params=[("offline", {"HF_HUB_OFFLINE": "1"}), ("no hub", {"HF_ENDPOINT": "http://127.0.0.1:9"})],
                ids=["offline", "no hub"])  # fmt: skip
def walk(request, tmp_path_factory):
    """The kind of silence, and the ends of all recipes, the last of which would publish."""
    folder = tmp_path_factory.mktemp("walk")
    commands = [["train", name, "publish=null", f"training.output_dir={folder}/{name}"] for name in RECIPES]
    commands.append(["train", "vit_cifar10", f"training.output_dir={folder}/published"])
    home = {"HF_HOME": str(folder / "home"), "HF_TOKEN": "hf_x", "HF_HUB_OFFLINE": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)],
        cwd=folder,
        env={**os.environ, **home, "OMP_NUM_THREADS": "1", **request.param[1]},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return request.param[0], folder, [json.loads(line) for line in done.stdout.splitlines()]


def test_every_recipe_ends_with_the_same_line_and_status_1(walk):
    kind, folder, ends = walk
    names = [load_recipe(name).backbone.name for name in RECIPES]
    assert len(names) > 10
    assert ends[:-1] == [[1, SAID[kind].format(name, name)] for name in names]
    assert {path.name for path in folder.iterdir()} <= {"home"}, "no run has begun"


def test_one_that_publishes_ends_with_status_1_and_says_so(walk):
    kind, _, ends = walk
    status, said = ends[-1]
    assert (status, len(said.splitlines())) == (1, 1), said
    assert (
        "HF_HUB_OFFLINE is set, so vit-cifar10 cannot be pushed" if kind == "offline" else "asked for permission"
    ) in said

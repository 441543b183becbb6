"""Imports that wait: the faces of packages, and torch."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import hfft
from hfft import lazy

FACES = [module.name for module in pkgutil.walk_packages(hfft.__path__, "hfft.") if module.ispkg]


@pytest.mark.parametrize("package", ["hfft", *FACES])
def test_every_name_of_a_face_is_there_and_is_no_module_beside_it(package):
    face = importlib.import_module(package)
    names = set(getattr(face, "__all__", ()))
    for name in names:
        assert getattr(face, name) is not None
    eager = package == "hfft.data.augment"  # imports its names at once, after its modules
    assert eager or names & {module.name for module in pkgutil.iter_modules(face.__path__)} == set()


def test_another_name_is_refused_as_by_any_module():
    with pytest.raises(AttributeError, match=r"module 'hfft\.layers' has no attribute 'depht'"):
        importlib.import_module("hfft.layers").depht  # noqa: B018


def test_a_name_that_its_home_has_and_the_face_does_not_show_is_refused():
    find, _ = lazy.names(__name__, {"join": "os.path"})
    with pytest.raises(AttributeError, match="has no attribute 'split'"):
        find("split")


def test_a_name_is_looked_up_once():
    find, names = lazy.names(__name__, {"join": "os.path"})
    assert names == ["join"]
    assert find("join") is importlib.import_module("os.path").join is globals()["join"]


@pytest.mark.slow
def test_recipe_commands_and_faces_need_no_torch():
    script = f"""
import importlib, sys
for name in {["hfft", "hfft.cli", "hfft.run", *FACES]!r}:
    importlib.import_module(name)
from hfft import load_recipe
from hfft.lazy import F, torch
load_recipe("digits")
assert not {{"torch", "transformers", "evaluate", "sklearn"}} & set(sys.modules)
assert torch.ones(2).sum() == 2
assert F.relu(torch.tensor(-1.0)) == 0
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr

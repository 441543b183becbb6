"""The command line as a user meets it: quick answers, one line per mistake, statuses."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hfft import cli, run
from hfft.recipe import shipped

ROOT = Path(__file__).parents[1]


def hfft(*arguments: str, cwd: Path | None = None) -> tuple[subprocess.CompletedProcess[str], float]:
    """`hfft ...` in a process of its own, and its seconds of work."""
    before = os.times()
    done = subprocess.run([sys.executable, "-m", "hfft.cli", *arguments], capture_output=True, text=True, cwd=cwd)
    after = os.times()
    return done, after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["--help"], ["list"], ["check", "vit_cifar10"], ["show", "digits", "--recipe-only"]]
)
def test_what_needs_no_torch_answers_in_under_a_second(arguments):
    done, seconds = min((hfft(*arguments) for _ in range(2)), key=lambda pair: pair[1])
    assert done.returncode == 0, done.stderr
    assert seconds < 1.0


@pytest.mark.slow
def test_a_run_imports_no_library_before_it_is_needed():
    script = "import sys, hfft.pipeline.finetune, hfft.predict.predictor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    heavy = {"sklearn", "evaluate", "matplotlib", "torchvision", "IPython", "tensorboard", "timm", "onnx"}
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.slow
def test_mistakes_are_told_at_once_with_status_2_and_without_a_traceback(tmp_path):
    (tmp_path / "x.yaml").write_text("task: image-classification\nbackbone: {nam: y}\ntraining:\n  warmup_ratio: 0.1\n")
    done, seconds = hfft("train", "x.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == sorted(
        done.stderr.splitlines(), key=lambda line: int(line.split(":")[1].split()[0])
    )
    assert "x.yaml:2  backbone.nam: unknown key; did you mean 'name'?" in done.stderr
    assert "x.yaml:4  training.warmup_ratio" in done.stderr
    assert "warmup_steps" in done.stderr
    assert "Traceback" not in done.stderr
    assert seconds < 3
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"], "nothing is written"


def test_list_names_every_recipe_with_what_it_is(capsys):
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(shipped())
    assert all(len(line.split()) > 4 for line in lines)


def test_overrides_may_stand_on_either_side_of_options():
    given = run.parse(run.parser(), ["--recipe", "digits", "a.b=1", "--fresh", "c.d=2"])
    assert (given.recipe, given.fresh, given.overrides) == ("digits", True, ["a.b=1", "c.d=2"])
    given = run.parse(cli.parser(), ["train", "digits", "--fresh", "c.d=2"])
    assert (given.recipe, given.fresh, given.overrides) == ("digits", True, ["c.d=2"])
    with pytest.raises(SystemExit):
        run.parse(cli.parser(), ["train", "digits", "--frsh"])


def test_a_number_in_scientific_notation_is_a_number_on_the_command_line(capsys):
    assert cli.main(["show", "digits", "--recipe-only", "training.learning_rate=3e-4"]) == 0
    assert "learning_rate: 0.0003\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["train", "no_such_recipe"], "neither a shipped recipe nor a file"),
        (["publish", "runs/nothing"], "not a finished run"),
        (["predict", "runs/nothing", "a", "--data", "b"], "either"),
        (["predict", "runs/nothing", "a", "--output", "x.parquet"], ".csv or .jsonl"),
        (["score", "."], "recipe.yaml"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(arguments, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert part in error
    assert len(error.splitlines()) == 1


@pytest.mark.slow
def test_the_launched_file_does_not_let_its_folder_shadow_other_packages(tmp_path):
    """`accelerate launch hfft/run.py` puts hfft/ first on the path, where `data` and `score` are folders."""
    start = "import sys, runpy; sys.argv = ['run.py', '--help']; sys.path.insert(0, {0!r})"
    code = start + "; runpy.run_path({1!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code.format(str(ROOT / "hfft"), str(ROOT / "hfft/run.py"))],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "--recipe" in done.stdout


def test_the_wheel_carries_recipes_backbones_and_types(tmp_path):
    pytest.importorskip("hatchling", reason="the build backend is not installed; pip install hatchling")
    build = (
        "from hatchling.builders.wheel import WheelBuilder; print(next(iter(WheelBuilder('.').build(directory={!r}))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", build.format(str(tmp_path))], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = set(zipfile.ZipFile(done.stdout.strip()).namelist())
    assert {f"hfft/recipes/{name}.yaml" for name in shipped()} <= names
    assert {
        "hfft/backbone/nano/vit/model.safetensors",
        "hfft/backbone/nano/bert/tokenizer.json",
        "hfft/py.typed",
    } <= names
    assert {f"hfft/{path.relative_to(ROOT / 'hfft')}" for path in (ROOT / "hfft").rglob("*.j2")} <= names
    assert {"hfft/report/page.html.j2", "hfft/report/sections/header.html.j2", "hfft/report/style.css"} <= names
    assert not [name for name in names if name.startswith(("tests/", "runs/"))]
    size = sum(info.file_size for info in zipfile.ZipFile(done.stdout.strip()).infolist() if "/nano/" in info.filename)
    assert size < 2_000_000 * 2


@pytest.mark.slow
def test_imports_are_not_searched_for_garbage_and_what_follows_is():
    script = (
        "import gc; from hfft import run\n"
        "with run.importing():\n"
        "    assert not gc.isenabled()\n"
        "    import torch\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 100_000 > len(gc.get_objects())\n"
        "gc.unfreeze()\n"
        "with run.importing():\n"
        "    import torch\n"
        "assert gc.get_freeze_count() == 0, 'nothing was loaded'\n"
        "gc.disable()\n"
        "with run.importing():\n"
        "    pass\n"
        "assert not gc.isenabled(), 'as it was'\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)

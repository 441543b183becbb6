"""The command line as a user meets it: quick answers, one line per mistake, statuses."""

from __future__ import annotations

import csv
import errno
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hfft import cli, run
from hfft.commands import publish, score
from hfft.commands.predict import write_table
from hfft.errors import BadInput, Diverged, HubError, RunError
from hfft.recipe import shipped
from hfft.runs.signals import Stopped

ROOT = Path(__file__).parents[1]


def hfft(*arguments: str, cwd: Path | None = None) -> tuple[subprocess.CompletedProcess[str], float]:
    """`hfft ...` in a process of its own, and its seconds of work."""
    as_installed = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # without compiled modules half the time is compiling
    words = [sys.executable, "-m", "hfft.cli", *arguments]
    before = os.times()
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=as_installed)
    after = os.times()
    return done, after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["--help"], ["list"], ["check", "vit_cifar10"], ["show", "digits", "--recipe-only"]]
)
def test_what_needs_no_torch_answers_in_under_a_second(arguments):
    done, seconds = min((hfft(*arguments) for _ in range(5)), key=lambda pair: pair[1])  # beside the other tests
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


def test_list_shows_the_first_line_of_a_recipes_header(capsys):
    cli.main(["list"])
    for line, path in zip(capsys.readouterr().out.splitlines(), shipped().values(), strict=True):
        assert f"# {line.split(maxsplit=1)[1]}" == path.read_text(encoding="utf-8").splitlines()[0]


@pytest.mark.parametrize(("what", "said"), [("list", "{}: 0 B\n"), ("clear", "removed 0 of 0: 0 B\n")])
def test_where_nothing_is_kept_of_frozen_layers_that_is_said(what, said, tmp_path, capsys):
    assert cli.main(["cache", what, "--dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == said.format(tmp_path)


def test_a_run_is_published_at_the_address_that_is_told(capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(publish, "publish_run", lambda *given: asked.append(given) or "https://hub/me/x")
    assert cli.main(["publish", "runs/x", "publish.hub_model_id=me/x", "--force"]) == 0
    assert capsys.readouterr().out == "published: https://hub/me/x\n"
    assert asked == [("runs/x", ["publish.hub_model_id=me/x"], True)]


@pytest.mark.parametrize("files", [["a/outputs/validation", "a/outputs/test"], ["a/outputs/test"]])
def test_scores_from_kept_answers_say_where_these_lie(files, monkeypatch):
    found = [Path(file) for file in files]
    monkeypatch.setattr(score, "recipe_of", lambda source, overrides: type("Recipe", (), {"metrics": ("accuracy",)}))
    monkeypatch.setattr(score.RunFolder, "stored_outputs", lambda folder: found)
    monkeypatch.setattr(score, "score_outputs", lambda files, metrics: [f"{len(files)} by {metrics[0]}"])
    monkeypatch.setattr(score, "score_model", lambda source, recipe: ["the model"])
    kept = [f"{len(files)} by accuracy", "from the stored outputs in a/outputs; add --fresh to run the model again"]
    assert list(score.score("a", [])) == kept
    assert list(score.score("a", ["score.metrics=[accuracy]"])) == kept
    assert list(score.score("a", ["score.metrics=[accuracy]", "data.test=x"])) == ["the model"]
    assert list(score.score("a", [], fresh=True)) == ["the model"]
    found.clear()
    assert list(score.score("a", [])) == ["the model"]


class Told(io.StringIO):
    """An output that keeps what was there at each flush: what a reader behind a pipe sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def flush(self):
        self.seen.append(self.getvalue())


@pytest.mark.parametrize("key", ["ood", "shift"])
def test_a_check_looks_for_the_files_of_the_scorecard(key, capsys):
    status = cli.main(["check", "digits", f"score.{key}={{far: {{path: ./gone.csv}}}}"])
    assert (status, capsys.readouterr().err) == (
        2,
        f"score.{key}.far.path: no file './gone.csv'; use an existing file\n",
    )


@pytest.mark.parametrize("arguments", [["check", "digits", "--deep"], ["plan", "digits"]])
def test_what_takes_long_tells_each_line_as_soon_as_it_is_known(arguments, monkeypatch):
    from hfft.pipeline import deep_check
    from hfft.plan import plan

    out = Told()
    monkeypatch.setattr(sys, "stdout", out)

    def lines(recipe):
        yield "one"
        assert out.seen[-1] == "one\n"
        yield "two"
        assert out.seen[-1] == "one\ntwo\n"

    monkeypatch.setattr(deep_check, "check", lines)
    monkeypatch.setattr(plan, "plan", lines)
    assert cli.main(arguments) == 0


def test_a_run_tells_each_line_as_soon_as_it_is_known(monkeypatch):
    from hfft.processes import say

    out = Told()
    monkeypatch.setattr(sys, "stdout", out)
    say("one")
    assert out.seen == ["one\n"]


def test_predictions_are_a_table_or_a_line_of_json_each():
    rows = [{"id": "1", "label": "é|b", "probability": 0.5}, {"id": "2", "label": "c", "probability": 0.25}]
    table, lines = io.StringIO(), io.StringIO()
    write_table(rows, table, ".csv")
    write_table(rows, lines, ".jsonl")
    assert table.getvalue().splitlines() == ["id,label,probability", "1,é|b,0.5", "2,c,0.25"]
    assert lines.getvalue().splitlines() == [
        '{"id": "1", "label": "é|b", "probability": 0.5}',
        '{"id": "2", "label": "c", "probability": 0.25}',
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_does_not_obey_the_names_in_a_table(terminal, monkeypatch):
    class Screen(io.StringIO):
        def isatty(self):
            return terminal

    rows = [{"id": "a\nb", "label": "\x1b[31mred", "probability": 0.5}]
    monkeypatch.setattr("hfft.commands.predict.predict", lambda *given, **options: iter(rows))
    monkeypatch.setattr(sys, "stdout", Screen())
    assert cli.main(["predict", "runs/x", "a text"]) == 0
    shown = list(csv.reader(io.StringIO(sys.stdout.getvalue())))
    assert shown[1:] == [["a\\nb", "\\x1b[31mred", "0.5"] if terminal else ["a\nb", "\x1b[31mred", "0.5"]]


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (BadInput("a", "b"), 2, "a\nb\n"),
        (BadInput("class a\n\x1b[2J"), 2, "class a\\n\\x1b[2J\n"),
        (RunError("a"), 1, "a\n"),
        (HubError("a"), 1, "a\n"),
        (Diverged("a"), 3, "a\n"),
        (Stopped(15), 143, "stopped by SIGTERM; the same command continues the run\n"),
        (Stopped(2, "a\nb\x1b"), 130, "stopped by SIGINT; a\\nb\\x1b\n"),
        (KeyboardInterrupt(), 130, "interrupted; the same command continues from the last checkpoint\n"),
        (BrokenPipeError(errno.EPIPE, "x"), 141, ""),
        (
            OSError(errno.ENOSPC, "full", "f"),
            1,
            "full (f); finished results are saved; fix this and run the same command to continue\n",
        ),
        (
            OSError(errno.ENOSPC, "full", "a\nb\x1b\udcff"),
            1,
            "full (a\\nb\\x1b\\udcff); finished results are saved; fix this and run the same command to continue\n",
        ),
        (
            OSError(errno.EIO, "broken"),
            1,
            "broken; finished results are saved; fix this and run the same command to continue\n",
        ),
    ],
)
def test_how_a_command_ends_is_told_in_a_line_and_a_status(error, status, said, capsys, monkeypatch):
    def action():
        raise error

    monkeypatch.delenv("RANK", raising=False)
    assert run.guarded(action) == status
    assert capsys.readouterr().err == said
    monkeypatch.setenv("RANK", "1")
    assert run.guarded(action) == status
    once = isinstance(error, BadInput | Diverged | Stopped)
    assert capsys.readouterr().err == ("" if once else said), "what all processes meet is told by the first"


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "away"), ValueError("a bug")])
def test_what_code_has_to_mend_keeps_its_traceback(error):
    def action():
        raise error

    with pytest.raises(type(error)):
        run.guarded(action)


@pytest.mark.parametrize("terminal", [False, True])
def test_only_a_terminal_is_shown_bars(terminal, monkeypatch):
    from hfft import console

    done = []
    monkeypatch.setattr(console.client, "use", lambda: None)
    monkeypatch.setattr(console.sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(console.transformers.logging, "disable_progress_bar", lambda: done.append("models"))
    monkeypatch.setattr(console.datasets, "disable_progress_bars", lambda: done.append("data"))
    console.quiet_libraries()
    assert done == ([] if terminal else ["models", "data"])


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

"""What a finished run says of its data: rows that it was trained on, files that have changed, an old folder in a check."""

import shutil
from pathlib import Path

import datasets
import pytest

from hfft import cli
from hfft.predict.trained import reading_of

WORDS = ["list", "value", "string", "file", "table"]
RECIPE = """
task: text-classification
backbone: {name: nano-bert}
head: {new: [bert.pooler]}
data: {path: x.csv, columns: {label: kind}, validation: 0.25, max_length: 16}
training: {max_steps: 2, per_device_train_batch_size: 8, output_dir: run, report_to: none}
"""


def put(path, count=40, start=0):
    lines = [f"the {WORDS[i % 5]} number {i},{i % 2}" for i in range(start, start + count)]
    Path(path).write_text("\n".join(["said,kind", *lines]) + "\n")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run in its folder."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
        put("x.csv")
        Path("r.yaml").write_text(RECIPE)
        assert cli.main(["train", "r.yaml"]) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """The same, to be changed."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path


def said(capsys, *arguments, status=0):
    capsys.readouterr()
    assert cli.main(list(arguments)) == status
    shown = capsys.readouterr()
    return (shown.out if status == 0 else shown.err).splitlines()


def seen(lines):
    return [line for line in lines if "among the training rows" in line]


pytestmark = pytest.mark.slow


def test_a_split_that_is_drawn_anew_is_told_with_the_rows_that_were_trained_on(run, capsys):
    assert seen(said(capsys, "score", "run", "--fresh")) == []
    (line,) = seen(said(capsys, "score", "run", "data.validation=0.5"))
    split, count, *_ = line.split()
    assert (split, line.split(" of its ")[1].split()[0]) == ("validation:", "20")
    assert 5 <= int(count) <= 20
    (Path("run/trained_rows.safetensors")).unlink()
    assert seen(said(capsys, "score", "run", "data.validation=0.5")) == [line], "read again by the run's recipe"
    assert len(seen(said(capsys, "score", "run", "training.seed=7", "data.test=0.4"))) == 2, (
        "both are drawn by another seed"
    )
    put("new.csv", start=100)
    assert seen(said(capsys, "score", "run", "data.path=new.csv", "data.validation=0.5")) == []
    Path("x.csv").unlink()
    lines = said(capsys, "score", "run", "data.path=new.csv", "data.validation=0.5")
    assert lines[-1].startswith("whether these rows were trained on is not known: ")


def test_rows_that_occur_twice_are_told_beside_the_metrics(run, capsys):
    text = Path("x.csv").read_text().splitlines()
    Path("x.csv").write_text("\n".join([*text, *text[1:]]) + "\n")
    lines = said(capsys, "train", "r.yaml", "--fresh")
    (line,) = seen(lines)
    metrics, folder = (
        next(i for i, at in enumerate(lines) if at.startswith(by)) for by in ("validation acc", "run folder")
    )
    assert metrics < lines.index(line) < folder
    assert seen(said(capsys, "train", "r.yaml")) == seen(said(capsys, "score", "run")) == [line]


def test_a_finished_run_whose_data_has_changed_says_so(run, capsys):
    before = said(capsys, "train", "r.yaml")
    Path("x.csv").touch()
    assert said(capsys, "train", "r.yaml") == before
    put("x.csv", 44)
    (line,) = said(capsys, "train", "r.yaml", status=2)
    assert line.startswith("run is finished, but its data has changed since (train, validation); add --fresh")
    assert said(capsys, "train", "r.yaml", "--force") == before
    assert "the files of the data have changed since: these are the outputs for what they were" in said(
        capsys, "score", "run"
    )
    Path("x.csv").write_text("none\n")
    assert "the data has changed since, and cannot be read" in said(capsys, "train", "r.yaml")[0]
    Path("x.csv").unlink()
    assert said(capsys, "train", "r.yaml") == before


def test_a_check_with_overrides_does_not_mind_an_old_run(run, capsys):
    lines = said(capsys, "check", "r.yaml", "--deep", "training.learning_rate=1e-3")
    assert lines[0].startswith(
        "run folder: run can be written; run contains a run of another recipe (training.learning_rate:"
    )
    assert lines[-1] == "r: no mistakes found"
    (run / "run/recipe.yaml").unlink()
    (line,) = said(capsys, "check", "r.yaml", "--deep", status=2)
    assert "but no recipe.yaml" in line


def test_the_columns_that_the_run_found_are_noted_for_predictions(run):
    assert reading_of("run").columns == reading_of("run/model").columns == {"text": "said"}

"""`hfft check` opens the first lines of local files: it refuses what the run would refuse, with the same words."""

import json
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from hfft.cli import main
from hfft.data.tables.check import check_files
from hfft.errors import BadInput
from hfft.recipe.build import build
from tests.parts import splits_of

TABLE = "text,label\n" + "".join(f'"row {i}, more",{"ab"[i % 2]}\n' for i in range(30))


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Each test in a folder of its own, caches included."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


def recipe(path, task="text-classification", problem="single_label_classification", **data):
    values = {"task": task, "problem_type": problem, "backbone": {"name": "-"}, "data": {"path": path, **data}}
    return build(json.dumps(values), "test.yaml", "test")


def put(name, content):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def line_of(action, *arguments):
    with pytest.raises(BadInput) as caught:
        action(*arguments)
    return str(caught.value)


WRONG = {
    "another separator": ("x.csv", TABLE, {"sep": ";"}),
    "no such file": ("x.csv", TABLE, {"path": "y.csv"}),
    "no such folder": ("x/x.csv", TABLE, {"path": "x/y"}),
    "cp1252": ("x.csv", TABLE.replace("row", "söw").encode("cp1252"), {}),
    "empty": ("x.csv", "", {}),
    "no header": ("x.csv", TABLE.split("\n", 1)[1], {}),
    "no such column": ("x.csv", TABLE, {"columns": {"label": "labels"}}),
    "no such text": ("x.csv", TABLE, {"columns": {"text": "txt"}}),
    "no label": ("x.csv", TABLE.replace("label", "class", 1), {}),
    "two texts": ("x.csv", "one,two,label\na,b,x\nc,d,y\n", {}),
    "words and a label": ("x.csv", "words,label\na,x\nb,y\n", {}),
    "no text": ("x.csv", "one,two,label\n1,2,x\n3,4,y\n", {}),
    "text alone": ("x.txt", "one\ntwo\n", {}),
    "JSON lines": ("x.jsonl", '{"text": "a", "class": 1}\n{"text": "b", "class": 0}\n', {}),
    "test without the text": ("x/test.csv", "texts,label\na,b\n", {"path": "x"}),
    "unknown ending": ("x.dat", TABLE, {}),
    "two kinds": ("x/a.csv", TABLE, {"path": "x", "data_files": ["a.csv", "../b.jsonl"]}),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_first_lines_show_is_refused_in_the_words_of_the_run(case):
    name, content, settings = WRONG[case]
    put(name, content)
    put("x/train.csv", TABLE)
    put("b.jsonl", "{}\n")
    given = recipe(**{"path": name, **settings})
    told = line_of(check_files, given.data, given.the_task)
    assert told == line_of(splits_of, given)
    assert "\n" not in told


RIGHT = {
    "table": ("x.csv", TABLE, {}),
    "tabs": ("x.csv", "text\tlabel\na\tb\n", {}),
    "several labels": (
        "x.csv",
        "text,one,two\na,1,0\n",
        {"columns": {"label": "/one|two/"}, "problem": "multi_label_classification"},
    ),
    "texts": ("x.txt", "one\ntwo\n", {"task": "fill-mask"}),
    "JSON": ("x.json", json.dumps([{"text": "a", "label": "b"}]), {}),
    "nested JSON": ("x.json", json.dumps({"data": [{"text": "a", "label": "b"}]}), {"field": "data"}),
    "test without labels": ("x/test.csv", "text\na\n", {"path": "x"}),
    "a data set of the hub": ("x.csv", TABLE, {"path": "stanfordnlp/sst2"}),
    "a canonical data set": ("x.csv", TABLE, {"path": "imdb"}),
    "a built-in set": ("x.csv", TABLE, {"path": "digits", "task": "image-classification"}),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_may_be_right_is_left_to_the_run(case):
    name, content, settings = RIGHT[case]
    put(name, content)
    put("x/train.csv", TABLE)
    given = recipe(**{"path": name, **settings})
    assert check_files(given.data, given.the_task) is None


def test_the_command_tells_a_wrong_separator(capsys):
    put("x.csv", TABLE)
    put("r.yaml", "task: text-classification\nbackbone: {name: nano-bert}\ndata: {path: x.csv}\n")
    assert main(["check", "r.yaml"]) == 0
    assert main(["check", "r.yaml", "data.sep=;"]) == 2
    assert "data.sep: ';' does not occur in the header of x.csv" in capsys.readouterr().err
    assert main(["check", "r.yaml", "data.path=runs/x/data"]) == 2
    assert capsys.readouterr().err == "data.path: no folder 'runs/x/data'; use an existing folder\n"


@pytest.mark.slow
def test_the_check_needs_neither_torch_nor_datasets():
    put("x.csv", TABLE)
    put("r.yaml", "task: text-classification\nbackbone: {name: nano-bert}\ndata: {path: x.csv}\n")
    script = (
        "import sys; from hfft.cli import main; assert main(['check', 'r.yaml']) == 0\n"
        "assert not {'torch', 'datasets', 'pandas', 'pyarrow', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

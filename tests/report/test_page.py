"""The page: well-formed, complete, safe with any name, and made of sections that are two files and a line each."""

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
from jinja2 import ChoiceLoader, DictLoader, UndefinedError

from hfft.evaluate.outputs import OutputsFile
from hfft.report import Record, render, sections, write_report
from hfft.report.page import environment
from hfft.runs.folder import RunFolder
from hfft.tasks.labels import Labels
from tests.report import blocks
from tests.report.runs import HOSTILE, LAYERS, WITHOUT_LABELS, Reader, history, metrics

PROBLEMS = ["single_label_classification", "multi_label_classification", "regression", *WITHOUT_LABELS]


@pytest.mark.parametrize("splits", [("validation", "test"), ("validation",), ("test",), ()])
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("entries", [0, 1, 25])
def test_every_kind_of_run_is_well_formed_and_names_each_figure(problem, splits, entries):
    found = metrics(problem, splits=splits)
    page = Reader(render(Record(found, LAYERS, history(entries), "name: example\n")))
    assert {"script", "link", "img", "iframe", "object", "form"}.isdisjoint(page.seen)
    for split in splits:
        assert f"{split}, n {found[split]['n']:,}, seed 97" in page.text
        for name, value in found[split].items():
            assert name == "n" or f"{value:.4f}" in page.text
        assert f"origin: {found['data']['origin'][split]}" in page.text
    assert ("nothing was scored" in page.text) == (not splits)
    assert ("Nothing was logged" in page.text) == (not entries)
    assert ("precision" in page.text) == bool("classification" in problem and splits)
    assert ("Rows: true class" in page.text) == bool(problem == PROBLEMS[0] and splits)
    for needed in ("some/backbone at 0123abcd", "some/data (no revision)", "torch 2.6.0", "name: example", "1:06:40"):
        assert needed in page.text


def test_random_weights_stand_beside_with_their_own_size():
    scratch = {"test": {"loss": 3.5, "f1_macro": 0.25, "n": 1200}}
    page = Reader(render(Record(metrics(from_scratch=scratch), [], [], "")))
    assert "random weights: the same recipe, test, n 1,200, seed 97" in page.text
    assert "0.2500+1.3625" in page.text
    assert "validation, n 1,200" not in page.text


def test_methods_stand_with_their_options_and_costs():
    sam = {"name": "sam", "options": {"rho": 0.05}, "needs": [], "passes": 2, "bytes": 0}
    start = {
        "name": "l2_sp",
        "options": {"weight": 1},
        "needs": ["the pretrained weights"],
        "passes": 1,
        "bytes": 2**21,
    }
    page = render(Record(metrics(strategy=[sam, start]), LAYERS, [], ""))
    for cell in ("sam", "rho 0.05", "2", "l2_sp", "the pretrained weights", "2.0"):
        assert f">{cell}</td>" in page
    assert "Strategy</h2>" not in render(Record(metrics(), LAYERS, [], ""))


def test_hostile_names_stay_text():
    found = metrics(names=(HOSTILE, "x" * 500))
    found["backbone"]["name"] = found["data"]["path"] = found["data"]["revision"] = HOSTILE
    found["data"]["origin"] = dict.fromkeys(("train", "validation", "test"), HOSTILE)
    found["versions"]["hfft"] = found["recipe"] = HOSTILE
    html = render(Record(found, LAYERS, history(3), f"name: {HOSTILE}\n"))
    page = Reader(html)
    assert "script" not in page.seen
    assert "<script" not in html
    assert HOSTILE in page.text
    assert ("title", HOSTILE) in page.attributes
    assert ("title", "x" * 500) in page.attributes
    assert "x" * 30 not in page.text


def test_nothing_is_fetched():
    html = render(Record(metrics(), LAYERS, history(40), "data: https://example.org/a.csv\n"))
    page = Reader(html)
    assert {"src", "xlink:href", "srcset", "data", "action"}.isdisjoint(name for name, _ in page.attributes)
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "url(" not in html
    assert "@import" not in html
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in page.attributes


def test_fifty_classes_and_ten_thousand_entries_stay_small():
    names = [f"class {i} of many, with a rather long name" for i in range(50)]
    html = render(Record(metrics(names=names), LAYERS, history(10_000, every=10), ""))
    Reader(html)
    assert len(html.encode()) < 500_000


@pytest.mark.slow
def test_a_thousand_classes_and_a_hundred_thousand_rows_stay_small_and_quick(tmp_path):
    names, n, rng = [f"class {i}" for i in range(1000)], 100_000, np.random.default_rng(0)
    found = metrics(names=names, splits=("test",))
    found["test"]["n"] = n
    del found["classes"]["test"]["confusion"]
    found["data"]["classes"] = {split: dict.fromkeys(names, 100) for split in ("train", "test")}
    folder = RunFolder(tmp_path)
    file = OutputsFile(
        folder.outputs / "test.safetensors", "test", "given", Labels.of(found["problem"], names), np.arange(n)
    )
    logits, references = np.zeros((n, 1000), np.float32), rng.integers(0, 1000, n)
    logits[np.arange(n), (references + (rng.random(n) < 0.1)) % 1000] = 9
    file.add(
        {
            "losses": np.zeros(n, np.float32),
            "targets": np.ones(n, np.float32),
            "logits": logits,
            "references": references,
        }
    )
    file.close()
    folder.write_json("scorecard.json", blocks.scorecard())
    folder.write_json("rows.json", blocks.rows())
    folder.write_json("layers.json", LAYERS)
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history(10_000)}))
    write_report(folder, metrics())  # imports and templates
    begin = time.process_time()
    write_report(folder, found)
    assert time.process_time() - begin < 2
    assert folder.report.stat().st_size < 2e6
    page = Reader(folder.report.read_text(encoding="utf-8"))
    assert "Most confused pairs" in page.text
    assert "700 more are in metrics.json" in page.text


def test_the_file_is_written_from_the_run_folder(tmp_path):
    folder = RunFolder(tmp_path)
    folder.recipe.write_text("name: example\n", encoding="utf-8")
    folder.write_json("layers.json", LAYERS)
    # transformers writes NaN as such, which json reads
    log = [*history(5), {"loss": math.nan, "step": 6}]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    write_report(folder, metrics(names=("naïve", "犬")))
    page = Reader(folder.report.read_text(encoding="utf-8"))
    for needed in ("blocks 1–3", "not finite: 1 of 6", "name: example", "naïve", "犬"):
        assert needed in page.text
    bare = RunFolder(tmp_path / "bare")
    bare.path.mkdir()
    write_report(bare, metrics())
    Reader(bare.report.read_text(encoding="utf-8"))


def test_every_section_is_a_module_a_template_and_a_line():
    here = Path(sections.__file__).parent
    assert sorted(sections.SECTIONS) == sorted(path.stem for path in here.glob("[!_]*.py"))
    assert sorted(sections.SECTIONS) == sorted(path.name.removesuffix(".html.j2") for path in here.glob("*.html.j2"))


def test_a_new_section_needs_one_module_one_template_and_one_line(tmp_path, monkeypatch):
    (tmp_path / "toy.py").write_text(
        "def section(record):\n    name = record.metrics.get('toy')\n    return {'name': name} if name else None\n"
    )
    template = "{% from 'macros.html.j2' import bar %}<h2>Toy</h2>\n<p>{{ name }}</p>{{ bar(0.5) }}\n"
    toy = DictLoader({"sections/toy.html.j2": template})
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    monkeypatch.setattr(environment(), "loader", ChoiceLoader([environment().loader, toy]))
    monkeypatch.setattr(sections, "SECTIONS", ("header", "toy", "run"))
    html = render(Record(metrics(toy=HOSTILE)))
    assert html.index("<h1>") < html.index("<h2>Toy</h2>") < html.index("<h2>Run</h2>")
    assert "<script" not in html
    assert HOSTILE in Reader(html).text
    assert "Toy" not in render(Record(metrics())), "a section that has nothing to say is left out"


def test_a_name_that_a_template_misses_is_an_error():
    with pytest.raises(UndefinedError, match="text"):
        environment().get_template("sections/recipe.html.j2").render()

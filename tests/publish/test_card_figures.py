"""The card's figures of the scorecard: the table, `model-index` and the pictures."""

import re
import xml.dom.minidom

from hfft import load_recipe
from hfft.publish.card import card, write_card
from hfft.publish.figures import pictures, scored
from hfft.recipe import yaml_lines
from hfft.runs.folder import RunFolder
from tests.publish.test_card import metrics
from tests.report import blocks


def text(**given):
    return card(load_recipe("digits"), metrics(), blocks=blocks.blocks(), **given)


def test_every_figure_stands_with_its_rows_and_interval():
    found = text()
    assert "| accuracy | test, 1235 | 0.9120 | 0.8920 to 0.9320 |" in found
    assert "| expected calibration error | test, 1235 | 0.0310 | 0.0110 to 0.0510 |" in found
    assert "| accuracy, mean of corruptions -c(hfft) | test, 1235 | 0.6100 | 0.5900 to 0.6300 |" in found
    assert "\n\n\n" not in found
    assert "## How sure" not in card(load_recipe("digits"), metrics())


def test_model_index_has_the_figures_once_and_with_intervals():
    head = yaml_lines.parse(re.match(r"---\n(.*?)\n---\n", text(), re.S)[1])[0]
    (result,) = head["model-index"][0]["results"]
    named = {one["name"]: one for one in result["metrics"]}
    assert len(named) == len(result["metrics"])
    assert named["accuracy (test, n=500)"]["value"] == 0.75  # of metrics.json, not again of the scorecard
    assert named["accuracy under PGD-20 (test, n=500)"]["type"] == "adversarial_accuracy"
    assert named["f1 macro (test, n=1235)"]["args"] == {"interval_95": [0.86, 0.9]}


def test_blocks_that_failed_or_are_of_another_split_have_no_figures():
    failed = {name: {"error": "out of memory"} for name in blocks.blocks()}
    assert scored(failed) == []
    assert pictures(metrics(), failed) == {}
    other = {"task": {**blocks.blocks()["task"], "split": "gone"}}
    assert "## How sure" not in card(load_recipe("digits"), metrics(), blocks=other)


def test_pictures_are_files_beside_the_card(tmp_path):
    folder = RunFolder(tmp_path)
    folder.model.mkdir()
    folder.recipe.write_text(yaml_lines.dump(load_recipe("digits").resolved()), encoding="utf-8")
    folder.write_json("scorecard.json", blocks.scorecard())
    folder.write_json("rows.json", blocks.rows())
    found = metrics()
    found["classes"]["test"]["confusion"] = [[9, 1, 0], [0, 10, 0], [2, 0, 8]]
    write_card(folder, found)
    readme = (folder.model / "README.md").read_text(encoding="utf-8")
    for name in ("confusion.svg", "reliability.svg"):
        assert f"]({name})" in readme
        xml.dom.minidom.parse(str(folder.model / name))
    assert not (folder.model / "rows.json").exists()
    assert "data:image" not in readme

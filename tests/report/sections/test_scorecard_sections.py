"""The sections of the scorecard's blocks: left out without their block, all its figures with it, its error if it failed."""

import copy
from importlib import import_module
from itertools import pairwise

import pytest

from hfft.report import Record, render, sections
from hfft.report.page import render_section
from tests.report import blocks as made
from tests.report.runs import HOSTILE, LAYERS, Reader, history, metrics

MODULES = {name: import_module(f"hfft.report.sections.{name}") for name in sections.SECTIONS}
OF_BLOCKS = {name: module.BLOCK for name, module in MODULES.items() if hasattr(module, "BLOCK")}


def drawn(name, block):
    """The section with this block alone."""
    card = {"format": 1, "seed": 97, "blocks": {} if block is None else {OF_BLOCKS[name]: block}}
    return str(render_section(name, Record(metrics(), scorecard=card)))


def figures(value):
    """Every {"value", "low", "high"} inside a block."""
    if isinstance(value, dict):
        if "value" in value:
            yield value
        else:
            for inner in value.values():
                yield from figures(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from figures(inner)


def replaced(value, text):
    """A block with every text in it replaced; keys that name a known figure stay."""
    if isinstance(value, dict):
        return {key: replaced(inner, text) for key, inner in value.items()}
    if isinstance(value, list):
        return [replaced(inner, text) for inner in value]
    return text if isinstance(value, str) else value


def test_every_block_has_a_section():
    assert sorted(OF_BLOCKS.values()) == sorted(made.blocks())


@pytest.mark.parametrize("name", OF_BLOCKS)
def test_a_section_is_left_out_without_its_block(name):
    assert drawn(name, None) == ""


@pytest.mark.parametrize("name", OF_BLOCKS)
def test_every_figure_of_a_block_is_written_as_text(name):
    block = made.blocks()[OF_BLOCKS[name]]
    page = Reader(drawn(name, block))
    for found in figures(block):
        value = found["value"]
        assert any(shown in page.text for shown in (f"{value:.4f}", f"{value:+.4f}", f"{value:.1%}")), found
    if "n" in block:
        assert f"n {block['n']:,}" in page.text


@pytest.mark.parametrize("name", OF_BLOCKS)
def test_a_block_that_failed_is_a_line(name):
    page = Reader(drawn(name, {"error": f"it is out of memory {HOSTILE}", "seconds": 1.5}))
    assert f"Not computed: it is out of memory {HOSTILE}" in page.text
    assert page.seen.count("h2") == 1
    assert "script" not in page.seen


@pytest.mark.parametrize("name", OF_BLOCKS)
def test_hostile_texts_in_a_block_stay_text(name):
    html = drawn(name, replaced(copy.deepcopy(made.blocks()[OF_BLOCKS[name]]), HOSTILE))
    assert "<script" not in html
    Reader(html)


@pytest.mark.parametrize("name", [name for name in OF_BLOCKS if "svg" in drawn(name, made.blocks()[OF_BLOCKS[name]])])
def test_every_picture_is_described_and_has_a_table(name):
    page = Reader(drawn(name, made.blocks()[OF_BLOCKS[name]]))
    pictures = page.seen.count("svg")
    assert page.seen.count("title") == page.seen.count("desc") == pictures
    assert page.attributes.count(("role", "img")) == pictures
    assert page.seen.count("details") >= pictures


def test_what_was_not_fitted_is_said():
    about = made.about()
    calibration = {key: value for key, value in made.blocks()["calibration"].items() if key != "after"}
    for name, block in {
        "calibration": {**calibration, "not_fitted": "no validation rows; set data.validation"},
        "selective": {**about, "figures": {"aurc": made.fig(0.1)}, "curve": [], "not_fitted": "no validation rows"},
        "unknown": {**about, "not_fitted": "no validation rows"},
    }.items():
        assert "no validation rows" in Reader(drawn(name, block)).text


def test_a_difference_is_said_by_its_interval():
    text = Reader(drawn("beside", made.blocks()["beside"])).text
    assert "+0.4020 (0.3600 to 0.4400)1.00e-09this model is better" in text
    assert "0.0900no difference is shown" in text
    assert "0.0100this model is worse" in text
    assert "the start has no head for these classes" in text


def test_attacks_on_texts_have_a_budget():
    block = {
        **made.about(),
        "kind": "text",
        "figures": {"clean": made.fig(0.9), "words": made.fig(0.4)},
        "curve": [[0, 0.9], [2, 0.4]],
    }
    page = Reader(drawn("attack", block))
    assert "words or characters that may be changed" in page.text


def test_the_whole_page_asks_in_order_and_its_headings_do_not_skip():
    page = Reader(
        render(Record(metrics(advice=["try this"]), LAYERS, history(20), "name: x\n", made.scorecard(), made.rows()))
    )
    questions = [question for question in dict.fromkeys(sections.QUESTIONS.values()) if question]
    places = [page.text.rindex(question) for question in questions]
    assert places == sorted(places)
    levels = [int(tag[1]) for tag in page.seen if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = {value[1:] for name, value in page.attributes if name == "href"}
    assert targets <= set(ids)
    assert "try this" in page.text


def test_how_to_use_names_the_run_folder_and_the_rate_of_rejections():
    text = Reader(
        str(render_section("how_to_use", Record(metrics(), scorecard=made.scorecard(), folder="runs/a b")))
    ).text
    assert 'pipeline("text-classification", model="runs/a b/model")' in text
    assert "hfft predict 'runs/a b' … --reject 0.05" in text
    bare = Reader(str(render_section("how_to_use", Record(metrics(stock_loads=False))))).text
    assert "pipeline" not in bare
    assert "--reject" not in bare

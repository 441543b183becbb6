"""The table of layers, and what became of what was frozen."""

import re

from tests.report.runs import LAYERS, Reader, metrics, section


def table(rows, frozen=None):
    """The section of a run with these layers."""
    html = section("layers", metrics(frozen=frozen), layers=rows)
    Reader(html)
    return html


def test_a_run_without_layers_has_no_such_section():
    assert section("layers", layers=[]) == ""


def test_layers_fold_only_blocks_that_are_alike():
    html = table(LAYERS)
    rows = [re.sub(r"<[^>]*>", " ", row).split() for row in html.split("<tr>")[2:]]
    assert [row[0] for row in rows] == ["0", "1–3", "4", "5"]
    assert [row[-1] for row in rows[:-1]] == ["30.00%", "30.00%", "39.00%"]
    assert rows[0][2:5] == ["no", "–", "–"]
    assert rows[1][1:] == ["blocks", "1–3", "40.0%", "1.00e-03", "0.01", "12", "300", "30.00%"]
    assert "520 of 1,000 parameters learn (52.00%)" in html


def test_layers_tell_where_they_are_and_which_rates_they_have():
    rows = [{**row, "modules": [f"net.<{i}>"]} for i, row in enumerate(LAYERS)]
    rows[2] |= {"lr_lowest": 1e-5}
    html = table(rows, {"tensors": 12, "moved": [], "live": 6})
    assert "net.&lt;0&gt;" in html
    assert "net.&lt;3&gt;" in html
    assert html.count("<tr>") == 7, "a block with other rates does not fold"
    assert "1.00e-05–1.00e-03" in html
    assert "6 statistics of frozen norms were still updated (layers.norms: live)" in html


def test_what_stood_still_is_told_and_what_did_not_is_named():
    still = table(LAYERS, {"tensors": 1234, "moved": []})
    assert "frozen tensors are bit-identical to their loaded values" in still
    moved = table(LAYERS, {"tensors": 12, "moved": ["stem.<b>"]})
    assert "1 of 12 frozen tensors MOVED: stem.&lt;b&gt;" in moved
    assert "frozen" not in table(LAYERS, {"tensors": 0, "moved": []})


def test_what_had_to_wait_is_told():
    told = table(LAYERS, {"tensors": 0, "moved": [], "waited": 1200, "early": []})
    assert "All 1,200 tensors that had to wait were unchanged until their turn." in told
    early = [f"w<{i}>" for i in range(12)]
    told = table(LAYERS, {"tensors": 0, "moved": [], "waited": 20, "early": early})
    assert "12 of 20 tensors that had to wait MOVED before their turn: w&lt;0&gt;" in told
    assert "w&lt;8&gt;." in told


def test_columns_that_a_schedule_adds_are_shown():
    rows = [{**row, "begins": f"<{row['depth']}>" if row["learning"] else None} for row in LAYERS]
    rows = [{**row, "relative_gradient": 0.25 if row["learning"] else None} for row in rows]
    html = table(rows)
    assert '<th scope="col">begins</th><th scope="col">relative gradient</th><th scope="col">learning rate</th>' in html
    assert "<td>–</td><td>–</td><td>–</td>" in html
    assert "<td>&lt;5&gt;</td><td>0.2500</td>" in html
    assert html.count("<tr>") == 7, "blocks that begin apart do not fold"

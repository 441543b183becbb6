"""The tables of classes and the confusion matrices."""

import random
import re

import pytest

from tests.report.runs import Reader, class_rows, metrics, section


def rendered(rows, counts=None):
    """The section of a run with one scored split."""
    tables = {"test": {"classes": rows, **({} if counts is None else {"confusion": counts})}}
    return section("classes", metrics(splits=("test",), classes=tables))


def test_a_run_without_classes_has_no_such_section():
    assert section("classes", metrics("regression")) == ""


def test_the_test_split_is_open_and_validation_folded():
    html = section("classes")
    assert html.index("test, n 1,235") < html.index("<details><summary>validation, n 1,234")
    assert "<details>" not in section("classes", metrics(splits=("validation",)))


@pytest.mark.parametrize("name", ["עברית", "犬" * 40, 7])
def test_a_class_name_is_isolated_and_whole_in_its_title(name):
    html = rendered(class_rows([name], random.Random(0)))
    assert re.findall(r'<bdi title="([^"]*)">([^<]*)</bdi>', html) == [
        (str(name), str(name)[:27] + "…" * (len(str(name)) > 28))
    ]


def test_a_class_without_examples_has_no_recall_and_no_f1():
    html = rendered([{"class": "c", "precision": 0.0, "recall": 0.0, "f1": 0.0, "n": 0}])
    assert "<td>0.000</td><td>–</td><td>–</td><td>0</td>" in html


def test_a_thousand_classes_are_folded():
    html = rendered(class_rows([f"c{i}" for i in range(1000)], random.Random(1)))
    Reader(html)
    assert "<summary>280 more</summary>" in html
    assert "700 more are in metrics.json" in html
    assert html.split("<details>")[0].count("<bdi") == 20


def test_cells_are_coloured_by_their_share_of_the_row():
    counts = [[9, 1], [0, 0]]
    html = rendered(class_rows(["a", "b"], random.Random(1)), counts)
    assert '<td class="right deep" style="--h:0.90">9</td><td class="wrong" style="--h:0.10">1</td></tr>' in html
    assert "<td></td><td></td></tr>" in html


def test_the_worst_of_many_classes_come_first_and_empty_ones_last():
    rows = class_rows([f"c{i}" for i in range(40)], random.Random(1))
    rows[3] |= {"n": 0, "f1": 0.0}
    shown = re.findall(r"<bdi[^>]*>(c\d+)<", rendered(rows))
    assert shown[-1] == "c3"
    assert shown[:-1] == [row["class"] for row in sorted(rows, key=lambda row: row["f1"]) if row["n"]]
    assert "20 more" in rendered(rows)
    few = rows[:12]
    assert re.findall(r"<bdi[^>]*>(c\d+)<", rendered(few)) == [row["class"] for row in few]


@pytest.mark.parametrize(("size", "dense"), [(2, False), (12, False), (13, True), (50, True)])
def test_confusion_holds_every_count_and_names_both_axes_where_there_is_room(size, dense):
    rng = random.Random(size)
    counts = [[rng.randrange(3) * 17 for _ in range(size)] for _ in range(size)]
    counts[-1] = [0] * size  # a class that does not occur
    html = rendered(class_rows([f"c{i}" for i in range(size)], rng), counts)
    Reader(html)
    html = html[html.index('<table class="heat') :]
    assert ('class="heat dense"' in html) == dense
    cells = [int(cell or 0) for cell in re.findall(r"<td[^>]*>(\d*)</td>", html)]
    errors = [sum(counts[i]) + sum(row[i] for row in counts) - 2 * counts[i][i] for i in range(size)]
    order = sorted(range(size), key=lambda i: -errors[i])
    assert cells == [counts[i][j] for i in order for j in order]
    assert html.count("<bdi") == size * (1 if dense else 2)
    assert html.count('class="right') == sum(counts[i][i] > 0 for i in range(size))


def with_counts(names, splits=("validation", "test")):
    found = metrics(names=names, splits=splits)
    found["data"]["classes"] = {
        split: {name: 10 * i + len(split) for i, name in enumerate(names)} for split in ("train", "test")
    }
    return found


def test_the_rows_of_each_class_are_shown_for_every_split():
    page = Reader(section("classes", with_counts(["cat", "dog"])))
    assert "rows of each class classtraintest cat54 dog1514" in page.text
    assert ("open", None) in page.attributes
    assert ("open", None) not in Reader(section("classes", with_counts([f"c{i}" for i in range(13)]))).attributes


def test_counts_are_shown_where_nothing_was_scored():
    found = with_counts(["cat", "dog"], splits=())
    assert "cat54 dog1514" in Reader(section("classes", found)).text

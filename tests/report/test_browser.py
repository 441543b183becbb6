"""The pages in a real browser: silent, without requests, as wide as the window, by keyboard and screen reader, in print."""

import pytest

from hfft.rank.page import render as render_ranking
from hfft.rank.ranking import Ranking
from hfft.report import Record, render
from hfft.studies.compare import Compare
from hfft.studies.page import render_study
from hfft.studies.table import Cell, Line, Matrix, Plot, Row, Table
from tests.compare.made_runs import made_run
from tests.rank.test_rank_table import ROWS
from tests.report import blocks
from tests.report.browser import open_browser
from tests.report.runs import LAYERS, history, metrics
from tests.studies.fake_runs import tiny

pytestmark = pytest.mark.slow

WIDTHS = (400, 1400)
browser = pytest.fixture(scope="module")(open_browser)


def report(classes):
    """A page with every section."""
    found = metrics(names=[f"a class {i}" for i in range(classes)], advice=["fewer epochs"])
    found["data"]["classes"] = {split: dict.fromkeys(found["labels"], 10) for split in ("train", "test")}
    return render(Record(found, LAYERS, history(200), "name: example\n", blocks.scorecard(), blocks.rows()))


def comparison_page(tmp_path):
    from hfft.compare import compare_runs
    from hfft.compare.page import render as render_comparison

    runs = [made_run(tmp_path / name, wrong=wrong) for name, wrong in (("one", 40), ("other", 90), ("a third", 41))]
    return render_comparison(compare_runs([str(run) for run in runs]))


def study_page():
    """A study with two figures, long names and a failed run."""
    recipe = tiny()
    arms = [f"an arm with a long name, number {i}" for i in range(8)]
    cells = {arm: Cell({1: 0.5 + i / 20, 2: 0.52 + i / 19, 3: 0.49 + i / 21}) for i, arm in enumerate(arms)}
    lines = tuple(Line.of(arm, {10.0: cell, 100.0: cell, 1000.0: cell}) for arm, cell in cells.items())
    plots = tuple(
        Plot(title, "rows", "test accuracy", lines, log=log) for title, log in (("One", True), ("Two", False))
    )
    rows = tuple(Row(arm, {"accuracy": cell, "seconds": cell}, {4: "no disk"}) for arm, cell in cells.items())
    matrix = Matrix("Scores of each task", arms[:3], arms[:3], [[*cells.values()][:3]] * 3)
    table = Table("It does not matter.", ("accuracy", "seconds"), rows, plots, ("A note.",), (matrix,))
    return render_study(Compare(recipe=recipe, arms={"plain": {}}), table, 2)


def ranking_page():
    """A ranking of models with long names, one of which cannot be ranked."""
    found = Ranking("r", ROWS, "100 rows of train", "accuracy", "take slow", "backbone.name=slow", ["a note"])
    return render_ranking(found)


@pytest.fixture(scope="module", params=["two classes", "forty classes", "comparison", "study", "ranking"])
def page_file(request, tmp_path_factory):
    """The file of a page."""
    folder = tmp_path_factory.mktemp("page")
    pages = {
        "two classes": lambda: report(2),
        "forty classes": lambda: report(40),
        "study": study_page,
        "ranking": ranking_page,
    }
    html = pages[request.param]() if request.param in pages else comparison_page(folder)
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, page_file):
    """Opens the page: its tab, messages of the console and requests."""
    contexts = []

    def opening(width, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        tab, messages, requests = context.new_page(), [], []
        tab.on("console", lambda message: messages.append(message.text))
        tab.on("pageerror", lambda error: messages.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(page_file.as_uri(), wait_until="load")
        return tab, messages, [url for url in requests if not url.startswith(("data:", page_file.as_uri()))]

    yield opening
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_is_silent_asks_for_nothing_and_is_as_wide_as_the_window(opened, width, scheme):
    tab, messages, requests = opened(width, scheme)
    assert (messages, requests) == ([], [])
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_every_picture_has_a_name_a_description_and_a_table(opened):
    tab, *_ = opened(1400)
    found = tab.evaluate(
        """[...document.querySelectorAll('figure')].map(one => [
            one.querySelector('svg').getAttribute('aria-label') || '', one.querySelector('desc').textContent,
            one.querySelectorAll('table tbody tr').length])"""
    )
    assert found
    assert all(name and said and rows for name, said, rows in found)
    assert tab.evaluate("[...document.images].every(one => one.alt && one.naturalWidth > 0)")


def test_no_text_is_drawn_outside_its_picture(opened):
    tab, *_ = opened(1400)
    outside = tab.evaluate(
        """[...document.querySelectorAll('svg text')].filter(one => {
            const box = one.getBBox(), view = one.ownerSVGElement.viewBox.baseVal
            return box.x < -1 || box.x + box.width > view.width + 1 || box.y < -2 || box.y + box.height > view.height + 2
        }).map(one => one.textContent)"""
    )
    assert outside == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(opened, scheme):
    tab, *_ = opened(1400, scheme)
    ratios = tab.evaluate(
        """() => {
            const light = colour => {
                const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(x => x / 255)
                    .map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
                return 0.2126 * r + 0.7152 * g + 0.0722 * b
            }
            const ground = light(getComputedStyle(document.body).backgroundColor)
            return [...document.querySelectorAll('p, dt, dd, h1, h2, th, figcaption, summary, a')].map(one => {
                const ink = light(getComputedStyle(one).color)
                return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05)
            })
        }"""
    )
    assert min(ratios) >= 4.5  # WCAG 2.1, AA


def test_everything_that_opens_or_scrolls_is_reached_by_keyboard(opened):
    tab, *_ = opened(400)
    wanted = tab.evaluate("document.querySelectorAll('a, summary, [tabindex]').length")
    reached = tab.evaluate(
        "[...document.querySelectorAll('a, summary, [tabindex]')].filter(one => one.tabIndex === 0).length"
    )
    assert reached == wanted
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.tagName") in ("A", "DIV", "SUMMARY")
    scrolled = tab.evaluate(
        """[...document.querySelectorAll('.wide')].filter(one => one.checkVisibility() && one.scrollWidth > one.clientWidth
            && one.tabIndex !== 0).map(one => one.textContent.slice(0, 60))"""
    )
    assert scrolled == []


def test_a_page_prints_with_its_folded_tables_open(opened):
    tab, *_ = opened(1400)
    folded = len(tab.pdf(format="A4"))
    assert folded > 10_000
    tab.emulate_media(media="print")
    hidden = tab.evaluate(
        "[...document.querySelectorAll('details table')].filter(one => one.getBoundingClientRect().height === 0).length"
    )
    assert hidden == 0

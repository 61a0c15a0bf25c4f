"""The page of a run in a real browser: no complaint, no request, nothing past the edge, both languages, reloading."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.browser.test_leaderboard_page import (
    LOW_CONTRAST,
    OUTSIDE,
    OVERFLOW,
    Open,
    browser,
    language,
    open_all,
    visit,
)
from tests.report.run_made import SOURCES, finished, unfinished

from jpfm.report.run.run import run_page

pytestmark = pytest.mark.browser
__all__ = ["browser", "visit"]  # fixtures
# labels of axes that are cut off by their figure, or lie over one another
CUT = """() => [...document.querySelectorAll('.area > span')].filter(e => {
  const box = e.getBoundingClientRect(), figure = e.closest('figure').getBoundingClientRect();
  return box.width && (box.left < figure.left - 1 || box.right > figure.right + 1);
}).map(e => e.className + ' ' + e.textContent)"""
TOUCHING = """() => { const bad = [];
  for (const area of document.querySelectorAll('.area')) for (const kind of ['x', 'y', 'label']) {
    const boxes = [...area.querySelectorAll(':scope > .' + kind)].map(e => e.getBoundingClientRect());
    boxes.filter(b => b.width).forEach((b, i, all) => all.slice(i + 1).forEach(o => {
      if (b.left < o.right && o.left < b.right && b.top < o.bottom - 2 && o.top < b.bottom - 2)
        bad.push(area.closest('figure').id + ' ' + kind); })); }
  return bad; }"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("runs")
    training = unfinished(place / "model", 1234, 2000, parents=("tokens-0123456789ab",))
    one = finished(place / "one", 400, name="長い名前の実験" * 8)
    two = finished(place / "two", 300, seed=2, learning_rate=0.002)
    return {
        "unfinished": run_page([training], place / "page").page,
        "finished": run_page([one.path], place / "report").page,
        "compared": run_page([one.path, two.path, training], place / "compared").page,
    }


@pytest.mark.parametrize("width", [390, 768, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["unfinished", "finished", "compared"])
def test_the_page_opens_at_any_width(visit: Open, pages: dict[str, Path], width: int, scheme: str, name: str) -> None:
    place = "#en" if width == 768 else ""
    page, complaints = visit(pages[name], width=width, scheme=scheme, place=place)
    open_all(page)
    page.wait_for_timeout(100)
    assert complaints == []
    assert page.evaluate(OVERFLOW) <= 0
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(LOW_CONTRAST) == []
    assert page.evaluate(CUT) == []
    assert page.evaluate(TOUCHING) == []


def test_both_languages_and_every_chart_is_drawn(visit: Open, pages: dict[str, Path]) -> None:
    page, _ = visit(pages["unfinished"])
    assert language(page) == "ja"
    page.click("#toggle")
    assert language(page) == "en"
    assert page.title() == "Training run: 青空8M"
    assert page.locator(".plots > figure").count() == 9
    flat = page.locator(".plots .log path.line, .plots > figure > .plot path.line").evaluate_all(
        "all => all.filter(e => e.getBoundingClientRect().width < 100).length"
    )
    assert flat == 0
    assert page.locator("#seconds path.area").count() == 7
    assert page.locator("#held_out .legend li").count() == len(SOURCES) + 1


def test_the_loss_is_shown_on_one_of_two_scales(visit: Open, pages: dict[str, Path]) -> None:
    page, _ = visit(pages["unfinished"])
    shown = [page.locator(f"#loss .{scale} svg") for scale in ("log", "linear")]
    assert [one.is_visible() for one in shown] == [True, False]
    page.click("label[for=scale-linear]")
    assert [one.is_visible() for one in shown] == [False, True]


def test_pointing_at_a_place_tells_its_figures(visit: Open, pages: dict[str, Path]) -> None:
    page, _ = visit(pages["unfinished"], width=390)
    cells = page.locator("#held_out .cells span")
    cells.nth(4).hover()
    told = cells.nth(4).locator("b")
    assert told.is_visible()
    assert told.inner_text().replace("\n", "").startswith("500")
    box, figure = told.bounding_box(), page.locator("#held_out").bounding_box()
    assert box is not None
    assert figure is not None
    assert box["x"] >= figure["x"] - 1
    assert not cells.nth(5).locator("b").is_visible()


@pytest.mark.parametrize("place", ["", "#en", "#en.curves"])
def test_a_reload_keeps_language_place_and_scale(
    visit: Open, pages: dict[str, Path], tmp_path: Path, place: str
) -> None:
    """The same page with a reload after a second, in which the file was written anew."""
    quick = tmp_path / "index.html"
    text = pages["unfinished"].read_text(encoding="utf-8").replace('data-reload="30"', 'data-reload="1"')
    quick.write_text(text, encoding="utf-8")
    page, complaints = visit(quick, place=place)
    page.click("label[for=scale-linear]")
    page.locator("#settings summary").click()
    page.evaluate("scrollTo(0, 900)")
    quick.write_text(text.replace('data-reload="1"', 'data-reload="0"').replace("1,234", "1,240"), encoding="utf-8")
    page.get_by_text("1,240").first.wait_for(state="attached", timeout=10_000)
    page.wait_for_load_state("load")
    assert language(page) == ("en" if place else "ja")
    assert abs(page.evaluate("scrollY") - 900) < 5
    assert page.locator("#loss .linear svg").is_visible()
    assert page.locator("#settings details").get_attribute("open") is not None
    assert complaints == []


def test_without_script_it_reloads_too(visit: Open, pages: dict[str, Path], tmp_path: Path) -> None:
    quick = tmp_path / "index.html"
    text = pages["unfinished"].read_text(encoding="utf-8").replace('content="30"', 'content="1"')
    quick.write_text(text, encoding="utf-8")
    page, _ = visit(quick, script=False)
    quick.write_text(text.replace("1,234", "1,240"), encoding="utf-8")
    page.get_by_text("1,240").first.wait_for(state="attached", timeout=10_000)


def test_it_prints_on_paper(visit: Open, pages: dict[str, Path], tmp_path: Path) -> None:
    page, _ = visit(pages["finished"])
    page.pdf(path=tmp_path / "run.pdf", prefer_css_page_size=True)
    assert (tmp_path / "run.pdf").stat().st_size > 20_000

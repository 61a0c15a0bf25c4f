"""Scores of checkpoints on the page of a run, in a real browser: dots, bars, figures, both languages, any width."""

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
from tests.browser.test_run_page import CUT, TOUCHING
from tests.report.run_made import finished, unfinished
from tests.report.scored_made import scores

from jpfm.report.run.run import run_page

pytestmark = pytest.mark.browser
__all__ = ["browser", "visit"]  # fixtures


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("runs")
    training = unfinished(place / "model", 1234, 2000)
    one, two = finished(place / "one", 800), finished(place / "two", 600, seed=2, learning_rate=0.002)
    ours = scores(place / "scores", range(100, 1201, 100))
    first = scores(place / "first", range(100, 801, 100), last=one)
    second = scores(place / "second", [150, 300, 450, 600], last=two, shift=0.04)
    return {
        "unfinished": run_page([training], place / "page", scores=[ours]).page,
        "finished": run_page([one.path], place / "report", scores=[first]).page,
        "compared": run_page([one.path, two.path], place / "compared", scores=[first, second]).page,
    }


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["unfinished", "finished", "compared"])
def test_the_page_opens_at_any_width(visit: Open, pages: dict[str, Path], width: int, scheme: str, name: str) -> None:
    page, complaints = visit(pages[name], width=width, scheme=scheme, place="#en" if scheme == "dark" else "")
    open_all(page)
    page.wait_for_timeout(100)
    assert complaints == []
    assert page.evaluate(OVERFLOW) <= 0
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(LOW_CONTRAST) == []
    assert page.evaluate(CUT) == []
    assert page.evaluate(TOUCHING) == []


def test_points_and_figures_in_both_languages(visit: Open, pages: dict[str, Path]) -> None:
    page, _ = visit(pages["finished"])
    assert language(page) == "ja"
    figure = page.locator("#score_1")
    assert figure.locator("figcaption").inner_text() == (
        "採点：文字あたりビット数 1文字あたりビット数、小さいほど良い、文書単位のブートストラップ（95%）"
    )
    box = figure.locator("path.dots").bounding_box()
    assert box is not None
    assert box["width"] > 200
    cells = figure.locator(".cells span")
    assert cells.count() == 8
    cells.nth(7).hover()
    assert cells.nth(7).locator("b").inner_text().replace("\n", "").startswith("800")
    assert "–" in cells.nth(7).locator("b").inner_text()
    page.click("#toggle")
    assert figure.locator("figcaption").inner_text().startswith("Score: Bits per character")
    assert page.locator("#scores + .scroll tbody tr").count() == 8
    assert page.locator("#scores").inner_text() == "Scores"

"""The page of a corpus in a real browser: no complaint, no request, nothing past the edge, both languages."""

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

from jpfm.core.artifact import Artifact
from jpfm.report.corpus import write_page

pytestmark = pytest.mark.browser
__all__ = ["browser", "visit"]  # fixtures


@pytest.fixture(scope="module")
def html(corpus: Artifact, tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Path:
    path = tmp_path_factory.mktemp("page") / "corpus.html"
    write_page(corpus, path)
    return path


@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_at_any_width(visit: Open, html: Path, width: int, scheme: str) -> None:
    page, complaints = visit(html, width=width, scheme=scheme)
    open_all(page)
    page.wait_for_timeout(100)
    assert complaints == []
    assert page.evaluate(OVERFLOW) <= 0
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(LOW_CONTRAST) == []


def test_both_languages(visit: Open, html: Path) -> None:
    page, _ = visit(html)
    assert language(page) == "ja"
    page.click("#toggle")
    assert language(page) == "en"
    assert "What is in the corpus" in page.title()

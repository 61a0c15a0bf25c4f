"""The page of an audit in a real browser: no complaint, no request, nothing past the edge, both languages."""

import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
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
from tests.report.test_tokenizer_audit import made_inputs
from tests.tokens.audit_made import GOLD

from jpfm.core.artifact import Artifact
from jpfm.report.tokenizer_audit import tokenizer_audit
from jpfm.tokens.audit.measure import AuditSettings

pytestmark = pytest.mark.browser
__all__ = ["browser", "visit"]  # fixtures


@pytest.fixture(scope="module")
def folder(tokenizer: Artifact, corpus: Artifact, tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Path:
    place = tmp_path_factory.mktemp("audit")
    peer, texts = made_inputs(place)
    gold = place / "gold.conllu"
    gold.write_text(GOLD, encoding="utf-8")
    named = [f"ours={tokenizer.path}", f"{'長い名前' * 12}={peer}", *(f"peer {n}={peer}" for n in range(3))]
    return tokenizer_audit(
        named, [str(corpus.path), f"{'とても長い分野の名前' * 5}={texts}"], place / "report", gold=gold,
        settings=AuditSettings(draws=100), speed_bytes=10_000,
    ).path  # fmt: skip


@pytest.mark.parametrize("width", [390, 768, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "logs/speed.html"])
def test_the_page_opens_at_any_width(visit: Open, folder: Path, width: int, scheme: str, name: str) -> None:
    page, complaints = visit(folder / name, width=width, scheme=scheme)
    open_all(page)
    page.wait_for_timeout(100)
    assert complaints == []
    assert page.evaluate(OVERFLOW) <= 0
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(LOW_CONTRAST) == []


def edges(picture: bytes) -> tuple[float, float]:
    """How far the mean colour of 2 pixels at the left and right edge is from that further in, of 255."""
    seen = plt.imread(io.BytesIO(picture), format="png")[..., :3].astype(float)
    return tuple(
        float(np.abs(np.median(seen[:, one], axis=(0, 1)) - np.median(seen[:, two], axis=(0, 1))).max() * 255)
        for one, two in ((slice(0, 2), slice(60, 70)), (slice(-2, None), slice(-70, -60)))
    )  # type: ignore[return-value]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_box_shows_where_it_goes_on(visit: Open, folder: Path, scheme: str) -> None:
    page, _ = visit(folder / "index.html", width=390, scheme=scheme, script=False)
    box = page.locator("#domains .scroll").first
    box.scroll_into_view_if_needed()
    for place, (left, right) in (("0", (False, True)), ("180", (True, True)), ("9999", (True, False))):
        box.evaluate(f"e => {{ e.scrollLeft = {place} }}")
        page.wait_for_timeout(100)
        seen = edges(box.screenshot())
        assert [difference > 30 for difference in seen] == [left, right], (place, seen)
    wide, _ = visit(folder / "index.html", width=1440, scheme=scheme)
    assert max(edges(wide.locator("#domains .scroll").first.screenshot())) < 3, "nothing is hidden, no shade"


def test_both_languages_and_the_way_to_speed_and_back(visit: Open, folder: Path) -> None:
    page, _ = visit(folder / "index.html")
    assert language(page) == "ja"
    page.click("#toggle")
    assert language(page) == "en"
    assert page.title() == "Tokenizer audit"
    page.click("nav a[href='logs/speed.html']")
    assert page.url.endswith("logs/speed.html")
    page.click("nav a[href='../index.html']")
    assert page.url.endswith("index.html")


def test_pieces_have_visible_borders_and_charts_are_drawn(visit: Open, folder: Path) -> None:
    page, _ = visit(folder / "index.html")
    assert page.locator("#numbers .piece").count() > 200
    width = page.locator("#numbers td .piece").first.evaluate("e => getComputedStyle(e).borderLeftWidth")
    assert width == "1px"
    assert page.locator("#domains svg.chart .whisker").count() >= 5
    drawn = page.locator("#vocabulary polyline").evaluate_all("all => all.filter(e => e.getBBox().width > 0).length")
    assert drawn == 10

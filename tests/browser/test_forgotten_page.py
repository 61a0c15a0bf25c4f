"""The record of a forgetting in a real browser: no complaint, no request, nothing past the edge, both languages."""

from pathlib import Path

import pyarrow.parquet as pq
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
from jpfm.data.forget import Forget
from jpfm.data.forgotten import find
from jpfm.data.rebuild import rebuild
from jpfm.report.affected import reached
from jpfm.report.forgotten import Request, write_record

pytestmark = pytest.mark.browser
__all__ = ["browser", "visit"]  # fixtures
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u202e" + "長" * 300


@pytest.fixture(scope="module")
def html(checkpoint: Artifact, corpus: Artifact, tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Path:
    files = sorted((checkpoint.path.parent / "tokens").glob("*.docs.parquet"))
    ids = pq.read_table(files[0]).column("id").to_pylist()[:40]
    asked = Forget(ids=tuple(sorted(ids)), hosts=("x" * 200 + ".example",), regexes=("ぬるぽ|ガッ",))
    found = find(corpus, asked)
    after = rebuild(corpus, tmp_path_factory.mktemp("page") / "after", asked)
    reach = reached(corpus, [one.id for one in found], checkpoint.path.parent)
    return write_record(corpus, after, Request(asked, HOSTILE, HOSTILE), found, reach).path / "index.html"


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
    assert page.locator("#training h3").first.is_visible()

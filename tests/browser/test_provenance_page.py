"""The rights ledger in a real browser: no complaint, no request, nothing past the edge, both languages.

JPFM_SCREENSHOTS=/tmp/shots pytest tests/browser -m browser      # keeps the pictures for a person to look at
"""

import json
import os
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
from jpfm.data.build import build
from jpfm.data.recipe import Recipe
from jpfm.report.provenance import provenance

pytestmark = pytest.mark.browser
__all__ = ["browser", "visit"]  # fixtures
WIDTHS = (360, 390, 768, 1400)
PROSE = "港の坂を上ると、古い石橋と小さな本屋が見えた。店の人は鍵を箱にしまい、窓を閉めた。"
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u202e" + "長" * 120

SPILLS = """() => [...document.querySelectorAll('td, th, .note')].filter(e => e.scrollWidth > e.clientWidth + 1
  && getComputedStyle(e).display !== 'inline').map(e => e.className + ' ' + e.textContent.slice(0, 40))"""
"""Cells whose text lies over their neighbours."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Many hosts, long and hostile names, wrong dates, opt-outs, masked places, an item of a benchmark."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "raw" / "pages").mkdir(parents=True)
    rows = [
        {"text": f"{n}通目。{PROSE * (n % 4 + 1)} 連絡先 03-0000-12{n % 100:02}", "date": f"{1990 + n % 40}-05-01",
         "url": f"https://{'ab' * (n % 30)}{n}.example.jp/{n}"}
        for n in range(80)
    ]  # fmt: skip
    rows += [
        {"text": f"{PROSE}その{n}", "url": url, "date": "令和8年"}
        for n, url in enumerate(["", "https://日本.jp/", "x" * 300])
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "raw" / "mail.jsonl").write_text(lines, encoding="utf-8")
    for name, robots in (
        ("a", "noai, noimageai"),
        ("b", "noindex, noarchive, max-snippet:-1, unavailable_after: 2027"),
        ("c", ""),
    ):
        head = f"<meta name=robots content='{robots}'>" if robots else ""
        body = f"{name}の話。{PROSE * 2}"
        page = f"<html lang=ja><head><title>{name}</title>{head}</head><body><main><p>{body}</p></main></body></html>"
        (folder / "raw" / "pages" / f"{name}.html").write_text(page, encoding="utf-8")
    (folder / "exam.jsonl").write_text(json.dumps({"text": f"3通目。{PROSE}"}, ensure_ascii=False), encoding="utf-8")
    sources = [
        {"format": "jsonl", "name": "mail", "paths": ["*.jsonl"], "url_field": "url", "date_field": "date",
         "rights": {"licence": "CC-BY-SA-4.0", "attribution": HOSTILE, "url": "https://example.jp/" + "x" * 200}},
        {"format": "html", "name": "pages", "paths": ["pages/*"], "opt_out": "keep",
         "rights": {"licence": "PDL-1.0", "retrieved": "2026-01-31", "robots": "respected"}},
    ]  # fmt: skip
    exam = {
        "step": "decontaminate",
        "action": "mark",
        "benchmarks": [{"name": HOSTILE[:60], "path": str(folder / "exam.jsonl")}],
    }
    steps = [{"step": "normalize"}, exam, {"step": "mask_personal_data"}, {"step": "exact_duplicates"}]
    recipe = {"stage": "data", "name": HOSTILE, "root": str(folder / "raw"), "sources": sources, "steps": steps}
    made = build(Recipe.model_validate(recipe), folder / "corpus")
    assert made is not None
    return made


@pytest.fixture(scope="module")
def html(corpus: Artifact, hostile: Artifact, tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Path:
    return provenance([corpus, hostile], tmp_path_factory.mktemp("ledger") / "ledger", []).path / "index.html"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", ["", "#en"])
def test_the_page_opens_at_any_width(visit: Open, html: Path, width: int, scheme: str, place: str) -> None:
    page, complaints = visit(html, width=width, scheme=scheme, place=place)
    open_all(page)
    page.wait_for_timeout(100)
    assert complaints == []
    assert page.evaluate(OVERFLOW) <= 0
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(LOW_CONTRAST) == []
    assert page.evaluate(SPILLS) == []


def test_both_languages(visit: Open, html: Path) -> None:
    page, _ = visit(html)
    assert language(page) == "ja"
    page.click("#toggle")
    assert language(page) == "en"
    assert "Provenance and rights" in page.title()
    assert page.locator("#terms h2 .en").is_visible()


def test_every_link_of_the_page_leads_somewhere(visit: Open, html: Path) -> None:
    page, _ = visit(html)
    targets = page.locator("nav a").evaluate_all("all => all.map(a => a.getAttribute('href').slice(1))")
    assert len(targets) >= 7
    assert [one for one in targets if page.locator(f"#{one}").count() != 1] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "width"), [("narrow", 390), ("wide", 1400)])
def test_screenshots(visit: Open, html: Path, tmp_path: Path, name: str, width: int, scheme: str) -> None:
    """Pictures for a person; kept in the folder that JPFM_SCREENSHOTS names."""
    folder = Path(os.environ.get("JPFM_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    for lang in ("ja", "en"):
        page, _ = visit(html, width=width, scheme=scheme, place=f"#{lang}")
        file = folder / f"ledger-{name}-{scheme}-{lang}.png"
        page.screenshot(path=file, full_page=True)
        assert file.stat().st_size > 50_000

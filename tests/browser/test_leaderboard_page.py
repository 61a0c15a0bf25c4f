"""The leaderboard page in a real browser: offline, both languages, any width, light and dark.

JPFM_SCREENSHOTS=/tmp/shots pytest tests/browser -m browser      # keeps the pictures for a person to look at
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tests.report.made import make_scores, showcase, task

from jpfm.report.leaderboard import leaderboard

pytestmark = pytest.mark.browser
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTHS = (360, 390, 768, 1440, 1600)
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
OUTSIDE = """() => [...document.querySelectorAll('main *, header *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && box.right > innerWidth + 1 && !e.closest('.scroll') && !e.closest('.hidden');
}).map(e => e.tagName + ' ' + e.className)"""
# relative luminance contrast of text against the nearest opaque background, as WCAG 2 defines it
LOW_CONTRAST = """() => {
  const rgb = c => { const m = c.match(/[\\d.]+/g).map(Number); return m.length > 3 && m[3] === 0 ? null : m; };
  const lum = c => { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const paper = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c) return c; } return [255, 255, 255]; };
  const bad = new Set();
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.getClientRects().length) continue;
    const one = lum(rgb(getComputedStyle(e).color)), two = lum(paper(e));
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) bad.add(e.tagName + '.' + e.className + ' ' + ratio.toFixed(2));
  }
  return [...bad];
}"""


class Opened(NamedTuple):
    """A page, and what went wrong while it was open."""

    page: Page
    complaints: list[str]


Open = Callable[..., Opened]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium on this machine; `apt-get install chromium fonts-noto-cjk` (make browser) brings it")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaderboard")
    return leaderboard(showcase(folder / "in"), folder / "report").path / "index.html"


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    contexts = []

    def go(file: Path, *, width: int = 1440, scheme: str = "light", place: str = "", script: bool = True) -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=script,
        )
        contexts.append(context)
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))

        def asked(url: str) -> None:
            if not url.startswith(("data:", file.as_uri())):
                complaints.append(f"request: {url[:200]}")

        page.on("request", lambda request: asked(request.url))
        page.goto(file.as_uri() + place)
        return Opened(page, complaints)

    yield go
    for context in contexts:
        context.close()


def language(page: Page) -> str:
    shown = [page.locator(f"h1 .{name}").is_visible() for name in ("ja", "en")]
    return {(True, False): "ja", (False, True): "en", (True, True): "both"}[shown[0], shown[1]]


def open_all(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", ["", "#en"])
def test_page_opens_without_a_complaint_or_a_request(visit: Open, html: Path, scheme: str, place: str) -> None:
    page, complaints = visit(html, scheme=scheme, place=place)
    open_all(page)
    page.wait_for_timeout(100)
    assert complaints == []
    assert page.locator("img").evaluate_all("all => all.every(i => i.complete && i.naturalWidth > 1000)")


def test_the_policy_stops_network_and_foreign_script(visit: Open, html: Path, tmp_path: Path) -> None:
    """The same page with an injected script and picture: the script does not run, the picture is not asked for."""
    changed = tmp_path / "index.html"
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(1.0)
    inject = f"<script>window.owned = 1</script><img src='http://127.0.0.1:{server.getsockname()[1]}/x.png'>"
    changed.write_text(html.read_text(encoding="utf-8").replace("</main>", inject + "</main>"), encoding="utf-8")
    page, complaints = visit(changed)
    assert page.evaluate("window.owned === undefined")
    assert [line for line in complaints if "Content Security Policy" in line]
    with server, pytest.raises(TimeoutError):
        server.accept()


def test_language_toggles_and_is_remembered(visit: Open, html: Path) -> None:
    page, complaints = visit(html)
    assert (language(page), page.locator("html").get_attribute("lang")) == ("ja", "ja")
    page.locator("#toggle").click()
    assert (language(page), page.locator("html").get_attribute("lang")) == ("en", "en")
    assert page.title() == "Evaluation of Japanese language models"
    page.wait_for_url("**#en")
    page.locator("nav a").nth(3).click()
    page.wait_for_url("**#en.data")  # the page writes the language into the address after the browser has moved
    top = page.evaluate("document.getElementById('data').getBoundingClientRect().top")
    assert abs(top) < 60
    page.reload()
    assert language(page) == "en"
    assert abs(page.evaluate("document.getElementById('data').getBoundingClientRect().top")) < 60
    page.locator("#toggle").press("Enter")
    page.wait_for_url("**#ja.data")
    assert language(page) == "ja"
    assert complaints == []


def test_without_script_both_languages_are_shown(visit: Open, html: Path) -> None:
    page, complaints = visit(html, script=False)
    assert language(page) == "both"
    assert complaints == []


@pytest.mark.parametrize("place", ["", "#en"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows_the_page(visit: Open, html: Path, width: int, place: str) -> None:
    page, _ = visit(html, width=width, place=place)
    open_all(page)
    assert page.evaluate(OVERFLOW) <= 0
    assert page.evaluate(OUTSIDE) == []


def test_twenty_tasks_stay_in_their_box(visit: Open, tmp_path: Path) -> None:
    tasks = [
        task(f"t{n}", n / 20, max(0, n / 20 - 0.05), min(1, n / 20 + 0.05),
             title={"ja": f"日本語の長い課題名その{n}（改訂版）", "en": f"A rather long task title, number {n}"})
        for n in range(21)
    ]  # fmt: skip
    report = leaderboard([make_scores(tmp_path / "in" / "s", None, tasks)], tmp_path / "report")
    for width in (390, 1440):
        page, complaints = visit(report.path / "index.html", width=width)
        assert page.evaluate(OVERFLOW) <= 0
        assert page.evaluate(OUTSIDE) == []
        assert complaints == []
    assert page.locator("table.main").count() == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(visit: Open, html: Path, scheme: str) -> None:
    page, _ = visit(html, scheme=scheme)
    open_all(page)
    assert page.evaluate(LOW_CONTRAST) == []


def test_focus_is_visible(visit: Open, html: Path) -> None:
    page, _ = visit(html)
    for _step in range(12):
        page.keyboard.press("Tab")
        style = page.evaluate(
            "() => { const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth]; }"
        )
        assert style == ["solid", "3px"]


def test_japanese_has_a_japanese_font(visit: Open, html: Path) -> None:
    """Chromium names the font it drew with; boxes for missing characters would come from another one."""
    matched = subprocess.run(
        ["fc-match", "-f", "%{family}", "sans-serif:lang=ja"], capture_output=True, text=True, check=True
    ).stdout
    if not any(name in matched for name in ("CJK", "IPA", "Takao", "VL", "JP")):
        pytest.skip(f"no Japanese font on this machine (fc-match gives {matched!r}); install fonts-noto-cjk")
    page, _ = visit(html)
    session = page.context.new_cdp_session(page)
    session.send("DOM.enable")
    session.send("CSS.enable")
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    for selector in ("h1 .ja", "#results .legend .ja", "table.main thead a .ja", "#lineage pre"):
        node = session.send("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
        fonts = session.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
        names = [font["familyName"] for font in fonts]
        assert any(name.endswith((" JP", "Gothic")) or "Hiragino" in name for name in names), (selector, names)


def test_bars_stay_inside_their_cells(visit: Open, html: Path) -> None:
    """Values of 0 and of 1 too, with their whiskers and marks."""
    page, _ = visit(html)
    assert page.locator(".bar .zero").count() > 0
    outside = page.evaluate("""() => [...document.querySelectorAll('td svg.bar')].filter(svg => {
        const cell = svg.closest('td').getBoundingClientRect();
        return [...svg.children].some(shape => { const box = shape.getBoundingClientRect();
          return box.width && (box.left < cell.left - 6 || box.right > cell.right + 1); }); }).length""")
    assert outside == 0


def test_print_holds_the_whole_table(visit: Open, html: Path, tmp_path: Path) -> None:
    page, _ = visit(html)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 1030, "height": 700})  # A4 landscape less its margins, at 96 dots an inch
    assert not page.locator("nav").is_visible()
    assert page.evaluate(OVERFLOW) <= 0
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    assert (tmp_path / "page.pdf").stat().st_size > 20_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "width"), [("narrow", 390), ("wide", 1440)])
def test_screenshots(visit: Open, html: Path, tmp_path: Path, name: str, width: int, scheme: str) -> None:
    """Pictures for a person; kept in the folder that JPFM_SCREENSHOTS names."""
    folder = Path(os.environ.get("JPFM_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    for lang in ("ja", "en"):
        page, _ = visit(html, width=width, scheme=scheme, place=f"#{lang}")
        file = folder / f"leaderboard-{name}-{scheme}-{lang}.png"
        page.screenshot(path=file, full_page=True)
        assert file.stat().st_size > 50_000

"""The main text of a web page: what a reader came for, without navigation, banners, forms and footers.

    html = prepare(main_part(decoded.text))
    text = main_text(html)                  # resiliparse's parser, our choice of what goes
    text = precise_text(html, "a.html")     # trafilatura: less of both text and noise, much slower

Refused: resiliparse's own `main_content=True` (2.0.1). It takes every Japanese text node of one character for an icon
(<a>東京</a>と<a>京都</a> loses と, ruby its word, <td>年</td> its cell), every class `jp` or `wa` for a share button
and every list near the body for a menu, and is quadratic in depth. Here the elements that go are named: by tag, by
role, and by words of their class or id (`boilerplate`); where there is one <main>, only it stays.
"""

import re
from collections.abc import Iterator

from jpfm.data.sources.archive import TooLarge
from jpfm.data.sources.boilerplate import is_boilerplate
from jpfm.data.sources.markup_lines import KEPT, TAB
from jpfm.data.sources.page_facts import is_markup

_MAX_PRECISE_CHARS = 2_000_000  # trafilatura reads 0.1 to 1 MB/s
_MAX_NAMED = 64  # elements to leave out by name; each is compared with every element
_SELECTORS = (
    "rt", "rp", "rtc", "nav", "footer", "aside", "button", "select", "textarea", "template", "dialog", "iframe",
    "noscript", "annotation", "[hidden]", "[aria-hidden=true]",
    "header:not(article header, section header, main header)",
    "form:not(:has(main, article, h1, h2, h3, p ~ p ~ p))",  # some sites put the whole page into one
    "[style*='display:none']", "[style*='display: none']", "[style*='visibility:hidden']",
    "[style*='visibility: hidden']",
)  # fmt: skip
_ROLES = tuple(f"[role={role}]" for role in (
    "navigation", "banner", "contentinfo", "complementary", "search", "dialog", "alertdialog", "menu", "menubar",
    "tablist", "toolbar"))  # fmt: skip
_NAMES = {
    key: re.compile(rf""" {key}=("[^"<>\\\x00-\x1f]*+"|'[^'"<>\\\x00-\x1f]*+'|[^\s"'<>=\\\x00-\x1f]++)""")
    for key in ("class", "id")
}
_ITEM = re.compile(r"\n  (?= *(?:•|\d{1,9}\.) )")
_CONTINUED = re.compile(r"\n ++(?!•|\d{1,9}\. )")
_BLANK_LINES = re.compile(r"\n\n\n+")


def main_part(html: str) -> str:
    """The source from <main> to </main> where there is one, else all of it.

    >>> main_part("<body><p>帯</p><main>本文</main><p>帯</p></body>")
    '<main>本文</main>'
    """
    start = html.find("<main")
    if start < 0 or html[start + 5 : start + 6] not in (" ", ">", "\n", "\t") or not is_markup(html, start):
        return html
    end = html.rfind("</main>")
    return html[start : end + 7] if end > start and html.find("<main", start + 5) < 0 else html


def main_text(html: str) -> str:
    """The text of a page's source, as `markup_lines.prepare` gives it."""
    from resiliparse.extract.html2text import extract_plain_text

    return _tidy(extract_plain_text(html, main_content=False, alt_texts=False, skip_elements=[*_skipped(html)]))


def _skipped(html: str) -> Iterator[str]:
    """Selectors of what goes; of names, only those on this page, because each is compared with every element."""
    yield from _SELECTORS
    if "role=" in html:
        yield from _ROLES
    flagged = [
        f'[{key}="{name}"]:not(body, :has(main, article, h1))'
        for key, pattern in _NAMES.items()
        for name in sorted({found.strip("\"'") for found in set(pattern.findall(html))})
        if is_boilerplate(key, name)
    ]
    yield from flagged[:_MAX_NAMED]


def _tidy(text: str) -> str:
    """One tab between cells, lists at the margin, one blank line at most; lines of <pre> stay as they are."""
    if "\t\t" in text:
        text = text.replace("\t\t", "\t")
    text = "\n" + text
    if "\n " in text:
        text = _CONTINUED.sub("\n", _ITEM.sub("\n", text))
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    if TAB in text or KEPT in text:
        text = text.replace(TAB, "\t").replace(KEPT, "")
    return text.strip("\n")


def precise_text(html: str, name: str) -> str:
    """The text that trafilatura keeps with `favor_precision`; empty where it finds none.

    Raises:
        TooLarge: more than 2 million characters.
    """
    import trafilatura

    if len(html) > _MAX_PRECISE_CHARS:
        raise TooLarge(f"{name}: {len(html):,} characters", hint="read it with extractor: resiliparse")
    text = trafilatura.extract(
        html, include_comments=False, include_tables=True, favor_precision=True, output_format="txt"
    )
    lines = (text or "").replace(TAB, "\t").replace(KEPT, "").split("\n")
    return "\n".join(_cells(line) for line in lines if not line.startswith("|---"))


def _cells(line: str) -> str:
    if not (line.startswith("| ") and line.rstrip().endswith("|")):
        return line
    return "\t".join(cell.strip() for cell in line.strip().strip("|").split(" | ")).rstrip("\t")

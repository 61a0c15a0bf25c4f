"""The main text of a web page: what a reader came for, without navigation, banners, forms and footers.

    start, stop = main_part(data, tags)
    html = prepare(data[start:stop].decode(), tags)
    text = main_text(html, tags, tags.names(data, start, stop))     # resiliparse's parser, our choice of what goes
    text = precise_text(html, "a.html")                             # trafilatura: less text, less noise, much slower

Refused: resiliparse's own `main_content=True` (2.0.1). It takes every Japanese text node of one character for an icon
(<a>東京</a>と<a>京都</a> loses と, ruby its word, <td>年</td> its cell), every class `jp` or `wa` for a share button
and every list near the body for a menu, and is quadratic in depth. Here the elements that go are named: by tag, by
role, and by words of their class or id (`boilerplate`); where there is one <main>, only it stays.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from jpfm.data.sources.archive import TooLarge
from jpfm.data.sources.boilerplate import selector
from jpfm.data.sources.markup_lines import KEPT, TAB
from jpfm.data.sources.tags import Tags

_MAX_PRECISE_CHARS = 2_000_000  # trafilatura reads 0.1 to 1 MB/s
_MAX_NAMED = 64  # elements to leave out by name; each is compared with every element
_TAGS = "rt rp rtc nav footer aside button select textarea template dialog iframe noscript annotation"
_SELECTORS = (
    *((tag, tag) for tag in _TAGS.split()),
    ("header", "header:not(article header, section header, main header)"),
    ("form", "form:not(:has(main, article, h1, h2, h3, p ~ p ~ p))"),  # some sites put the whole page into one
)
_HIDDEN = ("[hidden]", "[aria-hidden=true]", "[style*='visibility:hidden']", "[style*='visibility: hidden']")
_NOT_SHOWN = ("[style*='display:none']", "[style*='display: none']")
_ROLES = tuple(f"[role={role}]" for role in (
    "navigation", "banner", "contentinfo", "complementary", "search", "dialog", "alertdialog", "menu", "menubar",
    "tablist", "toolbar"))  # fmt: skip
_INDENT = re.compile(r"\n(?:  (?= *(?:•|\d{1,9}\.) )| ++(?!•|\d{1,9}\. ))")  # two spaces of an item, all of other lines
_BLANK_LINES = re.compile(r"\n\n\n+")


def main_part(html: bytes, tags: Tags) -> tuple[int, int]:
    """The bytes from <main> to </main> where there is one, else from <body> on.

    >>> from jpfm.data.sources.tags import measure
    >>> page = "<body><p>帯</p><main>本文</main><p>帯</p></body>".encode()
    >>> page[slice(*main_part(page, measure(page)))].decode()
    '<main>本文</main>'
    """
    begins, ends = tags.found("main"), tags.found("/main")
    if len(begins) == 1 and ends and ends[-1][1] > begins[0][0]:
        return begins[0][0], ends[-1][1]
    bodies = tags.found("body")
    return bodies[0][0] if len(bodies) == 1 else 0, len(html)


def main_text(html: str, tags: Tags, names: Iterable[tuple[str, bytes]]) -> str:
    """The text of a page's source.

    Args:
        html: as `markup_lines.prepare` gives it.
        names: its classes and ids: `("class", b"l-header")`.
    """
    from resiliparse.extract.html2text import extract_plain_text

    skipped = [*_skipped(html, tags, names)]
    text: str = extract_plain_text(html, main_content=False, alt_texts=False, skip_elements=skipped)
    return _tidy(text, tags.has("pre"))


def _skipped(html: str, tags: Tags, names: Iterable[tuple[str, bytes]]) -> Iterator[str]:
    """Selectors of what goes: those that this page can match, because each is compared with every element."""
    yield from (rule for name, rule in _SELECTORS if tags.has(name))
    if "hidden" in html:
        yield from _HIDDEN
    if "display" in html:
        yield from _NOT_SHOWN
    if "role=" in html:
        yield from _ROLES
    flagged = (found for pair in names if (found := selector(*pair)))
    yield from islice(flagged, _MAX_NAMED)


def _tidy(text: str, has_pre: bool) -> str:
    """One tab between cells, lists at the margin, one blank line at most; lines of <pre> stay as they are."""
    text = _INDENT.sub("\n", "\n" + text.replace("\t\t", "\t"))
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    if has_pre:
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

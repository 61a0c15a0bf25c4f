"""The text of a PDF, as pdfium and the layout give it. Runs in a process of its own: see `pdf`.

pdfium gives each character's code and box; `layout` finds lines and columns, `reflow` paragraphs. This is a Python loop
over characters: half of the time goes into pdfium itself.
"""

import ctypes
import math
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

from jpfm.core.errors import DataError
from jpfm.data.sources.archive import TooLarge
from jpfm.data.sources.layout import Line, Run, is_vertical, page_lines, turned
from jpfm.data.sources.prose import is_spaced
from jpfm.data.sources.reflow import Page, reflow, without_margins

_MAX_CHARS = 4_000_000
_RADICALS = {code: unicodedata.normalize("NFKC", chr(code)) for code in (*range(0x2F00, 0x2FD6), 0x2E9F)} | {
    ord(radical): kanji
    for radical, kanji in zip(
        "⺠⻁⻄⻆⻑⻘⻝⻤⻨⻩⻫⻭⻯⻲⻱⻣⻡⻢⻥⻦", "民虎西角長青食鬼麦黄斉歯竜亀龜骨首马鱼鸟", strict=True
    )
}
"""Fonts give radicals (⽇ ⻑) for kanji that look alike, and many programs write those into the text layer."""


class PdfText(NamedTuple):
    """What a PDF holds. `num_unmapped` characters have no Unicode value; `num_empty` pages have no text."""

    text: str
    info: dict[str, str]
    num_pages: int
    num_chars: int
    num_vertical: int
    num_unmapped: int
    num_empty: int


def pdf_text(data: bytes, max_pages: int) -> PdfText:
    """The text of a PDF in paragraphs.

    Raises:
        DataError: it is damaged or locked.
        TooLarge: it has more pages, or more characters, than can be held.
    """
    import pypdfium2 as pdfium

    try:
        pdf = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        raise _unopened(error) from error
    try:
        num_pages = len(pdf)
        if num_pages > max_pages:
            raise TooLarge(f"{num_pages} pages, more than max_pages={max_pages}", hint="raise max_pages or split it")
        pages = _pages(pdf, num_pages)
        info = {name: _information(pdf, name) for name in ("Title", "Author", "CreationDate")}
    finally:
        pdf.close()
    lines = [line for page in without_margins([page.page for page in pages]) for line in page]
    return PdfText(
        reflow(lines),
        info,
        num_pages,
        sum(page.num_chars for page in pages),
        sum(page.num_chars for page in pages if page.vertical),
        sum(page.num_unmapped for page in pages),
        sum(not page.num_chars for page in pages),
    )


def _unopened(error: Any) -> DataError:
    import pypdfium2.raw as c

    if error.err_code == c.FPDF_ERR_PASSWORD:
        return DataError("locked by a password", hint="qpdf --password=PASSWORD --decrypt IN.pdf OUT.pdf")
    if error.err_code == c.FPDF_ERR_SECURITY:
        return DataError("encrypted in a way that pdfium does not know", hint="print it to a new PDF")
    return DataError(f"not a PDF that can be read: {error}", hint="it may be cut off; fetch it again, or: qpdf IN OUT")


def _information(pdf: Any, name: str) -> str:
    try:
        value: str = pdf.get_metadata_value(name)
    except UnicodeDecodeError:  # half a character, in a field that few fill in: no reason to lose the text
        return ""
    return value.strip("\0 \n")


class _PageText(NamedTuple):
    page: Page
    vertical: bool
    num_chars: int
    num_unmapped: int


def _pages(pdf: Any, num_pages: int) -> list[_PageText]:
    import pypdfium2 as pdfium

    pages: list[_PageText] = []
    block = num_chars = 0
    for number in range(num_pages):
        try:
            page = pdf[number]
            textpage = page.get_textpage()
        except pdfium.PdfiumError as error:
            raise DataError(
                f"page {number + 1} of {num_pages} cannot be read: {error}", hint="repair it: qpdf IN.pdf OUT.pdf"
            ) from error
        try:
            num_chars += textpage.count_chars()
            if num_chars > _MAX_CHARS:
                raise TooLarge(
                    f"more than {_MAX_CHARS} characters by page {number + 1}", hint="split it: qpdf --split-pages"
                )
            pages.append(_page(textpage, page.get_mediabox(), block))
        finally:
            textpage.close()
            page.close()
        block += 1 + max((line.block - block for line in pages[-1].page.lines), default=0)
    return pages


def _page(textpage: Any, box: tuple[float, float, float, float], block: int) -> _PageText:
    quarter = _quarter(textpage)
    chars, unmapped = _chars(textpage, quarter)
    runs = _runs(chars)
    paper = _upright("", *box, quarter)
    vertical = is_vertical(runs)

    def top(line: Line) -> float:
        return (line.y - paper.y0) / max(paper.y1 - paper.y0, 1.0)

    if not vertical:
        lines = page_lines(runs, block)
        return _PageText(Page(lines, [top(line) for line in lines]), vertical, len(chars), unmapped)
    columns, across = turned(runs)
    body = page_lines(columns, block + 1)
    rest = [line._replace(block=block) for line in page_lines(across)]
    above, below = [line for line in rest if top(line) > 0.5], [line for line in rest if top(line) <= 0.5]
    tops = [*map(top, above), *[0.5] * len(body), *map(top, below)]
    return _PageText(Page([*above, *body, *below], tops), vertical, len(chars), unmapped)


class _Char(NamedTuple):
    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    made_up: bool = False
    """A space that pdfium thinks belongs here; it has no box."""


def _quarter(textpage: Any) -> int:
    """How many quarters counter-clockwise most characters are turned."""
    import pypdfium2.raw as c

    count = textpage.count_chars()
    angles = [c.FPDFText_GetCharAngle(textpage.raw, index) for index in range(0, count, count // 64 + 1)]
    quarters = [round(angle / (math.pi / 2)) % 4 for angle in angles if math.isfinite(angle) and angle >= 0]
    return max(range(4), key=quarters.count)


def _chars(textpage: Any, quarter: int) -> tuple[list[_Char], int]:
    """A page's characters with their boxes, upright; and how many have no Unicode value."""
    import pypdfium2.raw as c

    raw = textpage.raw
    count = textpage.count_chars()
    box = c.FS_RECTF()
    pointer = ctypes.byref(box)
    chars: list[_Char] = []
    unmapped = 0
    high = ""
    for index in range(count):
        code = c.FPDFText_GetUnicode(raw, index)
        if code in (0x0A, 0x0D):
            continue
        if code == 0x02:  # what pdfium makes of a hyphen at the end of a line
            code = 0x2D
        if 0xD800 <= code < 0xDC00:
            high = chr(code)
            continue
        text = _RADICALS.get(code) or chr(code)
        if 0xDC00 <= code < 0xE000:
            text = (high + text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        high = ""
        if not _is_text(text):
            unmapped += 1
            continue
        if code == 0x20 and c.FPDFText_IsGenerated(raw, index):
            chars.append(_Char(" ", 0, 0, 0, 0, made_up=True))
            continue
        if c.FPDFText_GetLooseCharBox(raw, index, pointer):
            chars.append(_upright(text, box.left, box.bottom, box.right, box.top, quarter))
    return chars, unmapped


def _is_text(text: str) -> bool:
    code = ord(text[0])
    return not (
        code < 0x20 or 0x7F <= code < 0xA0 or 0xE000 <= code < 0xF900 or code >= 0xF0000 or 0xFFF0 <= code < 0x10000
    )


def _upright(text: str, left: float, bottom: float, right: float, top: float, quarter: int) -> _Char:
    """A box as it stands when the page is turned so that its text is upright."""
    x0, x1 = sorted((left, right))
    y0, y1 = sorted((bottom, top))
    if quarter == 3:
        return _Char(text, y0, -x1, y1, -x0)
    if quarter == 2:
        return _Char(text, -x1, -y1, -x0, -y0)
    if quarter == 1:
        return _Char(text, -y1, x0, -y0, x1)
    return _Char(text, x0, y0, x1, y1)


def _runs(chars: list[_Char]) -> list[Run]:
    """Characters that follow each other closely, across or down the page."""
    runs: list[Run] = []
    part: list[_Char] = []
    down: bool | None = None
    space = False
    for char in chars:
        if char.made_up:
            space = True
            continue
        step = _step(part[-1], char) if part else None
        if step is None or (down is not None and step != down):
            runs.extend(_run(part, down))
            part, down = [], None
        else:
            down = step
            if space and _is_space(part[-1], char, step):
                part.append(part[-1]._replace(text=" "))
        space = False
        part.append(char)
    return [*runs, *_run(part, down)]


def _is_space(last: _Char, char: _Char, down: bool) -> bool:
    """Whether pdfium is right about a space: between Latin letters; beside Japanese only where the gap is wide.

    Typesetters leave a quarter of an em between Japanese and Latin, which is no space in the text.
    """
    if is_spaced(last.text) and is_spaced(char.text):
        return True
    return not down and char.x0 - last.x1 > 0.33 * (char.y1 - char.y0)


def _run(part: list[_Char], down: bool | None) -> Iterator[Run]:
    text = "".join(char.text for char in part)
    solid = [char for char in part if not char.text.isspace()]
    if solid:
        sizes = sorted(char.x1 - char.x0 if down else char.y1 - char.y0 for char in solid)
        x0, y0 = min(char.x0 for char in solid), min(char.y0 for char in solid)
        x1, y1 = max(char.x1 for char in solid), max(char.y1 for char in solid)
        yield Run(text, x0, y0, x1, y1, sizes[len(sizes) // 2], down)


def _step(last: _Char, char: _Char) -> bool | None:
    """True when `char` follows below, False when it follows on the right, None when it stands elsewhere."""
    em = max(last.x1 - last.x0, last.y1 - last.y0, char.x1 - char.x0, char.y1 - char.y0, 0.1)
    across = (char.x0 + char.x1 - last.x0 - last.x1) / 2
    upwards = (char.y0 + char.y1 - last.y0 - last.y1) / 2
    if abs(upwards) < 0.4 * em and -0.5 * em < char.x0 - last.x1 < 0.9 * em:
        return False
    tight = (
        min(last.y1 - last.y0, char.y1 - char.y0) < 0.5 * em
    )  # a vertical form of 。 or 一 that has its ink for a box
    if abs(across) < 0.4 * em and -0.5 * em < last.y0 - char.y1 < (1.4 if tight else 0.9) * em:
        return True
    return None

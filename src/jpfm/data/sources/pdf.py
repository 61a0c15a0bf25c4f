"""PDF: the text layer, put back into paragraphs.

    sources: [{format: pdf, name: reports, paths: ["reports/*.pdf"], rights: {...}}]

pdfium gives each character's code and box; `layout` finds lines and columns, `reflow` paragraphs. Vertical pages are
read column by column from the right, and readings (furigana) are dropped. This is a Python loop over characters: the
time goes into four calls of pdfium for each.

A scan without a text layer, a locked file, and a font without a table to Unicode are quarantined, each with its mend.
A page that cannot be read quarantines the file: a document with a hole of unknown size is none.
"""

import ctypes
import math
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple

import pydantic

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member, TooLarge
from jpfm.data.sources.base import Source
from jpfm.data.sources.layout import Run, is_vertical, page_lines, turned
from jpfm.data.sources.prose import is_spaced
from jpfm.data.sources.reflow import Page, reflow, without_margins

_MAX_CHARS = 4_000_000
_MAX_UNMAPPED = 0.02
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)(\d\d)?)?(?:Z|([+-]\d\d)'?(\d\d)?)?")
_PROGRAM_TITLE = re.compile(
    r"(?:Microsoft (?:Word|PowerPoint|Excel)|PowerPoint (?:Presentation|プレゼンテーション))(?: - )?"
    r"|untitled|Untitled-?\d*|無題.*"
)
_RADICALS = {code: unicodedata.normalize("NFKC", chr(code)) for code in (*range(0x2F00, 0x2FD6), 0x2E9F)} | {
    ord(radical): kanji
    for radical, kanji in zip(
        "⺠⻁⻄⻆⻑⻘⻝⻤⻨⻩⻫⻭⻯⻲⻱⻣⻡⻢⻥⻦", "民虎西角長青食鬼麦黄斉歯竜亀龜骨首马鱼鸟", strict=True
    )
}
"""Fonts give radicals (⽇ ⻑) for kanji that look alike, and many programs write those into the text layer."""


class PdfSource(Source):
    """PDF with a text layer. One document a file; headers, footers and page numbers that repeat are dropped."""

    columns: ClassVar[tuple[str, ...]] = ("vertical", "num_pages", "author")
    format: Literal["pdf"]
    max_pages: int = pydantic.Field(default=2000, ge=1)
    """A file of more pages is quarantined."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a file."""
        import pypdfium2 as pdfium

        data = member.read()
        if b"%PDF" not in data[:1024]:
            raise DataError("not a PDF: it does not begin with %PDF", hint="check what the file really is: file NAME")
        try:
            pdf = pdfium.PdfDocument(data)
        except pdfium.PdfiumError as error:
            raise _unopened(error) from error
        try:
            yield self._document(pdf, identity)
        finally:
            pdf.close()

    def _document(self, pdf: Any, identity: str) -> Document | Quarantined:
        num_pages = len(pdf)
        if num_pages > self.max_pages:
            raise TooLarge(
                f"{num_pages} pages, more than max_pages={self.max_pages}", hint="raise max_pages or split it"
            )
        pages = _pages(pdf, num_pages)
        num_chars = sum(page.num_chars for page in pages)
        unmapped = sum(page.num_unmapped for page in pages)
        if unmapped > _MAX_UNMAPPED * (num_chars + unmapped):
            found = f"{unmapped} of {num_chars + unmapped} characters have no Unicode value in their fonts"
            return Quarantined(identity, "garbled", f"{found} (run OCR: ocrmypdf --force-ocr -l jpn IN.pdf OUT.pdf)")
        if not num_chars:
            hint = "run OCR first: ocrmypdf -l jpn+jpn_vert IN.pdf OUT.pdf"
            return Quarantined(identity, "no_text", f"no text layer on {num_pages} pages: a scan? ({hint})")
        lines = [line for page in without_margins([page.page for page in pages]) for line in page]
        num_vertical = sum(page.num_chars for page in pages if page.vertical)
        info = pdf.get_metadata_dict(skip_empty=True)
        title = info.get("Title", "").strip("\0 \n")
        meta: dict[str, Any] = {
            "vertical": "true" if 2 * num_vertical > num_chars else "false",
            "num_pages": str(num_pages),
            "author": info.get("Author", "").strip("\0 \n"),
        }
        if unmapped:
            meta["unmapped_chars"] = unmapped
        if empty := sum(not page.num_chars for page in pages):
            meta["pages_without_text"] = empty
        return Document(
            identity,
            reflow(lines),
            title="" if _PROGRAM_TITLE.fullmatch(title) else re.sub(r"^Microsoft \w+ - ", "", title),
            date=_iso_date(info.get("CreationDate", "")),
            meta=meta,
        )


def _unopened(error: Any) -> DataError:
    import pypdfium2.raw as c

    if error.err_code == c.FPDF_ERR_PASSWORD:
        return DataError("locked by a password", hint="qpdf --password=PASSWORD --decrypt IN.pdf OUT.pdf")
    if error.err_code == c.FPDF_ERR_SECURITY:
        return DataError("encrypted in a way that pdfium does not know", hint="print it to a new PDF")
    return DataError(f"not a PDF that can be read: {error}", hint="it may be cut off; fetch it again, or: qpdf IN OUT")


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
    chars, unmapped = _chars(textpage)
    runs = _runs(chars)
    bottom, height = box[1], max(box[3] - box[1], 1.0)
    vertical = is_vertical(runs)
    if not vertical:
        lines = page_lines(runs, block)
        tops = [(line.y - bottom) / height for line in lines]
    else:
        columns, across = turned(runs)
        body, rest = page_lines(columns, block), page_lines(across)
        above = [line._replace(block=block - 1) for line in rest if (line.y - bottom) / height > 0.5]
        below = [line._replace(block=block - 1) for line in rest if (line.y - bottom) / height <= 0.5]
        lines = [*above, *body, *below]
        tops = [(line.y - bottom) / height for line in above] + [0.5] * len(body)
        tops += [(line.y - bottom) / height for line in below]
    return _PageText(Page(lines, tops), vertical, len(chars), unmapped)


class _Char(NamedTuple):
    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    made_up: bool = False
    """A space that pdfium thinks belongs here; it has no box."""


def _chars(textpage: Any) -> tuple[list[_Char], int]:
    """A page's characters with their boxes, upright; and how many have no Unicode value."""
    import pypdfium2.raw as c

    raw = textpage.raw
    count = textpage.count_chars()
    box = c.FS_RECTF()
    pointer = ctypes.byref(box)
    angles = [c.FPDFText_GetCharAngle(raw, index) for index in range(0, count, count // 64 + 1)]
    quarters = [round(angle / (math.pi / 2)) % 4 for angle in angles if math.isfinite(angle) and angle >= 0]
    quarter = max(set(quarters), key=quarters.count, default=0)
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
            chars.append(_upright(text, box, quarter))
    return chars, unmapped


def _is_text(text: str) -> bool:
    code = ord(text[0])
    return not (
        code < 0x20 or 0x7F <= code < 0xA0 or 0xE000 <= code < 0xF900 or code >= 0xF0000 or 0xFFF0 <= code < 0x10000
    )


def _upright(text: str, box: Any, quarter: int) -> _Char:
    x0, x1 = sorted((box.left, box.right))
    y0, y1 = sorted((box.bottom, box.top))
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


def _iso_date(text: str) -> str:
    """A PDF date as ISO 8601; empty when it is none.

    >>> _iso_date("D:20260701093000+09'00'"), _iso_date("2026")
    ('2026-07-01T09:30:00+09:00', '2026')
    """
    found = _DATE.match(text.strip())
    if not found:
        return ""
    year, month, day, hour, minute, second, zone, zone_minutes = found.groups()
    date = "-".join(part for part in (year, month, day) if part)
    if hour is None or day is None:
        return date
    offset = f"{zone}:{zone_minutes or '00'}" if zone else ("Z" if "Z" in found.group() else "")
    return f"{date}T{hour}:{minute}:{second or '00'}{offset}"

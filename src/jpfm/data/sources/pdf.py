"""PDF: the text layer, put back into paragraphs.

    sources: [{format: pdf, name: reports, paths: ["reports/*.pdf"], rights: {...}}]

Lines are joined to paragraphs, columns read one after the other, vertical pages column by column from the right;
readings (furigana), page numbers and running headers are dropped.

pdfium is C++ and meets what strangers wrote, so it works in a process of its own with bounded memory and time: 260 kB
that unpack to 256 MiB of drawing took 22 GB and 96 seconds without. A scan without a text layer, a locked file, and a
font without a table to Unicode are quarantined, each with its mend. A page that cannot be read quarantines the file: a
document with a hole of unknown size is none.
"""

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import pydantic

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Source
from jpfm.data.sources.pdf_process import read_apart

_MAX_UNMAPPED = 0.02
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)(\d\d)?)?(?:Z|([+-]\d\d)'?(\d\d)?)?")
_PROGRAM_TITLE = re.compile(
    r"(?:Microsoft (?:Word|PowerPoint|Excel)|PowerPoint (?:Presentation|プレゼンテーション))(?: - )?"
    r"|untitled|Untitled-?\d*|無題.*"
)


class PdfSource(Source):
    """PDF with a text layer. One document a file; headers, footers and page numbers that repeat are dropped."""

    columns: ClassVar[tuple[str, ...]] = ("vertical", "num_pages", "author")
    format: Literal["pdf"]
    max_pages: int = pydantic.Field(default=2000, ge=1)
    """A file of more pages is quarantined."""
    max_seconds: float = pydantic.Field(default=300.0, gt=0)
    """A file that takes longer is quarantined. A page takes about 0.02."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a file."""
        data = member.read()
        if b"%PDF" not in data[:1024]:
            raise DataError("not a PDF: it does not begin with %PDF", hint="check what the file really is: file NAME")
        found = read_apart(data, self.max_pages, self.max_seconds)
        if found.num_unmapped > _MAX_UNMAPPED * (found.num_chars + found.num_unmapped):
            share = f"{found.num_unmapped} of {found.num_chars + found.num_unmapped}"
            mend = "run OCR: ocrmypdf --force-ocr -l jpn IN.pdf OUT.pdf"
            yield Quarantined(identity, "garbled", f"{share} characters have no Unicode value in their fonts ({mend})")
            return
        if not found.text:
            mend = "run OCR first: ocrmypdf -l jpn+jpn_vert IN.pdf OUT.pdf"
            yield Quarantined(identity, "no_text", f"no text on {found.num_pages} pages: a scan? ({mend})")
            return
        title = found.info.get("Title", "")
        meta: dict[str, Any] = {
            "vertical": "true" if 2 * found.num_vertical > found.num_chars else "false",
            "num_pages": str(found.num_pages),
            "author": found.info.get("Author", ""),
        }
        if found.num_unmapped:
            meta["unmapped_chars"] = found.num_unmapped
        if found.num_empty:
            meta["pages_without_text"] = found.num_empty
        yield Document(
            identity,
            found.text,
            title="" if _PROGRAM_TITLE.fullmatch(title) else re.sub(r"^Microsoft \w+ - ", "", title),
            date=_iso_date(found.info.get("CreationDate", "")),
            meta=meta,
        )


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

"""Excel workbooks (.xlsx .xlsm): the values of each sheet, a row a line, cells apart by tabs.

Values as they were last computed, not formulas; dates as ISO 8601, percentages as they are read (12.5%). Empty cells
are left out, so a sheet of squared paper (方眼紙) gives sentences. Readings (phonetic runs) are dropped.
"""

import datetime
import re
from collections.abc import Iterator
from typing import Any, Literal

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member, TooLarge
from jpfm.data.sources.ooxml import (
    MAX_CHARS,
    OfficeSource,
    Package,
    Relation,
    attribute,
    child,
    children,
    local,
    one_line,
)
from jpfm.data.sources.pptx import shape_texts

_DATE_FORMATS = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}
"""Built-in formats that show dates; 27 to 36 and 50 to 58 are those of East Asian editions."""
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]')
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_EPOCHS = {False: datetime.datetime(1899, 12, 30), True: datetime.datetime(1904, 1, 1)}
_MAX_STRINGS = 4_000_000
_MAX_SHEETS = 1000


class XlsxSource(OfficeSource):
    """Excel workbooks."""

    format: Literal["xlsx"]
    unit: Literal["workbook", "sheet"] = "workbook"
    """What one document is. Names of sheets are headings in a workbook, titles of sheets."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a workbook, or `#1`, `#2`, ... for its sheets."""
        package = Package(member.read(), "xl")
        title, meta, date = package.properties()
        book = _Workbook(package, hidden=self.hidden)
        texts: list[tuple[str, str]] = []
        for number, name, part in book.sheets():
            text = "\n".join(book.lines(part)).strip("\n")
            if text and self.unit == "sheet":
                yield Document(f"{identity}#{number}", text, title=name, date=date, meta=meta | {"workbook": title})
            if text:
                texts.append((name, text))
        if not texts:
            yield Quarantined(identity, "no_text", "no visible sheet holds a value (hidden: true reads hidden sheets)")
        elif self.unit == "workbook":
            text = "\n\n".join(f"{name}\n\n{text}" for name, text in texts)
            yield Document(identity, text, title=title, date=date, meta=meta | {"sheets": [name for name, _ in texts]})


class _Workbook:
    def __init__(self, package: Package, *, hidden: bool) -> None:
        self._package = package
        self._hidden = hidden
        main = "xl/workbook.xml"
        self._relations = package.relations(main)
        self._root = package.xml(main)
        settings = child(self._root, "workbookPr")
        self._epoch = _EPOCHS[settings is not None and attribute(settings, "date1904") in ("1", "true")]
        self._strings = list(self._read_strings())
        self._formats = list(self._read_formats())
        self._chars = 0

    def _named(self, kind: str) -> str | None:
        parts = (item.part for item in self._relations.values() if item.kind == kind)
        return next((part for part in parts if part in self._package.names), None)

    def _read_strings(self) -> Iterator[str]:
        part = self._named("sharedStrings")
        if part is None:
            return
        chars = 0
        for number, item in enumerate(self._package.elements(part, "si")):
            text = _rich(item)
            chars += len(text)
            if number > _MAX_STRINGS or chars > 2 * MAX_CHARS:
                raise TooLarge("too many strings in the workbook", hint="split it into several")
            yield text

    def _read_formats(self) -> Iterator[str]:
        """What each cell style shows: "date", "percent" or "" for a number."""
        part = self._named("styles")
        if part is None:
            return
        root = self._package.xml(part)
        custom = {attribute(item, "numFmtId"): attribute(item, "formatCode") for item in children(root, "numFmts")}
        for style in children(root, "cellXfs"):
            identity = attribute(style, "numFmtId")
            if identity in custom:
                yield shown_as(custom[identity])
            elif identity.isdecimal() and int(identity[:9]) in _DATE_FORMATS:
                yield "date"
            else:
                yield "percent" if identity in ("9", "10") else ""

    def sheets(self) -> Iterator[tuple[int, str, str]]:
        """Number from 1, name and part of each sheet."""
        found = child(self._root, "sheets")
        if found is None:
            raise DataError("part xl/workbook.xml lists no sheets", hint="is it really an .xlsx file?")
        for number, sheet in enumerate(found, 1):
            if number > _MAX_SHEETS:
                raise TooLarge(f"more than {_MAX_SHEETS} sheets", hint="split the workbook")
            relation = self._relations.get(_relation_id(sheet), Relation("", ""))
            if relation.kind == "worksheet" and (self._hidden or not attribute(sheet, "state").endswith("idden")):
                yield number, attribute(sheet, "name"), relation.part

    def lines(self, part: str) -> Iterator[str]:
        """The rows of a sheet that hold something, an empty line where rows are left out; then the text of shapes."""
        last = 0
        for row in self._package.elements(part, "row"):
            cells = [text for cell in row if local(cell) == "c" and (text := self._value(cell).strip())]
            if not cells:
                continue
            here = _integer(row.get("r") or "")
            if last and here > last + 1:
                yield ""
            last = here or last + 1
            line = cells[0] if len(cells) == 1 else "\t".join(one_line(cell) for cell in cells)
            self._count(len(line))
            yield line
        for relation in self._package.relations(part).values():
            if relation.kind == "drawing" and relation.part in self._package.names:
                for text in shape_texts(self._package.xml(relation.part)):
                    self._count(len(text))
                    yield f"\n{text}"

    def _count(self, chars: int) -> None:
        self._chars += chars + 1
        if self._chars > MAX_CHARS:
            raise TooLarge(f"more than {MAX_CHARS} characters in the cells", hint="export it as CSV (format: csv)")

    def _value(self, cell: Any) -> str:
        kind = cell.get("t")
        if kind == "inlineStr":
            inline = child(cell, "is")
            return _rich(inline) if inline is not None else ""
        found = child(cell, "v")
        text = (found.text or "") if found is not None else ""
        if kind == "s":
            at = _integer(text)
            return self._strings[at] if text and at < len(self._strings) else ""
        if kind in ("str", "d"):
            return _unescaped(text)
        if kind == "b":
            return "TRUE" if text == "1" else "FALSE"
        if kind == "e":
            return ""  # #REF! and the like are no content
        style = _integer(cell.get("s") or "")
        return self._number(text, self._formats[style] if style < len(self._formats) else "")

    def _number(self, text: str, form: str) -> str:
        try:
            value = float(text)
        except ValueError:
            return text
        if form == "date":
            return _date(value, self._epoch) or plain(value)
        return f"{plain(value * 100)}%" if form == "percent" else plain(value)


def _relation_id(sheet: Any) -> str:
    return next((str(value) for key, value in sheet.attrib.items() if key.endswith("}id")), "")


def _integer(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _rich(item: Any) -> str:
    """The text of a string, without phonetic runs (rPh)."""
    parts = []
    for piece in item:
        if local(piece) == "t":
            parts.append(piece.text or "")
        elif local(piece) == "r":
            parts.extend(below.text or "" for below in piece if local(below) == "t")
    return _unescaped("".join(parts))


def _unescaped(text: str) -> str:
    """Excel writes control characters as _x000D_; all but a line end go."""
    if "_x" not in text:
        return text

    def character(match: re.Match[str]) -> str:
        code = int(match.group(1), 16)
        return "" if (code < 0x20 and code not in (9, 10)) or 0xD800 <= code < 0xE000 else chr(code)

    return _ESCAPE.sub(character, text)


def shown_as(code: str) -> str:
    """What a number format shows: "date", "percent" or "" for a number.

    >>> [shown_as(code) for code in ('[$-411]ggge"年"m"月"d"日"', '#,##0"円"', "0.0%", "[h]:mm", "0.00E+00")]
    ['date', '', 'percent', 'date', '']
    """
    bare = _LITERAL.sub("", code).split(";")[0]
    if "%" in bare:
        return "percent"
    if bare.lower() in ("general", "g/標準", "@"):
        return ""
    return "date" if re.search(r"[ymdhs]|gg|e(?![+-])", bare, re.IGNORECASE) else ""


def plain(value: float) -> str:
    """A number as Excel shows it: 15 digits, no exponent where it can be helped.

    >>> plain(0.1 + 0.2), plain(1234.0), plain(1.5e-7)
    ('0.3', '1234', '1.5E-07')
    """
    text = f"{value:.15G}"
    if "E" in text and 1e-5 <= abs(value) < 1e21:
        text = f"{value:.0f}" if value == int(value) else f"{value:.15f}".rstrip("0")
    return text


def _date(value: float, epoch: datetime.datetime) -> str:
    """A serial number as ISO 8601: a date, a time of day (below 1), or both; empty when it is out of range.

    Serials below 61 are a day off before 1900-03-01, because Excel believes in 29 February 1900.
    """
    if not 0 <= value < 2_958_466:
        return ""
    if value < 61 and epoch.year == 1899:
        value += value >= 1
    moment = epoch + datetime.timedelta(seconds=round(value * 86_400))
    if value < 1:
        return moment.time().isoformat()
    return moment.date().isoformat() if moment.time() == datetime.time() else moment.isoformat()

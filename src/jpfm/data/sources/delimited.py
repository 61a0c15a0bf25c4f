"""CSV and TSV of any size: a row is a document, or a small table is one.

    {format: csv, name: faq, paths: ["faq.csv"], template: "{質問}\\n{回答}", rights: {...}}

Rows are read as spreadsheets write them: quoted fields may hold line ends. A row that does not fit the header, holds a
NUL byte or cannot be decoded is quarantined under its line number. When a quote is never closed, the row in which it
opens is quarantined and reading goes on in the next line, so that one stray quote does not swallow the file; the csv
module would take all the rest for one field. At most 16 million characters are held.
"""

import csv
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

import pydantic

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member, TooLarge
from jpfm.data.sources.lines import MAX_LINE_BYTES, Line, lines
from jpfm.data.sources.records import RecordSource

_MAX_RECORD_CHARS = 16_000_000
_MAX_TABLE_CHARS = 16_000_000
_FIELD = re.compile(r"\{([^{}]+)\}")
_BREAK = re.compile(r"\s*[\t\n]\s*")


class CsvSource(RecordSource):
    """CSV and TSV, UTF-8 or CP932, with or without BOM."""

    format: Literal["csv"]
    delimiter: str = pydantic.Field(default="auto", pattern=r"^(auto|[^\n\r\"])$")
    """One character; auto: a tab for .tsv and .tab and where the first line has tabs but no comma, else a comma."""
    header: bool = True
    """The first row names the fields; without it they are "1", "2", ..."""
    text_fields: tuple[str, ...] = ()
    """Fields to join with a blank line, instead of text_field; empty ones are left out."""
    template: str | None = None
    """Text with {field} in the place of values, instead of text_field."""
    rows: Literal["documents", "table"] = "documents"
    """Whether a row is a document, or the file is one: a line a row, cells apart by tabs."""

    @pydantic.model_validator(mode="after")
    def _one_text(self) -> "CsvSource":
        ways = [name for name in ("template", "text_fields", "text_field") if self._is_set(name)]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} name the text twice; keep one")
        if self.template is not None and not _FIELD.search(self.template):
            raise ValueError('template needs a {field}, e.g. "{質問}\\n{回答}"')
        unused = [
            name
            for name in (*ways, "header", "title_field", "url_field", "date_field", "meta_fields")
            if self._is_set(name)
        ]
        if self.rows == "table" and unused:
            raise ValueError(f"rows: table takes every row and field as it is; leave out {', '.join(unused)}")
        return self

    def _is_set(self, name: str) -> bool:
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a row, named by the line in which it begins, or one document."""
        csv.field_size_limit(MAX_LINE_BYTES)  # of the process; the csv module has no other
        rows = _rows(member, self.delimiter)
        if self.rows == "table":
            yield self._table(rows, identity)
            return
        names: list[str] | None = None
        for row in rows:
            where = f"{identity}#{row.number}"
            if names is None:
                names = self._names(row)
                if self.header:
                    continue
            if row.error is not None:
                detail = f"line {row.number}: {row.error.message} ({row.error.hint})"
                yield Quarantined(where, self.error_kind(row.error), detail)
            elif len(row.cells) != len(names):
                detail = f"line {row.number}: {len(row.cells)} fields, expected {len(names)}"
                yield Quarantined(
                    where, "format", f"{detail} (a delimiter or quote inside a field that is not quoted?)"
                )
            else:
                yield self._document(dict(zip(names, row.cells, strict=True)), where, row)

    def _names(self, first: "_Row") -> list[str]:
        if first.error is not None:
            raise first.error
        names = [cell.strip() for cell in first.cells] if self.header else [str(n + 1) for n in range(len(first.cells))]
        used = [name for name in self.named_fields if name != self.text_field]
        used += _FIELD.findall(self.template) if self.template is not None else self.text_fields or [self.text_field]
        for name in used:
            if names.count(name) != 1:
                problem = "is missing" if name not in names else f"stands {names.count(name)} times in the header"
                raise DataError(f"field '{name}' {problem}", hint=f"fields found: {', '.join(names[:20])}")
        return names

    def _document(self, record: dict[str, str], where: str, row: "_Row") -> Document:
        if self.template is not None:
            text = _FIELD.sub(lambda match: record[match.group(1)], self.template)
        elif self.text_fields:
            cells = [record[name].strip() for name in self.text_fields]
            text = "\n\n".join(cell for cell in cells if cell)
        else:
            text = record[self.text_field]
        return Document(
            where,
            text,
            title=record[self.title_field] if self.title_field is not None else "",
            url=record[self.url_field] if self.url_field is not None else "",
            date=record[self.date_field] if self.date_field is not None else "",
            encoding=row.encoding,
            confidence=row.confidence,
            meta={name: record[name] for name in self.meta_fields},
        )

    def _table(self, rows: Iterator["_Row"], identity: str) -> Document:
        parts: list[str] = []
        chars, encoding, confidence = 0, "utf-8", 1.0
        for row in rows:
            if row.error is not None:
                raise DataError(f"line {row.number}: {row.error.message}", hint=row.error.hint)
            text = "\t".join(_BREAK.sub(" ", cell.strip()) for cell in row.cells).rstrip("\t")
            if text or (parts and parts[-1]):
                parts.append(text)
            chars += len(text) + 1
            if chars > _MAX_TABLE_CHARS:
                raise TooLarge(f"a table of more than {_MAX_TABLE_CHARS} characters", hint="use rows: documents")
            encoding, confidence = row.encoding, min(confidence, row.confidence)
        text = "\n".join(parts).strip("\n")
        if not text:
            raise DataError("the table is empty", hint="leave the file out with `exclude`")
        return Document(identity, text, encoding=encoding, confidence=confidence)


class _Row(NamedTuple):
    number: int
    """The line in which it begins, from 1."""
    cells: list[str]
    encoding: str = "utf-8"
    confidence: float = 1.0
    error: DataError | None = None


class _NeverClosed(Exception):
    """A quoted field goes on to the end of the file or past all bounds."""


class _Feed:
    """Lines for the csv module, which asks for more inside a quoted field. Remembers those of the row under way."""

    def __init__(self, source: Iterator[Line]) -> None:
        self._source = source
        self._again: list[Line] = []  # reversed
        self.taken: list[Line] = []
        self._chars = 0

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._source, None)
        if line is None:
            if self.taken:
                raise _NeverClosed
            raise StopIteration
        self.taken.append(line)
        self._chars += len(line.text)
        if line.error is not None or self._chars > _MAX_RECORD_CHARS:
            raise _NeverClosed
        return line.text.replace("\r", "\n") + "\n"

    def peek(self) -> Line | None:
        """The next line, which stays the next one."""
        line = self._again.pop() if self._again else next(self._source, None)
        if line is not None:
            self._again.append(line)
        return line

    def clear(self) -> None:
        """Begin a new row."""
        self.taken = []
        self._chars = 0

    def retry(self) -> None:
        """Begin a new row in the second line of this one."""
        self._again.extend(reversed(self.taken[1:]))
        self.clear()


def _rows(member: Member, delimiter: str) -> Iterator[_Row]:
    feed = _Feed(_split(lines(member)))
    first = feed.peek()
    if first is None:
        raise DataError("the file is empty", hint="leave it out with `exclude`")
    if delimiter == "auto":
        tabbed = member.name.lower().endswith((".tsv", ".tab")) or ("\t" in first.text and "," not in first.text)
        delimiter = "\t" if tabbed else ","
    reader = csv.reader(feed, delimiter=delimiter)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (_NeverClosed, csv.Error) as error:
            yield _bad_row(feed.taken, error)
            feed.retry()
            reader = csv.reader(feed, delimiter=delimiter)
            continue
        taken = feed.taken
        if any("\0" in cell for cell in cells):
            yield _Row(taken[0].number, [], error=DataError("a NUL byte in the row", hint="the file is damaged"))
        elif any(cells):
            yield _Row(taken[0].number, cells, taken[-1].encoding, min(line.confidence for line in taken))
        feed.clear()


def _split(source: Iterator[Line]) -> Iterator[Line]:
    """Files of the old Macintosh end their lines with a carriage return alone."""
    for line in source:
        if "\r" in line.text:
            for text in line.text.split("\r"):
                yield line._replace(text=text)
        else:
            yield line


def _bad_row(taken: list[Line], error: Exception) -> _Row:
    number = taken[0].number
    broken = taken[-1]
    if broken.error is not None:
        where = "" if broken.number == number else f"; in line {broken.number}"
        return _Row(number, [], error=type(broken.error)(broken.error.message + where, hint=broken.error.hint))
    if isinstance(error, csv.Error):
        return _Row(number, [], error=DataError(f"not CSV: {error}", hint="is the delimiter right?"))
    found = DataError("a quote opens a field and is never closed", hint="double the quotes that belong to the text")
    return _Row(number, [], error=found)

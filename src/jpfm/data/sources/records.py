"""Records with named fields: JSON Lines, one JSON list, Parquet. `RecordSource` is what such formats share."""

import datetime
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from jpfm.core.errors import DataError, JpfmError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import PACKED, Member, members, open_raw
from jpfm.data.sources.base import Piece, Source
from jpfm.data.sources.lines import Line, blocks, lines
from jpfm.data.sources.record_columns import Rows, in_batches, read_block
from jpfm.text.decode import decode

_JSON_BYTES = 128 << 20  # one JSON value is held whole, and takes several times its size
_PARQUET_BYTES = 512 << 20


class RecordSource(Source):
    """Formats of records with named fields."""

    text_field: str = "text"
    """Field that holds the text."""
    title_field: str | None = None
    url_field: str | None = None
    date_field: str | None = None
    """Field of the document's date, ISO 8601 as far as it is known; `prefer: {rule: newest}` goes by it."""
    meta_fields: tuple[str, ...] = ()
    """Further fields to keep in the `meta` column."""

    @property
    def named_fields(self) -> tuple[str, ...]:
        """The fields that the settings name, each once."""
        named = (self.text_field, self.title_field, self.url_field, self.date_field, *self.meta_fields)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    def to_document(
        self, record: Any, identity: str, encoding: str = "utf-8", confidence: float = 1.0
    ) -> Document | Quarantined:
        """A record as a document, or why it is none."""
        if not isinstance(record, dict):
            return Quarantined(identity, "format", f"expected an object, found {type(record).__name__}")
        text = record.get(self.text_field)
        if not isinstance(text, str):
            found = ", ".join(map(str, list(record)[:12]))
            what = f"is a {type(text).__name__}, not text" if self.text_field in record else "is missing"
            return Quarantined(
                identity, "format", f"field '{self.text_field}' {what}; fields found: {found}; text_field names it"
            )
        if not _encodable(text):
            return Quarantined(identity, "decode", "the text holds lone surrogates (\\ud800-\\udfff escapes)")
        return Document(
            identity, text, title=_text(record, self.title_field), url=_text(record, self.url_field),
            date=_date(record, self.date_field), encoding=encoding, confidence=confidence,
            meta={key: record[key] for key in self.meta_fields if key in record},
        )  # fmt: skip


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _text(record: dict[str, Any], field: str | None) -> str:
    value = record.get(field) if field else None
    return value if isinstance(value, str) and _encodable(value) else ""


def _date(record: dict[str, Any], field: str | None) -> str:
    """The date as text: Parquet has dates and times of its own, and a year may be a number."""
    value = record.get(field) if field else None
    if isinstance(value, datetime.date):  # a datetime is one
        return value.isoformat()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(record, field)


class JsonlSource(RecordSource):
    """JSON Lines: a line is a document. A broken line is quarantined and the next one read."""

    cuts = "lines"
    format: Literal["jsonl"]

    def batches(
        self, pieces: Sequence[Piece], columns: Sequence[str], bad: list[Quarantined]
    ) -> Iterator[pa.RecordBatch]:
        """As every source gives them, but made column by column (`record_columns`), with no object for a line."""
        return in_batches((rows for piece in pieces for rows in self._rows(piece, columns)), bad)

    def _rows(self, piece: Piece, columns: Sequence[str]) -> Iterator[Rows | Quarantined]:
        """What `documents` yields, block by block."""
        for member in members(piece.path, piece.name, closed=self.closed, start=max(piece.start - 1, 0)):
            identity = f"{self.name}/{member.name}"
            if member.error is not None:
                yield Quarantined(identity, "archive", member.error)
                continue
            try:
                for block in blocks(member, start=piece.start, stop=piece.stop):
                    yield read_block(self, block, _prefix(identity, piece), columns)
            except JpfmError as error:
                yield Quarantined(identity, self.error_kind(error), f"{error.message} ({error.hint})")

    def read_range(self, member: Member, identity: str, piece: Piece) -> Iterator[Document | Quarantined]:
        """One document a line. Its id holds the line's number, or range and number in a file read in ranges."""
        return self.read_lines(lines(member, start=piece.start, stop=piece.stop), _prefix(identity, piece))

    def read_lines(self, some: Iterable[Line], prefix: str) -> Iterator[Document | Quarantined]:
        """Lines one by one, as Python's own reader of JSON takes them."""
        for line in some:
            where = f"{prefix}{line.number}"
            if line.error is not None:
                detail = f"line {line.number}: {line.error.message} ({line.error.hint})"
                yield Quarantined(where, self.error_kind(line.error), detail)
                continue
            if not line.text.strip():
                continue
            try:
                record = json.loads(line.text)
            except (ValueError, RecursionError) as error:
                yield Quarantined(where, "format", f"line {line.number} is not JSON: {error}")
                continue
            yield self.to_document(record, where, line.encoding, line.confidence)

    def to_batch(self, documents: Sequence[Document], columns: Sequence[str]) -> pa.RecordBatch:
        """Documents with what the source's rights say of them."""
        return self._batch(documents, columns)


def _prefix(identity: str, piece: Piece) -> str:
    return f"{identity}#" if piece.stop is None else f"{identity}#{piece.start}+"


class JsonSource(RecordSource):
    """One JSON file that holds a list of records, at the top or below `records_field`."""

    format: Literal["json"]
    records_field: str | None = None
    """Field of the top object that holds the list; null when the file is the list itself."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a record of the list."""
        decoded = decode(member.read(_JSON_BYTES))
        try:
            records = json.loads(decoded.text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"not JSON: {error}", hint="is it JSON Lines? then use format: jsonl") from error
        if self.records_field is not None and isinstance(records, dict):
            records = records.get(self.records_field)
        if not isinstance(records, list):
            raise DataError("no list of records found", hint="set records_field to the field that holds the list")
        for number, record in enumerate(records):
            yield self.to_document(record, f"{identity}#{number}", decoded.encoding, decoded.confidence)


class ParquetSource(RecordSource):
    """Parquet with a text column, read a row group at a time."""

    cuts = "rows"
    format: Literal["parquet"]

    def documents(self, piece: Piece) -> Iterator[Document | Quarantined]:
        """A local file or URL is read in place: Parquet is read from its end, not as a stream."""
        if piece.name.lower().endswith(PACKED):
            yield from super().documents(piece)
            return
        identity = f"{self.name}/{piece.name}"
        try:
            with open_raw(piece.path, seek=True) as file:
                yield from self._rows(file, identity, piece.start, piece.stop)
        except (JpfmError, OSError) as error:
            detail = f"{error.message} ({error.hint})" if isinstance(error, JpfmError) else f"cannot be read: {error}"
            yield Quarantined(identity, "format" if isinstance(error, JpfmError) else "archive", detail)

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """A file inside an archive, which must fit into memory."""
        yield from self._rows(io.BytesIO(member.read(_PARQUET_BYTES)), identity, 0, None)

    def _rows(self, source: IO[bytes], identity: str, first: int, last: int | None) -> Iterator[Document | Quarantined]:
        try:
            file = pq.ParquetFile(source)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"not a Parquet file: {error}", hint="it may be cut off; fetch it again") from error
        if self.text_field not in file.schema_arrow.names:
            raise DataError(
                f"column '{self.text_field}' is missing",
                hint=f"columns found: {', '.join(file.schema_arrow.names)}; set text_field",
            )
        groups = list(range(first, last if last is not None else file.num_row_groups))
        number = sum(file.metadata.row_group(group).num_rows for group in range(first))
        try:
            for batch in file.iter_batches(batch_size=256, row_groups=groups, columns=list(self.named_fields)):
                for record in batch.to_pylist():
                    yield self.to_document(record, f"{identity}#{number}")
                    number += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"damaged after row {number}: {error}", hint="fetch the file again") from error

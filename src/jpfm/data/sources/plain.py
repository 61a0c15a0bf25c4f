"""Formats that hold text as it is: plain text, Markdown, JSON, JSONL, Parquet."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from markdown_it import MarkdownIt
from markdown_it.token import Token

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Source
from jpfm.text.decode import UnreadableText, decode

_MAX_TITLE_CHARS = 80


class TextSource(Source):
    """Plain text: a file is a document. A short first line is its title."""

    format: Literal["text"]

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a file."""
        decoded = decode(member.data)
        first = decoded.text.lstrip().split("\n", 1)[0].strip()
        title = first if len(first) <= _MAX_TITLE_CHARS else ""
        yield Document(identity, decoded.text, title=title, encoding=decoded.encoding)


class _Record(Source):
    """Formats of records with named fields."""

    text_field: str = "text"
    """Field that holds the text."""
    title_field: str | None = None
    url_field: str | None = None
    meta_fields: tuple[str, ...] = ()
    """Further fields to keep in the `meta` column."""

    def to_document(self, record: Any, identity: str, encoding: str) -> Document | Quarantined:
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
            encoding=encoding, meta={key: record[key] for key in self.meta_fields if key in record},
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


def _lines(data: bytes) -> Iterator[tuple[str | UnreadableText, str]]:
    """Each line and its encoding; a file that does not decode as a whole is decoded line by line."""
    try:
        decoded = decode(data)
    except UnreadableText:
        for raw in data.split(b"\n"):
            try:
                decoded = decode(raw)
            except UnreadableText as error:
                yield error, ""
            else:
                yield decoded.text, decoded.encoding
        return
    for line in decoded.text.split("\n"):
        yield line, decoded.encoding


class JsonlSource(_Record):
    """JSON Lines: a line is a document. A broken line is quarantined and the next one read."""

    format: Literal["jsonl"]

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a line; its number is part of the id."""
        for number, (line, encoding) in enumerate(_lines(member.data), start=1):
            where = f"{identity}#{number}"
            if isinstance(line, UnreadableText):
                yield Quarantined(where, self.error_kind(line), f"line {number}: {line.message} ({line.hint})")
                continue
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield Quarantined(where, "format", f"line {number} is not JSON: {error}")
                continue
            yield self.to_document(record, where, encoding)


class JsonSource(_Record):
    """One JSON file that holds a list of records, at the top or below `records_field`."""

    format: Literal["json"]
    records_field: str | None = None
    """Field of the top object that holds the list; null when the file is the list itself."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a record of the list."""
        decoded = decode(member.data)
        try:
            records = json.loads(decoded.text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"not JSON: {error}", hint="is it JSON Lines? then use format: jsonl") from error
        if self.records_field is not None and isinstance(records, dict):
            records = records.get(self.records_field)
        if not isinstance(records, list):
            raise DataError("no list of records found", hint="set records_field to the field that holds the list")
        for number, record in enumerate(records):
            yield self.to_document(record, f"{identity}#{number}", decoded.encoding)


class ParquetSource(_Record):
    """Parquet with a text column, read a row group at a time."""

    format: Literal["parquet"]

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a row."""
        try:
            file = pq.ParquetFile(io.BytesIO(member.data))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"not a Parquet file: {error}", hint="it may be cut off; fetch it again") from error
        if self.text_field not in file.schema_arrow.names:
            raise DataError(
                f"column '{self.text_field}' is missing",
                hint=f"columns found: {', '.join(file.schema_arrow.names)}; set text_field",
            )
        wanted = (self.text_field, self.title_field, self.url_field, *self.meta_fields)
        columns = [name for name in dict.fromkeys(wanted) if name is not None]
        number = 0
        try:
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                for record in batch.to_pylist():
                    yield self.to_document(record, f"{identity}#{number}", "utf-8")
                    number += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"damaged after row {number}: {error}", hint="fetch the file again") from error


_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
_TAG = re.compile(r"<[^>]+>")


class MarkdownSource(Source):
    """Markdown: headings, paragraphs, lists, tables and code as plain text; link addresses and HTML tags removed."""

    format: Literal["markdown"]

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a file; its first heading is the title."""
        decoded = decode(member.data)
        text = decoded.text.replace("\r\n", "\n")
        meta: dict[str, Any] = {}
        if front := _FRONT_MATTER.match(text):
            meta["front_matter"] = front.group(1)
            text = text[front.end() :]
        tokens = _MARKDOWN.parse(text)
        plain = "\n\n".join(block for block in _blocks(tokens) if block.strip())
        title = next(
            (t.content for t, before in zip(tokens[1:], tokens, strict=False) if before.type == "heading_open"), ""
        )
        yield Document(identity, plain, title=_TAG.sub("", title), encoding=decoded.encoding, meta=meta)


def _blocks(tokens: list[Token]) -> Iterator[str]:
    """Plain text of each block; the rows of a table and the items of a list stay together."""
    lines: list[str] = []
    depth = 0
    row: list[str] | None = None
    for token in tokens:
        if token.type in ("bullet_list_open", "ordered_list_open", "table_open", "blockquote_open"):
            depth += 1
        elif token.type in ("bullet_list_close", "ordered_list_close", "table_close", "blockquote_close"):
            depth -= 1
        elif token.type == "tr_open":
            row = []
        elif token.type == "tr_close" and row is not None:
            lines.append("\t".join(row))
            row = None
        elif token.type == "inline":
            text = _inline(token)
            if row is not None:
                row.append(text)
            else:
                lines.append(text)
        elif token.type in ("fence", "code_block"):
            lines.append(token.content.rstrip("\n"))
        elif token.type == "html_block":
            lines.append(_TAG.sub("", token.content).strip())
        if depth == 0 and lines:
            yield "\n".join(lines)
            lines = []
    if lines:
        yield "\n".join(lines)


def _inline(token: Token) -> str:
    parts = []
    for child in token.children or []:
        if child.type in ("text", "code_inline"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif child.type == "image":
            parts.append(child.content)
    return "".join(parts)

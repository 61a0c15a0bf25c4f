"""Evaluation items as a data recipe names them: which files, where the items are in them, which fields are text.

    Benchmark(name="jsquad", path="bench/jsquad/valid.json.gz", items="data.paragraphs.qas", fields=("question",))

Each field is a text that is searched on its own. A question joined with its choices would be found only where a
document writes them one after the other, without "A." between them; a question alone is found in either. Lists are gone
through: `turns` of a dialogue or `data.paragraphs.qas` of SQuAD need no word for the list.
"""

import csv
import glob
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
from lxml import etree

from jpfm.core.config import Settings, place
from jpfm.core.errors import DataError, UsageError
from jpfm.data.sources.archive import Member, members
from jpfm.text.decode import decode

_FILE_BYTES = 512 << 20
Action = Literal["drop", "cut", "mark"]


class ItemText(NamedTuple):
    """One text of an evaluation item."""

    benchmark: str
    item: str
    text: str


class Benchmark(Settings):
    """Where the items of one benchmark are, and how they are looked for."""

    name: Annotated[str, pydantic.Field(min_length=1)]
    """How the report calls it."""
    path: str = place()
    """JSON Lines, JSON, CSV, TSV, XML or Parquet, also packed; relative to the current folder. It may be a pattern."""
    items: str = ""
    """Where a JSON or XML file has its items, names apart by dots: `data.paragraphs.qas`. Empty: the file is a list."""
    fields: Annotated[tuple[str, ...], pydantic.Field(min_length=1)] = ("text",)
    """Fields of an item to search, each on its own; `turns` or `answers.text` may be lists."""
    id_field: str | None = None
    """Field that names an item; null numbers them from 0. Rows with one name are one item."""
    name_field: str | None = None
    """Field that names the benchmark, for a file of several (`jpfm data items`); reports then use that name."""
    header: bool = True
    """CSV and TSV: the first row names the fields. Without it they are "1", "2", ..."""
    ngram: Annotated[int, pydantic.Field(ge=4, le=64)] | None = None
    """Instead of the step's."""
    minimum_share: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None
    """Instead of the step's."""
    action: Action | None = None
    """Instead of the step's."""

    def identity(self) -> dict[str, Any]:
        """The settings and the files by content: other items give another corpus."""
        files = [[file.name, hashlib.sha256(file.read_bytes()).hexdigest()] for file in self.files()]
        return super().identity() | {"files": files}

    def files(self) -> list[Path]:
        """The files, sorted.

        Raises:
            UsageError: there is none.
        """
        found = [Path(name) for name in sorted(glob.glob(self.path)) if Path(name).is_file()] if self.path else []
        if not found:
            raise UsageError(
                f"benchmark '{self.name}': no file matches {self.path}",
                hint="check `path`; it is relative to the current folder",
            )
        return found

    def texts(self) -> Iterator[ItemText]:
        """Every text of every item, in file order.

        Raises:
            DataError: a file cannot be read, holds no item, or an item lacks a field.
        """
        files = self.files()
        for file in files:
            prefix = f"{file.name.partition('.')[0]}#" if len(files) > 1 else ""
            number = -1
            for number, item in enumerate(self._read(file)):
                where = f"benchmark '{self.name}': {file}: item {number}"
                identity = f"{prefix}{_one(item, self.id_field, where) if self.id_field else number}"
                name = _one(item, self.name_field, where) if self.name_field else self.name
                for field in self.fields:
                    for text in _strings(item, field, where):
                        yield ItemText(name, identity, text)
            if number < 0:
                raise DataError(
                    f"benchmark '{self.name}': {file} holds no items" + (f" at '{self.items}'" if self.items else ""),
                    hint="`items` names where they are, e.g. data.paragraphs.qas",
                )

    def _read(self, file: Path) -> Iterator[dict[str, Any]]:
        try:
            yield from records(file, self.items, header=self.header)
        except DataError as error:
            raise DataError(f"benchmark '{self.name}': {file}: {error.message}", hint=error.hint) from error


def records(file: Path, items: str = "", *, header: bool = True) -> Iterator[dict[str, Any]]:
    """The items of a file, which may be packed.

    Args:
        items: where a JSON or XML file has them, names apart by dots.
        header: of CSV and TSV: the first row names the fields.
    Raises:
        DataError: it cannot be read.
    """
    for member in members(file, file.name):
        if member.error is not None:
            raise DataError(f"{member.name}: {member.error}", hint="fetch it again")
        yield from _records(member, items, header=header)


def _records(member: Member, items: str, *, header: bool) -> Iterator[dict[str, Any]]:
    """The items of one file; its name tells the format."""
    ending = Path(member.name).suffix.lower()
    data = member.read(_FILE_BYTES)
    if ending == ".parquet":
        try:
            rows: list[Any] = pq.read_table(io.BytesIO(data)).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"not Parquet: {error}", hint="fetch it again") from error
    elif ending in (".csv", ".tsv"):
        rows = _table(decode(data).text, "\t" if ending == ".tsv" else ",", header=header)
    elif ending == ".xml":
        rows = list(_walk(_xml(data), items))
    elif ending in (".json", ".jsonl", ".ndjson"):
        rows = list(_walk(_json(decode(data).text), items))
    else:
        raise DataError(f"cannot tell the format of {member.name}", hint="name it .jsonl .json .csv .tsv .xml .parquet")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"item {number} is no object but {type(row).__name__}", hint="`items` names where they are")
        yield row


def _json(text: str) -> Any:
    """One JSON value, or JSON Lines, which many benchmarks call .json too."""
    lines = text.split("\n")
    several = sum(bool(line.strip()) for line in lines) > 1 and text.lstrip().startswith("{")
    try:
        if several and lines[0].rstrip().endswith("}"):
            return [_line(line, number) for number, line in enumerate(lines, start=1) if line.strip()]
        return json.loads(text) if text.strip() else []
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON: {error}", hint="one value, or one value a line; fetch it again") from error


def _line(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise DataError(f"line {number} is not JSON: {error}", hint="one value a line; fetch it again") from error


def _table(text: str, delimiter: str, *, header: bool) -> list[dict[str, str]]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter, strict=True) if any(row)]
    except csv.Error as error:
        raise DataError(f"not CSV: {error}", hint="is a quote left open?") from error
    if not rows:
        return []
    names = rows.pop(0) if header else [str(n + 1) for n in range(len(rows[0]))]
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise DataError(f"item {number} has {len(row)} fields, not {len(names)}", hint="is a quote missing?")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _xml(data: bytes) -> dict[str, Any]:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True
    )
    try:
        return _element(etree.fromstring(data, parser))
    except etree.XMLSyntaxError as error:
        raise DataError(f"not XML: {error}", hint="fetch it again") from error


def _element(element: Any) -> dict[str, Any]:
    """An element as attributes, and a list of what stands under each tag; an element without either is its text."""
    found: dict[str, Any] = dict(element.attrib)
    for child in element.iterchildren(tag=etree.Element):
        leaf = not len(child) and not child.attrib
        found.setdefault(child.tag, []).append("".join(child.itertext()) if leaf else _element(child))
    return found


def _walk(value: Any, names: str) -> Iterator[Any]:
    """What stands at dotted names, through every list; where a name is missing, nothing."""
    if isinstance(value, list):
        for one in value:
            yield from _walk(one, names)
    elif not names:
        yield value
    elif isinstance(value, dict):
        head, _, rest = names.partition(".")
        if names in value:  # a field whose own name has a dot
            yield from _walk(value[names], "")
        elif head in value:
            yield from _walk(value[head], rest)


def _strings(item: dict[str, Any], field: str, where: str) -> list[str]:
    found = list(_walk(item, field))
    if not found and field.split(".", maxsplit=1)[0] not in item and field not in item:
        raise DataError(f"{where} has no field '{field}'", hint=f"fields found: {', '.join(map(str, item))}")
    for value in found:
        if value is not None and not isinstance(value, str):
            raise DataError(f"{where}: field '{field}' is a {type(value).__name__}", hint="name a field of text")
    return [value for value in found if value is not None]


def _one(item: dict[str, Any], field: str, where: str) -> str:
    found = [value for value in _walk(item, field) if value is not None and not isinstance(value, dict)]
    if len(found) != 1:
        raise DataError(
            f"{where}: '{field}' should name one value, found {len(found)}",
            hint=f"fields found: {', '.join(map(str, item))}",
        )
    return str(found[0])

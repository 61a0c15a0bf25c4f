"""Lists of byte ranges: read, cut into pieces of work, and fetched.

for piece in cut(Piece("cc.parquet", ...), 64 << 20): ...     # rows [start, stop)
for row, data in fetched(rows(piece), "https://data.commoncrawl.org/", piece.path): ...

A list has the columns of Common Crawl's columnar index (warc_filename, warc_record_offset, warc_record_length) or of
its CDX server (filename, offset, length), as Parquet, CSV, TSV or JSONL.
"""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from jpfm.core.errors import DataError
from jpfm.data.sources.archive import open_raw
from jpfm.data.sources.base import Piece
from jpfm.data.sources.warc_records import LIMIT

_COLUMNS = (("warc_filename", "warc_record_offset", "warc_record_length"), ("filename", "offset", "length"))
_MAX_TEXT_BYTES = 512 << 20
_AT_ONCE, _AT_ONCE_BYTES = 64, 64 << 20
_TRIES = 4


class Row(NamedTuple):
    """One record of a list."""

    file: str
    offset: int
    length: int


def cut(piece: Piece, slice_bytes: int) -> Iterator[Piece]:
    """Ranges of rows whose records have about `slice_bytes` together; `bytes` of a piece is what it fetches."""
    start, size, number = 0, 0, 0
    for number, row in enumerate(rows(piece)):
        if size and size + row.length > slice_bytes:
            yield piece._replace(bytes=size, start=start, stop=number)
            start, size = number, 0
        size += row.length
    if size:
        yield piece._replace(bytes=size, start=start, stop=number + 1)


def rows(piece: Piece) -> Iterator[Row]:
    """The rows [start, stop) of a list.

    Raises:
        DataError: it cannot be read, a column is missing, or a value is no range.
    """
    position = 0
    for batch in _batches(piece.path):
        begin, end = max(piece.start - position, 0), (batch.num_rows if piece.stop is None else piece.stop - position)
        position += batch.num_rows
        if end <= 0:
            return
        for file, offset, length in zip(*(batch.column(name)[begin:end].to_pylist() for name in range(3)), strict=True):
            if not file or offset is None or length is None or offset < 0 or length <= 0:
                raise DataError(f"{piece.name}: ({file}, {offset}, {length}) is no byte range", hint="see its rows")
            yield Row(file, offset, length)


def _batches(path: str) -> Iterator[pa.RecordBatch]:
    """The three columns, in batches."""
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet as pq

    lower = path.lower()
    try:
        with open_raw(path, seek=True) as file:
            if lower.endswith(".parquet"):
                parquet = pq.ParquetFile(file)
                names = _names(parquet.schema_arrow.names, path)
                for batch in parquet.iter_batches(batch_size=1 << 16, columns=list(names)):
                    yield _typed(pa.Table.from_batches([batch]).select(names))
                return
            data = file.read(_MAX_TEXT_BYTES + 1)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}", hint="is it a list of byte ranges?") from error
    if len(data) > _MAX_TEXT_BYTES:
        raise DataError(f"{path}: larger than {_MAX_TEXT_BYTES >> 20} MiB", hint="write it as Parquet")
    source = pa.BufferReader(data)
    try:
        if lower.endswith((".jsonl", ".json", ".ndjson")):
            table = pyarrow.json.read_json(source)
        else:
            delimiter = "\t" if lower.endswith(".tsv") else ","
            table = pyarrow.csv.read_csv(source, parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter))
    except pa.ArrowException as error:
        raise DataError(f"{path}: cannot be read: {error}", hint="is it Parquet, CSV, TSV or JSONL?") from error
    yield _typed(table.select(_names(table.column_names, path)))


def _names(found: list[str], path: str) -> tuple[str, ...]:
    for names in _COLUMNS:
        if {*names} <= {*found}:
            return names
    raise DataError(f"{path}: no columns {', '.join(_COLUMNS[0])}", hint=f"columns found: {', '.join(found[:10])}")


def _typed(table: pa.Table) -> pa.RecordBatch:
    schema = pa.schema([("file", pa.string()), ("offset", pa.int64()), ("length", pa.int64())])
    try:
        typed = table.rename_columns(schema.names).cast(schema)
    except pa.ArrowException as error:
        raise DataError(f"no list of byte ranges: {error}", hint="offset and length are whole numbers") from error
    batches = typed.combine_chunks().to_batches()
    return batches[0] if batches else pa.record_batch([[], [], []], schema=schema)


def fetched(wanted: Iterator[Row], base: str, beside: str) -> Iterator[tuple[Row, bytes | str]]:
    """Each row with its bytes, or with why there are none; many at once, in order.

    Args:
        base: address or folder that the file names begin at.
        beside: the list's own path; a relative folder is taken from there.
    Raises:
        DataError: the server does not answer after four tries. Run again: what was read stays.
    """
    import fsspec

    where = base if "://" in base or "://" in beside else str(Path(beside).parent / base)
    system, root = fsspec.core.url_to_fs(where)
    for group in _groups(wanted):
        small = [row for row in group if row.length <= LIMIT]
        paths = [f"{root.rstrip('/')}/{row.file.lstrip('/')}" for row in small]
        found = iter(_ranges(system, paths, small))
        for row in group:
            yield row, next(found) if row.length <= LIMIT else f"{row.length:,} bytes; at most {LIMIT:,} are read"


def _groups(wanted: Iterator[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in itertools.chain(wanted, [None]):
        if group and (row is None or len(group) == _AT_ONCE or sum(r.length for r in group) > _AT_ONCE_BYTES):
            yield group
            group = []
        if row is not None:
            group.append(row)


def _ranges(system: Any, paths: list[str], wanted: list[Row]) -> list[bytes | str]:
    """The bytes of each range, or why there are none. What a server refuses for a while is asked for again."""
    found: dict[int, bytes | str] = {}
    problem: BaseException | None = None
    for attempt in range(_TRIES):
        left = [number for number in range(len(wanted)) if number not in found]
        if not left:
            break
        if attempt:
            time.sleep(2.0**attempt)
        answers = system.cat_ranges(
            [paths[number] for number in left],
            [wanted[number].offset for number in left],
            [wanted[number].offset + wanted[number].length for number in left],
            on_error="return",
        )
        for number, answer in zip(left, answers, strict=True):
            if isinstance(answer, FileNotFoundError | IsADirectoryError):
                found[number] = f"there is no such file: {paths[number]}"
            elif isinstance(answer, BaseException):
                problem = answer
            elif len(answer) < wanted[number].length:
                found[number] = f"ends after {len(answer):,} of {wanted[number].length:,} bytes"
            else:
                found[number] = bytes(answer)
    if len(found) < len(wanted):
        raise DataError(
            f"{paths[0]} and {len(wanted) - len(found)} more ranges cannot be fetched: {problem}",
            hint="run the same command again when the server answers; what was read is kept",
        )
    return [found[number] for number in range(len(wanted))]

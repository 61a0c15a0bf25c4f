"""The document batch: what every source yields and every step takes.

One row is one document. Signals add columns on the right; the first eight columns never change type.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # "<source>/<file>#<ordinal>": unique in a corpus
        pa.field("text", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("licence", pa.string(), nullable=False),
        pa.field("encoding", pa.string(), nullable=False),  # codec the bytes were read with
        pa.field("meta", pa.string(), nullable=False),  # JSON object: what the format knew besides
    ]
)
DROPPED = pa.schema(
    [
        ("id", pa.string()), ("source", pa.string()), ("step", pa.string()), ("reason", pa.string()),
        ("value", pa.float64()), ("threshold", pa.float64()), ("detail", pa.string()), ("text", pa.string()),
    ]
)  # fmt: skip
QUARANTINED = pa.schema([("id", pa.string()), ("source", pa.string()), ("error", pa.string()), ("detail", pa.string())])
EDITS = pa.schema(
    [("id", pa.string()), ("source", pa.string()), ("step", pa.string()), ("kind", pa.string()),
     ("start", pa.int64()), ("length", pa.int64())]
)  # fmt: skip


@dataclass(frozen=True)
class Document:
    """One document as a source reads it."""

    id: str
    text: str
    title: str = ""
    url: str = ""
    licence: str = ""
    encoding: str = "utf-8"
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Quarantined:
    """Input that could not be read as a document, and why."""

    id: str
    error: str
    detail: str


def to_batch(documents: Sequence[Document], source: str, licence: str) -> pa.RecordBatch:
    """Documents of one source as a record batch; `licence` stands where a document names none of its own."""
    columns: dict[str, list[str]] = {name: [] for name in SCHEMA.names}
    for document in documents:
        columns["id"].append(document.id)
        columns["text"].append(document.text)
        columns["source"].append(source)
        columns["title"].append(document.title)
        columns["url"].append(document.url)
        columns["licence"].append(document.licence or licence)
        columns["encoding"].append(document.encoding)
        columns["meta"].append(_json(document.meta))
    return pa.record_batch([pa.array(columns[name], pa.string()) for name in SCHEMA.names], schema=SCHEMA)


def _json(meta: dict[str, Any]) -> str:
    text = json.dumps(meta, ensure_ascii=False, sort_keys=True, default=str)  # Parquet has dates and decimals
    return text.encode("utf-8", "backslashreplace").decode()  # a lone surrogate goes back to its JSON escape


def quarantine_table(rows: Iterable[Quarantined], source: str) -> pa.Table:
    """Quarantined input as rows for `quarantined/*.parquet`."""
    return pa.Table.from_pylist(
        [{"id": row.id, "source": source, "error": row.error, "detail": row.detail} for row in rows],
        schema=QUARANTINED,
    )


def drop_table(
    batch: pa.RecordBatch,
    rows: pa.Array,
    *,
    step: str,
    reason: str,
    values: Sequence[float | None],
    threshold: float | None,
    details: Sequence[str] | None = None,
) -> pa.Table:
    """Rows for `dropped/*.parquet`: which documents a step took out, why, and by which figure."""
    taken = batch.take(rows)
    count = taken.num_rows
    return pa.table(
        [
            taken.column("id"), taken.column("source"), pa.array([step] * count, pa.string()),
            pa.array([reason] * count, pa.string()), pa.array(values, pa.float64()),
            pa.array([threshold] * count, pa.float64()),
            pa.array(details if details is not None else [""] * count, pa.string()), taken.column("text"),
        ],
        schema=DROPPED,
    )  # fmt: skip

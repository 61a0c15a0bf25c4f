"""The document batch: what every source yields and every step takes.

One row is one document. The columns of SCHEMA never change type. A source may lift keys of `meta` into columns of their
own (`Source.columns`), the same for every shard of a corpus; signals add columns on the right.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
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
        pa.field("licence", pa.string(), nullable=False),  # the document's own where it names one, else the source's
        pa.field("lang", pa.string(), nullable=False),  # as the document declares it, e.g. <html lang>
        pa.field("date", pa.string(), nullable=False),  # ISO 8601, as far as it is known
        pa.field("retrieved", pa.string(), nullable=False),  # when it was fetched: by its crawl, else the source's date
        pa.field("basis", pa.string(), nullable=False),  # why it may be used for training (Rights.basis)
        pa.field("encoding", pa.string(), nullable=False),  # codec the bytes were read with
        pa.field("decode_confidence", pa.float32(), nullable=False),
        pa.field("changed_by", pa.string(), nullable=False),  # steps that changed the text, joined by commas
        pa.field("meta", pa.string(), nullable=False),  # JSON object: what the format knew besides
    ]
)
DROPPED = pa.schema(
    [
        ("id", pa.string()), ("source", pa.string()), ("url", pa.string()),
        ("step", pa.string()), ("reason", pa.string()),
        ("value", pa.float64()), ("threshold", pa.float64()), ("detail", pa.string()), ("text", pa.string()),
    ]
)  # fmt: skip
QUARANTINED = pa.schema([("id", pa.string()), ("source", pa.string()), ("error", pa.string()), ("detail", pa.string())])
EDITS = pa.schema(
    [("id", pa.string()), ("source", pa.string()), ("step", pa.string()), ("kind", pa.string()),
     ("start", pa.int64()), ("length", pa.int64()),  # characters of the text before the step
     ("before", pa.string()), ("after", pa.string())]  # null unless the step was asked to keep them
)  # fmt: skip
CONTAMINATION = pa.schema(
    [("id", pa.string()), ("source", pa.string()), ("benchmark", pa.string()), ("item", pa.string()),
     ("share", pa.float64()),  # of the item's n-grams that stand in the document
     ("start", pa.int64()), ("length", pa.int64()),  # characters: from the first to the last of them
     ("excerpt", pa.string())]
)  # fmt: skip
DECISION = pa.schema(
    [("id", pa.string()), ("reason", pa.string()), ("value", pa.float64()), ("threshold", pa.float64()),
     ("detail", pa.string()),
     ("size", pa.int64())]  # of the cluster, where the document stays for others; then there is no reason
)  # fmt: skip


@dataclass(frozen=True)
class Document:
    """One document as a source reads it."""

    id: str
    text: str
    title: str = ""
    url: str = ""
    licence: str = ""
    lang: str = ""
    date: str = ""
    retrieved: str = ""
    encoding: str = "utf-8"
    confidence: float = 1.0
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Quarantined:
    """Input that could not be read as a document, and why."""

    id: str
    error: str
    detail: str


def schema_with(columns: Sequence[str]) -> pa.Schema:
    """SCHEMA and the string columns that the sources of a recipe lift out of `meta`; null where a source has none."""
    return pa.schema([*SCHEMA, *(pa.field(name, pa.string()) for name in columns)])


def empty(schema: pa.Schema) -> pa.RecordBatch:
    """A batch without rows."""
    return pa.record_batch([pa.array([], field.type) for field in schema], schema=schema)


def to_batch(
    documents: Sequence[Document],
    source: str,
    licence: str,
    columns: Sequence[str] = (),
    *,
    retrieved: str = "",
    basis: str = "licence",
) -> pa.RecordBatch:
    """Documents of one source as a record batch.

    Args:
        licence: stands where a document names none of its own.
        columns: keys of `meta` to put into columns of their own.
        retrieved: date that stands where a document does not tell when it was fetched.
        basis: why the source may be used for training.
    """
    given: dict[str, Any] = {
        "id": [clean(document.id) for document in documents],
        "text": [document.text for document in documents],
        "title": [clean(document.title) for document in documents],
        "url": [clean(document.url) for document in documents],
        "licence": [clean(document.licence) or licence for document in documents],
        "lang": [clean(document.lang) for document in documents],
        "date": [clean(document.date) for document in documents],
        "retrieved": [clean(document.retrieved) or retrieved for document in documents],
        "encoding": [document.encoding for document in documents],
        "decode_confidence": [document.confidence for document in documents],
    }
    metas = [document.meta for document in documents] if any(document.meta for document in documents) else None
    return in_columns(given, len(documents), source, licence, columns, metas=metas, retrieved=retrieved, basis=basis)


def in_columns(
    given: Mapping[str, Any],
    count: int,
    source: str,
    licence: str,
    columns: Sequence[str] = (),
    *,
    metas: Sequence[dict[str, Any]] | None = None,
    retrieved: str = "",
    basis: str = "licence",
) -> pa.RecordBatch:
    """Documents of one source as a record batch, where their columns are there already.

    Args:
        given: arrays or lists of `count` values, or one value for all, by column; what is left out is empty.
        metas: `meta` of each document; None where no document has any.
    Other arguments as for `to_batch`.
    """
    rows: dict[str, Any] = dict.fromkeys(SCHEMA.names, "") | {
        "source": source, "licence": licence, "retrieved": retrieved, "basis": basis, "encoding": "utf-8",
        "decode_confidence": 1.0, "meta": "{}",
    }  # fmt: skip
    rows |= {**dict.fromkeys(columns), **given}
    if metas is not None:
        for name in columns:
            rows[name] = [_text(meta.get(name)) for meta in metas]
        rows["meta"] = [_json({key: value for key, value in meta.items() if key not in columns}) for meta in metas]
    schema = schema_with(columns)
    return pa.record_batch([_repeated(rows[field.name], count, field.type) for field in schema], schema=schema)


def clean(text: str) -> str:
    """A short field without lone surrogates: names and titles come from anywhere."""
    return text.encode("utf-8", "backslashreplace").decode()


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _json(meta: dict[str, Any]) -> str:
    text = json.dumps(meta, ensure_ascii=False, sort_keys=True, default=str)  # Parquet has dates and decimals
    return clean(text)  # a lone surrogate goes back to its JSON escape


def quarantine_table(rows: Iterable[Quarantined], source: str) -> pa.Table:
    """Quarantined input as rows for `quarantined/*.parquet`."""
    return pa.Table.from_pylist(
        [{"id": clean(row.id), "source": source, "error": row.error, "detail": clean(row.detail)} for row in rows],
        schema=QUARANTINED,
    )


def drop_table(
    batch: pa.RecordBatch,
    rows: pa.Array,
    *,
    step: str,
    reason: str | pa.Array,
    values: pa.Array | Sequence[float | None] | None,
    threshold: pa.Array | float | None,
    details: pa.Array | Sequence[str] | str = "",
    text: bool = True,
) -> pa.Table:
    """Rows for `dropped/*.parquet`: which documents a step took out, why, and by which figure.

    Args:
        rows: their places in the batch; columns have one value for each, anything else stands for all.
        text: whether to keep their text.
    """
    taken = batch.take(rows)
    given = {"step": step, "reason": reason, "value": values, "threshold": threshold, "detail": details}
    given |= {} if text else {"text": None}
    columns = [
        _repeated(given[field.name], len(rows), field.type) if field.name in given else taken.column(field.name)
        for field in DROPPED
    ]
    return pa.table(columns, schema=DROPPED)


def _repeated(value: Any, count: int, type_: pa.DataType) -> pa.Array:
    """A column as it is, or one value `count` times."""
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str):
        return pa.array(value, type_)
    return pa.repeat(pa.scalar(value, type_), count)

"""The document batch: what every source yields and every step takes.

One row is one document. The columns of SCHEMA never change type. A source may lift keys of `meta` into columns of their
own (`Source.columns`), the same for every shard of a corpus; signals add columns on the right.
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
    schema = schema_with(columns)
    rows: dict[str, list[Any]] = {name: [] for name in schema.names}
    for document in documents:
        rows["id"].append(_clean(document.id))
        rows["text"].append(document.text)
        rows["source"].append(source)
        rows["title"].append(_clean(document.title))
        rows["url"].append(_clean(document.url))
        rows["licence"].append(_clean(document.licence) or licence)
        rows["lang"].append(_clean(document.lang))
        rows["date"].append(_clean(document.date))
        rows["retrieved"].append(_clean(document.retrieved) or retrieved)
        rows["basis"].append(basis)
        rows["encoding"].append(document.encoding)
        rows["decode_confidence"].append(document.confidence)
        rows["changed_by"].append("")
        lifted = {name: document.meta[name] for name in columns if name in document.meta}
        for name in columns:
            rows[name].append(_text(lifted.get(name)))
        rows["meta"].append(_json({key: value for key, value in document.meta.items() if key not in lifted}))
    return pa.record_batch([pa.array(rows[field.name], field.type) for field in schema], schema=schema)


def _clean(text: str) -> str:
    """A short field without lone surrogates: names and titles come from anywhere."""
    return text.encode("utf-8", "backslashreplace").decode()


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return _clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _json(meta: dict[str, Any]) -> str:
    text = json.dumps(meta, ensure_ascii=False, sort_keys=True, default=str)  # Parquet has dates and decimals
    return _clean(text)  # a lone surrogate goes back to its JSON escape


def quarantine_table(rows: Iterable[Quarantined], source: str) -> pa.Table:
    """Quarantined input as rows for `quarantined/*.parquet`."""
    return pa.Table.from_pylist(
        [{"id": _clean(row.id), "source": source, "error": row.error, "detail": _clean(row.detail)} for row in rows],
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

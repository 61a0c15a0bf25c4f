"""Records as columns: what `to_document` and `to_batch` make of records one by one, for whole blocks of JSON Lines.

    for block in blocks(member):
        rows = read_block(source, block, prefix, columns)       # rows.batch, rows.chars, rows.bad
    yield from in_batches(every, bad)                           # batches of the sizes that `Source.batches` gives

The result is that of the way one by one, to the byte: same rows, same order of what is quarantined, same ends of
batches; the tests compare both. Lines that `json_lines` does not vouch for take the way one by one.
Measured on one processor, MB/s of file against those one by one: documents of 5,000 bytes 257 and 177, the same with
kana and kanji as \\u escapes 350 and 207, documents of 90 bytes 144 and 15. Where every line holds a NaN: 127 and 162.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jpfm.data.document import Document, Quarantined, clean, in_columns
from jpfm.data.sources.base import BATCH_CHARS, BATCH_DOCUMENTS
from jpfm.data.sources.json_kernel import ABSENT, BLANK, ESCAPED, PLAIN, RECORD
from jpfm.data.sources.json_lines import Scanned, scan, sizes
from jpfm.data.sources.lines import Block, Line

if TYPE_CHECKING:
    from jpfm.data.sources.records import JsonlSource

NO_TEXT = ("empty", "no text in it")
"""Kind and detail of a document that is nothing but space."""


class Rows(NamedTuple):
    """Documents of one block, in order, and what is none."""

    batch: pa.RecordBatch
    chars: npt.NDArray[np.int64]
    """Characters of each text. Shape (num_rows,)."""
    bad: Sequence[tuple[int, Quarantined]] = ()
    """Each with the number of rows that stand before it."""


def read_block(source: "JsonlSource", block: Block, prefix: str, columns: Sequence[str]) -> Rows:
    """The records of a block.

    Args:
        prefix: of the ids; a line's number follows.
        columns: keys of `meta` that become columns of their own.
    """
    if block.one_by_one:
        return _read_one_by_one(source, block.lines(), prefix, columns)
    found = scan(block.utf8, source.named_fields)
    text = source.named_fields.index(source.text_field)
    vouched = (found.lines == RECORD) & np.isin(found.kinds[:, text], (PLAIN, ESCAPED))
    lines = np.flatnonzero(vouched)
    texts = found.strings(text, lines)
    chars, blank = sizes(texts)
    if blank.any():
        lines, texts, chars = lines[~blank], texts.filter(pa.array(~blank)), chars[~blank]
        vouched[:] = False
        vouched[lines] = True
    batch = _columns(source, found, lines, texts, block, prefix, columns)
    rest = {number: found.text(number) for number in np.flatnonzero(~vouched & (found.lines != BLANK)).tolist()}
    odd = [  # a line of ideographic spaces is as good as an empty one
        Line(block.before + number + 1, text.removesuffix("\r"), block.encoding, block.confidence)
        for number, text in rest.items()
        if text.strip()
    ]
    if not odd:
        return Rows(batch, chars)
    others = _read_one_by_one(source, odd, prefix, columns)
    return _merged(Rows(batch, chars), lines, others, np.array([line.number - block.before - 1 for line in odd]))


def _columns(
    source: "JsonlSource", found: Scanned, lines: npt.NDArray[np.intp], texts: pa.StringArray, block: Block,
    prefix: str, columns: Sequence[str],
) -> pa.RecordBatch:  # fmt: skip
    fields = source.named_fields

    def strings(name: str | None, *, integers: bool = False) -> pa.Array | str:
        return "" if name is None else found.strings(fields.index(name), lines, integers=integers)

    numbers = pa.array(lines + (block.before + 1)).cast(pa.string())
    given: dict[str, pa.Array | str | float] = {
        "id": pc.binary_join_element_wise(pa.scalar(clean(prefix)), numbers, ""), "text": texts,
        "title": strings(source.title_field), "url": strings(source.url_field),
        "date": strings(source.date_field, integers=True),
        "encoding": block.encoding, "decode_confidence": block.confidence,
    }  # fmt: skip
    metas = None
    if source.meta_fields:
        asked = [(name, fields.index(name)) for name in source.meta_fields]
        metas = [
            {name: json.loads(found.span(line, field)) for name, field in asked if found.kinds[line, field] != ABSENT}
            for line in lines.tolist()
        ]
    rights = source.rights
    return in_columns(
        given, len(lines), source.name, rights.licence, columns, metas=metas, retrieved=rights.retrieved,
        basis=rights.basis,
    )  # fmt: skip


def _read_one_by_one(source: "JsonlSource", lines: Iterable[Line], prefix: str, columns: Sequence[str]) -> Rows:
    documents: list[Document] = []
    bad: list[tuple[int, Quarantined]] = []
    for item in source.read_lines(lines, prefix):
        if isinstance(item, Document) and item.text.strip():
            documents.append(item)
        else:
            bad.append((len(documents), item if isinstance(item, Quarantined) else Quarantined(item.id, *NO_TEXT)))
    return Rows(source.to_batch(documents, columns), np.array([len(item.text) for item in documents], np.int64), bad)


def _merged(some: Rows, some_lines: npt.NDArray[np.intp], others: Rows, other_lines: npt.NDArray[np.intp]) -> Rows:
    """Rows of some lines and of others in the order of the lines. Of the others, one a line is a row or bad."""
    places = [before for before, _ in others.bad]
    is_bad = np.zeros(len(other_lines), dtype=np.bool_)
    is_bad[np.array(places, dtype=np.intp) + np.arange(len(places))] = True
    kept = other_lines[~is_bad]
    bad_lines = other_lines[is_bad]
    lines = np.concatenate([some_lines, kept])
    order = np.argsort(lines, kind="stable")
    places = np.searchsorted(lines[order], bad_lines).tolist()
    bad = [(place, item) for place, (_, item) in zip(places, others.bad, strict=True)]
    if others.batch.num_rows == 0:
        return Rows(some.batch, some.chars, bad)
    both = pa.concat_batches([some.batch, others.batch]).take(pa.array(order))
    return Rows(both, np.concatenate([some.chars, others.chars])[order], bad)


def in_batches(every: Iterable[Rows | Quarantined], bad: list[Quarantined]) -> Iterator[pa.RecordBatch]:
    """Rows joined and cut to batches as `Source.batches` makes them; what is bad is added to `bad` as it comes by."""
    waiting: list[pa.RecordBatch] = []
    num_chars = num_rows = 0
    for rows in every:
        if isinstance(rows, Quarantined):
            bad.append(rows)
            continue
        totals = np.cumsum(rows.chars)
        start = told = 0
        count = rows.batch.num_rows
        while start < count:
            before = int(totals[start - 1]) if start else 0
            full = int(np.searchsorted(totals, before + BATCH_CHARS - num_chars)) + 1
            stop = min(full, start + BATCH_DOCUMENTS - num_rows)
            if stop > count:
                waiting.append(rows.batch.slice(start))
                num_rows, num_chars = num_rows + count - start, num_chars + int(totals[-1]) - before
                break
            while told < len(rows.bad) and rows.bad[told][0] < stop:
                bad.append(rows.bad[told][1])
                told += 1
            yield pa.concat_batches([*waiting, rows.batch.slice(start, stop - start)])
            waiting, num_chars, num_rows, start = [], 0, 0, stop
        bad += [item for _, item in rows.bad[told:]]
    if waiting:
        yield pa.concat_batches(waiting)

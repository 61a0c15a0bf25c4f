"""Similarities that are known from before: a corpus that forgets some documents does not compare the others again.

    write_known(compared, decision)
    known = known_from(before, rows, first=0)        # pairs in the row numbers of now

A pair is known when both documents are still there with the keys they had.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jpfm.data.duplicates.bands import pack, unpack
from jpfm.data.duplicates.verdicts import Numbers, Rows
from jpfm.data.duplicates.verify import Compared

_FILE = "compared.pairs"


def write_known(compared: Compared, decision: Path) -> None:
    """Keep what was compared beside a decision."""
    table = pa.table({"pair": pa.array(compared.pairs), "value": pa.array(compared.values)})
    pq.write_table(table, decision / _FILE, compression="zstd")


def known_from(decision: Path, sketches: Sequence[Path], rows: Rows, first: int) -> Compared:
    """The pairs that a decision compared, in the row numbers of `rows`; those of changed documents are left out.

    Args:
        sketches: the files that the decision was made over, in the order of rows.files[first:].
        first: files of earlier corpora, which stand first in both.
    """
    table = pq.read_table(decision / _FILE)
    left, right = unpack(table.column("pair").to_numpy())
    moved = _moved(Rows([*rows.files[:first], *sketches]), rows, first)
    left, right = moved[left], moved[right]
    there = (left >= 0) & (right >= 0)
    pairs, values = pack(left[there], right[there]), table.column("value").to_numpy()[there]
    order = np.argsort(pairs, kind="stable")
    return Compared(pairs[order], values[order])


def _moved(before: Rows, now: Rows, first: int) -> Numbers:
    """For each row of before its number now; -1 where the document is gone or has another key."""
    out = np.full(before.count, -1, dtype=np.int64)
    for number, (old, new) in enumerate(zip(before.files, now.files, strict=True)):
        start, stop = int(before.starts[number]), int(before.starts[number + 1])
        if number < first or old.samefile(new):
            out[start:stop] = np.arange(now.starts[number], now.starts[number] + stop - start)
            continue
        columns = ["id", "key_high", "key_low"]
        place = pl.read_parquet(new, columns=columns).with_row_index("row")
        found = pl.read_parquet(old, columns=columns).join(place, on=columns, how="left", maintain_order="left")
        rows = found["row"].cast(pl.Int64).fill_null(-1).to_numpy()
        out[start:stop] = np.where(rows >= 0, rows + now.starts[number], -1)
    return out

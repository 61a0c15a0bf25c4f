"""From row numbers to verdicts: ids, reasons and cluster sizes in one file a shard.

The documents of a pass are numbered through, shard by shard; `Rows` knows which shard a number lies in.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from jpfm.data.document import DECISION

Numbers = npt.NDArray[np.int64]


class Rows:
    """Documents numbered over several files of sketches."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)
        counts = [pq.read_metadata(file).num_rows for file in files]
        self.starts: Numbers = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    @property
    def count(self) -> int:
        """Documents in all."""
        return int(self.starts[-1])

    def by_file(self, rows: Numbers) -> Iterator[tuple[int, Numbers, slice]]:
        """For ascending numbers: each file that holds some, their rows in it, and their place among the numbers."""
        edges = np.searchsorted(rows, self.starts)
        for number in np.flatnonzero(np.diff(edges)).tolist():
            here = slice(int(edges[number]), int(edges[number + 1]))
            yield number, rows[here] - self.starts[number], here

    def column(self, name: str) -> npt.NDArray[np.uint64]:
        """A whole column of numbers. Shape (count,), uint64."""
        out = np.empty(self.count, dtype=np.uint64)
        for file, start, stop in zip(self.files, self.starts[:-1], self.starts[1:], strict=True):
            if stop > start:
                out[start:stop] = pq.read_table(file, columns=[name]).column(0).to_numpy()
        return out

    def has(self, name: str) -> bool:
        """Whether the sketches have this column."""
        return bool(self.files) and name in pq.read_schema(self.files[0]).names

    def ids(self, rows: Numbers) -> pa.Array:
        """Ids of documents by ascending number."""
        taken = [pa.array([], pa.string())]
        for number, here, _ in self.by_file(rows):
            column = pq.read_table(self.files[number], columns=["id"]).column("id")
            taken += column.take(pa.array(here)).chunks
        return pa.concat_arrays(taken)


class Verdicts(NamedTuple):
    """Documents that go, each for one that stays. Shapes (m,)."""

    rows: Numbers
    stays: Numbers
    values: npt.NDArray[np.float64]
    """Similarity of the two."""


def write_verdicts(
    found: Verdicts, rows: Rows, names: Sequence[str], folder: Path,
    *, reason: str, threshold: float, sizes: tuple[Numbers, Numbers], first: int = 0, words: str = "",
) -> None:  # fmt: skip
    """Write DECISION files for the shards that have a verdict.

    Args:
        found: `rows` ascending.
        rows: files of sketches; those before number `first` are signatures of earlier corpora.
        names: shards of the files from `first` on.
        sizes: documents that stay for others (ascending), and the size of each one's cluster.
        words: stands behind the id of a document of an earlier corpus.
    """
    wanted, places = np.unique(found.stays, return_inverse=True)
    stays = rows.ids(wanted).take(pa.array(places))
    earlier = np.searchsorted(rows.starts, wanted, side="right") <= first if len(wanted) else np.zeros(0, np.bool_)
    tails = pa.array(np.where(earlier, words, ""), pa.string()).take(pa.array(places))
    details = [f"same as {one}{tail}" for one, tail in zip(stays.to_pylist(), tails.to_pylist(), strict=True)]
    gone = pa.table(
        [
            rows.ids(found.rows), pa.array([reason] * len(found.rows), pa.string()),
            pa.array(found.values, pa.float64()), pa.array([threshold] * len(found.rows), pa.float64()),
            pa.array(details, pa.string()), pa.nulls(len(found.rows), pa.int64()),
        ],
        schema=DECISION,
    )  # fmt: skip
    kept_rows, kept_sizes = sizes
    count = len(kept_rows)
    empty = [pa.nulls(count, field.type) for field in list(DECISION)[1:5]]
    kept = pa.table([rows.ids(kept_rows), *empty, pa.array(kept_sizes, pa.int64())], schema=DECISION)
    order = np.argsort(np.concatenate([found.rows, kept_rows]), kind="stable")
    numbers = np.concatenate([found.rows, kept_rows])[order]
    table = pa.concat_tables([gone, kept]).take(pa.array(order))
    for number, _, here in rows.by_file(numbers):
        if number >= first:
            part = table.slice(here.start, here.stop - here.start).combine_chunks()
            pq.write_table(part, folder / f"{names[number - first]}.parquet", compression="zstd")

"""The band join: which documents are candidates for each other, over hundreds of millions of signatures.

    pairs, buckets = candidates(rows, 16, taking_part=mask, ranks=None, earlier=0, scratch=folder, engine=engine)

A bucket is the documents with an equal key in one band. One band is joined at a time, and where it does not fit into
MEMORY a part of its key range at a time: read one column of numbers, sort, cut where the key changes. Jobs of different
bands are independent, so any engine runs them. 20 million signatures take 640 MB a worker.

Small buckets give all their pairs. A bucket of more than SMALL documents gives the pairs of its first document with
all others and of neighbours; `verify` then asks on for what that leaves open, so that a million look-alikes cost
millions of comparisons and not their square.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from jpfm.core.shards import Engine, map_shards
from jpfm.data.duplicates.verdicts import Numbers, Rows
from jpfm.text.sketch import EMPTY_ROW

SMALL = 8
MEMORY = 1 << 30
_BYTES_A_ROW = 40  # a key, its row, their order, both sorted
_SHIFT = np.uint64(32)


class Buckets(NamedTuple):
    """Buckets of more than SMALL documents: bucket i is rows[starts[i]:starts[i + 1]], the best first."""

    starts: Numbers
    rows: Numbers


class BandJob(NamedTuple):
    """A part of one band, and where its result goes."""

    files: tuple[Path, ...]
    band: str
    part: int
    parts: int
    taking_part: Path | None
    """A file of one bool a row; None is all."""
    ranks: Path | None
    """A file of one number a row: in a bucket the lowest comes first; None is the order of rows."""
    marks: Path | None
    """A file of one number a row: rows of a bucket have one mark; None is one mark for all."""
    earlier: int
    """Rows of earlier corpora: they come first, and two of them are never a pair."""
    out: Path


def candidates(
    rows: Rows, bands: int, *, taking_part: npt.NDArray[np.bool_] | None, ranks: Numbers | None, earlier: int,
    scratch: Path, engine: Engine, marks: npt.NDArray[np.uint64] | None = None,
) -> tuple[npt.NDArray[np.uint64], Buckets]:  # fmt: skip
    """Pairs to verify, and the buckets that need more than these.

    Args:
        taking_part: which rows are joined; None is all.
        ranks: a number for each row; the lowest of a bucket is compared with all others. None is the order of rows.
        marks: a number for each row; only rows with one mark share a bucket. Of rows that their marks alone keep apart
            one pair a mark is given, so that they can be counted.
        earlier: rows below this belong to earlier corpora; two of them are never a pair.

    Returns:
        Distinct pairs as left << 32 | right, left < right, ascending; the large buckets of all bands.
    """
    given = {"taking_part": taking_part, "ranks": ranks, "marks": marks}
    mask, order, kinds = (_saved(values, scratch / f"{name}.npy") for name, values in given.items())
    parts = max(1, -(-rows.count * _BYTES_A_ROW // MEMORY))
    jobs = [
        BandJob(
            rows.files,
            band_name(band),
            part,
            parts,
            mask,
            order,
            kinds,
            earlier,
            scratch / f"band{band:03d}.{part:04d}",
        )
        for band in range(bands)
        for part in range(parts)
    ]
    pairs, buckets, sizes = [], [], [np.zeros(1, dtype=np.int64)]
    for job, _ in map_shards(join_part, jobs, engine if rows.count > 100_000 else engine.few()):
        pairs.append(np.load(_file(job, "pairs"), mmap_mode="r"))
        buckets.append(np.load(_file(job, "rows")))
        sizes.append(np.load(_file(job, "sizes")))
    return distinct(pairs), Buckets(np.cumsum(np.concatenate(sizes)), np.concatenate([np.zeros(0, np.int64), *buckets]))


def _saved(values: npt.NDArray[Any] | None, file: Path) -> Path | None:
    if values is None:
        return None
    np.save(file, values)
    return file


def band_name(band: int) -> str:
    """The column of a band in sketches and signatures."""
    return f"band_{band:03d}"


def _file(job: BandJob, kind: str) -> Path:
    return job.out.with_name(f"{job.out.name}.{kind}.npy")


def join_part(job: BandJob) -> int:
    """Find the buckets of one part of a band and write their pairs; returns the number of pairs."""
    keys, numbers = _load(job)
    ranks, marks = (
        np.load(file, mmap_mode="r")[numbers] if file is not None else None for file in (job.ranks, job.marks)
    )
    order = np.lexsort([column for column in (ranks, marks, keys) if column is not None])
    keys, numbers = keys[order], numbers[order]
    fresh = keys[1:] != keys[:-1]
    pairs = [np.zeros(0, dtype=np.uint64)]
    if marks is not None:
        marks = marks[order]
        apart = ~fresh & (marks[1:] != marks[:-1])
        begins = np.maximum.accumulate(np.where(np.concatenate([[True], fresh]), np.arange(len(keys)), 0)[: len(keys)])
        pairs.append(pack(numbers[begins[1:][apart]], numbers[1:][apart]))
        fresh |= apart
    del order
    edges = np.flatnonzero(np.concatenate([[True], fresh, [True]])) if len(keys) else np.zeros(1, int)
    sizes = np.diff(edges)
    for size in range(2, SMALL + 1):
        starts = edges[:-1][sizes == size]
        for left in range(size):
            for right in range(left + 1, size):
                pairs.append(pack(numbers[starts + left], numbers[starts + right]))
    large = sizes > SMALL
    rows = numbers[np.repeat(large, sizes)] if len(sizes) else numbers
    starts = np.concatenate([[0], np.cumsum(sizes[large])]).astype(np.int64)
    pairs += first_and_neighbours(Buckets(starts, rows))
    found = distinct(pairs)
    if job.earlier:
        found = found[(found & np.uint64(0xFFFFFFFF)) >= np.uint64(job.earlier)]
    np.save(_file(job, "pairs"), found)
    np.save(_file(job, "rows"), rows)
    np.save(_file(job, "sizes"), sizes[large].astype(np.int64))
    return len(found)


def _load(job: BandJob) -> tuple[npt.NDArray[np.uint64], Numbers]:
    """The keys of a band in this part of their range, and their rows."""
    mask = np.load(job.taking_part, mmap_mode="r") if job.taking_part is not None else None
    width = np.uint64(-(-(1 << 64) // job.parts) - (job.parts == 1))
    low = np.uint64(job.part) * width
    keys, numbers, start = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], 0
    for file in job.files:
        column = pq.read_table(file, columns=[job.band]).column(0).to_numpy()
        wanted = column != EMPTY_ROW
        if mask is not None:
            wanted &= mask[start : start + len(column)]
        if job.parts > 1:
            wanted &= column - low < width
        keys.append(column[wanted])
        numbers.append(np.flatnonzero(wanted) + start)
        start += len(column)
    return np.concatenate(keys), np.concatenate(numbers)


def first_and_neighbours(buckets: Buckets) -> Iterator[npt.NDArray[np.uint64]]:
    """The pairs of each bucket's first document with the others, and of documents that follow each other."""
    starts, rows = buckets
    if len(rows) == 0:
        return
    sizes = np.diff(starts)
    first = np.repeat(rows[starts[:-1]], sizes)
    is_first = np.zeros(len(rows), dtype=np.bool_)
    is_first[starts[:-1]] = True
    yield pack(first[~is_first], rows[~is_first])
    yield pack(rows[:-1][~is_first[1:]], rows[1:][~is_first[1:]])


def pack(left: Numbers, right: Numbers) -> npt.NDArray[np.uint64]:
    """Two row numbers in one, the lower first."""
    return np.minimum(left, right).astype(np.uint64) << _SHIFT | np.maximum(left, right).astype(np.uint64)


def unpack(pairs: npt.NDArray[np.uint64]) -> tuple[Numbers, Numbers]:
    """(left, right) of packed pairs."""
    return (pairs >> _SHIFT).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


def distinct(sorted_or_not: list[npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]:
    """Each pair once, ascending."""
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *sorted_or_not]))

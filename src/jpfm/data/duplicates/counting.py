"""Counting keys over all shards: which stand in many documents, how many, and in which shard first.

    keys, documents = per_document(rows, keys)                      # in a sketch: a batch's distinct keys
    found = frequent_keys(files, 10, scratch=folder, engine=engine) # in a decision

Sketches hold a row a key and batch: 12 bytes. Each sketch is sorted once into two mapped files; then the range of keys
is cut into parts that fit into MEMORY, and a part reads its stretch of every file, sorts and adds up. Both are
independent jobs, so any engine runs them, and each row is read twice however many parts there are: 10^9 rows are 56
parts of 1 GB and 12 GB of scratch. Refused: polars' streaming group_by (holds all groups in memory).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from jpfm.core.shards import LOCAL, Engine, map_shards

MEMORY = 1 << 30
_BYTES_A_ROW = 60  # a key and its count, twice while they are joined; their order; both sorted
_WORTH_A_PROCESS = 100_000  # rows
U64 = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


class Frequent(NamedTuple):
    """Keys that stand in enough documents, ascending. Shapes (k,)."""

    keys: U64
    documents: Numbers
    first: Numbers
    """The number of the first file with the key."""

    def where(self, mask: npt.NDArray[np.bool_]) -> "Frequent":
        """Those that the mask says."""
        return Frequent(self.keys[mask], self.documents[mask], self.first[mask])


class SortJob(NamedTuple):
    """A sketch, and where its sorted keys go."""

    sketch: Path
    out: Path


class CountJob(NamedTuple):
    """A part of the range of keys."""

    sorted: tuple[Path, ...]
    minimum: int
    part: int
    parts: int


def per_document(rows: Numbers, keys: U64) -> tuple[U64, npt.NDArray[np.uint32]]:
    """The distinct keys of a batch, ascending, and in how many of its documents each stands.

    Args:
        rows: the document of each key, ascending.
    """
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    fresh = _fresh(keys)
    counts = fresh.copy()
    counts[1:] |= rows[1:] != rows[:-1]
    starts = np.flatnonzero(fresh)
    return keys[starts], _sums(counts, starts).astype(np.uint32)


def _fresh(ordered: U64) -> npt.NDArray[np.bool_]:
    """Where another key begins."""
    fresh = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    return fresh


def _sums(counts: npt.NDArray[Any], starts: Numbers) -> Numbers:
    return np.add.reduceat(counts, starts, dtype=np.int64) if len(starts) else np.zeros(0, dtype=np.int64)


def frequent_keys(files: Sequence[Path], minimum: int, *, scratch: Path, engine: Engine = LOCAL) -> Frequent:
    """Keys in at least `minimum` documents.

    Args:
        files: Parquet with the columns `key` (uint64) and `documents` (uint32); a key may have several rows.
        scratch: a folder for files on the way.
    """
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    engine = engine if rows > _WORTH_A_PROCESS else engine.few()
    jobs = [SortJob(file, scratch / f"sorted.{number:06d}") for number, file in enumerate(files)]
    runs = tuple(job.out for job, _ in map_shards(sort_keys, jobs, engine))
    parts = max(1, -(-rows * _BYTES_A_ROW // MEMORY))
    counting = [CountJob(runs, minimum, part, parts) for part in range(parts)]
    found = [part for _, part in map_shards(count_part, counting, engine)]
    for run in runs:
        for kind in _KINDS:
            _file(run, kind).unlink()
    return Frequent(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


_KINDS = ("keys", "documents")


def _file(run: Path, kind: str) -> Path:
    return run.with_name(f"{run.name}.{kind}.npy")


def sort_keys(job: SortJob) -> None:
    """Write the keys of a sketch in their order, and the documents of each."""
    table = pq.read_table(job.sketch, columns=["key", "documents"])
    keys, documents = (table.column(name).to_numpy() for name in table.column_names)
    order = np.argsort(keys, kind="stable")
    for kind, values in zip(_KINDS, (keys, documents), strict=True):
        np.save(_file(job.out, kind), values[order])


def count_part(job: CountJob) -> Frequent:
    """Add up one part of the range."""
    low, high = (-(-(part << 64) // job.parts) for part in (job.part, job.part + 1))
    keys, counts, sizes = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.uint32)], []
    for run in job.sorted:
        own, documents = (np.load(_file(run, kind), mmap_mode="r") for kind in _KINDS)
        first = np.searchsorted(own, np.uint64(low))
        last = np.searchsorted(own, np.uint64(high)) if high < 1 << 64 else len(own)
        keys.append(own[first:last].copy())  # a copy: thousands of maps would stay open
        counts.append(documents[first:last].copy())
        sizes.append(last - first)
    key, count = np.concatenate(keys), np.concatenate(counts)
    order = np.argsort(key, kind="stable")  # rows of equal keys stay in the order of files
    key = key[order]
    starts = np.flatnonzero(_fresh(key))
    documents = _sums(count[order], starts)
    enough = documents >= job.minimum
    first_rows = order[starts[enough]]
    return Frequent(key[starts[enough]], documents[enough], np.searchsorted(np.cumsum(sizes), first_rows, side="right"))

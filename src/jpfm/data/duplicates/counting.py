"""Counting keys over all shards: which stand in many documents, how many, and in which shard first.

    keys, documents = per_document(rows, keys)                      # in a sketch: a batch's distinct keys
    found = frequent_keys(files, 10, engine=engine)                 # in a decision

Sketches hold a row a key and batch: 12 bytes. The range of keys is cut into parts that fit into MEMORY; a part reads
the two columns of all sketches, keeps its range, sorts and adds up. Parts are independent, so any engine runs them.
10^9 rows are 38 parts of 1 GB each, however many files they lie in. Refused: a shuffle into one file a part (saves
reading 12 bytes a row and part, costs as much scratch as sketches); polars' streaming group_by (holds all groups).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from jpfm.core.shards import LOCAL, Engine, map_shards

MEMORY = 1 << 30
_BYTES_A_ROW = 40  # a key and its count, their order, both sorted
_BATCH = 1 << 20
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


class CountJob(NamedTuple):
    """A part of the range of keys."""

    files: tuple[Path, ...]
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
    fresh = np.ones(len(keys), dtype=np.bool_)
    fresh[1:] = keys[1:] != keys[:-1]
    counts = fresh.copy()
    counts[1:] |= rows[1:] != rows[:-1]
    starts = np.flatnonzero(fresh)
    documents = np.add.reduceat(counts, starts, dtype=np.uint32) if len(starts) else np.zeros(0, dtype=np.uint32)
    return keys[starts], documents


def frequent_keys(files: Sequence[Path], minimum: int, *, engine: Engine = LOCAL) -> Frequent:
    """Keys in at least `minimum` documents.

    Args:
        files: Parquet with the columns `key` (uint64) and `documents` (uint32); a key may have several rows.
    """
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    parts = max(1, -(-rows * _BYTES_A_ROW // MEMORY))
    jobs = [CountJob(tuple(files), minimum, part, parts) for part in range(parts)]
    found = [part for _, part in map_shards(count_part, jobs, engine)]
    return Frequent(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


def count_part(job: CountJob) -> Frequent:
    """Add up one part of the range."""
    keys, counts = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.uint32)]
    total, ends = 0, []
    for file in job.files:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=_BATCH, columns=["key", "documents"]):
            key, count = (batch.column(name).to_numpy() for name in ("key", "documents"))
            if job.parts > 1:
                mask = ((key >> np.uint64(32)) * np.uint64(job.parts)) >> np.uint64(32) == np.uint64(job.part)
                key, count = key[mask], count[mask]
            keys.append(key)
            counts.append(count)
            total += len(key)
        ends.append(total)
    key, count = np.concatenate(keys), np.concatenate(counts)
    keys.clear()
    counts.clear()
    order = np.argsort(key, kind="stable")  # rows of equal keys stay in the order of files
    key = key[order]
    fresh = np.ones(len(key), dtype=np.bool_)
    fresh[1:] = key[1:] != key[:-1]
    starts = np.flatnonzero(fresh)
    documents = np.add.reduceat(count[order], starts, dtype=np.int64) if len(starts) else np.zeros(0, dtype=np.int64)
    enough = documents >= job.minimum
    starts = starts[enough]
    return Frequent(key[starts], documents[enough], np.searchsorted(np.array(ends), order[starts], side="right"))

"""Confirming candidates: only the exact Jaccard similarity of the n-gram sets of two keys drops a document.

    found = confirmed(pairs, buckets, 0.8, similarity)

The sets of all candidates are computed once, shard by shard, into one file of hashes that is mapped, not read: what is
compared together lies together, and memory holds what the machine has to spare. Buckets that gave only some of their
pairs are asked again for the documents still without an earlier similar one, up to TURNS times.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from jpfm.core.log import log
from jpfm.core.shards import Engine, map_shards
from jpfm.data.duplicates.bands import Buckets, distinct, first_and_neighbours, pack, unpack
from jpfm.data.duplicates.clusters import Edges
from jpfm.data.duplicates.verdicts import Numbers, Rows
from jpfm.text.dedup_key import KeyRules, keys
from jpfm.text.sketch import NgramSets, jaccard, ngram_sets

TURNS = 64
_PAIRS_A_JOB = 200_000
_BATCH = 4096


class SetsJob(NamedTuple):
    """Documents of one file whose n-gram sets are wanted."""

    file: Path
    rows: Numbers
    rules: KeyRules
    size: int
    out: Path


def write_sets(job: SetsJob) -> Numbers:
    """Write the sets of some documents of a file one after the other; returns their sizes.

    The file holds texts (documents of a pass) or finished sets (the column `ngrams` of signatures).
    """
    file = pq.ParquetFile(job.file)
    column = "ngrams" if "ngrams" in file.schema_arrow.names else "text"
    sizes, start = [np.zeros(0, dtype=np.int64)], 0
    with job.out.open("wb") as out:
        for batch in file.iter_batches(batch_size=_BATCH, columns=[column]):
            first, last = np.searchsorted(job.rows, (start, start + batch.num_rows))
            taken = batch.column(0).take(job.rows[first:last] - start)
            start += batch.num_rows
            if len(taken) == 0:
                continue
            if column == "text":
                sets = ngram_sets(keys(taken, job.rules), size=job.size)
                values, offsets = sets.values, sets.offsets
            else:
                values = taken.flatten().to_numpy()
                offsets = taken.offsets.to_numpy().astype(np.int64)
            out.write(np.ascontiguousarray(values).tobytes())
            sizes.append(np.diff(offsets))
    return np.concatenate(sizes)


class Candidates(NamedTuple):
    """Documents with their sets: document rows[i] has the i-th set."""

    rows: Numbers
    sets: NgramSets
    folder: Path


def gather_sets(
    wanted: Numbers, rows: Rows, files: tuple[Path, ...], rules: KeyRules, size: int, scratch: Path, engine: Engine
) -> Candidates:
    """The n-gram sets of the wanted rows (ascending), in one mapped file.

    Args:
        files: where the documents (or signatures) of each file of `rows` lie.
    """
    jobs = [
        SetsJob(files[number], here, rules, size, scratch / f"sets.{number:06d}")
        for number, here, _ in rows.by_file(wanted)
    ]
    joined = scratch / "sets"
    sizes = [np.zeros(1, dtype=np.int64)]
    with joined.open("wb") as out:
        for job, found in map_shards(write_sets, jobs, engine if len(wanted) > 2_000 else engine.few()):
            sizes.append(found)
            out.write(job.out.read_bytes())
            job.out.unlink()
    offsets = np.cumsum(np.concatenate(sizes))
    np.save(scratch / "sets.offsets.npy", offsets)
    return Candidates(wanted, open_sets(scratch), scratch)


def open_sets(scratch: Path) -> NgramSets:
    """Map the file that `gather_sets` wrote."""
    offsets = np.load(scratch / "sets.offsets.npy")
    if offsets[-1] == 0:
        return NgramSets(offsets, np.zeros(1, dtype=np.uint32))
    return NgramSets(offsets, np.memmap(scratch / "sets", dtype=np.uint32, mode="r"))


class PairsJob(NamedTuple):
    """Pairs of places in the file of sets."""

    folder: Path
    left: Numbers
    right: Numbers


def compare(job: PairsJob) -> npt.NDArray[np.float64]:
    """The similarity of each pair."""
    sets = open_sets(job.folder)
    return jaccard(sets, sets, job.left, job.right)


def similarities(pairs: npt.NDArray[np.uint64], found: Candidates, engine: Engine) -> npt.NDArray[np.float64]:
    """Exact similarity of packed pairs of rows. Shape (num_pairs,)."""
    left, right = (np.searchsorted(found.rows, side) for side in unpack(pairs))
    jobs = [
        PairsJob(found.folder, left[start : start + _PAIRS_A_JOB], right[start : start + _PAIRS_A_JOB])
        for start in range(0, len(pairs), _PAIRS_A_JOB)
    ]
    return np.concatenate([np.zeros(0), *(values for _, values in map_shards(compare, jobs, engine))])


class Compared(NamedTuple):
    """Packed pairs, ascending, and their exact similarity. Shapes (num_pairs,)."""

    pairs: npt.NDArray[np.uint64]
    values: npt.NDArray[np.float64]

    def with_more(self, other: "Compared") -> "Compared":
        """Both; no pair is in both."""
        pairs = np.concatenate([self.pairs, other.pairs])
        order = np.argsort(pairs, kind="stable")
        return Compared(pairs[order], np.concatenate([self.values, other.values])[order])

    def look_up(self, asked: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """The similarity of each pair that is known, and which are not."""
        values = np.zeros(len(asked))
        there = is_in(asked, self.pairs)
        values[there] = self.values[np.searchsorted(self.pairs, asked[there])]
        return values, ~there

    def at_least(self, threshold: float) -> Edges:
        """The pairs that are similar enough."""
        similar = self.values >= threshold
        return Edges(*unpack(self.pairs[similar]), self.values[similar])


NOTHING = Compared(np.zeros(0, dtype=np.uint64), np.zeros(0))
"""No pairs."""


class Confirmed(NamedTuple):
    """All pairs that were compared."""

    compared: Compared
    unfinished: int
    """Buckets in which documents are left that were not compared with each other."""


def confirmed(
    pairs: npt.NDArray[np.uint64],
    buckets: Buckets,
    threshold: float,
    similarity: Callable[[npt.NDArray[np.uint64]], npt.NDArray[np.float64]],
    *,
    earlier: int = 0,
) -> Confirmed:
    """Compare all pairs, then those that large buckets still need.

    Args:
        pairs: distinct, ascending.
        similarity: exact similarity of packed pairs.
        earlier: rows below this are never compared with each other.
    """
    done = Compared(pairs, similarity(pairs))
    for _ in range(TURNS):
        buckets = without_similar(buckets, done.pairs[done.values >= threshold])
        if len(buckets.rows) == 0:
            break
        asked = distinct(list(first_and_neighbours(buckets)))
        if earlier:
            asked = asked[(asked & np.uint64(0xFFFFFFFF)) >= np.uint64(earlier)]
        asked = asked[~is_in(asked, done.pairs)]
        done = done.with_more(Compared(asked, similarity(asked)))
    unfinished = len(without_similar(buckets, done.pairs[done.values >= threshold]).starts) - 1
    if unfinished:
        log.warning("%d buckets hold more than %d documents that share a band and are not similar; pairs in their rest "
                    "were not all compared", unfinished, TURNS)  # fmt: skip
    return Confirmed(done, unfinished)


def is_in(items: npt.NDArray[np.uint64], ordered: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which items stand in an ascending array."""
    if len(ordered) == 0:
        return np.zeros(len(items), dtype=np.bool_)
    place = np.minimum(np.searchsorted(ordered, items), len(ordered) - 1)
    return np.asarray(ordered[place] == items)


def without_similar(buckets: Buckets, edges: npt.NDArray[np.uint64]) -> Buckets:
    """Each bucket without its first document, which was compared with all others, and without those similar to it."""
    starts, rows = buckets
    if len(rows) == 0:
        return buckets
    sizes = np.diff(starts)
    first = np.repeat(rows[starts[:-1]], sizes)
    similar = is_in(pack(first, rows), edges)
    similar[starts[:-1]] = True
    left = ~similar
    counts = np.add.reduceat(left, starts[:-1])
    keep = counts > 1
    chosen = left & np.repeat(keep, sizes)
    return Buckets(np.concatenate([[0], np.cumsum(counts[keep])]).astype(np.int64), rows[chosen])

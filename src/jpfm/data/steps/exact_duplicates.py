"""Exact duplicates: of documents with an equal key one stays.

    - step: exact_duplicates
      prefer: {rule: newest}
      key: {case: false, punctuation: false}

The key is xxh3-128 of the normalised text: by default width and white space make no difference, all else does.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from jpfm.core.artifact import Artifact
from jpfm.core.config import place
from jpfm.data.duplicates.clusters import cluster_sizes
from jpfm.data.duplicates.prefer import Prefer, best_first
from jpfm.data.duplicates.store import Stores
from jpfm.data.duplicates.verdicts import Numbers, Rows, Verdicts, write_verdicts
from jpfm.data.steps.base import Changed, CorpusStep, Sketched, drop_decided
from jpfm.text.dedup_key import KeyRules, Keys, keys

EXACT_RULES = KeyRules(case=False, punctuation=False)


def digests(found: Keys) -> npt.NDArray[np.uint64]:
    """xxh3-128 of each key as two numbers, (high, low). Shape (n, 2). (0, 0) for an empty key."""
    view = memoryview(found.points.astype("<u4", copy=False).tobytes())
    ends = (4 * found.offsets).tolist()
    digest = xxhash.xxh3_128_digest
    packed = b"".join(digest(view[start:end]) for start, end in itertools.pairwise(ends))
    pairs = np.frombuffer(packed, dtype=">u8").astype(np.uint64).reshape(-1, 2)
    pairs[np.diff(found.offsets) == 0] = 0
    return pairs


def copies(
    rows: Rows, columns: tuple[str, str], priorities: npt.NDArray[np.uint64], earlier: int = 0,
    marks: npt.NDArray[np.uint64] | None = None,
) -> Verdicts:  # fmt: skip
    """Documents with equal digests: of each group all but the best go. Rows are ascending.

    Holds 48 bytes a document: 10^8 documents take 5 GB; beyond that deduplicate by parts first (`against`).

    Args:
        columns: names of the high and low half of the digest.
        earlier: rows below this belong to earlier corpora: they never go.
        marks: a number for each row: only rows with one mark are copies of each other.
    """
    high, low = (rows.column(name) for name in columns)
    same = [column for column in (marks, low, high) if column is not None]
    order = np.lexsort([priorities, *same])  # of equal priorities the lower row is first: lexsort is stable
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = np.any([column[1:] != column[:-1] for column in (column[order] for column in same)], axis=0)
    fresh |= ((high == 0) & (low == 0))[order]
    group = np.cumsum(fresh) - 1
    stays = order[np.flatnonzero(fresh)][group] if len(order) else order
    gone = ~fresh & (order >= earlier)
    by_row = np.argsort(order[gone])
    return Verdicts(order[gone][by_row], stays[gone][by_row], np.ones(len(by_row)))


def weights_of(batch: pa.RecordBatch, column: str) -> Iterable[tuple[str, pa.Array]]:
    """How many documents each document already stands for, where an earlier step counted them."""
    if column in batch.schema.names:
        yield "weight", batch.column(column).cast(pa.uint64())


def with_sizes(batch: pa.RecordBatch, decision: pa.Table, column: str, before: str | None = None) -> pa.RecordBatch:
    """Add the column of cluster sizes: those that the decision names, and for all others what they stood for before."""
    kept = decision.filter(pc.is_valid(decision.column("size")))
    hits = pc.index_in(batch.column("id"), value_set=kept.column("id").combine_chunks())
    sizes = kept.column("size").combine_chunks().take(hits)
    alone = batch.column(before) if before in batch.schema.names else pa.scalar(1, pa.int64())
    return batch.append_column(column, pc.coalesce(sizes, alone))


class ExactDuplicates(CorpusStep):
    """Keep one of documents with equal text. `num_copies` counts the documents that each one left stands for."""

    adds = ("num_copies",)

    step: Literal["exact_duplicates"]
    key: KeyRules = EXACT_RULES
    """What makes no difference. Default: width and white space."""
    prefer: Prefer = Prefer()
    """Which one stays."""
    against: tuple[str, ...] = place(())
    """Folders of signatures (`jpfm data signatures`): documents that an earlier corpus has go too."""

    @property
    def named_sources(self) -> tuple[str, ...]:
        """The sources that stay first."""
        return self.prefer.sources

    def inputs(self) -> tuple[Artifact, ...]:
        """The signatures of earlier corpora."""
        return Stores.open(self.against).artifacts

    def check(self) -> None:
        """The signatures were made with this step's key."""
        Stores.open(self.against).require(self.name, exact_key=self.key.model_dump())

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Digest and priority of each document."""
        pairs = digests(keys(batch.column("text"), self.key))
        columns = {
            "id": batch.column("id"), "exact_high": pa.array(pairs[:, 0]), "exact_low": pa.array(pairs[:, 1]),
            "priority": pa.array(self.prefer.priorities(batch)),
        }  # fmt: skip
        return pa.record_batch(list(columns.values()), names=list(columns))

    def decide(self, sketched: Sketched, decision: Path) -> None:
        """All but the best of each group of equal digests."""
        stores = Stores.open(self.against)
        rows = Rows([*stores.files, *(shard.sketch for shard in sketched.shards)])
        found = copies(rows, ("exact_high", "exact_low"), priorities_of(rows, len(stores.files)), stores.count)
        write_verdicts(
            found, rows, [shard.name for shard in sketched.shards], decision, reason="exact_duplicate", threshold=1.0,
            sizes=kept_sizes(found, None, stores.count), first=len(stores.files), words=stores.words,
        )  # fmt: skip

    def apply(self, batch: pa.RecordBatch, decision: pa.Table) -> Changed:
        """Drop the copies and count them."""
        changed = drop_decided(batch, decision, self.name)
        return changed._replace(batch=with_sizes(changed.batch, decision, "num_copies"))


def kept_sizes(found: Verdicts, weights: npt.NDArray[np.uint64] | None, earlier: int) -> tuple[Numbers, Numbers]:
    """Cluster sizes of the documents of this corpus that stay for others."""
    rows, sizes = cluster_sizes(found, weights)
    return rows[rows >= earlier], sizes[rows >= earlier]


def priorities_of(rows: Rows, first: int) -> npt.NDArray[np.uint64]:
    """The priority of each document; those of the first files, which are of earlier corpora, come before all."""
    begin = int(rows.starts[first])
    own = Rows(rows.files[first:])
    return np.concatenate([np.zeros(begin, np.uint64), own.column("priority") if own.count else np.zeros(0, np.uint64)])


def ranks(priority: npt.NDArray[np.uint64]) -> Numbers | None:
    """The place of each row by priority; None where that is the order of rows."""
    if len(priority) == 0 or bool((priority[1:] >= priority[:-1]).all()):
        return None
    out = np.empty(len(priority), dtype=np.int64)
    out[best_first(priority)] = np.arange(len(priority))
    return out

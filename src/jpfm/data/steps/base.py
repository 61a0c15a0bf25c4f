"""The four kinds of step. A step is its settings; which kind it is says when it runs and what it may do.

Mapper changes text, Signal adds columns, Filter compares columns with thresholds, CorpusStep needs all shards.
Each works on whole record batches.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jpfm.core.artifact import Artifact
from jpfm.core.config import Settings
from jpfm.core.shards import LOCAL, Engine
from jpfm.data.document import CONTAMINATION, DECISION, DROPPED, EDITS, drop_table

NO_DROPS = DROPPED.empty_table()
NO_EDITS = EDITS.empty_table()
NO_CONTAMINATION = CONTAMINATION.empty_table()


class Changed(NamedTuple):
    """A batch after a step, with the rows it dropped, the places it edited and the evaluation items it found."""

    batch: pa.RecordBatch
    dropped: pa.Table
    edits: pa.Table
    contamination: pa.Table = NO_CONTAMINATION


class Step(Settings):
    """What all steps share: the name that picks the class, and the columns a step reads or adds."""

    step: Any
    needs: ClassVar[tuple[str, ...]] = ()
    """Columns an earlier signal must have added."""
    adds: ClassVar[tuple[str, ...]] = ()

    @property
    def name(self) -> str:
        """The word that stands in the recipe."""
        return str(self.step)

    @property
    def named_sources(self) -> tuple[str, ...]:
        """Sources of the recipe that the step's settings name."""
        return ()

    def inputs(self) -> tuple[Artifact, ...]:
        """Artifacts that the step reads besides the documents; they become parents of the corpus."""
        return ()

    def check(self) -> None:
        """Find out before anything is read whether the step can run: files and packages that it needs.

        Raises:
            JpfmError: one is missing.
        """

    def leave(self, corpus: Path) -> None:
        """Write into the finished corpus what the step looked for, where that is not told by its settings."""

    def run(self, batch: pa.RecordBatch) -> Changed:
        """Do the step on one batch. A corpus step has `apply` instead: it needs a decision first."""
        raise TypeError(f"{type(self).__name__} does not run on one batch")


class Mapper(Step):
    """Changes text or adds derived document fields."""

    def map(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.Table]:
        """The changed batch (same rows) and the edits made (schema EDITS)."""
        raise TypeError(f"{type(self).__name__} does not map")

    def run(self, batch: pa.RecordBatch) -> Changed:
        """Map a batch."""
        changed, edits = self.map(batch)
        return Changed(changed, NO_DROPS, edits)


class Signal(Step):
    """Adds columns; drops and changes nothing."""

    def measure(self, batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """New columns by name, each as long as the batch."""
        raise TypeError(f"{type(self).__name__} does not measure")

    def run(self, batch: pa.RecordBatch) -> Changed:
        """Append the measured columns."""
        for column, values in self.measure(batch).items():
            batch = batch.append_column(column, values)
        return Changed(batch, NO_DROPS, NO_EDITS)


class Limit(NamedTuple):
    """One comparison of a filter: drop where `column` is below `minimum` or above `maximum`."""

    column: str
    reason: str
    minimum: float | None = None
    maximum: float | None = None


class Filter(Step):
    """Drops documents whose columns pass a threshold."""

    def limits(self) -> tuple[Limit, ...]:
        """The comparisons, in the order in which a document is judged; the first that fails names the reason."""
        raise TypeError(f"{type(self).__name__} has no limits")

    def run(self, batch: pa.RecordBatch) -> Changed:
        """Judge by the limits one after the other, then take out all that failed at once: text is copied once."""
        dropped = []
        standing = pa.array(np.ones(batch.num_rows, dtype=np.bool_))
        for limit in self.limits():
            column = batch.column(limit.column)
            for bound, fails in ((limit.minimum, pc.less), (limit.maximum, pc.greater)):
                if bound is None:
                    continue
                mask = pc.and_(pc.fill_null(fails(column, pa.scalar(bound, pa.float64())), False), standing)
                rows = pc.indices_nonzero(mask)
                if len(rows) == 0:
                    continue
                values = column.take(rows).cast(pa.float64()).to_pylist()
                dropped.append(
                    drop_table(batch, rows, step=self.name, reason=limit.reason, values=values, threshold=bound)
                )
                standing = pc.and_not(standing, mask)
        if not dropped:
            return Changed(batch, NO_DROPS, NO_EDITS)
        return Changed(batch.filter(standing), pa.concat_tables(dropped), NO_EDITS)


class ShardFiles(NamedTuple):
    """What a pass left of one shard."""

    name: str
    sketch: Path
    documents: Path


def _all_there(names: Sequence[str]) -> None:
    """A build has the documents of every shard."""


@dataclass(frozen=True)
class Before:
    """What a step decided before, of the same shards with more documents: most of it still holds."""

    decision: Path
    sketches: tuple[Path, ...]
    """As the shards of `Sketched`."""


@dataclass(frozen=True)
class Sketched:
    """What a corpus step decides over: the shards of the pass before it, in corpus order."""

    shards: tuple[ShardFiles, ...]
    scratch: Path
    """An empty folder for files on the way; removed when the decision is made."""
    engine: Engine = LOCAL
    need: Callable[[Sequence[str]], None] = _all_there
    """Call it with names of shards before their documents are read: `forget` reads raw files only where it must."""
    before: Before | None = None
    """The decision of the corpus that forgets; None in a build."""


class CorpusStep(Step):
    """Needs all documents: sketch each shard, decide over all sketches, then apply the decision to each shard.

    `decide` writes files into a folder; a step that drops documents writes `SHARD.parquet` (schema DECISION) for each
    shard with a verdict, so that no worker ever reads the verdicts of other shards.
    """

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What `decide` must know of these documents."""
        raise TypeError(f"{type(self).__name__} does not sketch")

    def decide(self, sketched: Sketched, decision: Path) -> None:
        """Decide over all shards, in bounded memory, and write the decision into the folder `decision`."""
        raise TypeError(f"{type(self).__name__} does not decide")

    def load(self, decision: Path, shard: str) -> Any:
        """What `apply` must know of a decision for the documents of one shard."""
        file = decision / f"{shard}.parquet"
        return pq.read_table(file) if file.exists() else DECISION.empty_table()

    def differs(self, before: Path, now: Path, shard: ShardFiles) -> bool:
        """Whether two decisions differ in what they say of one shard."""
        files = [folder / f"{shard.name}.parquet" for folder in (before, now)]
        there = [file.exists() for file in files]
        return there[0] != there[1] or (all(there) and files[0].read_bytes() != files[1].read_bytes())

    def figures(self, decision: Path) -> dict[str, Any]:
        """Figures of a decision for the corpus's manifest; none by default."""
        return {}

    def keep(self, decision: Path, corpus: Path, sources: Mapping[str, Artifact]) -> None:
        """Leave in the corpus what is worth keeping of a decision, e.g. as an artifact in a folder of its own.

        Args:
            corpus: the corpus's folder.
            sources: the artifacts of the recipe's sources, by name.
        """

    def apply(self, batch: pa.RecordBatch, decision: Any) -> Changed:
        """Drop the documents that the decision gives a reason for."""
        return drop_decided(batch, decision, self.name)


def drop_decided(batch: pa.RecordBatch, decision: pa.Table, step: str) -> Changed:
    """Take out the documents that a decision (schema DECISION) gives a reason for."""
    verdicts = decision.filter(pc.is_valid(decision.column("reason")))
    hits = pc.index_in(batch.column("id"), value_set=verdicts.column("id").combine_chunks())
    mask = pc.is_valid(hits)
    rows = pc.indices_nonzero(mask)
    if len(rows) == 0:
        return Changed(batch, NO_DROPS, NO_EDITS)
    verdicts = verdicts.take(hits.filter(mask))
    reason, value, threshold, detail = (verdicts.column(name) for name in ("reason", "value", "threshold", "detail"))
    dropped = drop_table(batch, rows, step=step, reason=reason, values=value, threshold=threshold, details=detail)
    return Changed(batch.filter(pc.invert(mask)), dropped, NO_EDITS)


def set_text(batch: pa.RecordBatch, text: pa.Array) -> pa.RecordBatch:
    """The batch with another text column."""
    position = batch.schema.get_field_index("text")
    return batch.set_column(position, batch.schema.field(position), text)

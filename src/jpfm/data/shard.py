"""One shard of one pass: read, apply the decision, run the steps, write; in bounded memory.

A shard is a group of pieces of one source and becomes one output file whose name and bytes depend on the pieces alone.
Batches stream through the steps and are written as row groups; files appear under their names at the end, the counts
file last: a shard whose counts exist is done.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jpfm.core import artifact as artifacts
from jpfm.data.counts import ShardCounts
from jpfm.data.document import DROPPED, EDITS, QUARANTINED, Quarantined, empty, quarantine_table, schema_with
from jpfm.data.recipe import Recipe
from jpfm.data.sources.base import BATCH_CHARS, BATCH_DOCUMENTS, Piece
from jpfm.data.steps.base import Changed

FOLDERS = ("documents", "dropped", "quarantined", "edits", "sketch", "counts")


@dataclass(frozen=True)
class Shard:
    """A group of pieces of one source that becomes one output file."""

    name: str
    source: int
    label: str
    """The source's name in the counts."""
    pieces: tuple[Piece, ...]

    @property
    def bytes(self) -> int:
        """Input bytes."""
        return sum(piece.bytes for piece in self.pieces)


@dataclass(frozen=True)
class Job:
    """One shard in one pass; everything a worker process needs."""

    recipe: Recipe
    number: int
    shard: Shard
    work: str
    limit_docs: int | None

    @property
    def folder(self) -> Path:
        """Where the pass writes."""
        return Path(self.work) / f"pass{self.number}"

    @property
    def counts_file(self) -> Path:
        """Written last."""
        return self.folder / "counts" / f"{self.shard.name}.json"

    @property
    def decision_file(self) -> Path:
        """What the corpus step before this pass decided."""
        return Path(self.work) / f"decision{self.number}.parquet"


class RowGroups:
    """A Parquet file written in row groups of about BATCH_CHARS characters; it appears under its name when closed."""

    def __init__(self, path: Path, schema: pa.Schema | None = None) -> None:
        self._path = path
        self._temporary = path.with_name(path.name + ".tmp")
        self._schema = schema
        self._waiting: list[pa.Table] = []
        self._size = self._rows = 0
        self._writer: pq.ParquetWriter | None = None

    def add(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Append rows; all must have one schema."""
        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        self._schema = self._schema or table.schema
        if table.num_rows == 0:
            return
        self._waiting.append(table)
        self._size += table.nbytes
        self._rows += table.num_rows
        if self._size >= 2 * BATCH_CHARS or self._rows >= BATCH_DOCUMENTS:
            self._flush()

    def _flush(self) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._temporary, self._schema, compression="zstd")
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).combine_chunks(), row_group_size=1 << 20)
        self._waiting, self._size, self._rows = [], 0, 0

    def close(self) -> None:
        """Write what is left and give the file its name. A file without rows still has its schema."""
        self._flush()
        assert self._writer is not None
        self._writer.close()
        self._temporary.rename(self._path)


def run_shard(job: Job) -> int:
    """Build one shard of one pass (in a worker process); returns the documents kept."""
    for folder in FOLDERS:
        (job.folder / folder).mkdir(parents=True, exist_ok=True)
    passes = job.recipe.passes()
    decision_step, steps = passes[job.number]
    following = passes[job.number + 1][0] if job.number + 1 < len(passes) else None
    decision = pq.read_table(job.decision_file) if decision_step is not None else None
    name = f"{job.shard.name}.parquet"
    documents = RowGroups(job.folder / "documents" / name)
    dropped = RowGroups(job.folder / "dropped" / name, DROPPED)
    edits = RowGroups(job.folder / "edits" / name, EDITS)
    quarantined = RowGroups(job.folder / "quarantined" / name, QUARANTINED)
    sketch = RowGroups(job.folder / "sketch" / name) if following is not None else None
    counts = ShardCounts(job.shard.label)
    bad: list[Quarantined] = []

    def record(changed: Changed) -> pa.RecordBatch:
        counts.add_changes(changed)
        dropped.add(changed.dropped)
        edits.add(changed.edits)
        return changed.batch

    for batch in _batches(job, bad):
        counts.read += batch.num_rows
        if decision_step is not None and decision is not None:
            batch = record(decision_step.apply(batch, decision))
        for step in steps:
            batch = record(step.run(batch))
        counts.add_kept(batch)
        documents.add(batch)
        if following is not None and sketch is not None:
            sketch.add(following.sketch(batch))
        counts.add_quarantined(bad)
        quarantined.add(quarantine_table(bad, job.shard.label))
        bad.clear()
    for file in (documents, dropped, edits, quarantined, sketch):
        if file is not None:
            file.close()
    artifacts.write_text(job.counts_file, json.dumps(counts.plain(), sort_keys=True, ensure_ascii=False))
    return counts.kept


def _batches(job: Job, bad: list[Quarantined]) -> Iterator[pa.RecordBatch]:
    """The shard's documents, from raw files in the first pass and from the pass before in later ones.

    The last batch may be empty: a shard without documents still gives its columns.
    """
    if job.number > 0:
        previous = Path(job.work) / f"pass{job.number - 1}" / "documents" / f"{job.shard.name}.parquet"
        file = pq.ParquetFile(previous)
        for group in range(file.num_row_groups):
            yield from file.iter_batches(batch_size=BATCH_DOCUMENTS, row_groups=[group])
        yield empty(file.schema_arrow)
        return
    source = job.recipe.sources[job.shard.source]
    columns = job.recipe.columns
    left = job.limit_docs
    schema = schema_with(columns)
    for batch in source.batches(job.shard.pieces, columns, bad):
        schema = batch.schema
        yield batch if left is None else batch.slice(0, left)
        left = None if left is None else max(0, left - batch.num_rows)
        if left == 0:
            break
    yield empty(schema)


def join(files: list[Path], target: Path, schema: pa.Schema, originals: Path | None = None) -> None:
    """Write the rows of several files into one, if there are any.

    Args:
        originals: where rows go that hold the text before an edit; `target` gets them without it.
    """
    if not any(pq.read_metadata(file).num_rows for file in files):
        return
    out = RowGroups(target, schema)
    private = RowGroups(originals, schema) if originals is not None else None
    found = False
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=65536):
            table = pa.Table.from_batches([batch])
            if private is not None and table.column("before").null_count < table.num_rows:
                private.add(table.filter(pc.is_valid(table.column("before"))))
                found = True
                position = schema.get_field_index("before")
                table = table.set_column(position, schema.field(position), pa.nulls(table.num_rows, pa.string()))
            out.add(table)
    out.close()
    if private is not None and found:
        private.close()

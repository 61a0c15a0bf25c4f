"""One shard of one pass: read, apply the decision, run the steps, write; in bounded memory.

A shard is a group of pieces of one source and becomes one output file whose name and bytes depend on the pieces alone.
Batches stream through the steps and are written as row groups; files appear under their names at the end, the counts
file last: a shard whose counts exist is done.
"""

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import STATE
from jpfm.core.errors import DataError
from jpfm.data.counts import ShardCounts
from jpfm.data.document import (
    CONTAMINATION,
    DROPPED,
    EDITS,
    QUARANTINED,
    Quarantined,
    empty,
    quarantine_table,
    schema_with,
)
from jpfm.data.recipe import Recipe
from jpfm.data.sources.base import BATCH_CHARS, BATCH_DOCUMENTS, Piece
from jpfm.data.steps.base import Changed

TABLES = {"dropped": DROPPED, "edits": EDITS, "quarantined": QUARANTINED, "contamination": CONTAMINATION}
"""What a shard leaves besides documents; each becomes a folder of the corpus."""
_PASSING = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}
"""How documents are written on the way from one pass to the next. zstd with dictionaries, as a corpus has it, takes 1.3
times as long to write and 4 times to read (0.53 and 0.46 s for 180 MB, against 0.41 and 0.09) and a quarter less room;
no compression 0.12 s, but twice the room of zstd, on disks that many workers share."""


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
    root: str
    """The unfinished corpus."""
    limit_docs: int | None

    @property
    def file(self) -> str:
        """The name of the shard's files."""
        return f"{self.shard.name}.parquet"

    @property
    def folder(self) -> Path:
        """Where the pass writes documents and tables."""
        return Path(self.root) / "work" / f"pass{self.number}"

    @property
    def state(self) -> Path:
        """Where it writes what stays in the corpus for later changes: sketches and counts."""
        return Path(self.root) / STATE / f"pass{self.number}"

    @property
    def documents(self) -> Path:
        """The documents that are left after the pass."""
        return self.folder / "documents" / self.file

    @property
    def sketch(self) -> Path:
        """What the corpus step after the pass must know of them."""
        return self.state / "sketch" / self.file

    @property
    def counts_file(self) -> Path:
        """Written last: a shard whose counts exist is done."""
        return self.state / "counts" / f"{self.shard.name}.json"

    @property
    def decision_folder(self) -> Path:
        """What the corpus step before this pass decided."""
        return Path(self.root) / STATE / f"decision{self.number}"

    def outputs(self) -> dict[str, Path]:
        """The files of the pass, by the name of what they hold."""
        files = {"documents": self.documents} | {name: self.folder / name / self.file for name in TABLES}
        has_next = self.number + 1 < len(self.recipe.passes())
        return files | ({"sketch": self.sketch} if has_next else {})

    def damage(self, *, moved: bool = False) -> str | None:
        """What is wrong with the files of a finished shard; None where all are as they were written.

        Args:
            moved: files may be gone to their places in the corpus.
        """
        try:
            recorded = json.loads(self.counts_file.read_text(encoding="utf-8"))["files"]
        except ValueError:
            return f"{self.counts_file} cannot be read"
        for name, path in self.outputs().items():
            if not path.exists() and not moved:
                return f"{path} is gone"
            if path.exists() and digest(path) != recorded[name]:
                return f"{path} is not as it was written"
        return None


def digest(path: Path) -> str:
    """xxh3-128 of a file: tells whether it is as it was written."""
    hashed = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            hashed.update(chunk)
    return hashed.hexdigest()


class RowGroups:
    """A Parquet file written in row groups of about BATCH_CHARS characters; it appears under its name when closed.

    The temporary name is the process's own: two tasks that work on one shard do not write into one file.
    """

    def __init__(
        self, path: Path, schema: pa.Schema | None = None, *, sketch: bool = False, passing: bool = False
    ) -> None:
        # a sketch is numbers, read by column: no dictionaries, large groups. `passing` is what only the next pass reads
        self._path = path
        self._temporary = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
        self._schema = schema
        self._waiting: list[pa.Table] = []
        self._size = self._rows = 0
        self._most_rows = 16 * BATCH_DOCUMENTS if sketch else BATCH_DOCUMENTS
        self._form: Any = _PASSING if passing else {"compression": "zstd", "use_dictionary": not sketch}
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
        if self._size >= 2 * BATCH_CHARS or self._rows >= self._most_rows:
            self._flush()

    def _flush(self) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._temporary, self._schema, **self._form)
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
    outputs = job.outputs()
    for path in (*outputs.values(), job.counts_file):
        path.parent.mkdir(parents=True, exist_ok=True)
    passes = job.recipe.passes()
    decision_step, steps = passes[job.number]
    following = passes[job.number + 1][0] if job.number + 1 < len(passes) else None
    decision = decision_step.load(job.decision_folder, job.shard.name) if decision_step is not None else None
    files = {
        name: RowGroups(
            path, TABLES.get(name), sketch=name == "sketch", passing=name == "documents" and following is not None
        )
        for name, path in outputs.items()
    }
    counts = ShardCounts(job.shard.label)
    bad: list[Quarantined] = []

    def record(step: str, before: pa.RecordBatch, changed: Changed) -> pa.RecordBatch:
        counts.add_changes(changed)
        for name in ("dropped", "edits", "contamination"):
            files[name].add(getattr(changed, name))
        return mark_changed(step, before, changed.batch)

    for batch in _batches(job, bad):
        counts.read += batch.num_rows
        if job.number == 0:
            batch = record("forget", batch, job.recipe.forget.run(batch))
        if decision_step is not None:
            batch = record(decision_step.name, batch, decision_step.apply(batch, decision))
        for step in steps:
            batch = record(step.name, batch, step.run(batch))
        counts.add_kept(batch)
        files["documents"].add(batch)
        if following is not None:
            files["sketch"].add(following.sketch(batch))
        counts.add_quarantined(bad)
        files["quarantined"].add(quarantine_table(bad, job.shard.label))
        bad.clear()
    for file in files.values():
        file.close()
    _check_unchanged(job)
    hashes = {"files": {name: digest(path) for name, path in outputs.items()}}
    own = job.counts_file.with_name(f"{job.counts_file.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    artifacts.write_text(own, json.dumps(counts.plain() | hashes, sort_keys=True, ensure_ascii=False))
    os.replace(own, job.counts_file)  # two tasks may finish one shard at once
    return counts.kept


def mark_changed(step: str, before: pa.RecordBatch, after: pa.RecordBatch) -> pa.RecordBatch:
    """Add a step to `changed_by` of the documents whose text it changed. A step that drops changes no text."""
    if after.num_rows != before.num_rows or after.column("text") is before.column("text"):
        return after
    changed = pc.not_equal(before.column("text"), after.column("text"))
    if not pc.any(changed).as_py():
        return after
    column = after.column("changed_by")
    named = pc.if_else(pc.equal(column, ""), step, pc.binary_join_element_wise(column, step, ","))
    position = after.schema.get_field_index("changed_by")
    return after.set_column(position, after.schema.field(position), pc.if_else(changed, named, column))


def _check_unchanged(job: Job) -> None:
    """The shard's input is what it was when the build hashed it.

    Raises:
        DataError: a file was written to in the meantime.
    """
    for piece in job.shard.pieces if job.number == 0 else ():
        if piece.modified is not None and os.stat(piece.path).st_mtime_ns != piece.modified:
            raise DataError(
                f"{piece.path} was changed while it was read",
                hint="wait until nothing writes to the input, then build into another --out",
            )


def _batches(job: Job, bad: list[Quarantined]) -> Iterator[pa.RecordBatch]:
    """The shard's documents, from raw files in the first pass and from the pass before in later ones.

    The last batch may be empty: a shard without documents still gives its columns.
    """
    if job.number > 0:
        file = pq.ParquetFile(replace(job, number=job.number - 1).documents)
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

"""Lines or paragraphs that stand in many documents of one source: footers, notices, menus.

    - step: frequent_lines
      minimum_documents: 20
      minimum_share: 0.2

A sketch holds 12 bytes a distinct line of a batch (a hash and a count). The decision adds them up part by part, then
reads the text of those lines alone that are frequent, each in the first shard that has it. A line goes only if its text
is equal to that: two lines with one hash never share a fate. 10^9 lines take 1 GB a worker and about 100 bytes a
frequent line; refused: text in the sketch, which was nearly a second copy of the corpus, held in memory at once.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pydantic

from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError
from jpfm.core.shards import map_shards
from jpfm.data.duplicates.counting import Frequent, frequent_keys, per_document
from jpfm.data.steps.base import NO_DROPS, NO_EDITS, Changed, CorpusStep, ShardFiles, Sketched
from jpfm.data.steps.cuts import with_cuts
from jpfm.text.kernels import hash_rows
from jpfm.text.lines import Units, hashes, texts, units

BOILERPLATE = "frequent_lines.parquet"
"""In a corpus: the lines that `frequent_lines` removed, by source, and in how many documents each stood."""
_DECISION = "frequent_lines.arrow"
_BATCH = 1024
_SKETCH = pa.schema([("source", pa.string()), ("key", pa.uint64()), ("documents", pa.uint32())])
_TEXTS = pa.schema([("key", pa.uint64()), ("source", pa.string()), ("line", pa.string())])
_LINES = _TEXTS.append(pa.field("documents", pa.int64()))


class TextJob(NamedTuple):
    """Lines whose text is wanted, and a shard that has them."""

    step: "FrequentLines"
    documents: Path
    keys: npt.NDArray[np.uint64]


class FrequentLines(CorpusStep):
    """Remove lines that stand in many documents of one source."""

    step: Literal["frequent_lines"]
    unit: Literal["line", "paragraph"] = "line"
    """What is counted and removed: lines, or the lines between two blank ones as a whole."""
    minimum_documents: Annotated[int, pydantic.Field(ge=2)] = 10
    """A line is boilerplate when it stands in at least this many documents of its source..."""
    minimum_share: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.0
    """... and in at least this share of them."""
    minimum_chars: Annotated[int, pydantic.Field(ge=1)] = 12
    """Shorter lines (headings, greetings) are left alone."""
    code: bool = False
    """Remove lines of fenced code (``` or ~~~) too. Without it `#include <iostream>` stays, however often it stands."""

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """In how many documents of the batch each line stands; key 0 counts the documents of a source."""
        found, keys = self._keys(batch)
        tables = [_SKETCH.empty_table()]
        for source in pc.unique(batch.column("source")):
            of_source = pc.equal(batch.column("source"), source).to_numpy(zero_copy_only=False)
            mine = of_source[found.rows]
            distinct, documents = per_document(found.rows[mine], keys[mine])
            distinct, documents = np.insert(distinct, 0, 0), np.insert(documents, 0, of_source.sum())
            names = pa.repeat(source, len(distinct))
            tables.append(pa.table([names, distinct, documents], schema=_SKETCH))
        return pa.RecordBatch.from_struct_array(pa.concat_tables(tables).to_struct_array().combine_chunks())

    def _keys(self, batch: pa.RecordBatch) -> tuple[Units, npt.NDArray[np.uint64]]:
        """The lines of a batch, and for each a hash of source and line; never 0."""
        column = batch.column("text")
        found = units(column, self.unit, minimum_chars=self.minimum_chars, code=self.code)
        sources = batch.column("source").dictionary_encode()
        return found, hashes(column, found, hash_rows(sources.dictionary)[sources.indices.to_numpy()])

    def decide(self, sketched: Sketched, decision: Path) -> None:
        """The lines that are boilerplate, by source, and in how many documents each stands."""
        shards = sketched.shards
        found = frequent_keys(
            [shard.sketch for shard in shards], self.minimum_documents, scratch=sketched.scratch, engine=sketched.engine
        )
        found = found.where(found.keys != 0)
        if self.minimum_share:
            found = found.where(self._is_share(found, shards))
        tables = [_TEXTS.empty_table()]
        if sketched.before is not None:  # the text of most lines is known
            old = _read(sketched.before.decision).select(_TEXTS.names)
            tables.append(old.filter(pc.is_in(old.column("key"), value_set=pa.array(found.keys))))
        unknown = found.where(~np.isin(found.keys, tables[-1].column("key").to_numpy()))
        numbers = np.unique(unknown.first).tolist()
        sketched.need([shards[number].name for number in numbers])
        jobs = [TextJob(self, shards[number].documents, unknown.keys[unknown.first == number]) for number in numbers]
        tables += [table for _, table in map_shards(lines_of, jobs, sketched.engine)]
        lines = pa.concat_tables(tables).sort_by("key")
        if not np.array_equal(lines.column("key").to_numpy(), found.keys):
            raise ArtifactError(
                f"{self.name}: the documents before the step are not those that were sketched",
                hint="something wrote into the unfinished corpus; remove it and build again",
            )
        lines = lines.append_column("documents", pa.array(found.documents)).cast(_LINES)
        with pa.ipc.new_file(decision / _DECISION, _LINES) as writer:
            writer.write_table(lines)

    def _is_share(self, found: Frequent, shards: tuple[ShardFiles, ...]) -> npt.NDArray[np.bool_]:
        """Which keys stand in enough of their source's documents."""
        sketches = pl.scan_parquet([shard.sketch for shard in shards]) if shards else pl.LazyFrame(schema={})
        of_source = sketches.filter(key=0).group_by("source").agg(pl.col("documents").cast(pl.Int64).sum())
        totals = dict(of_source.collect(engine="streaming").iter_rows())
        needed = np.zeros(len(found.keys))
        for number in np.unique(found.first).tolist():
            mine = np.flatnonzero(found.first == number)
            wanted = pl.DataFrame({"key": found.keys[mine], "place": mine})
            sources = pl.scan_parquet(shards[number].sketch).select("key", "source")
            rows = wanted.lazy().join(sources, on="key").unique("key").collect()
            needed[rows["place"].to_numpy()] = rows["source"].replace_strict(totals).to_numpy() * self.minimum_share
        return found.documents >= needed

    def load(self, decision: Path, shard: str) -> pa.Table:
        return _read(decision)

    def differs(self, before: Path, now: Path, shard: ShardFiles) -> bool:
        """Whether a line of the shard is boilerplate in one decision alone."""
        old, new = (_read(folder).column("key").to_numpy() for folder in (before, now))
        changed = np.setxor1d(old, new, assume_unique=True)
        return bool(np.isin(pq.read_table(shard.sketch, columns=["key"]).column("key").to_numpy(), changed).any())

    def figures(self, decision: Path) -> dict[str, Any]:
        """How many lines are boilerplate."""
        return {f"frequent_{self.unit}s": _read(decision).num_rows}

    def keep(self, decision: Path, corpus: Path, sources: Mapping[str, Artifact]) -> None:
        """The removed lines stay readable in the corpus: edits alone only say where they stood."""
        lines = _read(decision).drop_columns("key").sort_by([("source", "ascending"), ("line", "ascending")])
        if lines.num_rows:
            pq.write_table(lines.combine_chunks(), corpus / BOILERPLATE, compression="zstd")

    def apply(self, batch: pa.RecordBatch, decision: pa.Table) -> Changed:
        """Take the boilerplate lines out of each text; every cut is an edit."""
        if decision.num_rows == 0 or batch.num_rows == 0:
            return Changed(batch, NO_DROPS, NO_EDITS)
        column = batch.column("text")
        found, keys = self._keys(batch)
        frequent = decision.column("key").to_numpy()
        places = np.minimum(np.searchsorted(frequent, keys), len(frequent) - 1)
        hits = np.flatnonzero(frequent[places] == keys)
        hits = hits[_equal(texts(column, found.take(hits)), decision.column("line").take(pa.array(places[hits])))]
        return with_cuts(batch, self.name, f"frequent_{self.unit}", *found.take(hits))


def lines_of(job: TextJob) -> pa.Table:
    """Key, source and text of the wanted lines of a shard."""
    left, tables = job.keys, [_TEXTS.empty_table()]
    for batch in pq.ParquetFile(job.documents).iter_batches(batch_size=_BATCH, columns=["source", "text"]):
        found, keys = job.step._keys(batch)
        distinct, places = np.unique(keys, return_index=True)  # the first of each
        wanted = np.isin(distinct, left, assume_unique=True)
        here = found.take(places[wanted])
        left = np.setdiff1d(left, distinct, assume_unique=True)
        sources = batch.column("source").take(pa.array(here.rows))
        tables.append(pa.table([distinct[wanted], sources, texts(batch.column("text"), here)], schema=_TEXTS))
        if len(left) == 0:
            break
    return pa.concat_tables(tables)


def _equal(one: pa.Array, other: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.equal(other, one).to_numpy())


def _read(decision: Path) -> pa.Table:
    """The boilerplate (schema _LINES), mapped: workers of one machine share its memory."""
    with pa.memory_map(str(decision / _DECISION)) as file:
        return pa.ipc.open_file(file).read_all()

"""Corpus steps: exact duplicates, near duplicates, and lines that stand in many documents of one source."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import xxhash

from jpfm.core.artifact import Artifact
from jpfm.data.document import EDITS, empty
from jpfm.data.steps.base import DECISION, NO_DROPS, NO_EDITS, Changed, CorpusStep, set_text
from jpfm.text import kernels

BOILERPLATE = "frequent_lines.parquet"
"""In a corpus: the lines that `frequent_lines` removed, by source, and in how many documents each stood."""


class ExactDuplicates(CorpusStep):
    """Keep the first of documents with equal text; first means the recipe's order of sources, then files, then rows."""

    step: Literal["exact_duplicates"]

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """128-bit hash of each text."""
        offsets, data = kernels.buffers(batch.column("text"))
        view = memoryview(data)  # type: ignore[arg-type]
        digest = xxhash.xxh3_128_digest
        keys = [digest(view[offsets[row] : offsets[row + 1]]) for row in range(batch.num_rows)]
        return pa.record_batch([batch.column("id"), pa.array(keys, pa.binary(16))], names=["id", "key"])

    def decide(self, sketches: list[Path], shards: list[Path]) -> pa.Table:
        """Every row after the first of its hash."""
        if not sketches:
            return DECISION.empty_table()
        rows = pl.concat([pl.read_parquet(path) for path in sketches])
        repeats = rows.with_columns(first=pl.col("id").first().over("key")).filter(pl.col("id") != pl.col("first"))
        return pa.table(
            [
                repeats["id"].to_arrow().cast(pa.string()),
                pa.array(["exact_duplicate"] * len(repeats), pa.string()),
                pa.array([1.0] * len(repeats), pa.float64()),
                pa.array([1.0] * len(repeats), pa.float64()),
                pl.Series("same as " + repeats["first"]).to_arrow().cast(pa.string()),
            ],
            schema=DECISION,
        )


class NearDuplicates(CorpusStep):
    """Keep the first of documents that share most character 5-grams.

    MinHash bands find candidate pairs, and exact Jaccard over the 5-gram sets confirms each before anything is dropped;
    clusters join confirmed pairs only. Dakuten, small kana and numbers count: パリ is not ハリ, 令和5年 not 令和6年.
    """

    step: Literal["near_duplicates"]
    jaccard: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.8
    """Smallest similarity at which two documents count as one."""
    bands: Annotated[int, pydantic.Field(ge=1)] = 16
    rows_per_band: Annotated[int, pydantic.Field(ge=1)] = 7
    """Documents of similarity s become candidates with probability 1 - (1 - s^rows_per_band)^bands."""

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """MinHash signature, cut into bands."""
        signature = kernels.minhash(batch.column("text"), num_hashes=self.bands * self.rows_per_band)
        packed = np.ascontiguousarray(signature.reshape(batch.num_rows, self.bands, self.rows_per_band))
        names = [f"band_{band:02d}" for band in range(self.bands)]
        width = 4 * self.rows_per_band
        columns = [
            pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(width), batch.num_rows, [None, pa.py_buffer(np.ascontiguousarray(packed[:, band]).tobytes())]
            )
            for band in range(self.bands)
        ]
        return pa.record_batch([batch.column("id"), *columns], names=["id", *names])

    def decide(self, sketches: list[Path], shards: list[Path]) -> pa.Table:
        """Every row of a cluster of confirmed pairs after its first."""
        if not sketches:
            return DECISION.empty_table()
        rows = pl.concat([pl.read_parquet(path) for path in sketches]).with_row_index("row")
        pairs: set[tuple[int, int]] = set()
        for band in range(self.bands):
            groups = (
                rows.group_by(f"band_{band:02d}").agg(pl.col("row").sort()).filter(pl.col("row").list.len() > 1)["row"]
            )
            for group in groups.to_list():  # neighbours in a bucket; verified edges join the rest of the bucket
                pairs.update(itertools.pairwise(group))
                pairs.update((group[0], other) for other in group[1:])
        if not pairs:
            return DECISION.empty_table()
        ordered = np.array(sorted(pairs), dtype=np.int64)
        wanted, compact = np.unique(ordered, return_inverse=True)
        text = _texts(shards, wanted)
        left, right = compact.reshape(ordered.shape).T
        similarity = kernels.jaccard(text, np.ascontiguousarray(left), np.ascontiguousarray(right))
        return self._clusters(rows["id"], ordered, similarity)

    def _clusters(self, ids: pl.Series, pairs: npt.NDArray[np.int64], similarity: npt.NDArray[np.float64]) -> pa.Table:
        root: dict[int, int] = {}

        def find(row: int) -> int:
            while root.get(row, row) != row:
                row = root[row]
            return row

        best: dict[int, float] = {}
        for (left, right), value in zip(pairs.tolist(), similarity.tolist(), strict=True):
            if value < self.jaccard:
                continue
            low, high = sorted((find(left), find(right)))
            root[high] = low
            best[right] = max(best.get(right, 0.0), value)
            best[left] = max(best.get(left, 0.0), value)
        drops = [row for row in sorted(best) if find(row) != row]
        return pa.table(
            [
                pa.array([ids[row] for row in drops], pa.string()),
                pa.array(["near_duplicate"] * len(drops), pa.string()),
                pa.array([best[row] for row in drops], pa.float64()),
                pa.array([self.jaccard] * len(drops), pa.float64()),
                pa.array([f"same as {ids[find(row)]}" for row in drops], pa.string()),
            ],
            schema=DECISION,
        )


def _texts(shards: list[Path], rows: npt.NDArray[np.int64]) -> pa.Array:
    """Texts of the given corpus rows (ascending), read shard by shard."""
    taken, start = [], 0
    for path in shards:
        count = pq.read_metadata(path).num_rows
        here = rows[(rows >= start) & (rows < start + count)] - start
        if here.size:
            taken.append(pq.read_table(path, columns=["text"]).column("text").take(pa.array(here)))
        start += count
    return pa.chunked_array([chunk for column in taken for chunk in column.chunks], pa.string()).combine_chunks()


class FrequentLines(CorpusStep):
    """Remove lines that stand in many documents of one source: footers, notices, menus."""

    step: Literal["frequent_lines"]
    minimum_documents: Annotated[int, pydantic.Field(ge=2)] = 10
    """A line is boilerplate when it stands in at least this many documents of its source..."""
    minimum_share: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.0
    """... and in at least this share of them."""
    minimum_chars: Annotated[int, pydantic.Field(ge=1)] = 12
    """Shorter lines (headings, greetings) are left alone."""
    code: bool = False
    """Remove lines of fenced code (``` or ~~~) too. Without it `#include <iostream>` stays, however often it stands."""

    def _lines(self, frame: pl.DataFrame) -> pl.DataFrame:
        """One row a line, with the document's row; `is_code` for the lines of a fence and between fences."""
        fence = pl.col("line").str.contains(r"^\s*(?:```|~~~)")
        return (
            frame.with_row_index("row")
            .with_columns(line=pl.col("text").str.split("\n"))
            .explode("line")
            .with_columns(is_code=fence | (fence.cum_sum().over("row") % 2 == 1))
            .select("row", "id", "source", "line", "is_code")
        )

    def _may_go(self) -> pl.Expr:
        long_enough = pl.col("line").str.len_chars() >= self.minimum_chars
        return long_enough if self.code else long_enough & ~pl.col("is_code")

    def sketch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """In how many documents of the batch each line stands; the empty line counts the documents."""
        frame = pl.DataFrame(pl.from_arrow(batch.select(["id", "source", "text"])))
        totals = frame.group_by("source").len("documents")
        counts = (
            self._lines(frame)
            .filter(self._may_go())
            .select("id", "source", "line")
            .unique()
            .group_by("source", "line")
            .len("count")
            .filter(pl.col("line").is_not_null())
            .join(totals, on="source")
            .sort("source", "line")
        )
        everything = totals.with_columns(line=pl.lit(""), count=pl.col("documents")).select(counts.columns)
        table = pl.concat([counts.cast({"count": pl.Int64, "documents": pl.Int64}),
                           everything.cast({"count": pl.Int64, "documents": pl.Int64})]).to_arrow()  # fmt: skip
        schema = pa.schema(
            [("source", pa.string()), ("line", pa.string()), ("count", pa.int64()), ("documents", pa.int64())]
        )
        batches = table.cast(schema).combine_chunks().to_batches()
        return batches[0] if batches else empty(schema)

    def decide(self, sketches: list[Path], shards: list[Path]) -> pa.Table:
        """The lines that are boilerplate, by source, and in how many documents each stands."""
        nothing = pa.schema([("source", pa.string()), ("line", pa.string()), ("documents", pa.int64())]).empty_table()
        if not sketches:
            return nothing
        rows = pl.concat([pl.read_parquet(path) for path in sketches])
        totals = rows.filter(pl.col("line") == "").group_by("source").agg(pl.col("count").sum().alias("total"))
        frequent = (
            rows.filter(pl.col("line") != "")
            .group_by("source", "line")
            .agg(pl.col("count").sum())
            .join(totals, on="source")
            .filter(pl.col("count") >= self.minimum_documents)
            .filter(pl.col("count") >= self.minimum_share * pl.col("total"))
            .sort("source", "line")
        )
        return frequent.select("source", "line", pl.col("count").alias("documents")).to_arrow().cast(nothing.schema)

    def keep(self, decision: pa.Table, corpus: Path, sources: Mapping[str, Artifact]) -> None:
        """The removed lines stay readable in the corpus: edits alone only say where they stood."""
        if decision.num_rows:
            pq.write_table(decision.combine_chunks(), corpus / BOILERPLATE, compression="zstd")

    def apply(self, batch: pa.RecordBatch, decision: pa.Table) -> Changed:
        """Take the boilerplate lines out of each text; every cut is an edit."""
        if decision.num_rows == 0 or batch.num_rows == 0:
            return Changed(batch, NO_DROPS, NO_EDITS)
        frame = pl.DataFrame(pl.from_arrow(batch.select(["id", "source", "text"])))
        boilerplate = pl.DataFrame(pl.from_arrow(decision.drop_columns("documents"))).with_columns(listed=pl.lit(True))
        lines = (
            self._lines(frame)
            .with_columns(start=(pl.col("line").str.len_chars().cast(pl.Int64) + 1).cum_sum().over("row")
                          - pl.col("line").str.len_chars().cast(pl.Int64) - 1)
            .join(boilerplate, on=["source", "line"], how="left", maintain_order="left")
            .with_columns(hit=pl.when(pl.col("listed") & self._may_go()).then(True))
        )  # fmt: skip
        hits = lines.filter(pl.col("hit"))
        if hits.is_empty():
            return Changed(batch, NO_DROPS, NO_EDITS)
        touched = hits.select("row").unique()
        kept = (
            lines.join(touched, on="row", how="semi")
            .group_by("row", maintain_order=True)
            .agg(pl.col("line").filter(pl.col("hit").is_null()).str.join("\n").first().alias("new"))
            .with_columns(pl.col("new").fill_null("").str.replace_all(r"\n{3,}", "\n\n").str.strip_chars_end("\n"))
        )
        text = (
            frame.with_row_index("row").join(kept, on="row", how="left", maintain_order="left")
            .select(pl.coalesce("new", "text").alias("text"))["text"].to_arrow().cast(pa.string())
        )  # fmt: skip
        edits = hits.select(
            "id", "source", step=pl.lit(self.name), kind=pl.lit("frequent_line"), start="start",
            length=pl.col("line").str.len_chars().cast(pl.Int64),
            before=pl.lit(None, pl.String), after=pl.lit(None, pl.String),
        ).to_arrow().cast(EDITS)  # fmt: skip
        return Changed(set_text(batch, text), NO_DROPS, edits)

"""Corpus steps: exact duplicates, near duplicates, and lines that stand in many documents of one source."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic

from jpfm.core.artifact import Artifact
from jpfm.data.document import EDITS, empty
from jpfm.data.steps.base import NO_DROPS, NO_EDITS, Changed, CorpusStep, Sketched, set_text

BOILERPLATE = "frequent_lines.parquet"
"""In a corpus: the lines that `frequent_lines` removed, by source, and in how many documents each stood."""


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

    def decide(self, sketched: Sketched, decision: Path) -> None:
        """The lines that are boilerplate, by source, and in how many documents each stands."""
        pq.write_table(self._frequent([shard.sketch for shard in sketched.shards]), decision / BOILERPLATE)

    def load(self, decision: Path, shard: str) -> pa.Table:
        return pq.read_table(decision / BOILERPLATE)

    def _frequent(self, sketches: list[Path]) -> pa.Table:
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

    def keep(self, decision: Path, corpus: Path, sources: Mapping[str, Artifact]) -> None:
        """The removed lines stay readable in the corpus: edits alone only say where they stood."""
        lines = pq.read_table(decision / BOILERPLATE)
        if lines.num_rows:
            pq.write_table(lines.combine_chunks(), corpus / BOILERPLATE, compression="zstd")

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

"""Annotate once, decide late: what filters would drop of an annotated corpus, read from its columns without its text.

    for verdict in judge(corpus, [SwallowV1(step="swallow-v1"), Length(step="length", minimum_chars=400)]): ...

Each filter is judged alone over the whole corpus, so presets stand side by side. Nothing is written; to make the
corpus, name the annotated one as a source (`format: corpus`) of a recipe that holds the filters.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jpfm.core.artifact import Artifact
from jpfm.core.errors import UsageError
from jpfm.data.steps.base import Filter

_NOT_READ = ("id", "source", "text", "url")


@dataclass
class Verdict:
    """What one filter says of a corpus."""

    name: str
    read: int = 0
    kept: int = 0
    kept_chars: int | None = None
    """Characters of the kept documents; None where the corpus has no column `num_chars`."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Documents by the first limit that they fail."""

    @property
    def kept_share(self) -> float | None:
        """Of the documents read; None of none."""
        return self.kept / self.read if self.read else None


def judge(corpus: Artifact, filters: Sequence[Filter]) -> list[Verdict]:
    """One verdict a filter.

    Raises:
        UsageError: the corpus lacks a column that a filter compares.
    """
    files = sorted((corpus.path / "documents").glob("*.parquet"))
    there = set(pq.read_schema(files[0]).names)
    for step in filters:
        missing = [column for column in step.needs if column not in there]
        if missing:
            from jpfm.data.recipe import provider

            raise UsageError(
                f"{corpus.path}: {step.name} compares column '{missing[0]}', which this corpus does not have",
                hint=f"build it with `- step: {provider(missing[0])}`; it has: {', '.join(sorted(there))}",
            )
    verdicts = [Verdict(step.name) for step in filters]
    measured = "num_chars" in there
    columns = sorted({column for step in filters for column in step.needs} | ({"num_chars"} if measured else set()))
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(columns=columns):
            rows = _with_blank_text(batch)
            for step, verdict in zip(filters, verdicts, strict=True):
                changed = step.run(rows)
                verdict.read += batch.num_rows
                verdict.kept += changed.batch.num_rows
                verdict.dropped.update(changed.dropped.column("reason").to_pylist())
                if measured:
                    chars = pc.sum(changed.batch.column("num_chars")).as_py() or 0
                    verdict.kept_chars = (verdict.kept_chars or 0) + int(chars)
    return verdicts


def _with_blank_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Filters write dropped rows with their text; here nobody reads it, so it is not read from disk either."""
    blank = pa.array([""] * batch.num_rows, pa.string())
    for name in _NOT_READ:
        if name not in batch.schema.names:
            batch = batch.append_column(name, blank)
    return batch

"""Running a corpus step over batches as a build does: everything lies in files between sketch, decision and apply.

results = run_step(FrequentLines(step="frequent_lines"), tmp_path, batch, other)      # one shard a batch
"""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jpfm.core.shards import LOCAL, Engine
from jpfm.data.steps.base import Changed, CorpusStep, ShardFiles, Sketched


class Decided:
    """A corpus step with the decision it made over shards that lie in a folder of their own."""

    def __init__(self, step: CorpusStep, folder: Path, *shards: list[pa.RecordBatch], engine: Engine = LOCAL) -> None:
        self.step = step
        self.root = Path(tempfile.mkdtemp(prefix=f"{step.name}-", dir=folder))
        self.decision = self.root / "decision"
        self.asked: list[str] = []
        """Shards whose documents the step asked for."""
        scratch = self.root / "scratch"
        for path in (self.decision, scratch):
            path.mkdir()
        self.shards = [self._write(number, batches) for number, batches in enumerate(shards)]
        step.decide(Sketched(tuple(self.shards), scratch, engine, self.asked.extend), self.decision)

    def _write(self, number: int, batches: list[pa.RecordBatch]) -> ShardFiles:
        name = f"shard-{number:05d}"
        files = ShardFiles(name, self.root / f"{name}.sketch.parquet", self.root / f"{name}.parquet")
        for path, rows in ((files.sketch, [self.step.sketch(batch) for batch in batches]), (files.documents, batches)):
            with pq.ParquetWriter(path, rows[0].schema) as writer:
                for batch in rows:
                    writer.write_batch(batch)
        return files

    def apply(self, number: int, batch: pa.RecordBatch) -> Changed:
        """What the decision makes of a batch of shard `number`."""
        return self.step.apply(batch, self.step.load(self.decision, f"shard-{number:05d}"))


def run_step(step: CorpusStep, folder: Path, *batches: pa.RecordBatch) -> list[Changed]:
    """Sketch, decide and apply over batches, each of them a shard. `folder` may be used again."""
    decided = Decided(step, folder, *([batch] for batch in batches))
    return [decided.apply(number, batch) for number, batch in enumerate(batches)]

"""A corpus made before as the source of another: annotate once, decide late.

    sources: [{format: corpus, name: annotated, path: out/annotated}]
    steps:   [{step: swallow-v1}, {step: exact_duplicates}]

Documents keep id, source, licence and every column they have; rights and lineage come from that corpus.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic

from jpfm.core.artifact import Artifact, open_artifact
from jpfm.core.config import Settings, place
from jpfm.data.document import SCHEMA, Quarantined
from jpfm.data.sources.base import BATCH_DOCUMENTS, Name, Piece


class CorpusSource(Settings):
    """A finished corpus artifact. It states no rights of its own: each document carries them."""

    columns: ClassVar[tuple[str, ...]] = ()
    format: Literal["corpus"]
    name: Name
    """Begins the names of the new corpus's files."""
    path: str = place()
    """Folder of the corpus, relative to the recipe's root."""
    only: tuple[str, ...] = pydantic.Field(default=())
    """Sources of that corpus to take; all when empty."""

    def artifact(self, root: Path) -> Artifact:
        """The corpus.

        Raises:
            ArtifactError: there is no finished corpus.
        """
        return open_artifact((root / self.path).absolute(), "corpus")

    def pieces(self, root: Path, slice_bytes: int) -> Iterator[Piece]:
        """One piece a file of the corpus: each holds one source's documents."""
        folder = self.artifact(root).path / "documents"
        for path in sorted(folder.glob("*.parquet")):
            piece = Piece(str(path), path.name, path.stat().st_size)
            if not self.only or self.label(piece) in self.only:
                yield piece

    def known_columns(self, root: Path) -> tuple[str, ...]:
        """The columns that earlier signals added."""
        piece = next(self.pieces(root, 0), None)
        names = pq.read_schema(piece.path).names if piece else []
        return tuple(name for name in names if name not in SCHEMA.names)

    def label(self, piece: Piece) -> str:
        """The source a file's documents come from."""
        return piece.name.rpartition("-")[0]

    def batches(
        self, pieces: Sequence[Piece], columns: Sequence[str], bad: list[Quarantined]
    ) -> Iterator[pa.RecordBatch]:
        """The documents with all their columns."""
        for piece in pieces:
            file = pq.ParquetFile(piece.path)
            for group in range(file.num_row_groups):
                yield from file.iter_batches(batch_size=BATCH_DOCUMENTS, row_groups=[group])

"""One `.bin/.idx/.docs.parquet` triple on its way: written under names of its own, then renamed, then recorded.

    with job.writing() as file:
        file.add(ids, lengths, documents)                    # as often as there are batches
    job.record                                               # written last: a file whose record exists is done

A job knows everything a worker process needs. What a killed worker left has its host and process in its name, so that
two tasks that work on one file do not write into each other.
"""

import json
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import STATE
from jpfm.core.log import log
from jpfm.data.shard import digest
from jpfm.tokens.index import write_index

ENDINGS = (".bin", ".idx", ".docs.parquet")
DOCUMENTS = pa.schema(
    [("ordinal", pa.int64()), ("id", pa.string()), ("source", pa.string()), ("licence", pa.string()),
     ("start", pa.int64()), ("length", pa.int64())]  # tokens in this file, EOS included
)  # fmt: skip
PART = pa.field("part", pa.int32())  # of a document that was cut, from 0; only where documents are cut
_ROW_GROUP = 1 << 17


@dataclass(frozen=True)
class FileJob(ABC):
    """A file to write; kinds of input add what they read."""

    root: str
    """The unfinished artifact."""
    name: str
    source: str
    bytes: int
    """Of input; for progress."""
    dtype: str

    def path(self, ending: str) -> Path:
        """A file of the triple."""
        return Path(self.root) / (self.name + ending)

    @property
    def record(self) -> Path:
        """Counts and digests of the finished triple."""
        return Path(self.root) / STATE / "files" / f"{self.name}.json"

    @abstractmethod
    def run(self) -> int:
        """Write the file; returns its tokens."""

    def recorded(self) -> dict[str, Any]:
        """What the record of a finished file says."""
        return dict(json.loads(self.record.read_text(encoding="utf-8")))

    def is_done(self) -> bool:
        """Whether the file is finished and as it was written; a damaged one loses its record, with a warning."""
        if not self.record.exists():
            return False
        try:
            files = self.recorded()["files"]
            damage = next((name for name in files if digest(Path(self.root) / name) != files[name]), None)
        except (ValueError, KeyError, OSError) as error:
            damage = f"{self.record.name} ({error})"
        if damage is not None:
            log.warning("%s is not as it was written; %s is packed again", damage, self.name)
            self.record.unlink()
        return damage is None

    @contextmanager
    def writing(self, *, cut: bool = False) -> Iterator["Writer"]:
        """Open the triple; it appears under its names, and is recorded, where the block ends without an error.

        Args:
            cut: documents are cut into parts, and `part` is a column.
        """
        own = f".{socket.gethostname()}.{os.getpid()}.tmp"
        writer = Writer(self, own, pa.schema([*DOCUMENTS, PART]) if cut else DOCUMENTS)
        try:
            yield writer
            writer.close()
        finally:
            writer.abandon()
        for ending in ENDINGS:
            self.path(ending).unlink(missing_ok=True)  # renaming a hard link over itself would do nothing
            os.replace(self.path(ending + own), self.path(ending))
        record = {
            "documents": writer.documents,
            "tokens": writer.tokens,
            "tokens_by_licence": dict(sorted(writer.by_licence.items())),
            "eos_added": writer.eos_added,
            "files": {self.name + ending: digest(self.path(ending)) for ending in ENDINGS},
        }
        self.record.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.record.with_name(self.record.name + own)
        artifacts.write_text(temporary, artifacts.canonical_json(record))
        os.replace(temporary, self.record)


@dataclass
class Writer:
    """The open triple."""

    job: FileJob
    own: str
    schema: pa.Schema
    tokens: int = 0
    documents: int = 0
    by_licence: dict[str, int] = field(default_factory=dict)
    eos_added: int = 0
    """Documents of token files that had no EOS and were given one."""
    _lengths: list[npt.NDArray[np.int64]] = field(default_factory=list)
    _bin: Any = None
    _table: pq.ParquetWriter | None = None

    @property
    def binary(self) -> Path:
        """The `.bin` on its way."""
        return self.job.path(".bin" + self.own)

    def add(self, ids: npt.NDArray[Any] | None, lengths: npt.NDArray[np.int64], documents: pa.Table) -> None:
        """Append sequences.

        Args:
            ids: of all of them, one after the other; None where the `.bin` is made in another way.
            lengths: tokens of each.
            documents: `id`, `source`, `licence` (and `part`) of each.
        """
        if ids is not None:
            if self._bin is None:
                self._bin = self.binary.open("wb")
            np.ascontiguousarray(ids, dtype=self.job.dtype).tofile(self._bin)
        ends = np.cumsum(lengths) + self.tokens
        columns = {name: documents[name] for name in documents.column_names} | {
            "ordinal": pa.array(np.arange(self.documents, self.documents + len(lengths))),
            "start": pa.array(ends - lengths),
            "length": pa.array(lengths),
        }
        table = pa.table([columns[name] for name in self.schema.names], schema=self.schema)
        if self._table is None:
            self._table = pq.ParquetWriter(self.job.path(".docs.parquet" + self.own), self.schema, compression="zstd")
        self._table.write_table(table, row_group_size=_ROW_GROUP)
        sums = pa.table({"licence": table["licence"], "length": table["length"]}).group_by("licence")
        for row in sums.aggregate([("length", "sum")]).to_pylist():
            self.by_licence[row["licence"]] = self.by_licence.get(row["licence"], 0) + row["length_sum"]
        self._lengths.append(lengths)
        self.tokens += int(lengths.sum())
        self.documents += len(lengths)

    def close(self) -> None:
        """Write what is left: the index, and the end of the table."""
        write_index(self.job.path(".idx" + self.own), np.concatenate(self._lengths), np.dtype(self.job.dtype))
        assert self._table is not None
        self._table.close()
        if self._bin is not None:
            self._bin.close()

    def abandon(self) -> None:
        """Let go of open files; what they hold is finished or of no use."""
        if self._bin is not None:
            self._bin.close()
        if self._table is not None:
            self._table.close()

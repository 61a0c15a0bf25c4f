"""What every source has: where its files are, on what terms they may be used, and how a file becomes documents."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import pyarrow as pa
import pydantic

from jpfm.core.artifact import FileEntry, sha256_of
from jpfm.core.config import Settings
from jpfm.core.errors import DataError, JpfmError
from jpfm.core.log import log
from jpfm.core.rights import LINE, SourceRights
from jpfm.data.document import Document, Quarantined, to_batch
from jpfm.data.sources.archive import PACKED, BrokenInput, Member, TooLarge, members, open_raw
from jpfm.data.sources.remote import find
from jpfm.text.decode import UnreadableText

BATCH_CHARS = 4_000_000
BATCH_DOCUMENTS = 4096
Name = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class Piece(NamedTuple):
    """A part of the input that one worker reads: a file, or a range of one."""

    path: str
    """Where it lies: a local path or a URL."""
    name: str
    """How it is called in document ids; the same on every machine."""
    bytes: int
    start: int = 0
    stop: int | None = None
    """The range: row groups for Parquet, shards for data sets, else bytes. None means to the end."""
    modified: int | None = None
    """When a local file was changed last, in nanoseconds as the system tells; None for what lies elsewhere."""


class Source(Settings):
    """Raw files of one origin, one format and one licence."""

    columns: ClassVar[tuple[str, ...]] = ()
    """Keys of a document's `meta` that become columns of their own."""
    closed: ClassVar[tuple[str, ...]] = ()
    """Endings of packed files that the format opens itself."""
    cuts: ClassVar[Literal["lines", "rows"] | None] = None
    """Whether one large file may be read in ranges, and of what. A format that knows better has a `cut` of its own."""

    format: Any
    name: Name
    """Short name; it begins every document id."""
    paths: Annotated[tuple[str, ...], pydantic.Field(min_length=1)]
    """Glob patterns below the recipe's root, or URLs that fsspec opens (s3://, gs://, https://)."""
    exclude: tuple[str, ...] = ()
    """Glob patterns of files to leave out."""
    optional: bool = False
    """Go on, with a warning, where a pattern matches no file. Without it that stops the build."""
    rights: SourceRights = pydantic.Field(json_schema_extra={"jpfm_example": LINE})
    """On what terms the source may be used. Required: a corpus whose terms nobody stated cannot be defended."""

    def files(self, root: Path) -> list[Piece]:
        """The source's files: in the order of the patterns, sorted within each.

        Raises:
            DataError: a pattern matches nothing, or a file name is not UTF-8.
        """
        excluded = {path for pattern in self.exclude if "://" not in pattern for path in root.glob(pattern)}
        found: dict[str, Piece] = {}
        for pattern in self.paths:
            if "://" in pattern:
                matched = [Piece(*found) for found in find(pattern) if found.url not in self.exclude]
            else:
                local = [path for path in sorted(root.glob(pattern)) if path.is_file() and path not in excluded]
                matched = [
                    Piece(str(p), p.relative_to(root).as_posix(), p.stat().st_size, modified=p.stat().st_mtime_ns)
                    for p in local
                ]
            if not matched and self.optional:
                log.warning("source '%s': no file matches %s; it is optional, so the build goes on", self.name, pattern)
            elif not matched:
                where = pattern if "://" in pattern else root / pattern
                raise DataError(
                    f"source '{self.name}': no file matches {where}",
                    hint="check the address, and that it can be reached from here"
                    if "://" in pattern
                    else "check the recipe's root and paths (root is relative to the current folder)",
                )
            found.update((piece.path, piece) for piece in matched)
        for path in found:
            if not path.isascii() and os.fsencode(path).decode("utf-8", "replace") != path:
                raise DataError(
                    f"source '{self.name}': the file name {os.fsencode(path)!r} is not UTF-8",
                    hint="rename it (convmv -f cp932 -t utf8 --notest FILE), or leave it out with `exclude`",
                )
        return list(found.values())

    def pieces(self, root: Path, slice_bytes: int) -> Iterator[Piece]:
        """The units of work: files, large ones cut into ranges of about `slice_bytes` where the format can."""
        for piece in self.files(root):
            yield from self.cut(piece, slice_bytes) if piece.bytes > slice_bytes else (piece,)

    def cut(self, piece: Piece, slice_bytes: int) -> Iterator[Piece]:
        """The ranges of a file larger than a slice, found without reading all of it."""
        if self.cuts is None or piece.name.lower().endswith(PACKED):
            yield piece
        elif self.cuts == "rows":
            yield from _row_groups(piece, slice_bytes)
        else:
            yield from _line_ranges(piece, slice_bytes)

    def entries(self, pieces: list[Piece]) -> Iterator[FileEntry]:
        """The raw files by content, for the source's manifest."""
        for path, name in dict.fromkeys((piece.path, piece.name) for piece in pieces):
            with open_raw(path) as file:
                size, digest = sha256_of(file)
            yield FileEntry(path=name, bytes=size, sha256=digest)

    def origin(self) -> dict[str, Any]:
        """What the source's manifest says besides name and rights: e.g. a data set's revision."""
        return {}

    def documents(self, piece: Piece) -> Iterator[Document | Quarantined]:
        """Read one piece; what cannot be read comes back quarantined and the rest goes on."""
        start = piece.start - 1 if self.cuts == "lines" and piece.start else 0
        for member in members(piece.path, piece.name, closed=self.closed, start=start):
            identity = f"{self.name}/{member.name}"
            if member.error is not None:
                yield Quarantined(identity, "archive", member.error)
                continue
            try:
                yield from self.read_range(member, identity, piece)
            except JpfmError as error:
                yield Quarantined(identity, self.error_kind(error), f"{error.message} ({error.hint})")

    def known_columns(self, root: Path) -> tuple[str, ...]:
        """Columns that the documents bring besides SCHEMA and `columns`."""
        return ()

    def label(self, piece: Piece) -> str:
        """The name under which a piece's documents are counted."""
        return self.name

    def batches(
        self, pieces: Sequence[Piece], columns: Sequence[str], bad: list[Quarantined]
    ) -> Iterator[pa.RecordBatch]:
        """The pieces' documents as record batches of bounded size; what cannot be read is added to `bad`."""
        waiting: list[Document] = []
        chars = 0
        for item in (item for piece in pieces for item in self.documents(piece)):
            if isinstance(item, Document) and not item.text.strip():
                item = Quarantined(item.id, "empty", "no text in it")
            if isinstance(item, Quarantined):
                bad.append(item)
                continue
            waiting.append(item)
            chars += len(item.text)
            if chars >= BATCH_CHARS or len(waiting) >= BATCH_DOCUMENTS:
                yield self._batch(waiting, columns)
                waiting, chars = [], 0
        if waiting:
            yield self._batch(waiting, columns)

    def _batch(self, documents: Sequence[Document], columns: Sequence[str]) -> pa.RecordBatch:
        """Documents with what the source's rights say of them."""
        rights = self.rights
        return to_batch(documents, self.name, rights.licence, columns, retrieved=rights.retrieved, basis=rights.basis)

    def error_kind(self, error: JpfmError) -> str:
        """The name under which unreadable input is counted."""
        kinds = ((UnreadableText, "decode"), (BrokenInput, "archive"), (TooLarge, "too_large"))
        return next((name for kind, name in kinds if isinstance(error, kind)), "format")

    def read_range(self, member: Member, identity: str, piece: Piece) -> Iterator[Document | Quarantined]:
        """Read the part of a member that a piece names; a format with `cuts` overrides this."""
        return self.read(member, identity)

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """Turn one member's bytes into documents."""
        raise TypeError(f"{type(self).__name__} does not read files")  # every format overrides this


def _line_ranges(piece: Piece, slice_bytes: int) -> Iterator[Piece]:
    with open_raw(piece.path) as file:
        head = file.read(2)
    if head in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16: a line end is not one byte
        yield piece
    else:
        yield from byte_ranges(piece, slice_bytes)


def byte_ranges(piece: Piece, slice_bytes: int) -> Iterator[Piece]:
    """A file as ranges of bytes of nearly one size, whatever lies at their edges."""
    count = -(-piece.bytes // slice_bytes)
    for number in range(count):
        start, stop = (piece.bytes * n // count for n in (number, number + 1))
        yield piece._replace(bytes=stop - start, start=start, stop=stop)


def _row_groups(piece: Piece, slice_bytes: int) -> Iterator[Piece]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_raw(piece.path, seek=True) as file:
            metadata = pq.ParquetFile(file).metadata
    except (pa.ArrowException, OSError):
        yield piece  # the reader will say what is wrong with it
        return
    start, size = 0, 0
    for number in range(metadata.num_row_groups):
        size += metadata.row_group(number).total_byte_size
        if size >= slice_bytes or number == metadata.num_row_groups - 1:
            yield piece._replace(bytes=size, start=start, stop=number + 1)
            start, size = number + 1, 0

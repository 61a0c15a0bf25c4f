"""One large WARC file as ranges of bytes that any number of workers read: each record once, as in the uncut file.

    for part in planned(piece, 64 << 20): ...       # from a glance at the file
    for record in records_in(part): ...

A gzip member of its own for every record is what crawlers write. Such a file is cut by arithmetic, and the reader of a
range looks for the first member at or after its beginning. Gzip's magic is not enough: a crawler that met a .warc.gz
file stores it as it is, and every member of it looks like a record here. But what is stored stands in blocks of at
most 65,535 bytes. Members that follow each other unbroken for longer, or to the end of the file, are the file's own.
A record whose member is not proven so (damaged, or damage follows) belongs to the range before it. One gzip member
over all records cannot be cut; the first one tells.

In a plain file a stored WARC cannot be told from the file's own records by any look at its surroundings. There the
plan goes from header to header by Content-Length, 4 KiB a record, and cuts exactly; over the network that would fetch
the whole file, so a plain one behind a URL stays whole.
"""

from collections.abc import Iterator
from typing import IO

from jpfm.data.sources.archive import open_raw, read_at
from jpfm.data.sources.base import Piece, byte_ranges
from jpfm.data.sources.warc_records import (
    GZIP,
    GZIP_BYTES,
    HEADER_END,
    LIMIT,
    READ,
    TAIL_BYTES,
    VERSION,
    GzipMember,
    Raw,
    Window,
    ends_well,
    is_packed,
    plain_records,
    record_bytes,
    records,
)

_STORED = 65_535  # bytes of the largest block that deflate stores as it is
_HOP = 4096


def planned(piece: Piece, slice_bytes: int) -> Iterator[Piece]:
    """A file as ranges of about `slice_bytes`, or whole where it cannot be cut."""
    try:
        with open_raw(piece.path) as file:
            window = Window(lambda: file.read(READ))
            window.fill(READ)
            if is_packed(window.held):
                yield from byte_ranges(piece, slice_bytes) if _one_record_a_member(window) else (piece,)
            elif "://" in piece.path:
                yield piece
            else:
                yield from _plain_ranges(file, piece, slice_bytes)
    except OSError:
        yield piece  # the reader will say what is wrong with it


def records_in(piece: Piece) -> Iterator[Raw]:
    """The records of a range, with their offsets in the file.

    Raises:
        BrokenInput: the file cannot be read.
    """
    with open_raw(piece.path, seek=True) as file:
        packed = is_packed(read_at(file, 0, READ))
        start = _first_member(file, piece) if packed and piece.start else piece.start
        if start is None:
            return
        for record in records(_Reader(file, start), begins=start):
            at = record.begins
            if piece.stop is not None and at >= piece.stop and (not packed or begins_member(file, at)):
                return
            yield record


def _first_member(file: IO[bytes], piece: Piece) -> int | None:
    """The first of the file's members that begin in a range."""
    stop = piece.start + piece.bytes
    for at in range(piece.start, stop, READ):
        data = read_at(file, at, READ + GZIP_BYTES - 1)
        found = GZIP.search(data)
        while found is not None and found.start() < min(READ, stop - at):
            if begins_member(file, at + found.start()):
                return at + found.start()
            found = GZIP.search(data, found.start() + 1)
    return None


def begins_member(file: IO[bytes], at: int) -> bool:
    """Whether one of the file's own gzip members, with a record in it, surely begins at a byte."""
    window = Window(_Reader(file, at).read, at)
    while window.position - at <= _STORED:
        if not window.fill(1):
            return window.position > at
        if not window.fill(GZIP_BYTES) or not GZIP.match(window.held):
            return False
        unpacked = Window(GzipMember(window).read)
        unpacked.fill(TAIL_BYTES)
        if not VERSION.match(unpacked.held):
            return False
        while unpacked.fill(1) and window.position - at <= LIMIT:
            unpacked.take(READ)
        if unpacked.damage or unpacked.held:
            return False
    return True


def _one_record_a_member(window: Window) -> bool:
    if not GZIP.match(window.held):
        return False
    inside = plain_records(Window(GzipMember(window).read), "0", LIMIT)
    first = next(inside, None)
    return first is not None and first.error != "format" and next(inside, None) is None


def _plain_ranges(file: IO[bytes], piece: Piece, slice_bytes: int) -> Iterator[Piece]:
    start = 0
    for at in _plain_starts(file, piece.bytes):
        if at - start >= slice_bytes:
            yield piece._replace(bytes=at - start, start=start, stop=at)
            start = at
    yield piece._replace(bytes=piece.bytes - start, start=start, stop=piece.bytes) if start else piece


def _plain_starts(file: IO[bytes], size: int) -> Iterator[int]:
    """Where the whole records of a plain file begin, as `plain_records` meets them."""
    at = 0
    head = read_at(file, at, _HOP)
    while head:
        bare = head.lstrip(b"\r\n")
        at += len(head) - len(bare)
        if not bare:
            head = read_at(file, at, _HOP)
            continue
        end = HEADER_END.search(bare)
        length = record_bytes(bare[: end.end()]) if end else None
        if length is not None:
            head = read_at(file, at + length, _HOP)
            if length > LIMIT or (at + length <= size and ends_well(head[:TAIL_BYTES])):
                yield at
                at += length
                continue
        damaged = plain_records(Window(_Reader(file, at).read, at), "", LIMIT)  # it knows where to go on
        next(damaged, None)
        following = next(damaged, None)
        if following is None:
            return
        at = following.begins
        head = read_at(file, at, _HOP)


class _Reader:
    """The file from a byte on, whoever else moves in it."""

    def __init__(self, file: IO[bytes], at: int) -> None:
        self._file = file
        self._at = at

    def read(self, size: int = READ, /) -> bytes:
        data = read_at(self._file, self._at, size)
        self._at += len(data)
        return data

"""One large WARC file as ranges of bytes that any number of workers read: each record once, as in the uncut file.

    for part in planned(piece, 64 << 20): ...       # from a glance at the file
    first = first_record(part)                      # where to begin, None when no record begins in the range
    for record in between(stream, part): ...        # a stream that stands there

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

from collections.abc import Callable, Iterator
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


def first_record(piece: Piece) -> int | None:
    """The byte where the first record of a range begins.

    Raises:
        BrokenInput: the file cannot be read.
    """
    with open_raw(piece.path, seek=True) as file:
        if piece.start == 0 or not is_packed(read_at(file, 0, READ)):
            return piece.start
        assert piece.stop is not None
        at = piece.start
        while at < piece.stop and (data := read_at(file, at, READ + GZIP_BYTES - 1)):
            found = GZIP.search(data)
            while found is not None and at + found.start() < piece.stop:
                if begins_member(file, at + found.start()):
                    return at + found.start()
                found = GZIP.search(data, found.start() + 1)
            at += READ
    return None


def between(stream: IO[bytes], piece: Piece) -> Iterator[Raw]:
    """The records of a range.

    Args:
        stream: the file from `piece.start` on, where a record begins.
    """
    with open_raw(piece.path, seek=True) as file:
        packed = is_packed(read_at(file, 0, READ))
        for record in records(stream, begins=piece.start):
            at = record.begins
            if piece.stop is not None and at >= piece.stop and (not packed or begins_member(file, at)):
                return
            yield record


def begins_member(file: IO[bytes], at: int) -> bool:
    """Whether one of the file's own gzip members, with a record in it, surely begins at a byte."""
    window = Window(_from(file, at), at)
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
    return next(inside, None) is not None and next(inside, None) is None


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
        damaged = plain_records(Window(_from(file, at), at), "", LIMIT)  # it knows where to go on
        next(damaged, None)
        following = next(damaged, None)
        if following is None:
            return
        at = following.begins
        head = read_at(file, at, _HOP)


def _from(file: IO[bytes], at: int) -> Callable[[], bytes]:
    """A reader of the file from a byte on, whoever else moves in it."""

    def read() -> bytes:
        nonlocal at
        data = read_at(file, at, READ)
        at += len(data)
        return data

    return read

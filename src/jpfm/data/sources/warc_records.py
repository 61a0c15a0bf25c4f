"""Records of a WARC stream, each with the byte where it begins; damage costs the record it is in.

    for record in records(stream): record.offset, record.data or record.error

A WARC file is a row of gzip members, a record each; or plain records after each other; or one gzip stream of them.
fastwarc stops for good at the first bad member. Here a bad one is told, and the search goes on at the next gzip or WARC
header. At most `limit` bytes of a record are held; a longer one is passed over, whatever it unpacks to.
Where the next record begins depends on the file and on where this one begins, on nothing read before: `warc_ranges`
reads a file from any record on and meets the same records, damaged ones too.
"""

import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from jpfm.data.sources.archive import BrokenInput

LIMIT = 32 << 20
READ = 1 << 16
TAIL_BYTES = 16
_KEPT = 1 << 20  # of a damaged member, what is searched for the next one
_MAX_HEADER = 1 << 16
GZIP = re.compile(rb"\x1f\x8b\x08[\x00-\x1f].{4}[\x00\x02\x04][\x00-\x0d\xff]", re.DOTALL)
GZIP_BYTES = 10
VERSION = re.compile(rb"WARC/[01]\.\d+\r?\n")
_NEXT = re.compile(rb"\nWARC/[01]\.\d+\r?\n")
HEADER_END = re.compile(rb"\r?\n\r?\n")
LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r?\n", re.IGNORECASE)


class Raw(NamedTuple):
    """A record as it lies in the file, or what is wrong there."""

    offset: str
    """The byte where its gzip member or plain header begins; `A+B` for byte B of what the member at A unpacks to."""
    data: bytes = b""
    """WARC header and block."""
    error: str = ""
    """Empty, or the kind under which it is counted: format, too_large."""
    detail: str = ""

    @property
    def begins(self) -> int:
        """The byte of the file where its gzip member or plain header begins."""
        return int(self.offset.partition("+")[0])


class Readable(Protocol):
    """What records are read from."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`; none at the end."""


class Damage(Exception):
    """The stream cannot be read further."""


class Window:
    """A forward stream whose next bytes can be looked at before they are taken."""

    def __init__(self, read: Callable[[], bytes], position: int = 0) -> None:
        self._read = read
        self.held = bytearray()
        self.position = position
        """Of the first held byte."""
        self.damage = ""
        """Why the stream ended, if not in order."""
        self._ended = False

    def fill(self, count: int) -> bool:
        """Hold at least this many bytes; False when the stream has no more."""
        while len(self.held) < count and not self._ended:
            data = b""
            try:
                data = self._read()
            except Damage as error:
                self.damage = str(error)
            self._ended = not data
            self.held += data
        return len(self.held) >= count

    def take(self, count: int) -> bytes:
        data = bytes(self.held[:count])
        del self.held[:count]
        self.position += len(data)
        return data

    def give_back(self, data: bytes) -> None:
        self.held[:0] = data
        self.position -= len(data)

    def skip(self, count: int) -> None:
        while count > 0 and self.fill(1):
            count -= len(self.take(min(count, len(self.held))))


class GzipMember:
    """One gzip member of a window. When it is damaged, what was taken of it goes back: the next one may be in it.

    It is taken in full blocks from its beginning on, so that what is told of damage, and where the search goes on, is
    the same whatever was read before.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._start = window.position
        self._unpacker = zlib.decompressobj(wbits=31)
        self._blocks: deque[bytes] = deque()
        self._kept = 0
        self._damage = ""

    def read(self) -> bytes:
        """Up to 64 KiB unpacked; nothing at the end of the member."""
        while not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail
            if not packed and not self._damage:
                if not self._window.fill(READ) and not self._window.held:
                    self._damage = self._window.damage or "the file ends inside this record"
                packed = self._window.take(READ)
                self._keep(packed)
            if self._damage:
                raise Damage(self._damage)
            try:
                data = self._unpacker.decompress(packed, READ)
            except zlib.error as error:
                self._damage = f"cannot be unpacked: {error}"
                raise Damage(self._damage) from error
            if self._unpacker.eof:
                self._window.give_back(self._unpacker.unused_data)
            if data:
                return data
        return b""

    def _keep(self, packed: bytes) -> None:
        self._blocks.append(packed)
        self._kept += len(packed)
        while self._kept > _KEPT:
            self._kept -= len(self._blocks.popleft())

    def leave(self) -> None:
        """Go to the next member: to the end of this one, or to what looks like one after its damage."""
        try:
            while self.read():
                pass
        except Damage:
            self._window.give_back(b"".join(self._blocks))
            _to_next_member(self._window, 1 if self._window.position == self._start else 0)


def is_packed(head: bytes | bytearray) -> bool:
    """Whether a file with these first bytes is made of gzip members, perhaps behind junk."""
    return not head.lstrip(b"\r\n").startswith(b"WARC/") and (head[:2] == b"\x1f\x8b" or GZIP.search(head) is not None)


def records(stream: Readable, limit: int = LIMIT, begins: int = 0) -> Iterator[Raw]:
    """All records, in order. Damage of a packed file around the WARC ends it with an error.

    Args:
        limit: bytes of the largest record to read.
        begins: which byte of its file the stream's first byte is; offsets count from there.
    """

    def read() -> bytes:
        try:
            return stream.read(READ)
        except BrokenInput as error:
            raise Damage(error.message) from error

    window = Window(read, begins)
    window.fill(READ)
    if not is_packed(window.held):
        yield from plain_records(window, "", limit)
        return
    while window.fill(1):
        start = str(window.position)
        window.fill(GZIP_BYTES)
        if not window.held.startswith(b"\x1f\x8b\x08"):
            yield Raw(start, error="format", detail="no gzip member begins here")
            _to_next_member(window, 1)
            continue
        member = GzipMember(window)
        yield from plain_records(Window(member.read), start, limit)
        member.leave()


def _to_next_member(window: Window, first: int) -> None:
    """Go to what looks like the header of a gzip member, at least `first` bytes on; else to the end."""
    while window.fill(first + GZIP_BYTES):
        found = GZIP.search(window.held, first)
        if found is not None:
            window.take(found.start())
            return
        window.take(len(window.held) - GZIP_BYTES + 1)
        first = 0
    window.take(len(window.held))


def plain_records(window: Window, member: str, limit: int) -> Iterator[Raw]:
    """Records that lie unpacked in a window.

    Args:
        member: where their gzip member begins, if they come from one.
    """
    while True:
        while window.fill(1) and window.held[0] in b"\r\n":
            window.take(len(window.held) - len(window.held.lstrip(b"\r\n")))
        place = str(window.position)
        offset = (f"{member}+{place}" if window.position else member) if member else place
        if not window.held:
            if window.damage:
                yield Raw(offset, error="format", detail=window.damage)
            return
        while (end := HEADER_END.search(window.held, 0, _MAX_HEADER)) is None and len(window.held) < _MAX_HEADER:
            if not window.fill(len(window.held) + 1):
                break
        header = bytes(window.held[: end.end()]) if end else b""
        size = record_bytes(header)
        if size is None:
            yield Raw(offset, error="format", detail=window.damage or "no WARC header begins here")
            if not _to_next_record(window, 1):
                return
            continue
        if size > limit:
            yield Raw(offset, error="too_large", detail=f"{size:,} bytes; at most {limit:,} of a record are read")
            window.skip(size)
        elif not window.fill(size):
            problem = window.damage or f"ends after {len(window.held):,} of {size:,} bytes"
            yield Raw(offset, error="format", detail=problem)
            window.damage = ""
            if not _to_next_record(window, len(header)):
                return
        elif _goes_on(window, size):
            yield Raw(offset, error="format", detail=f"does not end after {size:,} bytes, as its Content-Length says")
            if not _to_next_record(window, len(header)):
                return
        else:
            yield Raw(offset, window.take(size))


def record_bytes(header: bytes) -> int | None:
    """Size of a record with this header, by its Content-Length; None if it is no WARC header."""
    length = LENGTH.search(header)
    return len(header) + int(length.group(1)) if length is not None and VERSION.match(header) else None


def _goes_on(window: Window, size: int) -> bool:
    window.fill(size + TAIL_BYTES)
    return not ends_well(window.held[size : size + TAIL_BYTES])


def ends_well(behind: bytes | bytearray) -> bool:
    """Whether what stands behind a record is its blank line, the next record, or the end of the file."""
    return behind.startswith(b"\r\n\r\n") or b"WARC/".startswith(behind.lstrip(b"\r\n")[:5])


def _to_next_record(window: Window, first: int) -> bool:
    """Go to the next line that begins a record, at least `first` bytes on; False when there is none."""
    first = max(first - 1, 0)
    while True:
        found = _NEXT.search(window.held, first)
        if found is not None:
            window.take(found.start() + 1)
            return True
        window.take(max(0, len(window.held) - 16))
        first = 0
        if not window.fill(len(window.held) + 1):
            window.take(len(window.held))
            return False

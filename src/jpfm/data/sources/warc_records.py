"""Records of a WARC stream, each with the byte where it begins; damage costs the record it is in.

    for record in records(stream): record.offset, record.data or record.error

A WARC file is a row of gzip members, a record each; or plain records after each other; or one gzip stream of them.
fastwarc stops for good at the first bad member. Here a bad one is told, and the search goes on at the next gzip or WARC
header. At most `limit` bytes of a record are held; a longer one is passed over, whatever it unpacks to.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

from jpfm.data.sources.archive import BrokenInput

LIMIT = 32 << 20
_READ = 1 << 16
_MAX_HEADER = 1 << 16
_GZIP = re.compile(rb"\x1f\x8b\x08[\x00-\x1f].{4}[\x00\x02\x04][\x00-\x0d\xff]", re.DOTALL)
_GZIP_BYTES = 10
_VERSION = re.compile(rb"WARC/[01]\.\d+\r?\n")
_NEXT = re.compile(rb"\nWARC/[01]\.\d+\r?\n")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r?\n", re.IGNORECASE)


class Raw(NamedTuple):
    """A record as it lies in the file, or what is wrong there."""

    offset: str
    """The byte where its gzip member or plain header begins; `A+B` for byte B of what the member at A unpacks to."""
    data: bytes = b""
    """WARC header and block."""
    error: str = ""
    """Empty, or the kind under which it is counted: format, too_large."""
    detail: str = ""


class _Damage(Exception):
    """The stream cannot be read further."""


class _Window:
    """A forward stream whose next bytes can be looked at before they are taken."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self.held = bytearray()
        self.position = 0
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
            except _Damage as error:
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


class _Member:
    """One gzip member of a window. When it is damaged, its last two blocks go back: the next member may be in them."""

    def __init__(self, window: _Window) -> None:
        self._window = window
        self._start = window.position
        self._unpacker = zlib.decompressobj(wbits=31)
        self._blocks = (b"", b"")
        self._damage = ""

    def read(self) -> bytes:
        """Up to 64 KiB unpacked; nothing at the end of the member."""
        while not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail
            if not packed and not self._damage:
                if not self._window.fill(1):
                    self._damage = self._window.damage or "the file ends inside this record"
                packed = self._window.take(_READ)
                self._blocks = (self._blocks[1], packed)
            if self._damage:
                raise _Damage(self._damage)
            try:
                data = self._unpacker.decompress(packed, _READ)
            except zlib.error as error:
                self._damage = f"cannot be unpacked: {error}"
                raise _Damage(self._damage) from error
            if self._unpacker.eof:
                self._window.give_back(self._unpacker.unused_data)
            if data:
                return data
        return b""

    def leave(self) -> None:
        """Go to the next member: to the end of this one, or to what looks like one after its damage."""
        try:
            while self.read():
                pass
        except _Damage:
            self._window.give_back(b"".join(self._blocks))
            _to_next_member(self._window, 1 if self._window.position == self._start else 0)


def records(stream: IO[bytes], limit: int = LIMIT) -> Iterator[Raw]:
    """All records, in order. Damage of a packed file around the WARC ends it with an error.

    Args:
        limit: bytes of the largest record to read.
    """

    def read() -> bytes:
        try:
            return stream.read(_READ)
        except BrokenInput as error:
            raise _Damage(error.message) from error

    window = _Window(read)
    window.fill(_READ)
    if window.held.lstrip(b"\r\n").startswith(b"WARC/") or not (
        window.held[:2] == b"\x1f\x8b" or _GZIP.search(window.held)
    ):
        yield from _plain(window, "", limit)
        return
    while window.fill(1):
        start = str(window.position)
        window.fill(_GZIP_BYTES)
        if not window.held.startswith(b"\x1f\x8b\x08"):
            yield Raw(start, error="format", detail="no gzip member begins here")
            _to_next_member(window, 1)
            continue
        member = _Member(window)
        yield from _plain(_Window(member.read), start, limit)
        member.leave()


def _to_next_member(window: _Window, first: int) -> None:
    """Go to what looks like the header of a gzip member, at least `first` bytes on; else to the end."""
    while window.fill(first + _GZIP_BYTES):
        found = _GZIP.search(window.held, first)
        if found is not None:
            window.take(found.start())
            return
        window.take(len(window.held) - _GZIP_BYTES + 1)
        first = 0
    window.take(len(window.held))


def _plain(window: _Window, member: str, limit: int) -> Iterator[Raw]:
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
        while (end := _HEADER_END.search(window.held, 0, _MAX_HEADER)) is None and len(window.held) < _MAX_HEADER:
            if not window.fill(len(window.held) + 1):
                break
        header = bytes(window.held[: end.end()]) if end else b""
        length = _LENGTH.search(header)
        if length is None or not _VERSION.match(header):
            yield Raw(offset, error="format", detail=window.damage or "no WARC header begins here")
            if not _to_next_record(window, 1):
                return
            continue
        size = len(header) + int(length.group(1))
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


def _goes_on(window: _Window, size: int) -> bool:
    """Whether the record ends neither in its blank line, nor at the next record, nor with the file."""
    window.fill(size + 16)
    behind = bytes(window.held[size : size + 16])
    return not (behind.startswith(b"\r\n\r\n") or b"WARC/".startswith(behind.lstrip(b"\r\n")[:5]))


def _to_next_record(window: _Window, first: int) -> bool:
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

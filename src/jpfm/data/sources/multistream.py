"""Multistream bz2 dumps of a wiki as ranges of bytes: streams of a hundred pages each, read on their own.

    head = multistream_head(file)                   # None: an ordinary bz2 file, or no dump
    for part in parts(file, start, stop): part.unit, part.data

Wikimedia packs the head of the XML, every hundred pages and the closing tag as bz2 streams of their own. A stream that
begins with <page> can be read without those before it, once its reader has seen the head. It begins a *unit*: it, and
what follows until the next such stream. A unit belongs to the range in which its first byte lies, and damage costs the
unit it is in. bz2 stores nothing as it is and its magic has 80 bits, so what looks like a stream and unpacks is one.
"""

import bz2
import re
from collections.abc import Iterator
from typing import IO, NamedTuple

from jpfm.data.sources.archive import read_at

_READ = 1 << 16
_PLAIN_BYTES = 1 << 20
_NEAR_BYTES = 8 << 20
_MAGIC = re.compile(rb"BZh[1-9]1AY&SY")
_MAGIC_BYTES = 10
_PAGE = re.compile(rb"\s*<page[\s>]")
_END = b"</mediawiki>"


class Part(NamedTuple):
    """Some of a unit's XML."""

    unit: int
    """The byte where it begins."""
    data: bytes = b""
    is_last: bool = False
    """Whether the unit ends here: with the closing tag of the XML, unless the file ends too and must hold its own."""
    error: str = ""
    """Why nothing more of the unit can be read."""


def multistream_head(file: IO[bytes]) -> bytes | None:
    """The XML before the first page, if a second stream begins with pages within 8 MiB of the file's beginning."""
    first = _opening(file, 0)
    if b"<mediawiki" not in first or first_unit(file, 1, _NEAR_BYTES) is None:
        return None
    return first.partition(b"<page")[0]


def first_unit(file: IO[bytes], start: int, stop: int | None) -> int | None:
    """The first byte in [start, stop) where a stream of pages begins."""
    at = start
    while stop is None or at < stop:
        data = read_at(file, at, _READ + _MAGIC_BYTES - 1)
        if not data:
            return None
        for found in _MAGIC.finditer(data):
            begins = at + found.start()
            if (stop is None or begins < stop) and _PAGE.match(_opening(file, begins)):
                return begins
        at += _READ
    return None


def parts(file: IO[bytes], start: int, stop: int | None) -> Iterator[Part]:
    """The units that begin in a range, piece by piece.

    Args:
        start: where a unit begins. The one at 0 holds the head.
        stop: None reads to the end of the file.
    """
    unit = at = start
    while read_at(file, at, 1):
        stream = _Stream(file, at)
        try:
            for number, data in enumerate(stream):
                if number == 0 and at > start and _PAGE.match(data):
                    yield Part(unit, _END, is_last=True)
                    if stop is not None and at >= stop:
                        return
                    unit = at
                yield Part(unit, data)
        except _Damage as error:
            yield Part(unit, error=f"the stream at byte {at:,} {error}")
            following = first_unit(file, at + 1, stop)
            if following is None:
                return
            at = following
        else:
            at = stream.behind
    yield Part(unit, is_last=True)


class _Damage(Exception):
    """A stream cannot be unpacked further."""


class _Stream:
    """What one bz2 stream unpacks to, about 1 MiB at a time. Then `behind` is the byte that follows it."""

    def __init__(self, file: IO[bytes], at: int) -> None:
        self._file = file
        self.behind = at

    def __iter__(self) -> Iterator[bytes]:
        unpacker = bz2.BZ2Decompressor()
        while not unpacker.eof:
            packed = b""
            if unpacker.needs_input:
                packed = read_at(self._file, self.behind, _READ)
                self.behind += len(packed)
                if not packed:
                    raise _Damage("is cut off by the end of the file")
            try:
                data = unpacker.decompress(packed, _PLAIN_BYTES)
            except OSError as error:
                raise _Damage(f"cannot be unpacked: {error}") from error
            if unpacker.eof:
                self.behind -= len(unpacker.unused_data)
            if data:
                yield data


def _opening(file: IO[bytes], at: int) -> bytes:
    """What the first block of the stream at a byte unpacks to; nothing if none can be unpacked there."""
    try:
        return next(iter(_Stream(file, at)), b"")
    except _Damage:
        return b""

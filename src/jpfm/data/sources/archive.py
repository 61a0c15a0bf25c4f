"""Files inside files: .gz .bz2 .xz .zst, .tar of any of them, .zip. Yields (name, bytes) one member at a time.

Names are only labels: nothing is ever written to the paths an archive gives, so a name like ../../x does no harm.
A member larger than MAX_MEMBER_BYTES after unpacking is refused, which also stops zip bombs.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import zstandard

from jpfm.text.decode import UnreadableText, decode

MAX_MEMBER_BYTES = 1 << 30
_ZSTD_READ = 4096  # bytes; a bomb unpacks at most 128 KiB of each 4
_BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, zstandard.ZstdError)


class Member(NamedTuple):
    """One file of raw input. `error` says why `data` could not be read."""

    name: str
    data: bytes
    error: str | None = None


def members(path: Path, name: str) -> Iterator[Member]:
    """Yield the files that a path holds, in archive order.

    Args:
        path: a plain, compressed or archive file.
        name: how to call it in document ids.
    """
    try:
        with path.open("rb") as raw:
            yield from _open(raw, name)
    except _BROKEN as error:
        yield Member(name, b"", f"cannot be read to its end: {error or type(error).__name__}")


def _open(raw: IO[bytes], name: str) -> Iterator[Member]:
    lower = name.lower()
    for suffix in (".gz", ".tgz", ".bz2", ".xz", ".zst"):
        if lower.endswith(suffix):
            inner = name[: -len(suffix)] + (".tar" if suffix == ".tgz" else "")
            yield from _open(_decompress(raw, suffix), inner)
            return
    if lower.endswith(".tar"):
        yield from _tar(raw, name)
    elif lower.endswith(".zip"):
        yield from _zip(raw, name)
    else:
        yield _read(raw, name)


def _decompress(raw: IO[bytes], suffix: str) -> IO[bytes]:
    if suffix in (".gz", ".tgz"):
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    if suffix == ".bz2":
        return bz2.BZ2File(raw)
    if suffix == ".xz":
        return lzma.LZMAFile(raw)
    return io.BufferedReader(_Zstd(raw), 1 << 17)


class _Zstd(io.RawIOBase):
    """Zstandard frames one after the other. zstandard's own reader takes a file cut inside a frame for a whole one."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame: Any = None
        self._packed = self._plain = b""

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._plain:
            self._packed = self._packed or self._raw.read(_ZSTD_READ)
            if not self._packed:
                if self._frame is not None and not self._frame.eof:
                    raise EOFError("the last Zstandard frame is cut off")
                return 0
            if self._frame is None or self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._plain = self._frame.decompress(self._packed)
            self._packed = self._frame.unused_data
        taken = self._plain[: len(target)]
        target[: len(taken)] = taken
        self._plain = self._plain[len(taken) :]
        return len(taken)


def _read(raw: IO[bytes], name: str) -> Member:
    data = raw.read(MAX_MEMBER_BYTES + 1)
    if len(data) > MAX_MEMBER_BYTES:
        return Member(name, b"", f"larger than {MAX_MEMBER_BYTES >> 20} MiB unpacked; split it")
    return Member(name, data)


def _tar(raw: IO[bytes], name: str) -> Iterator[Member]:
    with tarfile.open(fileobj=raw, mode="r|") as archive:
        for entry in archive:
            if entry.isfile() and (stream := archive.extractfile(entry)) is not None:
                yield _read(stream, f"{name}/{_tar_name(entry.name)}")


def _tar_name(name: str) -> str:
    """Tar names are bytes; those that are no UTF-8 reach us with lone surrogates, and no id may hold one."""
    raw = name.encode("utf-8", "surrogateescape")
    try:
        return decode(raw).text
    except UnreadableText:
        return raw.decode("utf-8", "backslashreplace")


def _zip(raw: IO[bytes], name: str) -> Iterator[Member]:
    seekable = raw if raw.seekable() else io.BytesIO(raw.read())
    with zipfile.ZipFile(seekable) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            label = f"{name}/{_zip_name(entry)}"
            try:
                with archive.open(entry) as stream:
                    yield _read(stream, label)
            except (*_BROKEN, RuntimeError, NotImplementedError) as error:  # a bad or encrypted entry; the next may do
                yield Member(label, b"", f"cannot be unpacked: {error}")


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """Zip files made on Japanese Windows hold CP932 names without the UTF-8 flag; Python reads those as CP437."""
    if entry.flag_bits & 0x800:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("cp932")
    except UnicodeError:
        return entry.filename

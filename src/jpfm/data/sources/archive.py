"""Files inside files: .gz .bz2 .xz .zst, .tar of any of them, .zip, and these inside each other.

    for member in members(path_or_url, "a.tar.gz"):
        member.stream                 # binary, forward only, decompressed as it is read
        member.read()                 # or the whole of it, up to a limit

Nothing is unpacked to disk under a name that an archive gives, so `../../x` is only a label. A stream is read as far as
its reader asks, so a bomb costs no more than the limit of the format that reads it.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from jpfm.core.errors import DataError
from jpfm.data.sources.remote import open_url
from jpfm.text.decode import UnreadableText, decode

WHOLE_BYTES = 64 << 20
"""A format that needs a whole file at once reads at most this much."""
_BLOCK = 1 << 17
_ZSTD_READ = 4096  # bytes; a bomb unpacks at most 128 KiB of each 4
_SPOOL = 32 << 20  # a zip inside a stream is kept in memory up to this, then in an unnamed temporary file
_DEPTH = 4  # archives; compression of a file counts as none
_BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, zstandard.ZstdError)
COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst")
PACKED = (*COMPRESSED, ".tar", ".zip")


class BrokenInput(DataError):
    """A file or archive that ends early or is damaged."""


class TooLarge(DataError):
    """Input larger than its format can hold in memory."""


class Member:
    """One file of raw input, read once from front to back. `error` says why there is nothing to read."""

    def __init__(self, name: str, stream: IO[bytes] | None = None, error: str | None = None) -> None:
        self.name = name
        self.error = error
        self.stream: IO[bytes] = io.BufferedReader(_Guarded(stream or io.BytesIO(), name), 1 << 17)

    def read(self, limit: int = WHOLE_BYTES) -> bytes:
        """The whole file.

        Raises:
            TooLarge: there is more than `limit` bytes.
            BrokenInput: it cannot be read to its end.
        """
        parts, size = [], 0
        while size <= limit and (part := self.stream.read(_BLOCK)):  # one read of `limit` bytes would allocate them
            parts.append(part)
            size += len(part)
        data = b"".join(parts)
        if size > limit:
            raise TooLarge(
                f"{self.name}: larger than {limit >> 20} MiB unpacked",
                hint="split it, or use a format that is read piece by piece (jsonl, parquet, csv, text)",
            )
        return data


class _Guarded(io.RawIOBase):
    """A stream whose damage is told as BrokenInput, whichever library notices it."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        try:
            data = self._stream.read(len(target))
        except (*_BROKEN, RuntimeError, NotImplementedError) as error:  # zipfile: a password, an unknown method
            raise BrokenInput(
                f"{self._name}: cannot be read to its end: {error or type(error).__name__}", hint="fetch the file again"
            ) from error
        target[: len(data)] = data
        return len(data)


def open_raw(path: str | Path, *, seek: bool = False) -> IO[bytes]:
    """Open a local path or any fsspec URL (s3://, gs://, https://, hf://, memory://) for reading.

    Args:
        seek: the reader must be able to jump; a URL is then read by ranges or fetched first.
    """
    return open_url(str(path), seek=seek) if "://" in str(path) else Path(path).open("rb")


def read_at(file: IO[bytes], at: int, count: int) -> bytes:
    """Up to `count` bytes from a byte of a file on.

    Raises:
        BrokenInput: the disk or the server does not give them.
    """
    try:
        file.seek(at)
        return file.read(count)
    except OSError as error:
        raise BrokenInput(
            f"cannot be read at byte {at:,}: {error or type(error).__name__}", hint="fetch the file again"
        ) from error


def members(path: str | Path, name: str, *, closed: tuple[str, ...] = (), start: int = 0) -> Iterator[Member]:
    """Yield the files that a path or URL holds, in archive order. Read each before asking for the next.

    Args:
        name: how to call it in document ids.
        closed: name endings that the caller opens itself (.zip for a format that *is* a zip).
        start: byte to begin at; for plain files only.
    """
    try:
        with open_raw(path, seek=start > 0) as raw:
            if start:
                raw.seek(start)
            yield from _open(raw, name, closed, _DEPTH)
    except (*_BROKEN, BrokenInput) as error:
        text = error.message if isinstance(error, BrokenInput) else f"cannot be read to its end: {error}"
        yield Member(name, error=text if text.strip(": ") else f"cannot be read: {type(error).__name__}")


def _open(raw: IO[bytes], name: str, closed: tuple[str, ...], depth: int) -> Iterator[Member]:
    lower = name.lower()
    if lower.endswith(closed) if closed else False:
        yield Member(name, raw)
        return
    if depth == 0 and lower.endswith(PACKED):
        yield Member(name, error=f"archives inside archives, more than {_DEPTH} deep; unpack it first")
        return
    for suffix in COMPRESSED:
        if lower.endswith(suffix):
            inner = name[: -len(suffix)] + (".tar" if suffix == ".tgz" else "")
            yield from _open(_decompress(raw, suffix), inner, closed, depth)
            return
    if lower.endswith(".tar"):
        yield from _tar(raw, name, closed, depth - 1)
    elif lower.endswith(".zip"):
        yield from _zip(raw, name, closed, depth - 1)
    else:
        yield Member(name, raw)


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


def _tar(raw: IO[bytes], name: str, closed: tuple[str, ...], depth: int) -> Iterator[Member]:
    with tarfile.open(fileobj=raw, mode="r|") as archive:
        for entry in archive:
            if entry.isfile() and (stream := archive.extractfile(entry)) is not None:
                yield from _inside(stream, f"{name}/{_tar_name(entry.name)}", closed, depth)


def _inside(stream: IO[bytes], label: str, closed: tuple[str, ...], depth: int) -> Iterator[Member]:
    """A member, opened when it is packed itself. Damage in one does not end the archive around it."""
    label = "/".join(part for part in label.replace("\\", "/").split("/") if part not in ("", ".", ".."))
    try:
        guarded = io.BufferedReader(_Guarded(stream, label)) if label.lower().endswith(PACKED) else stream
        yield from _open(guarded, label, closed, depth)
    except (*_BROKEN, BrokenInput, RuntimeError, NotImplementedError) as error:
        yield Member(label, error=f"cannot be unpacked: {error or type(error).__name__}")


def _tar_name(name: str) -> str:
    """Tar names are bytes; those that are no UTF-8 reach us with lone surrogates, and no id may hold one."""
    raw = name.encode("utf-8", "surrogateescape")
    try:
        return decode(raw).text
    except UnreadableText:
        return raw.decode("utf-8", "backslashreplace")


def _zip(raw: IO[bytes], name: str, closed: tuple[str, ...], depth: int) -> Iterator[Member]:
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as spool:
        file: IO[bytes] = raw
        if not raw.seekable():
            while chunk := raw.read(1 << 20):
                spool.write(chunk)
            file = spool
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                if entry.is_dir():
                    continue
                label = f"{name}/{zip_name(entry)}"
                try:
                    stream = archive.open(entry)
                except (*_BROKEN, RuntimeError, NotImplementedError) as error:  # a bad or encrypted entry
                    yield Member(label, error=f"cannot be unpacked: {error}")
                    continue
                with stream:
                    yield from _inside(stream, label, closed, depth)


def zip_name(entry: zipfile.ZipInfo) -> str:
    """Zip files made on Japanese Windows hold CP932 names without the UTF-8 flag; Python reads those as CP437."""
    if entry.flag_bits & 0x800:
        return entry.filename.encode("utf-8", "backslashreplace").decode()
    try:
        return entry.filename.encode("cp437").decode("cp932")
    except UnicodeError:
        return entry.filename

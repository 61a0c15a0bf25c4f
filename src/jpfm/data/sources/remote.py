"""Files behind a URL, through fsspec: listed, and opened from the front or, where a format must seek, at any place.

HTTP servers differ: many give no byte ranges. A file that is only read forward is asked for as one stream; one that
must be sought in (Parquet, a range of lines) is read by ranges where the server gives them and else fetched once into
an unnamed temporary file. Other packages bring other systems: s3fs for s3://, gcsfs for gs://.
"""

import io
import shutil
import tempfile
from typing import IO, Any, NamedTuple

from jpfm.core.errors import EnvironmentProblem

_SPOOL = 64 << 20
_HTTP = ("http://", "https://")


class Found(NamedTuple):
    """A file that a URL or a pattern of one names."""

    url: str
    name: str
    bytes: int


def _system(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise EnvironmentProblem(
            f"{url}: {error}", hint="install what it names, or copy the files here and name their folder"
        ) from error
    return system, path


def find(pattern: str) -> list[Found]:
    """The files of a URL, sorted; `*`, `?` and `[]` are patterns.

    Raises:
        EnvironmentProblem: no package reads such URLs, or the address cannot be reached.
    """
    system, path = _system(pattern)
    scheme = pattern.partition("://")[0]
    try:
        paths = sorted(system.glob(path)) if any(mark in path for mark in "*?[") else [path]
        infos = [system.info(item) for item in paths]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(
            f"{pattern}: cannot be listed: {error or type(error).__name__}",
            hint="check the address and the credentials",
        ) from error
    found = []
    for item, info in zip(paths, infos, strict=True):
        url = item if "://" in item else f"{scheme}://{item if scheme == 'file' else item.lstrip('/')}"
        if info.get("type") != "directory":
            found.append(Found(url, url.partition("://")[2].lstrip("/"), int(info.get("size") or 0)))
    return found


def open_url(url: str, *, seek: bool = False) -> IO[bytes]:
    """Open a URL for reading.

    Args:
        seek: the reader must be able to jump.
    Raises:
        OSError: it cannot be opened; what goes wrong while reading is an OSError too.
    """
    system, path = _system(url)
    if not url.startswith(_HTTP):
        file: IO[bytes] = system.open(path, "rb")
        return file
    if seek:
        try:
            ranged: IO[bytes] = system.open(path, "rb")
            ranged.seek(1)
            ranged.read(1)
            ranged.seek(0)
            return ranged
        except ValueError:  # the server gives no ranges
            return _fetched(url)
    return io.BufferedReader(_Stream(system.open(path, "rb", block_size=0), url), 1 << 17)


def _fetched(url: str) -> IO[bytes]:
    """The whole file, in memory or in an unnamed temporary file that goes with its closing."""
    spool = tempfile.SpooledTemporaryFile(max_size=_SPOOL)  # noqa: SIM115  (the caller closes it)
    with open_url(url) as stream:
        shutil.copyfileobj(stream, spool, 1 << 20)
    spool.seek(0)
    return spool


class _Stream(io.RawIOBase):
    """An HTTP body, read once from front to back."""

    def __init__(self, body: Any, url: str) -> None:
        self._body = body
        self._url = url

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        import aiohttp

        try:
            data = self._body.read(len(target))
        except (aiohttp.ClientError, ValueError) as error:
            raise OSError(f"{self._url}: {error or type(error).__name__}") from error
        target[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()

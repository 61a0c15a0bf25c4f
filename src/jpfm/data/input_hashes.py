"""Hashes of raw files, kept beside an unfinished corpus: an array of a thousand tasks hashes its input once.

A hash is used again while the file's size and time of change are what they were. What lies elsewhere (URLs, data sets)
is hashed by its source each time.
"""

import json
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import FileEntry
from jpfm.core.log import log
from jpfm.data.sources.base import Piece

_FILE = "input_hashes.json"


@dataclass
class InputHashes:
    """Path -> size, time of change and SHA-256."""

    known: dict[str, tuple[int, int, str]]

    @classmethod
    def read(cls, out: Path) -> "InputHashes":
        """What an unfinished corpus at `out` knows of its input."""
        file = out.with_name(out.name + ".partial") / artifacts.LOGS / _FILE
        if not file.exists():
            return cls({})
        try:
            return cls({path: tuple(facts) for path, facts in json.loads(file.read_text(encoding="utf-8")).items()})
        except ValueError:
            log.warning("%s cannot be read; all input is hashed again", file)
            return cls({})

    def write(self, root: Path) -> None:
        """Keep the hashes for the tasks that follow."""
        folder = root / artifacts.LOGS
        folder.mkdir(exist_ok=True)
        own = folder / f"{_FILE}.{socket.gethostname()}.{os.getpid()}"
        artifacts.write_text(own, json.dumps(self.known, sort_keys=True, ensure_ascii=False))
        os.replace(own, folder / _FILE)

    def entries(self, source: Any, pieces: Sequence[Piece]) -> Iterator[FileEntry]:
        """The source's files by content."""
        by_path = {piece.path: piece for piece in pieces}
        for path, piece in by_path.items():
            if piece.modified is None:
                yield from source.entries([piece])
                continue
            size = os.stat(path).st_size
            facts = self.known.get(path)
            if facts is None or facts[:2] != (size, piece.modified):
                (entry,) = source.entries([piece])
                facts = self.known[path] = (size, piece.modified, entry.sha256)
            yield FileEntry(path=piece.name, bytes=size, sha256=facts[2])

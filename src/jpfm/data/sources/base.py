"""What every source has: where its files are, on what terms they may be used, and how a file becomes documents."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pydantic

from jpfm.core.artifact import Rights
from jpfm.core.config import Settings
from jpfm.core.errors import DataError, JpfmError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member, members
from jpfm.text.decode import UnreadableText

Name = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class Source(Settings):
    """Raw files of one origin, one format and one licence."""

    format: Any
    name: Name
    """Short name; it begins every document id."""
    paths: Annotated[tuple[str, ...], pydantic.Field(min_length=1)]
    """Glob patterns below the recipe's root."""
    exclude: tuple[str, ...] = ()
    """Glob patterns of files to leave out."""
    rights: Rights
    """On what terms the source may be used. Required: a corpus whose terms nobody stated cannot be defended."""

    def files(self, root: Path) -> list[Path]:
        """The source's files below root: in the order of the patterns, sorted within each.

        Raises:
            DataError: a pattern matches nothing, or a file name is not UTF-8.
        """
        excluded = {path for pattern in self.exclude for path in root.glob(pattern)}
        found: dict[Path, None] = {}
        for pattern in self.paths:
            matched = [path for path in sorted(root.glob(pattern)) if path.is_file() and path not in excluded]
            if not matched:
                raise DataError(
                    f"source '{self.name}': no file matches {root / pattern}",
                    hint="check the recipe's root and paths (root is relative to the current folder)",
                )
            found.update(dict.fromkeys(matched))
        for path in found:
            if not str(path).isascii() and os.fsencode(path).decode("utf-8", "replace") != str(path):
                raise DataError(
                    f"source '{self.name}': the file name {os.fsencode(path)!r} is not UTF-8",
                    hint="rename it (convmv -f cp932 -t utf8 --notest FILE), or leave it out with `exclude`",
                )
        return list(found)

    def documents(self, path: Path, name: str) -> Iterator[Document | Quarantined]:
        """Read one file; what cannot be read comes back quarantined and the rest goes on."""
        for member in members(path, name):
            identity = f"{self.name}/{member.name}"
            if member.error is not None:
                yield Quarantined(identity, "archive", member.error)
                continue
            try:
                yield from self.read(member, identity)
            except JpfmError as error:
                yield Quarantined(identity, self.error_kind(error), f"{error.message} ({error.hint})")

    def error_kind(self, error: JpfmError) -> str:
        """The name under which an unreadable file is counted."""
        return "decode" if isinstance(error, UnreadableText) else "format"

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """Turn one member's bytes into documents."""
        raise TypeError(f"{type(self).__name__} does not read files")  # every format overrides this

"""Plain text: a file, a paragraph or a line is a document."""

from collections.abc import Iterator
from typing import Literal

from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Source
from jpfm.data.sources.lines import Line, lines
from jpfm.text.decode import decode

_MAX_TITLE_CHARS = 80
PART_BYTES = 16 << 20


class TextSource(Source):
    """Plain text. A short first line is a file's title.

    A file of more than 16 MiB is cut at line ends into documents `#1`, `#2`, ...: no model reads more at once, and
    memory stays small whatever the file's size.
    """

    format: Literal["text"]
    unit: Literal["file", "paragraph", "line"] = "file"
    """What one document is; paragraphs are apart by a blank line."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """The documents of one file."""
        head = member.stream.read(PART_BYTES + 1) if self.unit == "file" else b""
        if self.unit == "file" and len(head) <= PART_BYTES:
            decoded = decode(head)
            yield Document(
                identity,
                decoded.text,
                title=_title(decoded.text),
                encoding=decoded.encoding,
                confidence=decoded.confidence,
            )
            return
        number, size = 0, 0
        waiting: list[Line] = []
        for line in lines(member, head=head):
            if line.error is not None:
                yield Quarantined(f"{identity}#L{line.number}", self.error_kind(line.error), line.error.message)
                continue
            blank = not line.text.strip()
            full = size + len(line.text) > PART_BYTES // 4
            ends = self.unit == "line" or (self.unit == "paragraph" and blank)
            if waiting and (ends or full):
                number += 1
                yield _joined(waiting, f"{identity}#{number}")
                waiting, size = [], 0
            if not (blank and (ends or not waiting)):
                waiting.append(line)
                size += len(line.text) + 1
        if waiting:
            yield _joined(waiting, f"{identity}#{number + 1}")


def _title(text: str) -> str:
    first = text.lstrip().split("\n", 1)[0].strip()
    return first if len(first) <= _MAX_TITLE_CHARS else ""


def _joined(waiting: list[Line], identity: str) -> Document:
    text = "\n".join(line.text for line in waiting)
    first = waiting[0]
    return Document(identity, text, encoding=first.encoding, confidence=min(line.confidence for line in waiting))

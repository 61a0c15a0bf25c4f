"""Lines of a file of any size, decoded: what JSONL, CSV and line-by-line text are read with.

    for line in lines(member, start=0, stop=None): line.number, line.text, line.encoding, line.error
    for block in blocks(member): block.before, block.utf8

The file is read in blocks cut at line ends. A block is decoded as a whole, so that the encoding is judged from much
text; a block that no encoding reads is decoded line by line, so that one bad line costs one line.
A line begins in exactly one byte range, so ranges of one file share the work without a line lost or read twice.
"""

import codecs
from collections.abc import Iterator
from typing import NamedTuple

from jpfm.core.errors import DataError
from jpfm.data.sources.archive import Member, TooLarge
from jpfm.text.decode import UnreadableText, decode

BLOCK_BYTES = 4 << 20
MAX_LINE_BYTES = 64 << 20
_MARK = codecs.BOM_UTF8  # U+FEFF, which decoding drops wherever it stands
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Line(NamedTuple):
    """A line without its end. `number` counts from 1 at the beginning of what was read."""

    number: int
    text: str
    encoding: str = "utf-8"
    confidence: float = 1.0
    error: DataError | None = None


class Block(NamedTuple):
    """Whole lines that were decoded together, or line by line where no encoding reads all of them."""

    before: int
    """Lines before it."""
    text: str = ""
    encoding: str = "utf-8"
    confidence: float = 1.0
    raw: bytes | None = None
    """The text as UTF-8, where the file has it so."""
    one_by_one: tuple[Line, ...] = ()
    """The lines, where they were decoded one by one or could not be read; then there is no text."""

    @property
    def utf8(self) -> bytes:
        """The text as UTF-8, a newline between lines."""
        return self.text.encode() if self.raw is None else self.raw

    @property
    def num_lines(self) -> int:
        """How many lines there are."""
        return len(self.one_by_one) or self.text.count("\n") + (not self.text.endswith("\n"))

    def lines(self) -> Iterator[Line]:
        """The lines one by one."""
        yield from self.one_by_one
        texts = [] if self.one_by_one else self.text.removesuffix("\n").split("\n")
        for number, text in enumerate(texts, self.before + 1):
            yield Line(number, text.removesuffix("\r"), self.encoding, self.confidence)


def lines(member: Member, *, start: int = 0, stop: int | None = None, head: bytes = b"") -> Iterator[Line]:
    """Every line that begins at a byte in [start, stop).

    Args:
        start: above 0, `member.stream` stands at the byte before it, and the line under way is passed over.
        head: bytes of the member that were read already.
    Raises:
        BrokenInput: the file ends early; the lines before it were yielded.
    """
    for block in blocks(member, start=start, stop=stop, head=head):
        yield from block.lines()


def blocks(member: Member, *, start: int = 0, stop: int | None = None, head: bytes = b"") -> Iterator[Block]:
    """The same lines in blocks of about BLOCK_BYTES, for readers that take many at once. Arguments as for `lines`."""
    number, codec = 0, None
    for data, error in _blocks(member, start, stop, head):
        if error is not None:
            block = Block(number, one_by_one=(Line(number + 1, "", error=error),))
        elif isinstance(data, str):
            block = Block(number, data, "utf-16")
        else:
            try:
                text, codec, confidence = decode(data, codec)
            except UnreadableText:
                block = Block(number, one_by_one=tuple(_one_by_one(data, codec, number)))
            else:
                as_written = codec == "utf-8" and _MARK not in data
                block = Block(number, text, codec, confidence, data if as_written else None)
        number += block.num_lines
        yield block


def _one_by_one(data: bytes, codec: str | None, before: int) -> Iterator[Line]:
    for number, raw in enumerate(data.removesuffix(b"\n").split(b"\n"), before + 1):
        try:
            one = decode(raw, codec)
        except UnreadableText as bad:
            yield Line(number, "", error=bad)
        else:
            yield Line(number, one.text.removesuffix("\r"), one.encoding, one.confidence)


def _blocks(
    member: Member, start: int, stop: int | None, head: bytes
) -> Iterator[tuple[bytes | str, DataError | None]]:
    """Blocks that end at a line end, or what was wrong with a line that is too long."""
    position = start
    if start:  # the byte before tells whether a line begins just here: the caller opened the file at start - 1
        position, found = _skip_line(member, start - 1, stop)
        if not found:
            return
    rest = b""
    first = True
    while stop is None or position < stop:
        data = head or member.stream.read(BLOCK_BYTES if stop is None else min(BLOCK_BYTES, stop - position))
        head = b""
        if first and start == 0 and data[:2] in _UTF16:
            yield from _utf16(member, data)
            return
        first = False
        if not data:
            break
        position += len(data)
        cut = data.rfind(b"\n") + 1
        if cut:
            yield b"".join((rest, memoryview(data)[:cut])), None  # one copy, where rest + data[:cut] makes two
            rest = data[cut:]
        else:
            rest += data
        if len(rest) > MAX_LINE_BYTES:
            yield b"", _too_long()
            rest = b""
            position, found = _skip_line(member, position, stop)
            if not found:
                return
    if rest:
        tail, whole = _finish_line(member, rest)
        yield (tail, None) if whole else (b"", _too_long())


def _too_long() -> TooLarge:
    return TooLarge(f"a line of more than {MAX_LINE_BYTES >> 20} MiB", hint="is it one record a line?")


def _finish_line(member: Member, rest: bytes) -> tuple[bytes, bool]:
    """The line under way to its end, which may lie past the range. False when it is too long."""
    while True:
        part = member.stream.readline(BLOCK_BYTES)
        rest += part
        if not part or part.endswith(b"\n"):
            return rest, True
        if len(rest) > MAX_LINE_BYTES:
            return b"", False  # nothing of this range is left behind it


def _skip_line(member: Member, position: int, stop: int | None) -> tuple[int, bool]:
    """Read on past the next line end: the position after it, and whether there was one before the range's end."""
    while stop is None or position < stop:
        part = member.stream.readline(BLOCK_BYTES)
        position += len(part)
        if part.endswith(b"\n"):
            return position, True
        if not part:
            break
    return position, False


def _utf16(member: Member, head: bytes) -> Iterator[tuple[str, DataError | None]]:
    """UTF-16 as text blocks: its line ends are two bytes long."""
    reader = codecs.getincrementaldecoder(_UTF16[head[:2]])("strict")
    data, rest = head[2:], ""
    try:
        while data:
            rest += reader.decode(data)
            cut = rest.rfind("\n") + 1
            if cut:
                yield rest[:cut], None
                rest = rest[cut:]
            if len(rest) > MAX_LINE_BYTES:
                yield "", _too_long()
                rest = ""
            data = member.stream.read(BLOCK_BYTES)
        rest += reader.decode(b"", final=True)
    except UnicodeDecodeError as error:
        yield "", UnreadableText(f"begins as UTF-16 but is not at byte {error.start} of a block", hint="is it cut off?")
    if rest:
        yield rest, None

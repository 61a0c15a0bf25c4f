"""The structure of a mail: headers in broken encodings, parts in parts, bodies as text.

    part = parse(data)
    header(part, "subject")          # '㈱の件 ①'
    for leaf in leaves(part): ...

Refused: the standard library's parser. It recurses, takes time in proportion to depth times length, guesses charsets,
and meets headers that nobody should have written with half a dozen exceptions. Text goes through `decode`, with the
declared charset as a hint: CP932 that calls itself Shift_JIS, and ISO-2022-JP with ① and ㈱, are the rule in mail.
"""

import binascii
import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from jpfm.core.errors import DataError
from jpfm.text.decode import UnreadableText, decode

MAX_HEADER_BYTES = 1 << 20
MAX_DEPTH = 10
"""Parts inside parts; each level holds a copy of what is inside it."""
MAX_PARTS = 2000
_BLANK = re.compile(rb"\r?\n(?=\r?\n)")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_FIELD = re.compile(rb"([!-9;-~]{1,200})[ \t]*:[ \t]*(.*)", re.DOTALL)
_PARAMETER = re.compile(rb""";\s*([^\s=;*]+)(?:\*(\d{1,3}))?(\*)?\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)""", re.DOTALL)
_WORD = re.compile(rb"=\?([^?\s]{1,40})\?([bBqQ])\?([^?]*)\?=")
_BETWEEN_WORDS = re.compile(rb"(\?=)[ \t\r\n]+(?==\?)")


class Part(NamedTuple):
    """Headers (the first of each name, in lower case) and the undecoded body of a message or of a part of one."""

    headers: dict[str, bytes]
    body: bytes

    @property
    def kind(self) -> str:
        """The content type in lower case; text/plain where none is given."""
        kind = self.headers.get("content-type", b"").partition(b";")[0].strip().lower().decode("ascii", "replace")
        return kind if kind.count("/") == 1 else "text/plain"

    def parameter(self, name: str, of: str = "content-type") -> str:
        """A parameter of a header, decoded; empty when it is missing."""
        return parameters(self.headers.get(of, b"")).get(name, "")

    def file_name(self) -> str:
        """The name an attachment gives itself; empty when it has none."""
        return self.parameter("filename", of="content-disposition") or self.parameter("name")


def parse(data: bytes) -> Part:
    """A message or part: headers up to the first blank line, then the body. Lines that are no headers are passed over.

    Raises:
        DataError: the headers are too large.
    """
    if data.startswith((b"\n", b"\r\n")):
        return Part({}, data.removeprefix(b"\r").removeprefix(b"\n"))
    end = _BLANK.search(data)
    head = data[: end.start()] if end else data
    if len(head) > MAX_HEADER_BYTES:
        raise DataError("headers of more than 1 MiB", hint="is it a mail?")
    headers: dict[str, bytes] = {}
    for line in _FOLD.sub(b"", head).splitlines():
        if field := _FIELD.fullmatch(line):
            headers.setdefault(field.group(1).decode("ascii").lower(), field.group(2).strip())
    return Part(headers, data[end.end() :].removeprefix(b"\r").removeprefix(b"\n") if end else b"")


def parameters(value: bytes) -> dict[str, str]:
    r"""The parameters of a header, continued and encoded ones (RFC 2231) put together.

    >>> parameters(b"attachment; filename*0*=utf-8''%E6%97%A5; filename*1*=%E6%9C%AC; filename*2=.pdf; size=\"3\"")
    {'filename': '日本.pdf', 'size': '3'}
    """
    pieces: dict[str, dict[int, bytes]] = {}
    charsets: dict[str, str] = {}
    for found in _PARAMETER.finditer(value):
        name, number, encoded, raw = found.groups()
        key, place = name.decode("ascii", "replace").lower(), int(number or 0)
        text = re.sub(rb"\\(.)", rb"\1", raw[1:-1]) if raw[:1] == b'"' and len(raw) > 1 else raw.strip()
        if encoded:
            if place == 0 and text.count(b"'") >= 2:
                charset, _, text = text.split(b"'", 2)
                charsets[key] = charset.decode("ascii", "replace")
            text = unquote_to_bytes(text)
        pieces.setdefault(key, {}).setdefault(place, text)
    joined = {key: b"".join(parts[place] for place in sorted(parts)) for key, parts in pieces.items()}
    return {key: _plain(text, charsets[key]) if key in charsets else unfold(text) for key, text in joined.items()}


def leaves(part: Part, depth: int = 0) -> Iterator[Part]:
    """The parts that hold no parts, in order; the best text of alternatives; attached messages as they are.

    Raises:
        DataError: parts are nested too deep or are too many.
    """
    if depth > MAX_DEPTH:
        raise DataError(f"parts inside parts, more than {MAX_DEPTH} deep", hint="an attack? leave it out")
    boundary = part.parameter("boundary").encode("utf-8", "replace") if part.kind.startswith("multipart/") else b""
    if not boundary:
        yield part
        return
    below = [parse(chunk) for chunk in _split(part.body, boundary)]
    if part.kind != "multipart/alternative":
        for item in below:
            yield from leaves(item, depth + 1)
        return
    choices = [list(leaves(item, depth + 1)) for item in below]
    for wanted in ("text/plain", "text/html"):
        for choice in choices:
            if any(leaf.kind == wanted and leaf.body.strip() for leaf in choice):
                yield from choice
                return
    for choice in choices[:1]:
        yield from choice


def _split(body: bytes, boundary: bytes) -> list[bytes]:
    """The bodies between boundaries; one that is never closed goes to the end."""
    marks = re.compile(rb"(?:^|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|$)")
    chunks: list[bytes] = []
    start: int | None = None
    for mark in marks.finditer(body):
        if start is not None:
            chunks.append(body[start : mark.start()])
        start = None if mark.group(1) else mark.end()
        if start is None:
            break
        if len(chunks) > MAX_PARTS:
            raise DataError(f"more than {MAX_PARTS} parts", hint="an attack? leave it out")
    if start is not None:
        chunks.append(body[start:])
    return [chunk.removeprefix(b"\r").removeprefix(b"\n") for chunk in chunks]


def content(part: Part) -> bytes:
    """The body without its transfer encoding.

    Raises:
        DataError: it is base64 that was cut off, or an encoding nobody knows.
    """
    encoding = part.headers.get("content-transfer-encoding", b"").strip(b" \t\"';").lower().decode("ascii", "replace")
    if encoding == "base64":
        return _base64(part.body)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(part.body)
    if encoding in ("", "7bit", "8bit", "binary", "7-bit", "8-bit", "7bits", "8bits"):
        return part.body
    raise DataError(f"unknown Content-Transfer-Encoding {encoding[:40]!r}", hint="expected base64 or quoted-printable")


def _base64(data: bytes) -> bytes:
    packed = re.sub(rb"[^A-Za-z0-9+/]", b"", data.partition(b"=")[0])  # list servers add footers after the padding
    if len(packed) % 4 == 1:
        raise DataError("base64 that ends inside a character", hint="the message was cut off; get it again")
    return binascii.a2b_base64(packed + b"=" * (-len(packed) % 4))


def text_of(part: Part) -> tuple[str, str, float]:
    """A text part's text with \\n line ends, the encoding it was read with, and the confidence in that.

    Raises:
        DataError: no encoding reads it.
    """
    decoded = decode(content(part), part.parameter("charset") or None)
    return decoded.text.replace("\r\n", "\n").replace("\r", "\n"), decoded.encoding, decoded.confidence


def unfold(raw: bytes) -> str:
    """The value of a header as text on one line: encoded words (RFC 2047), and raw bytes as they are found.

    >>> unfold(b"=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?= =?ISO-2022-JP?B?GyRCOGwbKEI=?= (memo)")
    '日本語 (memo)'
    >>> unfold(b"=?utf-8?B?5pel5pys6A==?=  =?utf-8?B?qp4=?="), unfold(b"plain text")
    ('日本語', 'plain text')

    What no encoding reads stays as it is written, bytes above ASCII as \\xNN.
    """
    raw = _BETWEEN_WORDS.sub(rb"\1", raw)
    parts: list[tuple[str, bytes]] = []
    position = 0
    for word in _WORD.finditer(raw):
        if word.start() > position:
            parts.append(("", raw[position : word.start()]))
        charset = word.group(1).partition(b"*")[0].lower().decode("ascii", "replace")
        coded = word.group(3)
        try:
            data = _base64(coded) if word.group(2) in b"bB" else binascii.a2b_qp(coded.replace(b"_", b"=20"))
        except DataError:
            charset, data = "", word.group()
        if parts and parts[-1][0] == charset:  # some programs cut words inside a character
            parts[-1] = (charset, parts[-1][1] + data)
        else:
            parts.append((charset, data))
        position = word.end()
    parts.append(("", raw[position:]))
    return " ".join("".join(_plain(data, charset or None) for charset, data in parts).replace("\0", "").split())


def _plain(data: bytes, charset: str | None) -> str:
    if data.isascii() and b"\x1b" not in data:
        return data.decode("ascii")
    try:
        return decode(data, charset).text
    except UnreadableText:
        return data.decode("ascii", "backslashreplace")

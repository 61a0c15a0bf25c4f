"""Mail: single messages (.eml) and mailboxes (.mbox) of any size.

    sources: [{format: mail, name: support, paths: ["support/*.mbox"], rights: {...}}]

A message is a document: its subject is the title, what its writer wrote is the text. Quoted replies and signatures are
cut; so a thread is read once, not once for each reply. Addresses are personal data and are not kept unless asked for.
Attached messages are documents of their own; other attachments are named in `meta`, not read.
"""

import email.utils
import re
from collections.abc import Iterator
from typing import Any, Literal

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member, TooLarge
from jpfm.data.sources.base import Source
from jpfm.data.sources.mail_text import flowed, html_text, own_text
from jpfm.data.sources.mime import Part, content, leaves, parse, text_of, unfold

MAX_MESSAGE_BYTES = 64 << 20
_MAX_ATTACHED = 50
_LINE_BYTES = 1 << 20
_FROM = re.compile(rb"From (?:[ -]*|.*\d\d:\d\d.*)$")
_ESCAPED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
_HEADER = re.compile(rb"[!-9;-~]+[ \t]*:")
_ID = re.compile(r"<([^<>\s]{1,500})>")
_Item = Document | Quarantined


class MailSource(Source):
    """Mail, as .eml or .mbox: one document a message."""

    format: Literal["mail"]
    quotes: Literal["drop", "keep"] = "drop"
    """What others wrote before: lines after ">", and what follows "-----Original Message-----"."""
    signatures: Literal["drop", "keep"] = "drop"
    """What follows "-- ", or a closing block between rules that holds an address or a telephone number."""
    keep_headers: tuple[Literal["from", "to", "cc", "reply-to"], ...] = ()
    """Headers with names and addresses to keep in `meta`. Personal data: none by default."""

    def read(self, member: Member, identity: str) -> Iterator[_Item]:
        """The messages of a file: `#1`, `#2`, ... in a mailbox."""
        head = member.stream.readline(_LINE_BYTES)
        if not _FROM.match(head.rstrip(b"\r\n")):
            data = (head + member.read(MAX_MESSAGE_BYTES)).lstrip(b"\r\n")
            if not any(_HEADER.match(line) for line in data[:4096].splitlines()[:5]):
                raise DataError(
                    "no mail: no header in the first lines", hint="expected .eml, or .mbox that begins with 'From '"
                )
            yield from self._message(data, identity, f"{identity}#")
            return
        for number, message in enumerate(_messages(member), 1):
            where = f"{identity}#{number}"
            if message is None:
                detail = f"message {number} is larger than {MAX_MESSAGE_BYTES >> 20} MiB (remove its attachments)"
                yield Quarantined(where, "too_large", detail)
            else:
                yield from self._message(_ESCAPED_FROM.sub(rb"\1", message), where, f"{where}.")

    def _message(self, data: bytes, where: str, attached: str) -> Iterator[_Item]:
        """A message and the ones attached to it, these named `attached` and a number."""
        waiting = [(where, parse_or_error(data))]
        number = 0
        while waiting:
            name, part = waiting.pop(0)
            try:
                if isinstance(part, DataError):
                    raise part
                document, inner = self._document(part, name)
            except DataError as error:
                yield Quarantined(name, self.error_kind(error), f"{error.message} ({error.hint})")
                continue
            yield document
            for body in inner:
                number += 1
                if number > _MAX_ATTACHED:
                    raise TooLarge(f"more than {_MAX_ATTACHED} attached messages", hint="export them as a mailbox")
                waiting.append((f"{attached}{number}", parse_or_error(body)))

    def _document(self, message: Part, where: str) -> tuple[_Item, list[bytes]]:
        texts: list[str] = []
        attachments: list[str] = []
        inner: list[bytes] = []
        encoding, confidence = "utf-8", 1.0
        for leaf in leaves(message):
            disposition = leaf.headers.get("content-disposition", b"").strip().lower()
            if leaf.kind in ("message/rfc822", "message/global"):
                inner.append(content(leaf))
            elif leaf.kind in ("text/plain", "text/html") and not disposition.startswith(b"attachment"):
                text, encoding, found = text_of(leaf)
                confidence = min(confidence, found)
                texts.append(self._own(leaf, text))
            else:
                attachments.append(leaf.file_name() or leaf.kind)
        text = "\n\n".join(text for text in texts if text.strip()).replace("\0", "")
        if not text:
            why = "nothing but quotes and a signature" if texts else "no text part"
            names = f"; attachments: {', '.join(attachments[:10])}" if attachments else ""
            return Quarantined(where, "no_text", f"{why}{names}"), inner
        document = Document(
            where,
            text,
            title=unfold(message.headers.get("subject", b"")),
            date=_date(message.headers.get("date", b"")),
            encoding=encoding,
            confidence=confidence,
            meta=self._meta(message, attachments),
        )
        return document, inner

    def _own(self, leaf: Part, text: str) -> str:
        quotes = self.quotes == "keep"
        if leaf.kind == "text/html":
            text = html_text(text, quotes=quotes)
        elif leaf.parameter("format").lower() == "flowed":
            text = flowed(text, delete_space=leaf.parameter("delsp").lower() == "yes")
        return own_text(text, quotes=quotes, signatures=self.signatures == "keep")

    def _meta(self, message: Part, attachments: list[str]) -> dict[str, Any]:
        ids = {
            name: _ID.findall(unfold(message.headers.get(name, b"")))
            for name in ("message-id", "references", "in-reply-to")
        }
        own = ids["message-id"][:1]
        meta: dict[str, Any] = {"message_id": own[0] if own else ""}
        meta["thread"] = next(iter(ids["references"] or ids["in-reply-to"] or own), "")
        if attachments:
            meta["attachments"] = attachments
        for name in self.keep_headers:
            meta[name] = unfold(message.headers.get(name, b""))
        return meta


def parse_or_error(data: bytes) -> Part | DataError:
    """A message, or why it is none."""
    try:
        return parse(data)
    except DataError as error:
        return error


def _messages(member: Member) -> Iterator[bytes | None]:
    """The messages of a mailbox; None for one that is too large. `From ` begins one after a blank line."""
    parts: list[bytes] = []
    size = 0
    blank = False
    whole = True  # whether the last piece ended a line
    while piece := member.stream.readline(_LINE_BYTES):
        if whole and blank and piece.startswith(b"From ") and _FROM.match(piece.rstrip(b"\r\n")):
            yield b"".join(parts) if size <= MAX_MESSAGE_BYTES else None
            parts, size, blank = [], 0, False
            continue
        blank = whole and not piece.strip()
        whole = piece.endswith(b"\n")
        size += len(piece)
        if size <= MAX_MESSAGE_BYTES:
            parts.append(piece)
        else:
            parts.clear()
    yield b"".join(parts) if size <= MAX_MESSAGE_BYTES else None


def _date(value: bytes) -> str:
    """The date of a mail as ISO 8601; empty when it is none.

    >>> _date(b"Wed, 1 Jul 2026 09:30:00 +0900 (JST)"), _date(b"yesterday")
    ('2026-07-01T09:30:00+09:00', '')
    """
    try:
        return email.utils.parsedate_to_datetime(value[:200].decode("ascii", "replace")).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""

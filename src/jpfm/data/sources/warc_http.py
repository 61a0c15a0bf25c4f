"""One WARC record as what a server answered: headers that matter, and the body unpacked.

answer = unpack(raw.data, Wanted())        # None for a record that is not asked for
answer.url, answer.body, answer.charset, answer.digest_holds
"""

import base64
import binascii
import hashlib
import re
from typing import Any, NamedTuple

from jpfm.core.errors import DataError
from jpfm.data.sources.archive import TooLarge
from jpfm.data.sources.warc_records import LIMIT

_CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s;"',]+)""", re.IGNORECASE)
_LOOKS_LIKE_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|meta)\b", re.IGNORECASE)
_PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
_JAPANESE = re.compile(
    rb"""lang\s*=\s*["']?ja|(?:\xe3[\x81-\x83][\x80-\xbf]){2}|(?:\x82[\x9f-\xf1]){3}|(?:\xa4[\xa1-\xf3]){3}"""
    rb"""|\x1b\$[@B]|&\#(?:123[5-9]|124)\d\d?;|\A(?:\xff\xfe|\xfe\xff)""",
    re.IGNORECASE,
)


class Wanted(NamedTuple):
    """Which records are documents."""

    responses: bool = True
    conversions: bool = True
    status: tuple[int, ...] = (200,)
    mime: tuple[str, ...] = ("text/html", "application/xhtml+xml", "text/plain")


class Answer(NamedTuple):
    """A record that is asked for."""

    url: str
    date: str
    """When it was fetched, ISO 8601."""
    mime: str
    body: bytes = b""
    charset: str = ""
    """The label in the Content-Type header."""
    robots: str = ""
    """X-Robots-Tag headers."""
    tdm: str = ""
    """tdm-reservation header."""
    payload_digest: str = ""
    digest_holds: bool = True
    """False when the payload is not what its sha1 digest says; other digests are not checked."""
    truncated: str = ""
    """Why the crawler stored only a part: length, time, disconnect."""
    languages: str = ""
    """What Common Crawl detected, ISO 639-3."""


def unpack(data: bytes, wanted: Wanted) -> Answer | None:
    """A whole record as an answer.

    Raises:
        DataError: its header cannot be read, or its body is not in the encoding that its header says.
    """
    from fastwarc import warc

    try:
        record = warc.WarcRecord.from_bytes(data)
    except (OSError, ValueError) as error:
        raise DataError(f"no WARC record: {error}", hint="fetch the file again") from error
    kind, header = record.record_type, record.headers
    mime, label = _content_type(header.get("Content-Type"))
    told = Answer(
        url=(header.get("WARC-Target-URI") or "").strip("<> "),
        date=header.get("WARC-Date") or "",
        mime=mime,
        charset=label,
        payload_digest=header.get("WARC-Payload-Digest") or "",
        truncated=header.get("WARC-Truncated") or "",
        languages=header.get("WARC-Identified-Content-Language") or "",
    )
    if kind == warc.conversion or (kind == warc.resource and not record.is_http):
        if not (wanted.conversions if kind == warc.conversion else wanted.responses) or mime not in wanted.mime:
            return None
        return told._replace(body=record.reader.read(len(data)))
    if kind in (warc.response, warc.resource) and wanted.responses and record.is_http:
        return _response(record, data, told, wanted)
    return None


def _response(record: Any, data: bytes, told: Answer, wanted: Wanted) -> Answer | None:
    try:
        record.parse_http()
        header, payload = record.http_headers, record.reader.read(len(data))
    except (OSError, ValueError) as error:
        raise DataError(f"no HTTP answer: {error}", hint="the crawl stored something else there") from error
    if header is None or header.status_code not in wanted.status:
        return None
    mime, label = _content_type(header.get("Content-Type"))
    if mime in ("", "application/octet-stream", "unknown/unknown") and _LOOKS_LIKE_HTML.search(payload[:1024]):
        mime = "text/html"
    if mime not in wanted.mime:
        return None
    encoded = any(header.get(name) not in (None, "", "identity") for name in ("Transfer-Encoding", "Content-Encoding"))
    body = _decoded(data, payload) if encoded else payload
    return told._replace(
        mime=mime,
        charset=label,
        body=body,
        robots=", ".join(header.get_multiple("X-Robots-Tag")),
        tdm=(header.get("tdm-reservation") or "").strip(),
        digest_holds=bool(told.truncated) or _digest_holds(told.payload_digest, data, (payload, body)),
    )


def _decoded(data: bytes, payload: bytes) -> bytes:
    """The body without chunks and compression. A header that claims what the bytes are not is not believed."""
    from fastwarc import warc

    record = warc.WarcRecord.from_bytes(data)
    try:
        record.parse_http(auto_decode="all")
        body: bytes = record.reader.read(LIMIT + 1)
    except (OSError, ValueError) as error:
        if payload.startswith(_PACKED) or not _LOOKS_LIKE_HTML.match(payload.lstrip()):
            raise DataError(f"the body cannot be unpacked: {error}", hint="fetch the page again") from error
        return payload
    if len(body) > LIMIT:
        raise TooLarge(f"the body unpacks to more than {LIMIT >> 20} MiB", hint="leave the record out")
    return body


def _content_type(value: str | None) -> tuple[str, str]:
    """MIME type and charset label."""
    mime = (value or "").partition(";")[0].strip().lower()
    label = _CHARSET.search(value or "")
    return mime, label.group(1) if label else ""


def _digest_holds(digest: str, data: bytes, bodies: tuple[bytes, ...]) -> bool:
    """Crawlers digest the payload as it was sent, or without chunks, or unpacked: any of them will do."""
    name, _, value = digest.partition(":")
    if name.strip().lower() != "sha1" or not value:
        return True
    try:
        told = bytes.fromhex(value) if len(value) == 40 else base64.b32decode(value.strip().upper())
    except (ValueError, binascii.Error):
        return False
    return any(hashlib.sha1(body).digest() == told for body in dict.fromkeys((*bodies, _dechunked(data))))


def _dechunked(data: bytes) -> bytes:
    """The body without chunks only; nothing when it has none that can be read."""
    from fastwarc import warc

    record = warc.WarcRecord.from_bytes(data)
    try:
        record.parse_http(auto_decode="transfer")
        body: bytes = record.reader.read(len(data))
    except (OSError, ValueError):
        return b""
    return body


def may_be_japanese(body: bytes) -> bool:
    """Whether a page says lang=ja or holds kana in UTF-8, CP932, EUC-JP, ISO-2022-JP or as references.

    >>> [may_be_japanese("これは".encode(codec)) for codec in ("utf-8", "cp932", "euc_jp", "iso2022_jp")]
    [True, True, True, True]
    >>> may_be_japanese("这是中文".encode()), may_be_japanese(b"&#12371;&#12428;"), may_be_japanese(b"plain")
    (False, True, False)

    Chinese in GBK may hold the same bytes as kana in EUC-JP: this only saves work, a language filter decides.
    """
    return _JAPANESE.search(body) is not None

"""Web crawls: WARC files of HTTP responses, WET files of their text, and single records by byte range.

    - {format: warc, name: crawl, paths: ["*.warc.gz"], rights: {...}}
    - {format: warc, name: cc, paths: ["japanese-2026-10.parquet"], index: true, rights: {...}}

With `index: true` the paths are lists of byte ranges, as a query of Common Crawl's columnar index gives them
(`SELECT warc_filename, warc_record_offset, warc_record_length ... WHERE content_languages LIKE 'jpn%'`); only those
bytes are fetched. Japanese is a twentieth of the crawl: 32 GB of index replace 60 TB of pages.

Read are responses (and resources) of the `status` and `mime` asked for, and WET conversions. Requests, redirects,
pictures and the like are passed over and not counted: they are no documents. What is wrong with a record quarantines
that record alone. A large file is read in ranges (`warc_ranges`).
"""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Literal

import pydantic

from jpfm.core.config import place
from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import PACKED, BrokenInput, Member
from jpfm.data.sources.base import Piece, Source
from jpfm.data.sources.page import Extractor, charset, read_page, utf8_of
from jpfm.data.sources.page_facts import opt_out
from jpfm.data.sources.ranges import cut, fetched, rows
from jpfm.data.sources.warc_http import Answer, Wanted, may_be_japanese, unpack
from jpfm.data.sources.warc_ranges import planned, records_in
from jpfm.data.sources.warc_records import Raw, records
from jpfm.text.decode import decode

_PAGES = ("text/html", "application/xhtml+xml")


class WarcSource(Source):
    """WARC and WET files. Ids end in the byte offset of the record, as indexes of crawls name it.

    `date` is when the page was fetched, `url` the address it was fetched from.
    """

    columns: ClassVar[tuple[str, ...]] = ("http_charset", "robots", "tdm", "payload_digest", "robots_meta")
    closed: ClassVar[tuple[str, ...]] = (".warc.gz", ".wet.gz")

    format: Literal["warc"]
    index: bool = False
    """Whether the paths are lists of byte ranges (Parquet, CSV, TSV or JSONL) instead of WARC files."""
    base: str = place("https://data.commoncrawl.org/")
    """With `index`: address or folder that the file names in the lists begin at; a folder counts from the list's."""
    extractor: Extractor = "resiliparse"
    """resiliparse keeps all of the main part; trafilatura less of noise and text alike, at a tenth of the speed."""
    records: Literal["auto", "response", "conversion"] = "auto"
    """response: HTTP responses and resources; conversion: the plain text of WET files; auto: both."""
    status: tuple[int, ...] = (200,)
    """HTTP status codes of responses to read."""
    mime: tuple[str, ...] = (*_PAGES, "text/plain")
    """Content types of responses to read."""
    japanese_only: bool = False
    """Pass over pages without lang=ja and without kana in any encoding, before they are read: they are not counted."""
    opt_out: Literal["drop", "keep"] = "drop"
    """What becomes of pages whose headers or meta tags say noai or tdm-reservation 1: drop quarantines them."""
    verify_digest: bool = True
    """Whether a payload that does not match its sha1 WARC-Payload-Digest is quarantined."""

    @pydantic.model_validator(mode="after")
    def _base_needs_index(self) -> "WarcSource":
        if "base" in self.model_fields_set and not self.index:
            raise ValueError("base is only read with index: true")
        return self

    def pieces(self, root: Path, slice_bytes: int) -> Iterator[Piece]:
        """Files and ranges of them, or ranges of rows of a list whose records have about `slice_bytes` together."""
        if not self.index:
            yield from super().pieces(root, slice_bytes)
            return
        for piece in self.files(root):
            yield from cut(piece, slice_bytes)

    def cut(self, piece: Piece, slice_bytes: int) -> Iterator[Piece]:
        """Ranges of bytes, each with the records that begin in it."""
        name = piece.name.lower()
        packed = name.endswith(PACKED) and not name.endswith(self.closed)
        yield from (piece,) if packed else planned(piece, slice_bytes)

    def documents(self, piece: Piece) -> Iterator[Document | Quarantined]:
        """Read a file or a range of one, or fetch the records that rows of a list name."""
        if self.index:
            yield from self._listed(piece)
        elif piece.stop is None:
            yield from super().documents(piece)
        else:
            identity = f"{self.name}/{piece.name}"
            try:
                yield from self._documents(records_in(piece), identity)
            except (OSError, BrokenInput) as error:
                yield Quarantined(identity, "archive", f"cannot be read: {error or type(error).__name__}")

    def _listed(self, piece: Piece) -> Iterator[Document | Quarantined]:
        for row, data in fetched(rows(piece), self.base, piece.path):
            identity = f"{self.name}/{row.file}"
            if isinstance(data, str):
                yield Quarantined(f"{identity}#{row.offset}", "fetch", data)
            else:
                yield from self._documents(records(io.BytesIO(data), begins=row.offset), identity)

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """The documents of one file."""
        return self._documents(records(member.stream), identity)

    def _documents(self, found: Iterable[Raw], identity: str) -> Iterator[Document | Quarantined]:
        wanted = Wanted(self.records != "conversion", self.records != "response", self.status, self.mime)
        for raw in found:
            where = f"{identity}#{raw.offset}"
            if raw.error:
                yield Quarantined(where, raw.error, raw.detail)
                continue
            try:
                answer = unpack(raw.data, wanted)
                if answer is not None and not (self.japanese_only and not may_be_japanese(answer.body)):
                    yield self._document(answer, where)
            except DataError as error:
                yield Quarantined(where, self.error_kind(error), f"{error.message} ({error.hint})")

    def _document(self, answer: Answer, identity: str) -> Document | Quarantined:
        if self.verify_digest and not answer.digest_holds:
            return Quarantined(identity, "digest", f"the payload is not {answer.payload_digest}")
        reason = opt_out(answer.robots, tdm=answer.tdm)
        meta = {
            "http_charset": answer.charset, "robots": answer.robots, "payload_digest": answer.payload_digest,
            "truncated": answer.truncated, "languages": answer.languages,
        }  # fmt: skip
        if answer.tdm:
            meta["tdm"] = answer.tdm
        if self.opt_out == "drop" and reason:
            return Quarantined(identity, "opt_out", f"its headers say {reason}")
        if answer.mime not in _PAGES:
            decoded = decode(answer.body, answer.charset or None)
            return Document(
                identity, decoded.text, url=answer.url, date=answer.date, retrieved=answer.date,
                encoding=decoded.encoding, confidence=decoded.confidence,
                meta={key: value for key, value in meta.items() if value},
            )  # fmt: skip
        body = answer.body[: answer.body.rfind(b"<")] if answer.truncated else answer.body  # cut inside a character
        decoded = decode(body, charset(body, answer.charset))
        utf8 = utf8_of(answer.body, decoded)
        page = read_page(decoded.text, identity, extractor=self.extractor, base=answer.url, utf8=utf8)
        if self.opt_out == "drop" and (reason := opt_out(page.facts.robots, tdm=page.facts.tdm)):
            return Quarantined(identity, "opt_out", f"the page says {reason}")
        meta |= {"published": page.facts.date, "canonical": page.facts.url if page.facts.url != answer.url else ""}
        return page.document(identity, decoded, url=answer.url, date=answer.date, retrieved=answer.date, meta=meta)

"""MediaWiki XML dumps (pages-articles), of any size: one page at a time, as plain text.

    - {format: mediawiki, name: jawiki, paths: ["jawiki-*-pages-articles-multistream.xml.bz2"], rights: {...}}

The XML is read by expat, element by element: no tree grows, whatever the file holds, and a DOCTYPE is refused before it
can declare anything. Of a page with several revisions the last is taken. `wikitext.plain` makes text of it.
A multistream dump is read stream by stream (`multistream`): a large one in ranges, and damage costs a hundred pages,
not all that follow. Any other compression is one stream. A document's id ends in the page's own, as the wiki knows it
(`?curid=`): the same in every dump, and a range need not count the pages before it.
"""

from collections.abc import Iterator, Mapping
from typing import IO, Annotated, Any, ClassVar, Literal
from urllib.parse import quote, urlsplit
from xml.parsers import expat

import pydantic

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import BrokenInput, Member, open_raw
from jpfm.data.sources.base import Piece, Source, byte_ranges
from jpfm.data.sources.multistream import first_unit, multistream_head, parts
from jpfm.data.sources.wikitext import plain

CHUNK_BYTES = 1 << 20
_BZ2 = ".bz2"
MAX_PAGE_CHARS = 16 << 20  # MediaWiki itself allows 2 MiB
_MAX_FIELD_CHARS = 4096
_MAX_DEPTH = 64
_MAX_TOKEN_BYTES = 8 << 20
SECTIONS = (
    "脚注", "注釈", "注", "註", "註釈", "出典", "参照", "関連項目", "外部リンク", "参考文献", "関連文献", "参考資料",
    "関連書籍", "関連リンク", "外部サイト", "ギャラリー",
)  # fmt: skip
_WANTED = {
    ("mediawiki", "siteinfo", "base"): "base", ("mediawiki", "siteinfo", "dbname"): "site",
    ("mediawiki", "page", "title"): "title", ("mediawiki", "page", "ns"): "ns", ("mediawiki", "page", "id"): "page_id",
    ("mediawiki", "page", "revision", "id"): "revision_id", ("mediawiki", "page", "revision", "timestamp"): "date",
    ("mediawiki", "page", "revision", "model"): "model", ("mediawiki", "page", "revision", "text"): "text",
}  # fmt: skip


class WikitextSource(Source):
    """What formats that hold wikitext share: what to keep of a page."""

    namespaces: tuple[int, ...] = (0,)
    """Numbers of the namespaces to read: 0 articles, 1 talk, 12 help, 14 categories. The rest is passed over."""
    drop_sections: tuple[str, ...] = SECTIONS
    """Titles of sections to leave out with their subsections. A title made of several of them goes too (注釈・出典).

    Only those sections go: what stands after them, which some systems cut off as well, is text.
    """
    tables: Literal["cells", "drop"] = "cells"
    """Tables as a line a row with tabs between cells, or not at all."""
    math: Literal["tex", "drop"] = "tex"
    """Formulas as TeX between $, or not at all."""
    keep_templates: Mapping[str, Annotated[int, pydantic.Field(ge=1)]] = {}
    """Further templates of which one argument is text: its name, and which argument. All unknown ones are dropped."""

    def to_text(self, wikitext: str) -> str:
        """A page's wikitext as plain text."""
        return plain(
            wikitext, drop_sections=self.drop_sections, tables=self.tables == "cells", math=self.math == "tex",
            keep_templates=self.keep_templates,
        )  # fmt: skip


class MediaWikiSource(WikitextSource):
    """MediaWiki XML dumps: Wikipedia, Wiktionary, Wikibooks, a company's own wiki (Special:Export)."""

    columns: ClassVar[tuple[str, ...]] = ("page_id", "revision_id")

    format: Literal["mediawiki"]
    redirects: bool = False
    """Read pages that only lead to another one, too."""

    def cut(self, piece: Piece, slice_bytes: int) -> Iterator[Piece]:
        """Ranges of bytes of a multistream dump, each with the streams that begin in it."""
        yield from byte_ranges(piece, slice_bytes) if self._is_multistream(piece) else (piece,)

    def _is_multistream(self, piece: Piece) -> bool:
        try:
            with open_raw(piece.path, seek=True) as file:
                return piece.name.lower().endswith(_BZ2) and multistream_head(file) is not None
        except (OSError, BrokenInput):
            return False  # the reader will say what is wrong with it

    def documents(self, piece: Piece) -> Iterator[Document | Quarantined]:
        """Read a file or a range of one."""
        if piece.stop is None and not self._is_multistream(piece):
            yield from super().documents(piece)
            return
        identity = f"{self.name}/{piece.name[: -len(_BZ2)]}"
        try:
            with open_raw(piece.path, seek=True) as file:
                yield from self._streams(file, identity, piece)
        except (OSError, BrokenInput) as error:
            yield Quarantined(identity, "archive", f"cannot be read: {error or type(error).__name__}")

    def _streams(self, file: IO[bytes], identity: str, piece: Piece) -> Iterator[Document | Quarantined]:
        """The pages of the units that begin in a range."""
        head = multistream_head(file)
        start = first_unit(file, piece.start, piece.stop) if piece.start else 0
        if head is None or start is None:
            return
        unit, pages = -1, _Pages()
        for part in parts(file, start, piece.stop):
            data = part.data
            if part.unit != unit:
                data = head + data if part.unit else data
                pages.close()
                unit, pages = part.unit, _Pages()
            if pages.is_broken:
                continue
            try:
                yield from self._fed(pages, data, identity, last=part.is_last)
                if part.error:
                    raise BrokenInput(part.error, hint="fetch the file again")
            except DataError as error:
                pages.is_broken = True
                yield Quarantined(f"{identity}#@{unit}", self.error_kind(error), f"{error.message} ({error.hint})")

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a page."""
        pages = _Pages()
        while chunk := member.stream.read(CHUNK_BYTES):
            yield from self._fed(pages, chunk, identity)
        yield from self._fed(pages, b"", identity, last=True)

    def _fed(
        self, pages: "_Pages", data: bytes, identity: str, *, last: bool = False
    ) -> Iterator[Document | Quarantined]:
        """The documents of the pages that some more XML completes, those before an error in it too."""
        problem = None
        try:
            pages.feed(data, last=last)
        except DataError as error:
            problem = error
        for page in pages.taken():
            if self._is_wanted(page):
                name = page.get("page_id", "").strip() or page.get("title", "").strip()
                if name:
                    yield self._document(page, pages, f"{identity}#{name}")
                else:
                    yield Quarantined(identity, "format", "a page with neither <id> nor <title>")
        if problem is not None:
            raise problem

    def _is_wanted(self, page: dict[str, str]) -> bool:
        in_space = page.get("ns", "0").strip() in {str(number) for number in self.namespaces}
        return in_space and (self.redirects or "redirect" not in page)

    def _document(self, page: dict[str, str], reader: "_Pages", where: str) -> Document | Quarantined:
        title = page.get("title", "").strip()
        if page.get("too_large"):
            return Quarantined(where, "too_large", f"'{title[:80]}': a page of more than {MAX_PAGE_CHARS} characters")
        if "text" not in page:
            return Quarantined(where, "format", f"'{title[:80]}': a page without <text>; is it a dump of stubs?")
        model = page.get("model", "wikitext").strip()
        if model != "wikitext":
            return Quarantined(where, "format", f"'{title[:80]}': content model '{model}' is not wikitext")
        meta: dict[str, Any] = {key: page[key].strip() for key in ("page_id", "revision_id") if key in page}
        if site := reader.site.get("site"):
            meta["site"] = site.strip()
        return Document(
            where, self.to_text(page["text"]), title=title, url=address(reader.site.get("base", ""), title),
            lang=reader.site.get("lang", ""), date=page.get("date", "").strip(), meta=meta,
        )  # fmt: skip


def address(base: str, title: str) -> str:
    """A page's address, from that of the main page.

    >>> address("https://ja.wikipedia.org/wiki/%E3%83%A1", "ハト 目")
    'https://ja.wikipedia.org/wiki/%E3%83%8F%E3%83%88_%E7%9B%AE'
    """
    base = base.strip()
    try:
        parts = urlsplit(base)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or "/" not in parts.path:
        return ""
    return f"{base.rpartition('/')[0]}/{quote(title.replace(' ', '_').encode('utf-8', 'replace'), safe='/:()')}"


class _Pages:
    """Pages as expat meets them. What no field of `_WANTED` needs is never kept."""

    def __init__(self) -> None:
        self.site: dict[str, str] = {}
        self.is_broken = False
        self._done: list[dict[str, str]] = []
        self._page: dict[str, str] = {}
        self._path: list[str] = []
        self._field: str | None = None
        self._parts: list[str] = []
        self._size = self._fed = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.buffer_size = 1 << 18
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, data: bytes, *, last: bool = False) -> None:
        self._fed += len(data)
        try:
            self._parser.Parse(data, last)
        except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: an encoding expat does not know
            raise DataError(
                f"not well-formed XML: {error}", hint="the pages before it were read; fetch the file again"
            ) from error
        if self._fed - self._parser.CurrentByteIndex > _MAX_TOKEN_BYTES:
            raise DataError(f"a tag of more than {_MAX_TOKEN_BYTES >> 20} MiB", hint="is it a MediaWiki dump?")

    def taken(self) -> list[dict[str, str]]:
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Let go of the parser: it and this object hold each other."""
        self._parser.StartElementHandler = self._parser.EndElementHandler = None
        self._parser.CharacterDataHandler = self._parser.StartDoctypeDeclHandler = None

    def _doctype(self, *_: object) -> None:
        raise DataError("the XML holds a DOCTYPE, which no dump has", hint="it may declare entities; it is not read")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path and name != "mediawiki":
            raise DataError(f"no <mediawiki> element but <{name[:40]}>", hint="expected a dump or Special:Export")
        if len(self._path) >= _MAX_DEPTH:
            raise DataError(f"elements nested more than {_MAX_DEPTH} deep", hint="is it a MediaWiki dump?")
        self._path.append(name)
        self._field = _WANTED.get(tuple(self._path))
        self._parts, self._size = [], 0
        if len(self._path) == 1:
            self.site["lang"] = attributes.get("xml:lang", "")[:_MAX_FIELD_CHARS]
        elif self._path == ["mediawiki", "page"]:
            self._page = {}
        elif self._path == ["mediawiki", "page", "redirect"]:
            self._page["redirect"] = "yes"
        elif self._field == "text" and "deleted" in attributes:
            self._field = None

    def _text(self, data: str) -> None:
        if self._field is None:
            return
        self._size += len(data)
        if self._size > (MAX_PAGE_CHARS if self._field == "text" else _MAX_FIELD_CHARS):
            self._page["too_large"] = "yes"
            self._parts, self._field = [], None
            return
        self._parts.append(data)

    def _end(self, name: str) -> None:
        if self._field is not None:
            value = "".join(self._parts)
            (self.site if self._field in ("base", "site") else self._page)[self._field] = value
            self._field = None
        elif self._path == ["mediawiki", "page"]:
            self._done.append(self._page)
            self._page = {}
        self._path.pop()

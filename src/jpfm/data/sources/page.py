"""A decoded web page as text and facts: what HTML files and WARC records share.

decoded = decode(data, charset(data, header_label))
page = read_page(decoded.text, "a.html", base="https://example.jp/a")
page.document(identity, decoded)
"""

import re
from typing import Any, Literal, NamedTuple

from jpfm.data.document import Document
from jpfm.data.sources import page_text
from jpfm.data.sources.markup_lines import prepare
from jpfm.data.sources.page_facts import Facts, read_facts
from jpfm.data.sources.tags import scan
from jpfm.text.charsets import codec_of
from jpfm.text.decode import Decoded

Extractor = Literal["resiliparse", "trafilatura"]
_CHARSET = re.compile(rb"""<meta\s[^>]{0,300}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"""\A\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9_.:-]+)""")
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_SNIFFED = 4096  # bytes; the standard looks at 1024 first, and again when it meets the tag later


class Page(NamedTuple):
    """The main text of a page, and what it says of itself."""

    text: str
    facts: Facts

    def document(self, identity: str, decoded: Decoded, **columns: Any) -> Document:
        """The page as a document; `columns` replace or add to what it says, `meta` adds to its meta."""
        facts = self.facts
        meta = {"robots_meta": facts.robots, "tdm": facts.tdm, "tdm_policy": facts.tdm_policy,
                "licences": [*facts.licences]} | columns.pop("meta", {})  # fmt: skip
        said = {
            "title": facts.title,
            "url": facts.url,
            "licence": facts.licence,
            "lang": facts.lang,
            "date": facts.date,
        }
        return Document(
            identity,
            self.text,
            encoding=decoded.encoding,
            confidence=decoded.confidence,
            meta={key: value for key, value in meta.items() if value},
            **(said | columns),
        )


def charset(data: bytes, header: str = "") -> str | None:
    """The label a browser would go by: that of HTTP, else of the first <meta> or the XML declaration.

    >>> charset(b'<!-- <meta charset=utf-8> --><META http-equiv=x content="text/html; charset=x-sjis">')
    'x-sjis'

    A <meta> that can be read as ASCII is not in UTF-16, whatever it says. Source: WHATWG HTML, 13.2.3.2.
    """
    if codec_of(header) is not None:
        return header
    head = data[:_SNIFFED]
    if b"<!--" in head:
        head = _COMMENT.sub(b"", head)
    found = _CHARSET.search(head) or _XML_ENCODING.search(head[:300])
    if found is None:
        return None
    label = found.group(1).decode("ascii")
    return "utf-8" if label.lower().startswith("utf-16") else label


def utf8_of(data: bytes, decoded: Decoded) -> bytes:
    """The page as UTF-8: its own bytes where they are that already."""
    return data if decoded.encoding == "utf-8" and b"\xef\xbb\xbf" not in data else decoded.text.encode()


def read_page(
    html: str, name: str, *, extractor: Extractor = "resiliparse", base: str = "", utf8: bytes | None = None
) -> Page:
    """Read a page.

    Args:
        name: for messages.
        base: its address, which relative ones in it refer to.
        utf8: `html` encoded, where the caller has it (`utf8_of`).
    Raises:
        DataError: its tags would make a tree too large to build.
    """
    data = html.encode() if utf8 is None else utf8
    tags = scan(data, name)
    facts = read_facts(data, tags, base)
    if extractor == "trafilatura":  # it finds the main part itself
        return Page(page_text.precise_text(prepare(html, tags), name), facts)
    start, stop = page_text.main_part(data, tags)
    main = prepare(data[start:stop].decode(), tags)
    return Page(page_text.main_text(main, tags, tags.names(data, start, stop)), facts)

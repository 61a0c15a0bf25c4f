"""HTML pages."""

import re
from collections.abc import Iterator
from typing import Literal

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Source
from jpfm.text.decode import decode

_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_-]+)""", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"""^<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9_-]+)""")
# readings go before extraction: the extractor would keep the reading and lose the word
# (their end tags may be left out)
_READINGS = re.compile(
    r"<(rt|rp|rtc)\b[^>]*>.*?(?:</\1\s*>|(?=<(?:rb|rt|rp|rtc)\b|</ruby\b))", re.IGNORECASE | re.DOTALL
)
_RUBY_TAGS = re.compile(r"</?(?:ruby|rb|rtc)\b[^>]*>", re.IGNORECASE)


class HtmlSource(Source):
    """Web pages: main text only, navigation and footers gone, ruby keeps the base text."""

    format: Literal["html"]

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One page a file."""
        data = member.read()
        declared = _CHARSET.search(data[:4096]) or _XML_ENCODING.search(data[:200])
        decoded = decode(data, declared.group(1).decode("ascii") if declared else None)
        page = _RUBY_TAGS.sub("", _READINGS.sub("", decoded.text))
        tree = HTMLTree.parse(page)
        title = (tree.title or "").strip()
        licence, url = "", ""
        for link in tree.document.query_selector_all("link[rel]") if tree.document else []:
            relation = (link.getattr("rel") or "").lower()
            if relation == "license":
                licence = link.getattr("href") or ""
            elif relation == "canonical":
                url = link.getattr("href") or ""
        text = extract_plain_text(tree, main_content=True, alt_texts=False, links=False)
        language = tree.document.query_selector("html") if tree.document else None
        meta = {"lang": (language.getattr("lang") or "") if language else ""}
        yield Document(
            identity,
            text,
            title=title,
            url=url,
            licence=licence,
            encoding=decoded.encoding,
            confidence=decoded.confidence,
            meta=meta,
        )

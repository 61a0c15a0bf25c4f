"""HTML pages, a document each.

A page is read in passes at the speed of C: its tags are looked at and priced (`tags`), facts taken from them
(`page_facts`), line breaks made what they mean (`markup_lines`), and the main text extracted by lexbor (`page_text`).
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Source
from jpfm.data.sources.page import Extractor, charset, read_page, utf8_of
from jpfm.data.sources.page_facts import opt_out
from jpfm.text.decode import decode

MAX_BYTES = 32 << 20


class HtmlSource(Source):
    """Web pages: main text only, navigation and footers gone, ruby keeps the base text.

    `title`, `lang`, `licence` (SPDX where it is Creative Commons), `url` (canonical) and `date` (published) are what
    the page says of itself. An empty text means that nothing but navigation was found; `length` drops it.
    """

    columns: ClassVar[tuple[str, ...]] = ("robots_meta", "tdm")
    format: Literal["html"]
    extractor: Extractor = "resiliparse"
    """resiliparse keeps all of the main part; trafilatura less of noise and text alike, at a tenth of the speed."""
    opt_out: Literal["drop", "keep"] = "drop"
    """What becomes of pages whose meta tags say noai or tdm-reservation 1: drop quarantines them as opt_out."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One page a file.

        Raises:
            DataError: it is larger than 32 MiB, no text, or a heap of open tags.
        """
        data = member.read(MAX_BYTES)
        decoded = decode(data, charset(data))
        page = read_page(decoded.text, member.name, extractor=self.extractor, utf8=utf8_of(data, decoded))
        if self.opt_out == "drop" and (reason := opt_out(page.facts.robots, tdm=page.facts.tdm)):
            yield Quarantined(identity, "opt_out", f"the page says {reason}")
        else:
            yield page.document(identity, decoded)

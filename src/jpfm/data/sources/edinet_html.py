"""One iXBRL page of a filing as plain text, and the facts it carries.

The page is walked, not recursed into: paragraphs become lines apart by blank lines, table rows lines of cells apart by
tabs, a table in a cell words of that cell. Numbers stand as the page shows them, not as their tags scale them. The
header's hidden facts give no text. Why not an HTML extractor: resiliparse and trafilatura keep no columns of tables,
which are most of a report.
"""

import re

from lxml import etree

from jpfm.core.errors import DataError
from jpfm.text.decode import decode

Facts = dict[str, str]
_MAX_FACT_CHARS = 500
_BLOCKS = frozenset(
    "p div h1 h2 h3 h4 h5 h6 li dt dd blockquote section article caption tr table ul ol dl body pre".split()  # noqa: SIM905
)
_SILENT = frozenset(("head", "script", "style", "title"))
_SILENT_IX = frozenset(("header", "hidden", "references", "resources"))
_FACT_TAGS = frozenset(("nonnumeric", "nonfraction"))
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\r\n\f\v\u00a0]+")
_BREAK_IN_WORDS = re.compile(r"(?<=[^\x00-\x7f])[ \t]*[\r\n][ \t\r\n]*(?=[^\x00-\x7f])")
_WIDE_ONLY = re.compile(r"[ \u3000\t]+")
_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9_-]+)""")


def page_text(data: bytes, facts: Facts) -> str:
    """The text of a page; facts by their local names (`EDINETCodeDEI`) are added to `facts`, the first of each.

    Raises:
        DataError: the page is no XHTML or HTML at all, or declares entities.
    """
    root = _parse(data)
    if root is None:
        return ""
    return _Walker(facts).text(root)


def _parse(data: bytes) -> etree._Element | None:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        return _parse_html(data)
    if b"<!ENTITY" in data:  # none is resolved in any case
        raise DataError("the page declares entities, which no filing does", hint="it is not read")
    return root


def _parse_html(data: bytes) -> etree._Element | None:
    """Old filings are HTML, or XHTML that is not well-formed."""
    from lxml import html

    declared = _XML_ENCODING.match(data[:300])
    text = decode(data, declared.group(1).decode("ascii") if declared else None).text
    text = re.sub(r"^\s*<\?xml[^>]{0,200}>", "", text, count=1).replace("\0", "")
    parser = html.HTMLParser(no_network=True, remove_comments=True, remove_pis=True, huge_tree=False)
    try:
        return html.document_fromstring(text, parser=parser) if text.strip() else None
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise DataError(f"not HTML: {error}", hint="expected a page of an EDINET filing") from error


def _local(element: etree._Element) -> str:
    tag = element.tag
    if not isinstance(tag, str):
        return ""
    return re.split(r"[}:]", tag)[-1].lower()


class _Walker:
    """Text under way: lines, and the rows and cells of the tables that are open."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.blocks: list[str] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.row: list[str] | None = None
        self.tables = 0

    def text(self, root: etree._Element) -> str:
        silent: etree._Element | None = None
        for event, element in etree.iterwalk(root, events=("start", "end")):
            name = _local(element)
            if event == "start":
                if name in _FACT_TAGS:
                    self._fact(element)
                if silent is None and self._is_silent(element, name):
                    silent = element
                if silent is None:
                    self._start(name)
                    self._add(element.text)
                continue
            if silent is None:
                self._end(name)
            if element is silent:
                silent = None
            if silent is None:
                self._add(element.tail)
        self._block()
        return "\n\n".join(self.blocks)

    def _is_silent(self, element: etree._Element, name: str) -> bool:
        of_ixbrl = name in _SILENT_IX and ":" in str(element.tag)  # {http://www.xbrl.org/...}header or ix:header
        return of_ixbrl or name in _SILENT or bool(_HIDDEN.search(element.get("style") or ""))

    def _fact(self, element: etree._Element) -> None:
        local = (element.get("name") or "").rpartition(":")[2]
        if local and local not in self.facts and local.endswith(("DEI", "CoverPage")):
            value = _flat("".join(map(str, element.itertext())))
            if value and len(value) <= _MAX_FACT_CHARS:
                self.facts[local] = value

    def _add(self, text: str | None) -> None:
        if text:
            self.words.append(text)

    def _start(self, name: str) -> None:
        if name == "br":
            self.words.append("\0")
        elif name == "table":
            if not self.tables:
                self._block()
            self.tables += 1
        elif self.tables == 1 and name == "tr":
            self.words, self.row = [], []
        elif self.tables == 1 and name in ("td", "th"):
            self.words = []
        elif name in _BLOCKS:
            self._block() if not self.tables else self.words.append("\0")

    def _end(self, name: str) -> None:
        if name == "table" and self.tables:
            self.tables -= 1
            if not self.tables:
                self._table()
        elif self.tables == 1 and name in ("td", "th") and self.row is not None:
            self.row.append(_WIDE_ONLY.sub(" ", self._taken().replace("\n", " ")).strip(" "))
        elif self.tables == 1 and name == "tr" and self.row is not None:
            self.rows.append(self.row)
            self.words, self.row = [], None
        elif name in _BLOCKS:
            self._block() if not self.tables else self.words.append("\0")
        elif self.tables > 1 and name in ("td", "th"):
            self.words.append(" ")

    def _taken(self) -> str:
        text = _flat("".join(self.words))
        self.words = []
        return text

    def _block(self) -> None:
        if text := self._taken():
            self.blocks.append(text)

    def _table(self) -> None:
        """The rows, without columns that hold nothing in any of them: filings lay out figures with empty cells."""
        self._block()
        width = max((len(row) for row in self.rows), default=0)
        used = [n for n in range(width) if any(n < len(row) and row[n] for row in self.rows)]
        lines = ["\t".join(row[n] if n < len(row) else "" for n in used).rstrip("\t") for row in self.rows]
        if text := "\n".join(line for line in lines if line.strip()):
            self.blocks.append(text)
        self.rows = []


def _flat(text: str) -> str:
    """Text as a browser flows it; \\0 stands for a line break. Breaks inside Japanese words add no space."""
    lines = (_SPACES.sub(" ", _BREAK_IN_WORDS.sub("", line)).strip(" \u3000") for line in text.split("\0"))
    return "\n".join(line for line in lines if line)

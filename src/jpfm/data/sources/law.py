"""e-Gov law XML (法令標準XML)."""

import re
from collections.abc import Iterator
from typing import Literal

from lxml import etree

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Source

_LAW_LINES = ("LawTitle", "PartTitle", "ChapterTitle", "SectionTitle", "SubsectionTitle", "SupplProvisionLabel")


class LawXmlSource(Source):
    """Statutes and ordinances in e-Gov 法令標準XML: articles, paragraphs and items in order, ruby without readings."""

    format: Literal["law_xml"]

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One law a file."""
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        try:
            root = etree.fromstring(member.read(), parser)
        except etree.XMLSyntaxError as error:
            raise DataError(f"not well-formed XML: {error}", hint="fetch the file again") from error
        law = root if root.tag == "Law" else root.find(".//Law")
        if law is None:
            raise DataError(f"no <Law> element below <{root.tag}>", hint="expected e-Gov 法令標準XML")
        for reading in law.iter("Rt"):
            reading.text = None
        title = _content(law.find(".//LawTitle"))
        body = law.find("LawBody")
        lines = list(_law_lines(body if body is not None else law))
        meta = {"law_num": _content(law.find("LawNum"))}
        yield Document(identity, "\n".join(lines), title=title, encoding="utf-8", meta=meta)


def _content(element: etree._Element | None) -> str:
    if element is None:
        return ""
    return re.sub(r"\s*\n\s*", "", "".join(map(str, element.itertext()))).strip()


def _law_lines(element: etree._Element) -> Iterator[str]:
    """One line for each title, caption, paragraph, item and table row."""
    for child in element:
        tag = child.tag if isinstance(child.tag, str) else ""
        if tag == "TOC":
            continue
        if tag in _LAW_LINES:
            yield _content(child)
        elif tag == "Article":
            caption = _content(child.find("ArticleCaption"))
            if caption:
                yield caption
            title = _content(child.find("ArticleTitle"))
            for number, paragraph in enumerate(child.findall("Paragraph")):
                yield from _paragraph(paragraph, title if number == 0 else "")
        elif tag == "Paragraph":
            yield from _paragraph(child, "")
        elif tag == "TableRow":
            yield "\t".join(_content(cell) for cell in child)
        elif len(child):
            yield from _law_lines(child)
        elif text := _content(child):
            yield text


def _paragraph(paragraph: etree._Element, article: str) -> Iterator[str]:
    head = article or _content(paragraph.find("ParagraphNum"))
    sentence = "".join(_content(s) for s in paragraph.findall("ParagraphSentence"))
    yield f"{head}　{sentence}".strip("　")
    for child in paragraph:
        tag = child.tag if isinstance(child.tag, str) else ""
        if tag in ("ParagraphNum", "ParagraphSentence", "ParagraphCaption"):
            continue
        if tag == "Item":
            yield from _item(child, 1)
        elif len(child):
            yield from _law_lines(child)


def _item(item: etree._Element, level: int) -> Iterator[str]:
    name = "Item" if level == 1 else f"Subitem{level - 1}"
    title = _content(item.find(f"{name}Title"))
    yield f"{title}　{_content(item.find(f'{name}Sentence'))}".strip("　")
    for child in item.findall(f"Subitem{level}"):
        yield from _item(child, level + 1)

"""The lines of a law: one for each title, caption, paragraph, item and table row, as the Official Gazette numbers them.

Source: 法令標準XMLスキーマ v3 (XMLSchemaForJapaneseLaw_v3.xsd). Elements are known by their role; one that this file
does not name gives the lines of its children, so no text of a law is lost to a new tag.
"""

import re
from collections.abc import Iterator

from lxml import etree

_INLINE = frozenset(("Sentence", "Column", "Ruby", "Rt", "Line", "QuoteStruct", "ArithFormula", "Sup", "Sub"))
_LEFT_OUT = frozenset(("TOC", "Fig"))
_NUMBERED = re.compile(r"Item|Subitem\d+|List|Sublist\d+|Class")
_SPACE = re.compile(r"[ \t]*[\r\n][ \t\r\n]*")


def content(element: etree._Element | None) -> str:
    """All text below an element, without the line breaks that lay out the file."""
    if element is None:
        return ""
    return _SPACE.sub("", "".join(map(str, element.itertext()))).strip(" \t\r\n")


def law_lines(element: etree._Element, *, amending: bool = True) -> Iterator[str]:
    """The lines below an element.

    Args:
        amending: with the supplementary provisions of amending laws.
    """
    for child in element:
        yield from _lines_of(child, amending)


def _lines_of(element: etree._Element, amending: bool) -> Iterator[str]:
    tag = element.tag if isinstance(element.tag, str) else ""
    if not tag or tag in _LEFT_OUT or (tag == "SupplProvision" and not amending and element.get("AmendLawNum")):
        return
    if tag == "Article":
        yield from _article(element, amending)
    elif tag == "Paragraph":
        yield from _paragraph(element, "", amending)
    elif _NUMBERED.fullmatch(tag):
        yield from _numbered(element, amending)
    elif tag == "SupplProvisionLabel":
        yield _label(element)
    elif tag in ("TableRow", "TableHeaderRow"):
        yield "\t".join(" ".join(law_lines(cell)) if len(cell) else content(cell) for cell in element)
    elif tag.endswith("Sentence") and tag != "Sentence":
        yield from filter(None, [_sentence(element), *_beside_words(element)])
    elif tag in _INLINE or _is_inline(element):
        if text := content(element):
            yield text
    else:
        yield from law_lines(element, amending=amending)


def _beside_words(element: etree._Element) -> Iterator[str]:
    """Lines of what else stands in a sentence element: a table in the place of words."""
    for child in element:
        if child.tag not in _INLINE:
            yield from _lines_of(child, amending=True)


def _is_inline(element: etree._Element) -> bool:
    """Whether an element holds words, with or without ruby in them, rather than further elements."""
    return all(child.tag in _INLINE and child.tag not in ("Sentence", "Column") for child in element)


def _label(label: etree._Element) -> str:
    provision = label.getparent()
    line = content(label)
    if provision is not None and (number := provision.get("AmendLawNum")):
        line += f"　（{number}）"
    return f"{line}　抄" if provision is not None and provision.get("Extract") == "true" else line


def _article(article: etree._Element, amending: bool) -> Iterator[str]:
    if caption := content(article.find("ArticleCaption")):
        yield caption
    title = content(article.find("ArticleTitle"))
    for child in article:
        if child.tag == "Paragraph":
            yield from _paragraph(child, title, amending)
            title = ""
        elif child.tag not in ("ArticleCaption", "ArticleTitle"):
            yield from _lines_of(child, amending)
    if title:
        yield title


def _paragraph(paragraph: etree._Element, article: str, amending: bool) -> Iterator[str]:
    """Article title or paragraph number, then the sentences; captions before, items and tables after."""
    if caption := content(paragraph.find("ParagraphCaption")):
        yield caption
    number = content(paragraph.find("ParagraphNum"))
    head = article if article and number in ("", "1", "１") else "　".join(filter(None, (article, number)))
    sentences = paragraph.findall("ParagraphSentence")
    if line := f"{head}　{''.join(map(_sentence, sentences))}".strip("　"):
        yield line
    for sentence in sentences:
        yield from _beside_words(sentence)
    for child in paragraph:
        if child.tag not in ("ParagraphCaption", "ParagraphNum", "ParagraphSentence"):
            yield from _lines_of(child, amending)


def _numbered(item: etree._Element, amending: bool) -> Iterator[str]:
    """An item, subitem, list or class: its title and words on one line, what is below it on further ones."""
    title, sentence = item.find(f"{item.tag}Title"), item.find(f"{item.tag}Sentence")
    if line := f"{content(title)}　{'' if sentence is None else _sentence(sentence)}".strip("　"):
        yield line
    if sentence is not None:
        yield from _beside_words(sentence)
    for child in item:
        if child is not title and child is not sentence:
            yield from _lines_of(child, amending)


def _sentence(element: etree._Element) -> str:
    """The words of a sentence element; columns apart by a wide space, sentences and provisos together."""
    columns = element.findall("Column")
    if columns:
        return "　".join(filter(None, map(content, columns)))
    if element.find("Sentence") is not None:
        return "".join(content(child) for child in element if child.tag in _INLINE)
    return content(element) if _is_inline(element) else ""

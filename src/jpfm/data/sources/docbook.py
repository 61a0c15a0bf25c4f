"""DocBook 4 and 5 (books, articles, manual pages) as plain text.

    - {format: docbook, name: manuals, paths: ["**/*.xml"], rights: {...}}

A file is one document. Nothing outside it is ever read: a DOCTYPE may stand there, an external entity (`&chapter1;` of
a book in parts) stays out and is named in `meta`, a small internal one (`&product;`) is put in, characters that the DTD
would define (`&mdash;`) come from HTML's table, and entities that grow are refused.

Paragraphs are joined, lists are an item a line (numbers stay), code stands between fences, footnotes follow their
paragraph, an <xref> shows the title it leads to. Index terms, remarks and legal notices go.
"""

import html.entities
import re
from collections.abc import Iterator
from typing import Any, Literal

from lxml import etree

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources import prose
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Source
from jpfm.text.decode import decode

_MAX_BYTES = 16 << 20  # a tree of the smallest elements takes some 30 times its file
_MAX_DEPTH = 100
_MAX_ENTITY, _MAX_ENTITIES = 10_000, 4_000_000  # characters of one, and of all that are put in
_DECLARATION = re.compile(r"""\A\s*<\?xml[^>]{0,200}?\?>""")
_ENCODING = re.compile(rb"""\A[\s\xef\xbb\xbf]*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]+)""")
_REFERENCE = re.compile(r"&([^#;&\s]+);")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{4}-\d{2}|\d{4}")
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_ID = "{http://www.w3.org/XML/1998/namespace}id"


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ROOTS = _names(
    "set book part chapter article appendix preface glossary bibliography refentry reference section sect1 sect2 sect3"
    " sect4 sect5 dedication colophon topic simplesect partintro"
)
_HIDDEN = _names(
    "indexterm remark imageobject videoobject audioobject imageobjectco anchor footnoteref toc lot index areaspec co"
    " coref legalnotice alt index setindex refmeta titleabbrev objectinfo beginpage"
)
_INFO = re.compile(r"(?:set|book|part|chapter|article|appendix|preface|section|sect[1-5]|ref\w*|\w*)info\Z")
_CODE = _names("programlisting screen synopsis classsynopsisinfo funcsynopsisinfo programlistingco screenco")
_LINES = _names("literallayout address")
_PARAGRAPHS = _names(
    "para simpara title subtitle term bridgehead member attribution cmdsynopsis funcprototype seg question answer"
    " glossterm glosssee glossseealso refentrytitle refdescriptor mathphrase bibliomixed segtitle"
)
_LISTS = _names(
    "itemizedlist orderedlist simplelist procedure substeps calloutlist variablelist glosslist segmentedlist qandaset"
)
_ITEMS = _names("listitem step callout varlistentry glossentry glossdef seglistitem qandaentry member")
_TABLES = _names("table informaltable")
_BLOCKS = _CODE | _LINES | _PARAGRAPHS | _LISTS | _TABLES | _names(
    "figure informalfigure example informalexample equation informalequation note tip warning caution important"
    " blockquote epigraph mediaobject sidebar formalpara footnote abstract funcsynopsis"
)  # fmt: skip
_NAME_TAGS = ("{*}firstname", "{*}surname", "{*}personname", "{*}othername", "{*}orgname")
_NUMBERED = _names("orderedlist procedure substeps")


class DocBookSource(Source):
    """DocBook XML, a file a document; what the file refers to is not read."""

    format: Literal["docbook"]

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a file.

        Raises:
            DataError: not well-formed, no DocBook, nested too deep, or entities that grow.
        """
        data = member.read(_MAX_BYTES)
        declared = _ENCODING.match(data[:300])
        decoded = decode(data, declared.group(1).decode("ascii") if declared else None)
        book = _Book(_tree(decoded.text))
        text = "\n\n".join(block for block in book.blocks(book.root) if block.strip())
        yield Document(
            identity, text, title=book.title_of(book.root), lang=book.root.get(_LANG) or book.root.get("lang") or "",
            date=book.date(), encoding=decoded.encoding, confidence=decoded.confidence, meta=book.facts(),
        )  # fmt: skip


def _tree(text: str) -> Any:
    """The document, with entity references as nodes of their own.

    Raises:
        DataError: not well-formed, or its root is no element of DocBook.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False,
        remove_comments=True, remove_pis=True, encoding="utf-8",
    )  # fmt: skip
    try:
        root = etree.fromstring(_DECLARATION.sub("", text, count=1).encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise DataError(f"not well-formed XML: {error}", hint="is it XML? was it cut off?") from error
    if _name(root) not in _ROOTS:
        raise DataError(f"the root is <{_name(root)}>, no element of DocBook", hint="use format: html for web pages")
    return root


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


class _Book:
    """One document's text, with the entities and titles that it refers to."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.left_out: set[str] = set()
        self._put_in = 0
        self._values = self._entities()
        self._ids = {key: element for element in root.iter("*")
                     if (key := element.get(_ID) or element.get("id")) is not None}  # fmt: skip
        self._titles: dict[str, str] = {}

    def _entities(self) -> dict[str, str]:
        dtd = self.root.getroottree().docinfo.internalDTD
        raw = (
            {entity.name: entity.content for entity in dtd.iterentities() if entity.content} if dtd is not None else {}
        )
        return {name: self._expand(name, raw, 0) for name in raw}

    def _expand(self, name: str, raw: dict[str, str], depth: int) -> str:
        value = raw[name]
        if depth > 3 or len(value) > _MAX_ENTITY:
            raise DataError(
                f"entity '{name}' grows when it is put in", hint="expand the entities first (xmllint --noent)"
            )
        whole = _REFERENCE.sub(
            lambda found: self._expand(found[1], raw, depth + 1) if found[1] in raw else found.group(), value
        )
        if len(whole) > _MAX_ENTITY:
            raise DataError(
                f"entity '{name}' grows when it is put in", hint="expand the entities first (xmllint --noent)"
            )
        return prose.html_text(whole) if "<" in whole or "&" in whole else whole

    def _entity(self, node: Any) -> str:
        value = self._values.get(node.name) or html.entities.html5.get(f"{node.name};")
        if value is None:
            self.left_out.add(str(node.name))
            return ""
        self._put_in += len(value)
        if self._put_in > _MAX_ENTITIES:
            raise DataError("entities give more text than the document", hint="is it text?")
        return value

    def date(self) -> str:
        """The first date that the document's information states."""
        for element in self.root.iterfind("./*"):
            if _INFO.match(_name(element)) or _name(element) == "info":
                for date in element.iter("{*}date", "{*}pubdate"):
                    if found := _DATE.match((date.text or "").strip()):
                        return found.group()
        return ""

    def facts(self) -> dict[str, Any]:
        """For `meta`: authors, and the entities that stayed out."""
        infos = [child for child in self.root.iterfind("./*") if _INFO.match(_name(child))]
        authors = [
            prose.join_lines("\n".join(word.strip() for word in author.itertext(*_NAME_TAGS) if word.strip()))
            for info in infos for author in info.iter("{*}author")
        ]  # fmt: skip
        facts = {"authors": [author for author in authors if author], "entities_left_out": sorted(self.left_out)}
        return {key: value for key, value in facts.items() if value}

    def title_of(self, element: Any, depth: int = 0) -> str:
        """The title of a section, also where it stands in its information."""
        for child in element.iterchildren("*"):
            if _name(child) == "title":
                return self._words(child, [])
            if _INFO.match(_name(child)) and depth == 0 and (title := self.title_of(child, 1)):
                return title
        names = element.find(".//{*}refname") if _name(element) == "refentry" else None
        return self._words(names, []) if names is not None else ""

    def _target(self, key: str) -> str:
        if key not in self._titles:
            self._titles[key] = ""  # a title may hold an <xref> to itself
            element = self._ids.get(key)
            if element is not None:
                self._titles[key] = (element.get("xreflabel") or self.title_of(element))[:200]
        return self._titles[key]

    def _words(self, element: Any, notes: list[Any]) -> str:
        """The text of a paragraph on one line; blocks inside it go to `notes`."""
        return prose.join_lines(self._raw(element, notes))

    def _raw(self, element: Any, notes: list[Any]) -> str:
        parts = [element.text or ""]
        for child in element:
            parts += [self._inline(child, notes, parts[-1]), child.tail or ""]
        return "".join(parts)

    def _inline(self, child: Any, notes: list[Any], before: str) -> str:
        if isinstance(child, etree._Entity):
            return self._entity(child)
        name = _name(child)
        if name in _HIDDEN:
            return ""
        if name in _BLOCKS and name not in ("mathphrase", "title"):
            notes.append(child)
            return ""
        if name == "xref":
            return self._target(child.get("endterm") or child.get("linkend") or "")
        text = self._raw(child, notes)
        if name == "quote":
            return f"“{text}”" if text.isascii() else f"「{text}」"
        if name in ("keycombo", "menuchoice"):
            join = "+" if name == "keycombo" else " → "
            return join.join(word for word in (self._inline(part, notes, "").strip() for part in child) if word)
        if name in ("ulink", "link") and not text.strip():
            href = next((value for key, value in child.attrib.items() if key.endswith(("href", "url"))), "")
            return str(href) or self._target(child.get("linkend") or "")
        if name == "superscript" and before[-1:].isalnum() and before[-1:].isascii() and text[:1].isalnum():
            return f"^{text}"
        return text

    def blocks(self, element: Any, depth: int = 0) -> Iterator[str]:
        """The text of an element, a block at a time; lists and tables are one block."""
        if depth > _MAX_DEPTH:
            raise DataError(f"nested more than {_MAX_DEPTH} deep", hint="is it DocBook?")
        for child in element:
            if isinstance(child, etree._Entity):
                yield self._entity(child)
            else:
                yield from self._block(child, depth)
            if child.tail and child.tail.strip():
                yield prose.join_lines(child.tail)

    def _block(self, child: Any, depth: int) -> Iterator[str]:
        name = _name(child)
        if name in _HIDDEN:
            return
        if name == "info" or _INFO.match(name):
            for part in child.iterchildren("{*}title", "{*}subtitle", "{*}abstract"):
                yield from self._block(part, depth + 1)
        elif name in _CODE:
            yield prose.fence(self._raw(child, []), child.get("language") or "")
        elif name in _LINES:
            lines = self._raw(child, []).strip("\n").split("\n")
            yield "\n".join(line.rstrip() for line in lines if line.strip())
        elif name in _TABLES:
            yield from ([title] if (title := self.title_of(child)) else [])
            yield "\n".join(self._rows(child))
        elif name in _LISTS:
            yield from ([title] if (title := self.title_of(child)) else [])
            yield "\n".join(line for line in self._items(child, depth + 1) if line.strip())
        elif name == "refnamediv":
            names = "、".join(self._words(part, []) for part in child.iterchildren("{*}refname"))
            purposes = [self._words(part, []) for part in child.iterchildren("{*}refpurpose")]
            yield " - ".join([names, *purposes])
        elif name in _PARAGRAPHS or not any(_holds_blocks(part) for part in child):
            notes: list[Any] = []
            yield self._words(child, notes)
            for note in notes:
                yield from self._block(note, depth + 1)
        else:
            yield from ([prose.join_lines(child.text)] if child.text and child.text.strip() else [])
            yield from self.blocks(child, depth + 1)

    def _items(self, element: Any, depth: int) -> Iterator[str]:
        kind, number = element.get("numeration", "arabic"), 0
        for child in element.iterchildren("*"):
            name = _name(child)
            if name == "title" or name in _HIDDEN:
                continue
            if name in ("varlistentry", "glossentry"):
                *terms, body = [part for part in child.iterchildren("*") if _name(part) not in _HIDDEN] or [child]
                yield "、".join(self._words(part, []) for part in terms)
                yield from self.blocks(body, depth + 1)
                continue
            if name not in _ITEMS:
                yield from self._block(child, depth + 1)
                continue
            lines = [*(self._block(child, depth + 1) if name == "member" else self.blocks(child, depth + 1))]
            first, *rest = [line for line in lines if line.strip()] or [""]
            number += 1
            yield (f"{_ordinal(number, kind)}. " if _name(element) in _NUMBERED else "") + first
            yield from rest

    def _rows(self, table: Any) -> Iterator[str]:
        for row in table.iter("{*}row", "{*}tr"):
            cells = []
            for cell in row.iterchildren("{*}entry", "{*}td", "{*}th"):
                notes: list[Any] = []
                words = [self._words(cell, notes)]
                for note in notes:
                    words += self._block(note, 1)
                cells.append(" ".join(word for word in words if word))
            if line := prose.row(cells):
                yield line


def _holds_blocks(element: Any) -> bool:
    """Whether what holds this element is more than one paragraph."""
    return isinstance(element.tag, str) and (
        _name(element) in _BLOCKS
        or any(isinstance(part.tag, str) and _name(part) in _BLOCKS for part in element.iter())
    )


def _ordinal(number: int, kind: str) -> str:
    if kind in ("loweralpha", "upperalpha"):
        letter = chr(ord("a") + (number - 1) % 26)
        return letter.upper() if kind == "upperalpha" else letter
    return str(number)

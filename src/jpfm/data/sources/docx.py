"""Word documents (.docx .docm .dotx): paragraphs, lists with their numbers, tables, text boxes, notes.

Read as the document would print with all changes accepted: inserted text stays, deleted text goes, and so do hidden
text, comments, and the readings of ruby. Headers and footers are left out unless `headers` asks for them.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member, TooLarge
from jpfm.data.sources.numbering import Numbering, number, value
from jpfm.data.sources.ooxml import MAX_CHARS, OfficeSource, Package, attribute, child, local, one_line

_GONE = frozenset(
    ("del", "moveFrom", "rPr", "pPr", "rt", "instrText", "delText", "Fallback", "delInstrText", "tblPr", "sdtPr")
)
_SIGNS = {"tab": "\t", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}
_BOX = "txbxContent"


class _Block(NamedTuple):
    kind: Literal["paragraph", "heading", "item", "row"]
    text: str


class DocxSource(OfficeSource):
    """Word documents. One document a file."""

    format: Literal["docx"]
    headers: bool = False
    """Keep page headers (before the text) and footers (after it)."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a file."""
        package = Package(member.read(), "word")
        main = "word/document.xml"
        if main not in package.names:  # some programs call it document2.xml
            main = next((item.part for item in package.relations("").values() if item.kind == "officeDocument"), main)
        try:
            blocks = list(_Reader(package, main, hidden=self.hidden).blocks(headers=self.headers))
        except RecursionError as error:
            raise DataError("tables or boxes nested too deep to be written by a person", hint="leave it out") from error
        text = _joined(blocks)
        title, meta, date = package.properties()
        if not text:
            yield Quarantined(identity, "no_text", "the document has no text (are its pages pictures? run OCR)")
            return
        heading = next((block.text for block in blocks[:20] if block.kind == "heading"), "")
        yield Document(identity, text, title=title or heading[:200], date=date, meta=meta)


def _joined(blocks: list[_Block]) -> str:
    parts: list[str] = []
    before: _Block | None = None
    for block in blocks:
        if before is not None:
            parts.append("\n" if block.kind == before.kind and block.kind in ("item", "row") else "\n\n")
        parts.append(block.text)
        before = block
    return "".join(parts)


class _Reader:
    def __init__(self, package: Package, main: str, *, hidden: bool) -> None:
        self._package = package
        self._main = main
        self._hidden = hidden
        relations = list(package.relations(main).values())
        self._parts = {
            kind: [item.part for item in relations if item.kind == kind] for kind in {r.kind for r in relations}
        }
        self._styles = self._read_styles()
        self._numbering = Numbering(package, next(iter(self._parts.get("numbering", [])), None), self._styles)
        self._notes: list[tuple[str, str]] = []
        self._chars = 0

    def _read_styles(self) -> dict[str, Any]:
        part = next(iter(self._parts.get("styles", [])), None)
        if part is None or part not in self._package.names:
            return {}
        return {attribute(item, "styleId"): item for item in self._package.xml(part) if local(item) == "style"}

    def blocks(self, *, headers: bool) -> Iterator[_Block]:
        """The document's blocks, notes last."""
        if headers:
            yield from self._others("header")
        body = child(self._package.xml(self._main), "body")
        if body is None:
            raise DataError(f"part {self._main} has no body", hint="is it really a .docx file?")
        yield from self._container(body)
        yield from self._note_blocks()
        if headers:
            yield from self._others("footer")

    def _others(self, kind: str) -> Iterator[_Block]:
        seen = set()
        for part in self._parts.get(kind, []):
            for block in self._container(self._package.xml(part)):
                if block.text not in seen:  # the same header for first, odd and even pages
                    seen.add(block.text)
                    yield block

    def _note_blocks(self) -> Iterator[_Block]:
        for kind in ("footnote", "endnote"):
            wanted = [name for found, name in self._notes if found == kind]
            part = next(iter(self._parts.get(f"{kind}s", [])), None)
            if not wanted or part is None or part not in self._package.names:
                continue
            notes = {attribute(item, "id"): item for item in self._package.xml(part) if local(item) == kind}
            for name in dict.fromkeys(wanted):
                texts = [block.text for block in self._container(notes[name])] if name in notes else []
                if texts:
                    yield _Block("item", " ".join(texts))

    def _container(self, parent: Any) -> Iterator[_Block]:
        """The blocks of a body, a cell, a box, a note."""
        for element in parent:
            name = local(element)
            if name == "p":
                yield from self._paragraph(element)
            elif name == "tbl":
                yield from self._table(element)
            elif name not in _GONE and not _is_placeholder(element):  # content controls, inserted paragraphs
                yield from self._container(element)

    def _paragraph(self, paragraph: Any) -> Iterator[_Block]:
        properties = child(paragraph, "pPr")
        pieces: list[str] = []
        boxes: list[Any] = []
        for element in paragraph:
            self._inline(element, pieces, boxes)
        text = "".join(pieces).strip(" \t\n")
        mark = self._numbering.mark(properties)  # Word counts empty paragraphs, too
        if text:
            self._count(text)
            kind = self._kind(properties, mark)
            yield _Block(kind, f"{mark}{'' if mark == '・' else '　'}{text}" if mark else text)
        for box in boxes:
            yield from self._container(box)

    def _count(self, text: str) -> None:
        self._chars += len(text)
        if self._chars > MAX_CHARS:
            raise TooLarge(f"more than {MAX_CHARS} characters of text", hint="split the document")

    def _kind(self, properties: Any, mark: str | None) -> Literal["paragraph", "heading", "item"]:
        style = value(child(properties, "pStyle"))
        outline = child(properties, "outlineLvl")
        for _ in range(12):
            found = self._styles.get(style)
            if outline is not None or found is None:
                break
            if value(child(found, "name")).lower() in ("title", "表題"):
                return "heading"
            outline = child(found, "pPr", "outlineLvl")
            style = value(child(found, "basedOn"))
        if outline is not None and number(value(outline)) < 9:
            return "heading"
        return "paragraph" if mark is None else "item"

    def _inline(self, element: Any, pieces: list[str], boxes: list[Any]) -> None:
        """Add the text of a run or of what holds runs; text boxes are set aside."""
        name = local(element)
        if name == "t":
            pieces.append(element.text or "")
        elif name in _SIGNS:
            pieces.append(_SIGNS[name])
        elif name == "br":
            pieces.append("\n")
        elif name == _BOX:
            boxes.append(element)
        elif name in ("footnoteReference", "endnoteReference"):
            self._notes.append((name.removesuffix("Reference"), attribute(element, "id")))
        elif name not in _GONE and not _is_placeholder(element) and not self._is_hidden(element):
            for below in element:
                self._inline(below, pieces, boxes)

    def _is_hidden(self, run: Any) -> bool:
        found = child(run, "rPr", "vanish") if local(run) == "r" and not self._hidden else None
        return found is not None and value(found) not in ("0", "false", "off")

    def _table(self, table: Any) -> Iterator[_Block]:
        """A row a line; a row of one cell is text that was framed, and is read as such."""
        for row in _descend(table, "tr"):
            if child(row, "trPr", "del") is not None:
                continue
            cells = list(_descend(row, "tc"))
            if len(cells) == 1:
                yield from self._container(cells[0])
                continue
            texts = [self._cell(cell) for cell in cells]
            if any(texts):
                yield _Block("row", "\t".join(texts).rstrip("\t"))

    def _cell(self, cell: Any) -> str:
        merge = child(cell, "tcPr", "vMerge")
        if merge is not None and value(merge) != "restart":
            return ""
        return " ".join(one_line(block.text) for block in self._container(cell))


def _is_placeholder(element: Any) -> bool:
    """Whether it is a content control that shows "click here to enter text"."""
    return local(element) == "sdt" and child(element, "sdtPr", "showingPlcHdr") is not None


def _descend(parent: Any, name: str) -> Iterator[Any]:
    """Children of a name, also inside content controls."""
    for element in parent:
        if local(element) == name:
            yield element
        elif local(element) not in _GONE and local(element) not in ("tr", "tc", "p", "tbl"):
            yield from _descend(element, name)

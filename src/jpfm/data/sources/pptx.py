"""PowerPoint presentations (.pptx .pptm .ppsx): slides in order, apart by blank lines.

A slide is its title, then the text of its shapes, groups, tables and SmartArt in the order they lie on it, a paragraph
a line. Slide numbers, dates and footers of the layout are left out; speaker notes follow their slide.
"""

from collections.abc import Iterator
from typing import Any, Literal

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member, TooLarge
from jpfm.data.sources.ooxml import MAX_CHARS, OfficeSource, Package, attribute, child, children, local, one_line

_LAYOUT_ONLY = frozenset(("dt", "ftr", "sldNum", "hdr", "sldImg"))
_TITLES = frozenset(("title", "ctrTitle"))


class PptxSource(OfficeSource):
    """PowerPoint presentations. One document a file."""

    format: Literal["pptx"]
    notes: bool = True
    """Read the speaker's notes after each slide."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One document a file."""
        package = Package(member.read(), "ppt")
        try:
            slides = list(self._slides(package))
        except RecursionError as error:
            raise DataError("groups nested too deep to be drawn by a person", hint="leave it out") from error
        if not slides:
            yield Quarantined(identity, "no_text", "no visible slide holds text (hidden: true reads hidden slides)")
            return
        title, meta, date = package.properties()
        first = slides[0].split("\n", 1)[0]
        yield Document(identity, "\n\n".join(slides), title=title or first[:200], date=date, meta=meta)

    def _slides(self, package: Package) -> Iterator[str]:
        main = "ppt/presentation.xml"
        relations = package.relations(main)
        chars = 0
        for slide in children(package.xml(main), "sldIdLst"):
            relation_id = next((str(value) for key, value in slide.attrib.items() if key.endswith("}id")), "")
            relation = relations.get(relation_id)
            if relation is None or relation.kind != "slide":
                continue
            root = package.xml(relation.part)
            if attribute(root, "show") in ("0", "false") and not self.hidden:
                continue
            parts = list(_slide_texts(package, relation.part, root))
            for other in package.relations(relation.part).values():
                if self.notes and other.kind == "notesSlide" and other.part in package.names:
                    parts.extend(_notes(package.xml(other.part)))
            text = "\n".join(parts)
            chars += len(text)
            if chars > MAX_CHARS:
                raise TooLarge(f"more than {MAX_CHARS} characters of text", hint="split the presentation")
            if text:
                yield text


def _slide_texts(package: Package, part: str, root: Any) -> Iterator[str]:
    shapes = children(root, "cSld", "spTree")
    for shape in sorted(shapes, key=lambda shape: _placeholder(shape) not in _TITLES):
        yield from shape_texts(shape)
    diagrams = package.relations(part).values()
    for diagram in (item.part for item in diagrams if item.kind == "diagramData"):
        if diagram in package.names:
            for point in children(package.xml(diagram), "ptLst"):
                if (body := child(point, "t")) is not None:
                    yield from _paragraphs(body)


def _notes(root: Any) -> Iterator[str]:
    for shape in children(root, "cSld", "spTree"):
        if _placeholder(shape) == "body":
            yield from shape_texts(shape)


def _placeholder(shape: Any) -> str:
    found = child(shape, "nvSpPr", "nvPr", "ph")
    return "" if found is None else attribute(found, "type") or "obj"


def shape_texts(shape: Any) -> Iterator[str]:
    """The paragraphs and table rows of a shape, of what is grouped in it, or of a whole drawing."""
    name = local(shape)
    if name == "Fallback" or (name == "sp" and _placeholder(shape) in _LAYOUT_ONLY):
        return
    if name == "txBody":
        yield from _paragraphs(shape)
    elif name == "tbl":
        for row in shape:
            if local(row) == "tr":
                cells = [_cell(cell) for cell in row if local(cell) == "tc"]
                if any(cells):
                    yield "\t".join(cells).rstrip("\t")
    else:
        for below in shape:
            yield from shape_texts(below)


def _cell(cell: Any) -> str:
    if attribute(cell, "hMerge") in ("1", "true") or attribute(cell, "vMerge") in ("1", "true"):
        return ""
    body = child(cell, "txBody")
    return " ".join(one_line(text) for text in _paragraphs(body)) if body is not None else ""


def _paragraphs(body: Any) -> Iterator[str]:
    for paragraph in body:
        if local(paragraph) != "p":
            continue
        parts = []
        for run in paragraph:
            name = local(run)
            if name == "br":
                parts.append("\n")
            elif name == "r" or (name == "fld" and attribute(run, "type") != "slidenum"):
                found = child(run, "t")
                parts.append((found.text or "") if found is not None else "")
        if text := "".join(parts).replace("\v", "\n").strip():
            yield text

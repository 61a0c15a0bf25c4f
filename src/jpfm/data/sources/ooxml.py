"""Office Open XML packages (.docx .xlsx .pptx): a zip of XML parts, opened as if it came from an enemy.

    package = Package(member.read(), "word")
    root = package.xml("word/document.xml")
    package.relations("word/document.xml")     # {"rId1": Relation(kind="footnotes", part="word/footnotes.xml")}

Parts are read on demand and never written to disk. No part may be larger than a limit, whatever its header says; a
document type declaration is refused, and with it every entity; old binary files and locked ones are told apart from
damaged ones. Refused: python-docx, openpyxl and python-pptx, which hide deleted text, text boxes and readings in one
heap, and meet damaged input with any exception; the tests write their files with them.
"""

import io
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, ClassVar, NamedTuple

from lxml import etree

from jpfm.core.errors import DataError
from jpfm.data.sources.archive import BrokenInput, TooLarge
from jpfm.data.sources.base import Source

PART_BYTES = 256 << 20
TOTAL_BYTES = 512 << 20
MAX_CHARS = 32_000_000
_MAX_PARTS = 20_000
_MAX_TAGS = 4_000_000
"""Tags in memory at a time: a few hundred bytes each."""
_MAX_RATIO, _RATIO_BYTES = 300, 16 << 20
"""Unpacked to packed bytes of a part, where it is large; sheets of equal cells come to some tens, a bomb to 1000."""
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCODING = re.compile(rb"""^(?:\xef\xbb\xbf)?\s*<\?xml[^>]{0,100}?encoding\s*=\s*["']([^"']{1,40})["']""")
_BREAK = re.compile(r"\s*[\t\n\r]\s*")
_DOCTYPE = re.compile(rb"<!DOCTYPE|<!ENTITY", re.IGNORECASE)
_KINDS = {"word": ("docx", ".doc"), "xl": ("xlsx", ".xls"), "ppt": ("pptx", ".ppt")}
_PROGRAM_TITLE = re.compile(
    r"PowerPoint (?:Presentation|プレゼンテーション)|Microsoft \w+.*|Word Document|無題.*", re.IGNORECASE
)


class OfficeSource(Source):
    """What the three office formats share."""

    columns: ClassVar[tuple[str, ...]] = ("author",)
    hidden: bool = False
    """Read what the writer hid, too: hidden text, sheets and slides."""


def one_line(text: str) -> str:
    """The text of a table's cell: no tab and no line end in it; wide spaces stay.

    >>> one_line(" 合　計\\n（税込） ")
    '合　計 （税込）'
    """
    return _BREAK.sub(" ", text.strip())


class Relation(NamedTuple):
    """A part that another one names, and as what."""

    kind: str
    part: str


def local(element: Any) -> str:
    """An element's name without its namespace: strict and transitional files differ in namespaces only."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: Any, name: str) -> str:
    """An attribute by its name without namespace; empty when there is none."""
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] == name:
            return str(value)
    return ""


def child(element: Any, *path: str) -> Any:
    """The first element below, by names without namespaces; None when there is none."""
    for name in path:
        element = next((item for item in element if local(item) == name), None) if element is not None else None
    return element


def children(element: Any, *path: str) -> list[Any]:
    """What is inside the first element below, by names without namespaces; nothing when there is none."""
    found = child(element, *path)
    return list(found) if found is not None else []


class Package:
    """An office file in memory.

    Args:
        folder: "word", "xl" or "ppt": where the main part lies.
    Raises:
        DataError: it is an old binary file, locked, another kind of document, or damaged.
        TooLarge: it unpacks to more than memory should hold.
    """

    def __init__(self, data: bytes, folder: str) -> None:
        if data.startswith(_OLE):
            raise _old_file(data, folder)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            entries = self._zip.infolist()
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error) as error:
            raise BrokenInput(
                f"not an office file (a zip of XML): {error}", hint="it may be cut off; fetch it again"
            ) from error
        total = sum(entry.file_size for entry in entries)
        if total > TOTAL_BYTES or len(entries) > _MAX_PARTS:
            raise TooLarge(
                f"unpacks to {total >> 20} MiB in {len(entries)} parts",
                hint="a zip bomb? split it, or remove its pictures",
            )
        for entry in entries:
            if entry.file_size > max(_MAX_RATIO * entry.compress_size, _RATIO_BYTES):
                raise TooLarge(
                    f"part {entry.filename!r} unpacks to {entry.file_size >> 20} MiB from {entry.compress_size} bytes",
                    hint="a zip bomb?",
                )
        self.names = {entry.filename: entry for entry in entries}
        self.folder = folder
        if f"{folder}/workbook.bin" in self.names:
            raise DataError(
                "a binary workbook (.xlsb)", hint="convert it: soffice --headless --convert-to xlsx NAME.xlsb"
            )

    def _open(self, part: str) -> "_Part":
        entry = self.names.get(part)
        if entry is None:
            raise DataError(f"part {part} is missing", hint=f"is it really a .{_KINDS[self.folder][0]} file?")
        try:
            return _Part(self._zip.open(entry), part)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, ValueError) as error:
            raise BrokenInput(f"part {part} cannot be unpacked: {error}", hint="fetch the file again") from error

    def xml(self, part: str) -> Any:
        """A part's root element.

        Raises:
            DataError: the part is missing or not XML, or holds a document type declaration.
        """
        parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        with self._open(part) as stream:
            data = stream.readall()
        try:
            root = etree.fromstring(data, parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise DataError(f"part {part} is not XML: {error}", hint="fetch the file again") from error
        return root

    def elements(self, part: str, *names: str) -> Iterator[Any]:
        """Elements of a large part by name without namespace, one after the other; each is emptied after its turn."""
        with self._open(part) as stream:
            context = etree.iterparse(
                stream, events=("end",), tag=[f"{{*}}{name}" for name in names],
                resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
                remove_comments=True, remove_pis=True,
            )  # fmt: skip
            try:
                for _, element in context:
                    stream.tags_left = _MAX_TAGS
                    yield element
                    element.clear()
                    while element.getprevious() is not None:
                        del element.getparent()[0]
            except (etree.XMLSyntaxError, ValueError) as error:
                raise DataError(f"part {part} is not XML: {error}", hint="fetch the file again") from error

    def relations(self, part: str) -> dict[str, Relation]:
        """What a part names, by id; links out of the file are left out."""
        folder, name = posixpath.split(part)
        path = posixpath.join(folder, "_rels", f"{name}.rels")
        if path not in self.names:
            return {}
        found = {}
        for item in self.xml(path):
            target = item.get("Target") or ""
            if item.get("TargetMode") != "External" and target:
                inside = (
                    target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
                )
                found[item.get("Id") or ""] = Relation((item.get("Type") or "").rpartition("/")[2], inside)
        return found

    def properties(self) -> tuple[str, dict[str, Any], str]:
        """The title, `meta` with the author, and the date of the last change."""
        part = "docProps/core.xml"
        if part not in self.names:
            return "", {}, ""
        values = {local(item): " ".join((item.text or "").split()) for item in self.xml(part)}
        title = values.get("title", "")
        meta = {"author": values["creator"]} if values.get("creator") else {}
        return (
            "" if _PROGRAM_TITLE.fullmatch(title) else title,
            meta,
            values.get("modified") or values.get("created", ""),
        )


class _Part(io.RawIOBase):
    """A part's bytes, counted and searched for declarations as they are unpacked."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name
        self._read = 0
        self._tail = b""
        self._wide = False
        self.tags_left = _MAX_TAGS

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        try:
            data = self._stream.read(len(target))
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            RuntimeError,
            NotImplementedError,
            ValueError,
        ) as error:
            raise BrokenInput(
                f"part {self._name} cannot be unpacked: {error or type(error).__name__}", hint="fetch the file again"
            ) from error
        if not self._read:
            self._check_encoding(data)
        self._read += len(data)
        if self._read > PART_BYTES:
            raise TooLarge(f"part {self._name} is larger than {PART_BYTES >> 20} MiB", hint="a zip bomb?")
        self.tags_left -= data.count(b"<")
        if self.tags_left < 0:
            raise TooLarge(f"part {self._name} has more than {_MAX_TAGS} tags", hint="a bomb? split the document")
        window = self._tail + data
        if _DOCTYPE.search(window.replace(b"\0", b"") if self._wide else window):
            raise DataError(
                f"part {self._name} declares a document type", hint="no office program writes one: an attack?"
            )
        self._tail = window[-20:]
        target[: len(data)] = data
        return len(data)

    def _check_encoding(self, head: bytes) -> None:
        """The standard allows UTF-8 and UTF-16 only; another encoding could hide a declaration."""
        self._wide = b"\0" in head[:4] or head[:2] in (b"\xff\xfe", b"\xfe\xff")
        declared = _ENCODING.match(head[:200])
        label = declared.group(1).decode("ascii", "replace").lower() if declared else "utf-8"
        if label not in ("utf-8", "utf8", "us-ascii", "ascii") and not self._wide:
            raise DataError(f"part {self._name} is in {label}", hint="office files are UTF-8 or UTF-16: save it again")


def _old_file(data: bytes, folder: str) -> DataError:
    new, old = _KINDS[folder]
    if "EncryptedPackage".encode("utf-16-le") in data:
        return DataError("locked by a password", hint="save it without one, or: msoffcrypto-tool -p PASSWORD IN OUT")
    return DataError(
        f"an old binary office file ({old} and the like)",
        hint=f"convert it: soffice --headless --convert-to {new} --outdir OUT NAME{old}",
    )

"""e-Gov law XML (法令標準XML v3): a file of the bulk zip, an answer of the API (version 1 or 2), a law alone.

    - {format: law_xml, name: egov, paths: ["all_xml.zip"], rights: {...}}

`law_lines` turns the law into lines. No law has a DOCTYPE, so one is refused before it can declare anything.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from lxml import etree

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Source
from jpfm.data.sources.law_lines import content, law_lines
from jpfm.text.decode import decode

_MAX_DEPTH = 200
_ATTACHMENTS = (".jpg", ".jpeg", ".png", ".gif", ".svg", ".pdf", ".csv", ".doc", ".docx", ".xlsx", ".rtf", ".txt")
_FILE_NAME = re.compile(r"(?:^|/)(\d{3}[A-Z][A-Z0-9]{8,14})_(\d{8})_([A-Z0-9]{10,16})\.(?:xml|json)$")
_FIRST_YEAR = {"Meiji": 1868, "Taisho": 1912, "Showa": 1926, "Heisei": 1989, "Reiwa": 2019}


class LawXmlSource(Source):
    """Statutes and ordinances in e-Gov 法令標準XML: articles, paragraphs and items in order, ruby without readings."""

    columns: ClassVar[tuple[str, ...]] = ("law_num", "law_type", "promulgated")

    format: Literal["law_xml"]
    amending_provisions: bool = True
    """Keep the supplementary provisions (附則) of the laws that amended this one; false keeps only the law's own."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """One law a file. Pictures, forms and lists that lie beside the laws in the bulk zip are passed over."""
        if member.name.lower().endswith(_ATTACHMENTS):
            return
        data = member.read()
        root = _from_json(data) if data.lstrip()[:1] == b"{" else _from_xml(data)
        law = root if root.tag == "Law" else root.find(".//Law")
        if law is None:
            raise DataError(f"no <Law> element below <{root.tag}>", hint="expected e-Gov 法令標準XML")
        for reading in law.iter("Rt"):
            reading.text = None
            for child in list(reading):
                reading.remove(child)
        body = law.find("LawBody")
        lines = law_lines(body if body is not None else law, amending=self.amending_provisions)
        text = "\n".join(lines)
        meta = _facts(root, law, member.name)
        url = f"https://laws.e-gov.go.jp/law/{meta['law_id']}" if "law_id" in meta else ""
        yield Document(
            identity, text, title=content(law.find(".//LawTitle")), url=url, date=meta.get("promulgated", ""),
            lang=law.get("Lang", ""), meta=meta,
        )  # fmt: skip


def _from_xml(data: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        if "mplification" in str(error):
            raise DataError("its entities grow without end", hint="refused; a law needs none of its own") from error
        raise DataError(f"not well-formed XML: {error}", hint="fetch the file again") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise DataError("the XML holds a DOCTYPE, which no law has", hint="it may declare entities; it is not read")
    return root


def _from_json(data: bytes) -> etree._Element:
    """An answer of API version 2: the law as a tree of tag, attr and children, or as XML in base64."""
    try:
        answer = json.loads(decode(data).text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON: {error}", hint="fetch the file again") from error
    law = answer.get("law_full_text", answer)
    if isinstance(law, str):
        try:
            root = _from_xml(base64.b64decode(law, validate=True))
        except (binascii.Error, ValueError) as error:
            raise DataError(f"law_full_text is not base64: {error}", hint="fetch the file again") from error
    else:
        root = _element(law, 0)
    whole = etree.Element("law_data_response")
    for part, names in (("law_info", ("law_id",)), ("revision_info", ("law_revision_id",))):
        for name in names:
            value = answer[part].get(name) if isinstance(answer.get(part), dict) else None
            if isinstance(value, str):
                etree.SubElement(whole, name).text = _xml_text(value)
    whole.append(root)
    return whole


def _element(node: Any, depth: int) -> etree._Element:
    if not isinstance(node, dict) or not isinstance(node.get("tag"), str) or depth > _MAX_DEPTH:
        raise DataError("law_full_text is no tree of tag, attr and children", hint="expected an answer of law_data")
    try:
        element = etree.Element(node["tag"])
        for name, value in (node.get("attr") or {}).items():
            element.set(name, _xml_text(str(value)))
    except (ValueError, AttributeError) as error:
        raise DataError(f"law_full_text: {error}", hint="expected an answer of law_data") from error
    last: etree._Element | None = None
    children = node.get("children")
    for child in children if isinstance(children, list) else []:
        if isinstance(child, str) and last is None:
            element.text = (element.text or "") + _xml_text(child)
        elif isinstance(child, str) and last is not None:
            last.tail = (last.tail or "") + _xml_text(child)
        else:
            last = _element(child, depth + 1)
            element.append(last)
    return element


def _xml_text(text: str) -> str:
    """Text without what XML cannot hold: control characters and lone surrogates."""
    return re.sub("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _facts(root: etree._Element, law: etree._Element, name: str) -> dict[str, Any]:
    meta = {"law_num": content(law.find("LawNum")), "law_type": law.get("LawType"), "promulgated": _promulgated(law)}
    file = _FILE_NAME.search(name)
    identifier = root.findtext(".//law_id") or root.findtext(".//LawId") or (file.group(1) if file else "")
    if re.fullmatch(r"[0-9A-Za-z]{8,20}", identifier.strip()):
        meta["law_id"] = identifier.strip()
    if revision := root.findtext(".//law_revision_id") or ("_".join(file.groups()) if file else ""):
        meta["law_revision_id"] = revision.strip()
    return {key: value for key, value in meta.items() if value or key == "law_num"}


def _promulgated(law: etree._Element) -> str | None:
    """The day a law was promulgated, as far as its attributes say."""
    era, year = _FIRST_YEAR.get(law.get("Era", "")), law.get("Year", "")
    if era is None or not year.isdecimal():
        return None
    date = f"{era + int(year[:4]) - 1:04}"
    month, day = law.get("PromulgateMonth", ""), law.get("PromulgateDay", "")
    if month.isdecimal() and 1 <= int(month) <= 12:
        date += f"-{int(month):02}"
        if day.isdecimal() and 1 <= int(day) <= 31:
            date += f"-{int(day):02}"
    return date

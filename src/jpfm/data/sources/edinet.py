"""Securities reports of EDINET: the document's zip as the API gives it, iXBRL (type=1) or facts as CSV (type=5).

    - {format: edinet, name: edinet, paths: ["edinet/*.zip"], rights: {...}}

`XBRL/PublicDoc/*_honbun_*_ixbrl.htm` are read in the order of their numbers and become one document, with tables as
lines of cells and numbers as shown (`edinet_html`). Who filed what and when comes from the hidden facts of the header
(`jpdei_cor:`). Nothing is unpacked to disk, so the names in the zip are labels only.
Source: EDINET API 仕様書 Version 2; 提出書類ファイル仕様書 (disclosure.edinet-fsa.go.jp).
"""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import ClassVar, Literal

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.archive import BrokenInput, Member, TooLarge
from jpfm.data.sources.base import Source
from jpfm.data.sources.edinet_html import Facts, page_text
from jpfm.text.decode import decode

_ZIP_BYTES = 256 << 20
_ENTRY_BYTES = 32 << 20
_TOTAL_BYTES = 256 << 20
_BROKEN = (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError, zlib.error, ValueError)
_FOLDERS = {"public": "publicdoc", "audit": "auditdoc"}
_PREFIXES = {"public": "jp", "audit": "jpaud"}
_DEI = {
    "FilerNameInJapaneseDEI": "filer", "EDINETCodeDEI": "edinet_code", "SecurityCodeDEI": "securities_code",
    "DocumentTypeDEI": "document_type", "CurrentPeriodEndDateDEI": "period_end",
    "CurrentFiscalYearEndDateDEI": "fiscal_year_end", "AccountingStandardsDEI": "accounting_standards",
    "FilerNameInEnglishDEI": "filer_english", "AmendmentFlagDEI": "is_amendment",
    "FilingDateCoverPage": "filing_date", "CompanyNameCoverPage": "filer_on_cover",
    "DocumentTitleCoverPage": "document_title",
}  # fmt: skip
_FILE_NAME = re.compile(r"_([EG]\d{5})-\d{3}_(\d{4}-\d{2}-\d{2})_\d{2}_(\d{4}-\d{2}-\d{2})")
_ERAS = {"明治": 1867, "大正": 1911, "昭和": 1925, "平成": 1988, "令和": 2018}
_DAY = re.compile(r"(明治|大正|昭和|平成|令和)?\s*(\d{1,4}|元)[年-](\d{1,2})[月-](\d{1,2})")


class EdinetSource(Source):
    """EDINET filings in their zip: securities reports, quarterly and extraordinary reports."""

    columns: ClassVar[tuple[str, ...]] = (
        "filer", "edinet_code", "securities_code", "document_type", "period_end", "filing_date",
    )  # fmt: skip
    closed: ClassVar[tuple[str, ...]] = (".zip",)

    format: Literal["edinet"]
    part: Literal["public", "audit"] = "public"
    """What to read: the report itself, or the auditor's report that comes with it."""
    unit: Literal["report", "file"] = "report"
    """One document a filing, or one for each of its files (about a chapter each)."""

    def read(self, member: Member, identity: str) -> Iterator[Document | Quarantined]:
        """The report of one zip; a single .htm of one is read as well."""
        data = member.read(_ZIP_BYTES)
        if member.name.lower().endswith((".htm", ".html", ".xhtml")):
            facts: Facts = {}
            yield self._document(identity, [page_text(data, facts)], facts, member.name)
            return
        try:
            archive = zipfile.ZipFile(io.BytesIO(data))
        except _BROKEN as error:
            raise BrokenInput(f"not a zip that can be opened: {error}", hint="fetch the document again") from error
        with archive:
            if tables := _entries(archive, "xbrl_to_csv", ".csv", _PREFIXES[self.part]):
                pages = _read_all(archive, tables)
                read = _csv_text
            else:
                pages = _read_all(archive, _entries(archive, _FOLDERS[self.part], (".htm", ".html", ".xhtml"), ""))
                read = page_text
        if not pages:
            found = ", ".join(sorted({name.rpartition("/")[0] for name in archive.namelist()})[:6])
            raise DataError(
                f"no {self.part} document in the zip; folders found: {found[:300]}",
                hint="expected XBRL/PublicDoc/*_ixbrl.htm (type=1) or XBRL_TO_CSV/*.csv (type=5)",
            )
        facts, texts = {}, []
        for _, page in pages:
            texts.append(read(page, facts))
        if self.unit == "report":
            yield self._document(identity, texts, facts, pages[0][0])
            return
        for (name, _), text in zip(pages, texts, strict=True):
            if text:
                yield self._document(f"{identity}/{name.rpartition('/')[2]}", [text], facts, name)

    def _document(self, identity: str, texts: list[str], facts: Facts, name: str) -> Document | Quarantined:
        text = "\n\n".join(filter(None, texts))
        if not text:
            return Quarantined(identity, "format", "the filing holds no text")
        meta = {key: facts[tag] for tag, key in _DEI.items() if facts.get(tag)}
        meta.setdefault("filer", meta.pop("filer_on_cover", ""))
        if file := _FILE_NAME.search(name):
            for key, value in zip(("edinet_code", "period_end", "filing_date"), file.groups(), strict=True):
                meta[key] = _day(meta.get(key, "")) or value if key != "edinet_code" else meta.get(key) or value
        for key in ("period_end", "filing_date", "fiscal_year_end"):
            if key in meta:
                meta[key] = _day(meta[key]) or meta[key]
        title = meta.pop("document_title", "") or meta.get("document_type", "")
        return Document(
            identity, text, title="　".join(filter(None, (meta.get("filer"), title))), lang="ja",
            date=meta.get("filing_date", ""), meta={key: value for key, value in meta.items() if value},
        )  # fmt: skip


def _entries(
    archive: zipfile.ZipFile, folder: str, endings: str | tuple[str, ...], prefix: str
) -> list[zipfile.ZipInfo]:
    """The files of a folder anywhere in the zip, sorted by name: their numbers are the order of the report."""
    found = []
    for entry in archive.infolist():
        parts = entry.filename.replace("\\", "/").lower().split("/")
        if len(parts) >= 2 and parts[-2] == folder and parts[-1].endswith(endings) and parts[-1].startswith(prefix):
            found.append(entry)
    if folder == "xbrl_to_csv" and prefix == "jp":
        found = [entry for entry in found if "jpaud" not in entry.filename]
    return sorted(found, key=lambda entry: entry.filename)


def _read_all(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> list[tuple[str, bytes]]:
    pages, total = [], 0
    for entry in entries:
        try:
            with archive.open(entry) as stream:
                data = stream.read(_ENTRY_BYTES + 1)
        except _BROKEN as error:
            what = f"{entry.filename}: cannot be unpacked: {error}"
            raise BrokenInput(what, hint="fetch the document again") from error
        total += len(data)
        if len(data) > _ENTRY_BYTES or total > _TOTAL_BYTES:
            raise TooLarge(f"{entry.filename}: unpacks to more than {_ENTRY_BYTES >> 20} MiB", hint="is it a zip bomb?")
        pages.append((entry.filename, data))
    return pages


def _day(text: str) -> str:
    """A date as ISO 8601.

    >>> _day("令和5年6月28日"), _day("2023-03-31"), _day("平成元年4月1日"), _day("－")
    ('2023-06-28', '2023-03-31', '1989-04-01', '')
    """
    found = _DAY.search(text.translate(_HALF_WIDTH))
    if not found:
        return ""
    era, year, month, day = found.groups()
    number = (1 if year == "元" else int(year)) + _ERAS.get(era or "", 0)
    return f"{number:04}-{int(month):02}-{int(day):02}" if number >= 1000 else ""


_HALF_WIDTH = {ord("０") + n: ord("0") + n for n in range(10)}


def _csv_text(data: bytes, facts: Facts) -> str:
    """The facts of a filing as text: text blocks as paragraphs under their names, figures as rows.

    A row is element, name, context, year, consolidated or not, period or moment, unit id, unit, value.
    """
    blocks: list[str] = []
    figures: list[str] = []

    def flush() -> None:
        if figures:
            blocks.append("\n".join(figures))
            figures.clear()

    reader = csv.reader(io.StringIO(decode(data).text), delimiter="\t")
    try:
        for row in reader:
            if len(row) < 9 or row[0] == "要素ID":
                continue
            element, name, _, year, consolidated, _, _, unit, value = (cell.strip() for cell in row[:9])
            local = element.rpartition(":")[2]
            if element.startswith("jpdei_cor:") or local in _DEI:
                facts.setdefault(local, "" if value in ("－", "-") else value)
            elif value in ("", "－"):
                continue
            elif local.endswith("TextBlock") or len(value) > 200:
                flush()
                blocks.append(f"{name.removesuffix(' [テキストブロック]')}\n{value}")
            else:
                amount = value if unit in ("－", "") else value + unit
                figures.append("\t".join(filter(None, (name, year, consolidated, amount))))
    except csv.Error as error:
        raise DataError(f"not the CSV of EDINET: {error}", hint="expected tab-separated UTF-16") from error
    flush()
    return "\n\n".join(blocks)

"""EDINET filings built in the documented layout: iXBRL pages in their zip, the CSV zip, and zips that mean harm."""

import io
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined, to_batch
from jpfm.data.sources import edinet
from jpfm.data.sources.archive import Member
from jpfm.data.sources.edinet_html import page_text

Read = Callable[..., list[Document | Quarantined]]

STEM = "jpcrp030000-asr-001_E99999-000_2025-03-31_01_2025-06-27_ixbrl.htm"
PUBLIC = "XBRL/PublicDoc/"
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:ix="http://www.xbrl.org/2008/inlineXBRL"
  xmlns:xbrli="http://www.xbrl.org/2003/instance" xmlns:jpdei_cor="http://d" xmlns:jpcrp_cor="http://c">
<head><title>有価証券報告書</title><style>p {margin: 0}</style></head>
"""

HEADER = (
    HEAD
    + """<body>
<div style="display:none"><ix:header><ix:hidden>
<ix:nonNumeric name="jpdei_cor:EDINETCodeDEI" contextRef="FilingDateInstant">E99999</ix:nonNumeric>
<ix:nonNumeric name="jpdei_cor:SecurityCodeDEI" contextRef="FilingDateInstant">99990</ix:nonNumeric>
<ix:nonNumeric name="jpdei_cor:FilerNameInJapaneseDEI" contextRef="FilingDateInstant">株式会社硯墨堂</ix:nonNumeric>
<ix:nonNumeric name="jpdei_cor:FilerNameInEnglishDEI" contextRef="FilingDateInstant" xsi:nil="true" xmlns:xsi="x"/>
<ix:nonNumeric name="jpdei_cor:DocumentTypeDEI" contextRef="FilingDateInstant">第三号様式</ix:nonNumeric>
<ix:nonNumeric name="jpdei_cor:CurrentPeriodEndDateDEI" contextRef="FilingDateInstant">2025-03-31</ix:nonNumeric>
</ix:hidden><ix:references>x</ix:references></ix:header></div>
<h1><ix:nonNumeric name="jpcrp_cor:DocumentTitleCoverPage" contextRef="c">有価証券報告書</ix:nonNumeric></h1>
<table><tr><td><p>【提出日】</p></td><td><p>
<ix:nonNumeric name="jpcrp_cor:FilingDateCoverPage" contextRef="c" format="ixt:dateerayearmonthdayjp"
>令和７年６月27日</ix:nonNumeric></p></td></tr>
<tr><td><p>【会社名】</p></td>
<td><p><ix:nonNumeric name="jpcrp_cor:CompanyNameCoverPage" contextRef="c"
>株式会社　硯墨堂</ix:nonNumeric></p></td></tr></table>
</body></html>"""
)

HONBUN = (
    HEAD
    + """<body><div>
<h2>第一部【企業情報】</h2><h3>１【主要な経営指標等の推移】</h3>
<ix:nonNumeric name="jpcrp_cor:BusinessResultsTextBlock" contextRef="c" escape="true">
<p style="text-indent:1em">当社は硯を
    製造し、<span>墨</span>を<br/>販売する。</p>
<p>  </p>
<table><tbody>
<tr><td><p>回次</p></td><td></td><td><p>第9期</p></td><td><p>第10期</p></td></tr>
<tr><td><p>売上高</p></td><td></td>
<td><p><ix:nonFraction name="jpcrp_cor:NetSales" contextRef="p" unitRef="JPY" scale="6" format="ixt:numdotdecimal"
>1,234</ix:nonFraction></p></td>
<td><p>△<ix:nonFraction name="jpcrp_cor:NetSales" contextRef="q" unitRef="JPY" scale="6" sign="-"
>56</ix:nonFraction></p></td></tr>
<tr><td>（注）<table><tr><td>内</td><td>表</td></tr></table></td><td></td><td></td><td></td></tr>
</tbody></table>
</ix:nonNumeric><script>alert(1)</script></div></body></html>"""
)


def _zip(files: Mapping[str, str | bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


FILING: dict[str, str | bytes] = {
    f"{PUBLIC}0102010_honbun_{STEM}": HEAD + "<body><p>第２【事業の状況】</p></body></html>",
    f"{PUBLIC}0101010_honbun_{STEM}": HONBUN,
    f"{PUBLIC}0000000_header_{STEM}": HEADER,
    f"{PUBLIC}manifest_PublicDoc.xml": "<manifest/>",
    f"{PUBLIC}jpcrp030000-asr-001_E99999-000_2025-03-31_01_2025-06-27.xbrl": "<xbrl/>",
    f"{PUBLIC}images/0101010_001.png": b"\x89PNG",
    f"XBRL/AuditDoc/{STEM.replace('jpcrp030000-asr', 'jpaud-aar-cn')}": HEAD
    + "<body><p>独立監査人の報告</p></body></html>",
}
TEXT = """有価証券報告書

【提出日】\t令和７年６月27日
【会社名】\t株式会社 硯墨堂

第一部【企業情報】

１【主要な経営指標等の推移】

当社は硯を製造し、墨を
販売する。

回次\t第9期\t第10期
売上高\t1,234\t△56
（注） 内 表

第２【事業の状況】"""


def test_a_filing_is_one_document(read_file: Read) -> None:
    (found,) = read_file("edinet", "S100XXXX.zip", _zip(FILING))
    assert isinstance(found, Document)
    assert found.text == TEXT
    assert (found.id, found.title, found.date) == ("s/S100XXXX.zip", "株式会社硯墨堂　有価証券報告書", "2025-06-27")
    assert found.meta == {
        "filer": "株式会社硯墨堂", "edinet_code": "E99999", "securities_code": "99990", "document_type": "第三号様式",
        "period_end": "2025-03-31", "filing_date": "2025-06-27",
    }  # fmt: skip


def test_the_audit_report_and_single_files_by_switch(read_file: Read) -> None:
    (audit,) = read_file(
        "edinet", "a.zip", _zip({f"S100XXXX/{name}": data for name, data in FILING.items()}), part="audit"
    )
    assert isinstance(audit, Document)
    assert audit.text == "独立監査人の報告"
    assert audit.meta == {"edinet_code": "E99999", "period_end": "2025-03-31", "filing_date": "2025-06-27"}
    pages = read_file("edinet", "a.zip", _zip(FILING), unit="file")
    assert [doc.id for doc in pages] == [
        f"s/a.zip/{n}_{STEM}" for n in ("0000000_header", "0101010_honbun", "0102010_honbun")
    ]
    assert all(doc.meta["filer"] == "株式会社硯墨堂" for doc in pages if isinstance(doc, Document))
    (page,) = read_file("edinet", f"0101010_honbun_{STEM}", HONBUN.encode())
    assert isinstance(page, Document)
    assert page.meta["edinet_code"] == "E99999"


def _table(*rows: tuple[str, ...]) -> bytes:
    head = ("要素ID", "項目名", "コンテキストID", "相対年度", "連結・個別", "期間・時点", "ユニットID", "単位", "値")
    return "\r\n".join("\t".join(f'"{cell}"' for cell in row) for row in (head, *rows)).encode("utf-16")


CSV = _table(
    ("jpdei_cor:EDINETCodeDEI", "コード", "F", "提出日時点", "その他", "時点", "－", "－", "E99999"),
    ("jpdei_cor:FilerNameInJapaneseDEI", "提出者", "F", "提出日時点", "その他", "時点", "－", "－", "株式会社硯墨堂"),
    ("jpdei_cor:SecurityCodeDEI", "証券コード、DEI", "F", "提出日時点", "その他", "時点", "－", "－", "－"),
    ("jpcrp_cor:NetSales", "売上高", "CurrentYearDuration", "当期", "連結", "期間", "JPY", "円", "1234000000"),
    ("jpcrp_cor:NetSales", "売上高", "Prior1YearDuration", "前期", "連結", "期間", "JPY", "円", "－"),
    ("jpcrp_cor:BTextBlock", "事業の内容 [テキストブロック]", "F", "", "その他", "時点", "－", "－", "作る。\n墨も。"),
    ("jpcrp_cor:NumberOfEmployees", "従業員数", "C", "当期", "連結", "時点", "pure", "－", "12"),
)  # fmt: skip


def test_the_csv_zip_gives_its_facts(read_file: Read) -> None:
    name = "XBRL_TO_CSV/jpcrp030000-asr-001_E99999-000_2025-03-31_01_2025-06-27.csv"
    data = _zip({name: CSV, name.replace("jpcrp030000-asr", "jpaud-aar-cn"): _table()})
    (found,) = read_file("edinet", "a.zip", data)
    assert isinstance(found, Document)
    assert found.text == "売上高\t当期\t連結\t1234000000円\n\n事業の内容\n作る。\n墨も。\n\n従業員数\t当期\t連結\t12"
    assert found.meta == {
        "filer": "株式会社硯墨堂", "edinet_code": "E99999", "period_end": "2025-03-31", "filing_date": "2025-06-27",
    }  # fmt: skip


PAGES = {
    "<p>終わらない<b>太字": "終わらない太字",
    "<title/><p>本文</p>": "本文",
    "<p>a\n  b</p><p>漢\n  字</p><p>a\n漢</p>": "a b\n\n漢字\n\na 漢",
    "<ul><li>一</li><li>二</li></ul>": "一\n\n二",
    "<div style='DISPLAY : none'>隠し</div><p style='display:block'>見える</p>": "見える",
    "<table><tr><th>見出し<td>x<tr><td> <td></table>後": "見出し\tx\n\n後",
    "<ix:header><ix:hidden>隠し</ix:hidden></ix:header><header>帯</header><p>&nbsp;&amp;</p>": "帯\n\n&",
    "": "",
}


@pytest.mark.parametrize(("markup", "text"), PAGES.items())
def test_pages_that_are_no_xml_are_read_as_html(markup: str, text: str) -> None:
    assert page_text(markup.encode(), {}) == text


@pytest.mark.parametrize("codec", ["cp932", "euc_jp", "utf-16"])
def test_old_pages_in_other_encodings(codec: str) -> None:
    label = {"cp932": "Shift_JIS", "euc_jp": "EUC-JP"}.get(codec, codec)
    page = f'<?xml version="1.0" encoding="{label}"?><html><p>株式会社硯墨堂の事業の内容は、<br>墨である。</p></html>'
    assert page_text(page.encode(codec), {}) == "株式会社硯墨堂の事業の内容は、\n墨である。"


def _bad(found: list[Document | Quarantined], error: str, what: str) -> None:
    (one,) = found
    assert isinstance(one, Quarantined), one
    assert one.error == error
    assert what in one.detail


def test_zips_that_mean_harm(read_file: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _zip(FILING)
    _bad(read_file("edinet", "a.zip", whole[:-300]), "archive", "not a zip")
    _bad(read_file("edinet", "a.zip", b""), "archive", "not a zip")
    _bad(read_file("edinet", "a.zip", _zip({"a.txt": "x"})), "format", "no public document")
    _bad(read_file("edinet", "a.zip", whole[:200] + b"\xff" * 60 + whole[260:]), "archive", "cannot be unpacked")
    (slip,) = read_file("edinet", "a.zip", _zip({f"../../{PUBLIC}0101010_honbun_x.htm": "<p>本文</p>", "C:\\x": ""}))
    assert isinstance(slip, Document)
    monkeypatch.setattr(edinet, "_ENTRY_BYTES", 1 << 20)
    bomb = _zip({f"{PUBLIC}0101010_honbun_{STEM}": b"<p>" + b"x" * (2 << 20)})
    _bad(read_file("edinet", "a.zip", bomb), "too_large", "zip bomb")


@pytest.mark.parametrize(
    "page",
    [
        b'<!DOCTYPE html [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><html><body><p>&b;</p></body></html>',
        b'<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]><html><body><p>&x;</p></body></html>',
    ],
)
def test_entities_are_refused(read_file: Read, page: bytes) -> None:
    _bad(read_file("edinet", "a.zip", _zip({f"{PUBLIC}0101010_honbun_{STEM}": page})), "format", "entities")


@pytest.mark.parametrize("nest", ["<div>", "<table><tr><td>", "<p>", "<ix:nonNumeric name='a:bDEI'>", "<b>", "<td>"])
def test_ten_thousand_levels(nest: str) -> None:
    assert page_text(f"<html><body>浅い{nest * 10_000}深い".encode(), {}).startswith("浅い")


@given(st.binary(max_size=200), st.integers(0, 3000), st.sampled_from([_zip(FILING), HONBUN.encode(), CSV]))
def test_any_bytes_are_told_apart(make_source: Callable[..., Any], noise: bytes, place: int, data: bytes) -> None:
    source = make_source("edinet")
    for name, file in (
        ("a.zip", data),
        ("a.htm", data),
        ("b.zip", _zip({f"{PUBLIC}1_honbun_a.htm": data, "XBRL_TO_CSV/jp.csv": data})),
    ):
        broken = file[:place] + noise + file[place + len(noise) :]
        try:
            found = list(source.read(Member(name, io.BytesIO(broken)), "s/a"))
        except DataError:
            continue
        to_batch([doc for doc in found if isinstance(doc, Document)], "s", "CC0-1.0", source.columns)

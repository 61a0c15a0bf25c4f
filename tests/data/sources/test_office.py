"""Word, Excel and PowerPoint files made by the libraries that people make them with, and files made to do harm."""

import datetime
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pptx.util import Cm
from tests.data.found import document as _one
from tests.data.found import quarantined as _why

from jpfm.data.document import Document, Quarantined
from jpfm.data.sources import ooxml
from jpfm.data.sources.base import Piece
from jpfm.data.sources.numbering import spell
from jpfm.data.sources.ooxml import OfficeSource
from jpfm.data.sources.xlsx import plain, shown_as

Read = Callable[..., list[Document | Quarantined]]
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
LAUGHS = (
    '<!DOCTYPE a [<!ENTITY a "はは"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    + "".join(f'<!ENTITY {y} "{f"&{x};" * 10}">' for x, y in zip("bcdefghi", "cdefghij", strict=True))
    + "]>"
)


def _bytes(document: Any) -> bytes:
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def _changed(data: bytes, parts: Mapping[str, bytes | None]) -> bytes:
    """An office file with some parts replaced, added or (None) left out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            if entry.filename not in parts:
                new.writestr(entry.filename, old.read(entry))
        for name, content in parts.items():
            if content is not None:
                new.writestr(name, content)
    return out.getvalue()


def _xml(text: str) -> Any:
    return parse_xml(text.replace("<w:p>", f"<w:p {nsdecls('w')}>", 1))


def _word(*paragraphs: str) -> Any:
    document = docx.Document()
    for text in paragraphs:
        document.add_paragraph(text)
    return document


def _excel() -> Any:
    book = openpyxl.Workbook()
    book.active["A1"] = "値"
    return book


def _slides(*titles: str) -> Any:
    deck = pptx.Presentation()
    for title in titles:
        deck.slides.add_slide(deck.slide_layouts[5]).shapes.title.text = title
    return deck


SIMPLE: dict[str, Callable[[], bytes]] = {
    "docx": lambda: _bytes(_word("本文です。")),
    "xlsx": lambda: _bytes(_excel()),
    "pptx": lambda: _bytes(_slides("表紙")),
}
MAIN = {"docx": "word/document.xml", "xlsx": "xl/workbook.xml", "pptx": "ppt/presentation.xml"}


# Word


def test_headings_paragraphs_lists_and_tables(read_file: Read) -> None:
    document = docx.Document()
    document.core_properties.title = "業務委託契約書"
    document.core_properties.author = "法務部"
    document.core_properties.modified = datetime.datetime(2026, 7, 1, 9, 30)
    document.add_heading("第一章　総則", 1)
    document.add_paragraph("甲と乙は、次のとおり契約する。")
    document.add_paragraph("検査装置", style="List Bullet")
    document.add_paragraph("保守", style="List Bullet")
    document.add_paragraph("設計", style="List Number")
    document.add_paragraph("製造", style="List Number")
    table = document.add_table(rows=3, cols=3)
    for row, values in zip(
        table.rows, (("項目", "四月", "五月"), ("売上", "1,200", "1,100"), ("", "", "")), strict=True
    ):
        for cell, value in zip(row.cells, values, strict=True):
            cell.text = value
    table.cell(2, 0).merge(table.cell(2, 1)).text = "合　計"
    document.add_paragraph("改行\n後\t欄")
    found = _one(read_file("docx", "a.docx", _bytes(document)))
    assert found.text == (
        "第一章　総則\n\n甲と乙は、次のとおり契約する。\n\n・検査装置\n・保守\n1.　設計\n2.　製造\n\n"
        "項目\t四月\t五月\n売上\t1,200\t1,100\n合　計\n\n改行\n後\t欄"
    )
    assert (found.title, found.date, found.meta["author"]) == ("業務委託契約書", "2026-07-01T09:30:00Z", "法務部")


def test_the_title_is_the_first_heading_where_none_is_set(read_file: Read) -> None:
    document = docx.Document()
    document.core_properties.title = ""
    document.add_heading("議事録", 0)
    document.add_paragraph("以上")
    assert _one(read_file("docx", "a.docx", _bytes(document))).title == "議事録"


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        (
            "<w:ruby><w:rubyPr/><w:rt><w:r><w:t>りざや</w:t></w:r></w:rt>"
            "<w:rubyBase><w:r><w:t>利鞘</w:t></w:r></w:rubyBase></w:ruby>",
            "利鞘",
        ),
        (
            "<w:ins><w:r><w:t>加えた</w:t></w:r></w:ins><w:del><w:r><w:delText>消した</w:delText></w:r></w:del>",
            "加えた",
        ),
        ("<w:moveFrom><w:r><w:t>前</w:t></w:r></w:moveFrom><w:moveTo><w:r><w:t>後</w:t></w:r></w:moveTo>", "後"),
        ("<w:r><w:rPr><w:vanish/></w:rPr><w:t>隠し</w:t></w:r><w:r><w:t>表</w:t></w:r>", "表"),
        ('<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>見える</w:t></w:r>', "見える"),
        ("<w:hyperlink><w:r><w:t>リンク</w:t></w:r></w:hyperlink><w:r><w:tab/><w:t>欄</w:t></w:r>", "リンク\t欄"),
        (
            '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>PAGE</w:instrText></w:r>'
            '<w:r><w:fldChar w:fldCharType="separate"/></w:r><w:r><w:t>3</w:t></w:r>',
            "3",
        ),
        ("<w:sdt><w:sdtContent><w:r><w:t>入力済</w:t></w:r></w:sdtContent></w:sdt>", "入力済"),
        (
            "<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent><w:r><w:t>ここに入力</w:t></w:r></w:sdtContent>"
            "</w:sdt><w:r><w:t>欄</w:t></w:r>",
            "欄",
        ),
    ],
)
def test_what_would_print_is_read(read_file: Read, runs: str, text: str) -> None:
    document = docx.Document()
    document.element.body.insert(0, _xml(f"<w:p>{runs}</w:p>"))
    assert _one(read_file("docx", "a.docx", _bytes(document))).text == text


def test_hidden_text_is_read_when_asked(read_file: Read) -> None:
    document = docx.Document()
    document.add_paragraph("表").add_run("裏").font.hidden = True
    assert _one(read_file("docx", "a.docx", _bytes(document))).text == "表"
    assert _one(read_file("docx", "a.docx", _bytes(document), hidden=True)).text == "表裏"


def test_text_boxes_once_and_after_their_paragraph(read_file: Read) -> None:
    box = "<w:txbxContent><w:p><w:r><w:t>枠の中</w:t></w:r></w:p></w:txbxContent>"
    document = docx.Document()
    names = nsdecls("w") + (
        ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
        ' xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"'
        ' xmlns:v="urn:schemas-microsoft-com:vml"'
    )
    paragraph = (
        f"<w:p {names}><w:r><w:t>前</w:t></w:r><w:r><mc:AlternateContent><mc:Choice Requires='wps'><w:drawing>"
        f"<wps:txbx>{box}</wps:txbx></w:drawing></mc:Choice><mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict>"
        "</mc:Fallback></mc:AlternateContent></w:r><w:r><w:t>後</w:t></w:r></w:p>"
    )
    document.element.body.insert(0, parse_xml(paragraph))
    assert _one(read_file("docx", "a.docx", _bytes(document))).text == "前後\n\n枠の中"


def test_footnotes_follow_the_text(read_file: Read) -> None:
    document = docx.Document()
    document.element.body.insert(0, _xml('<w:p><w:r><w:t>本文</w:t><w:footnoteReference w:id="2"/></w:r></w:p>'))
    data = _bytes(document)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        relations = file.read("word/_rels/document.xml.rels").decode()
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    relations = relations.replace(
        "</Relationships>", f'<Relationship Id="rId99" Type="{kind}" Target="footnotes.xml"/></Relationships>'
    )
    notes = (
        f"{DECLARATION}<w:footnotes {nsdecls('w')}>"
        '<w:footnote w:id="1"><w:p><w:r><w:t>使われない</w:t></w:r></w:p></w:footnote>'
        '<w:footnote w:id="2"><w:p><w:r><w:t>注の文。</w:t></w:r></w:p></w:footnote></w:footnotes>'
    )
    changed = _changed(data, {"word/_rels/document.xml.rels": relations.encode(), "word/footnotes.xml": notes.encode()})
    assert _one(read_file("docx", "a.docx", changed)).text == "本文\n\n注の文。"


def test_articles_are_numbered_as_word_numbers_them(read_file: Read) -> None:
    document = docx.Document()
    numbering = document.part.numbering_part.element
    level = '<w:lvl w:ilvl="{}"><w:start w:val="1"/><w:numFmt w:val="{}"/><w:lvlText w:val="{}"/></w:lvl>'
    levels = [("decimalFullWidth", "第%1条"), ("decimal", "%1.%2"), ("aiueoFullWidth", "（%3）")]
    xml = "".join(level.format(at, form, pattern) for at, (form, pattern) in enumerate(levels))
    xml = xml.replace('<w:lvlText w:val="%1.%2"/>', '<w:isLgl/><w:lvlText w:val="%1.%2"/>')
    abstract = f'<w:abstractNum {nsdecls("w")} w:abstractNumId="77">{xml}</w:abstractNum>'
    numbering.insert(0, parse_xml(abstract))
    numbering.append(parse_xml(f'<w:num {nsdecls("w")} w:numId="78"><w:abstractNumId w:val="77"/></w:num>'))
    for at, text in ((0, "目的"), (1, "甲"), (1, "乙"), (2, "い"), (0, "期間"), (1, "丙")):
        paragraph = document.add_paragraph(text)
        properties = paragraph._p.get_or_add_pPr()
        properties.append(parse_xml(f'<w:numPr {nsdecls("w")}><w:ilvl w:val="{at}"/><w:numId w:val="78"/></w:numPr>'))
    found = _one(read_file("docx", "a.docx", _bytes(document)))
    assert found.text.split("\n") == [
        "第１条　目的", "1.1　甲", "1.2　乙", "（ア）　い", "第２条　期間", "2.1　丙",
    ]  # fmt: skip


def test_headers_and_footers_are_left_out_unless_asked_for(read_file: Read) -> None:
    document = _word("本文です。")
    document.sections[0].header.paragraphs[0].text = "社外秘"
    document.sections[0].footer.paragraphs[0].text = "1 ページ"
    data = _bytes(document)
    assert _one(read_file("docx", "a.docx", data)).text == "本文です。"
    assert _one(read_file("docx", "a.docx", data, headers=True)).text == "社外秘\n\n本文です。\n\n1 ページ"


def test_a_frame_of_one_cell_is_text(read_file: Read) -> None:
    document = docx.Document()
    cell = document.add_table(rows=1, cols=1).cell(0, 0)
    cell.text = "枠内の一段落。"
    cell.add_paragraph("二段落。")
    inner = cell.add_table(rows=1, cols=2)
    inner.cell(0, 0).text, inner.cell(0, 1).text = "左", "右"
    assert _one(read_file("docx", "a.docx", _bytes(document))).text == "枠内の一段落。\n\n二段落。\n\n左\t右"


@pytest.mark.parametrize(
    ("count", "form", "text"),
    [
        (1999, "japaneseCounting", "千九百九十九"),
        (10, "japaneseCounting", "十"),
        (115, "japaneseLegal", "壱百壱拾伍"),
        (30, "decimalEnclosedCircle", "30"),
        (0, "upperRoman", "0"),
        (1994, "upperRoman", "MCMXCIV"),
        (3, "decimalZero", "03"),
        (47, "aiueo", "ア"),
        (2, "unknown", "2"),
    ],
)
def test_numbers_of_lists(count: int, form: str, text: str) -> None:
    assert spell(count, form) == text


# Excel


def test_values_dates_and_percentages(read_file: Read) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "売上"
    sheet.append(["部門", None, "日付", "率", "額"])
    sheet.append(["検査", None, datetime.date(2026, 7, 1), 0.125, 1234567.5])
    sheet["D2"].number_format = "0.0%"
    sheet["E2"].number_format = '#,##0"円"'
    sheet.append(["保守", None, datetime.datetime(2026, 7, 1, 9, 30), True, "=1+1"])
    sheet["A6"] = "一行目\n二行目"
    sheet.merge_cells("A7:C7")
    sheet["A7"] = "合　計"
    sheet["C8"], sheet["D8"] = datetime.time(8, 5), 0.1 + 0.2
    era = sheet["E8"]
    era.value, era.number_format = 46204, '[$-411]ggge"年"m"月"d"日"'
    book.create_sheet("空")
    hidden = book.create_sheet("裏")
    hidden["A1"] = "隠した値"
    hidden.sheet_state = "hidden"
    data = _bytes(book)
    text = "部門\t日付\t率\t額\n検査\t2026-07-01\t12.5%\t1234567.5\n保守\t2026-07-01T09:30:00\tTRUE"
    text += "\n\n一行目\n二行目\n合　計\n08:05:00\t0.3\t2026-07-01"
    found = _one(read_file("xlsx", "a.xlsx", data))
    assert found.text == f"売上\n\n{text}"
    assert found.meta["sheets"] == ["売上"]
    assert _one(read_file("xlsx", "a.xlsx", data, unit="sheet")).text == text
    both = read_file("xlsx", "a.xlsx", data, unit="sheet", hidden=True)
    assert [(item.id, item.title, item.text) for item in both if isinstance(item, Document)] == [
        ("s/a.xlsx#1", "売上", text),
        ("s/a.xlsx#3", "裏", "隠した値"),
    ]


def _shared(strings: str, cells: str) -> bytes:
    """A workbook as Excel writes it, with shared strings (openpyxl writes them into the cells)."""
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
    with zipfile.ZipFile(io.BytesIO(SIMPLE["xlsx"]())) as file:
        relations = file.read("xl/_rels/workbook.xml.rels").decode()
    if kind not in relations:
        last = f'<Relationship Id="rId99" Type="{kind}" Target="sharedStrings.xml"/></Relationships>'
        relations = relations.replace("</Relationships>", last)
    sheet = f'{DECLARATION}<worksheet xmlns="{space}"><sheetData>{cells}</sheetData></worksheet>'
    parts = {
        "xl/_rels/workbook.xml.rels": relations.encode(),
        "xl/sharedStrings.xml": f'{DECLARATION}<sst xmlns="{space}">{strings}</sst>'.encode(),
        "xl/worksheets/sheet1.xml": sheet.encode(),
    }
    return _changed(SIMPLE["xlsx"](), parts)


def test_readings_are_dropped_and_escapes_read(read_file: Read) -> None:
    strings = (
        '<si><t>東京</t><rPh sb="0" eb="2"><t>トウキョウ</t></rPh><phoneticPr fontId="1"/></si>'
        "<si><r><t>大</t></r><r><rPr><b/></rPr><t>阪</t></r><rPh sb='0' eb='2'><t>オオサカ</t></rPh></si>"
        "<si><t>行_x000D_\n末_x0041_</t></si>"
    )
    cells = '<row r="1"><c t="s"><v>0</v></c><c t="s"><v>1</v></c><c t="s"><v>2</v></c><c t="s"><v>9</v></c></row>'
    found = _one(read_file("xlsx", "a.xlsx", _shared(strings, cells)))
    assert found.text == "Sheet\n\n東京\t大阪\t行 末A"


def test_the_1904_calendar(read_file: Read) -> None:
    book = openpyxl.Workbook()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    book.active["A1"] = datetime.date(2026, 7, 1)
    assert _one(read_file("xlsx", "a.xlsx", _bytes(book))).text == "Sheet\n\n2026-07-01"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("yyyy/m/d", "date"),
        ("[mm]:ss", "date"),
        ("General", ""),
        ("G/標準", ""),
        ("@", ""),
        ('"m"0', ""),
        ('0"日"', ""),
        ("[Red]#,##0;[Blue]-0", ""),
        ("#,##0_ ;[Red]-#,##0", ""),
        (r"0\%", ""),
        ("0%", "percent"),
    ],
)
def test_number_formats(code: str, kind: str) -> None:
    assert shown_as(code) == kind


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e15, "1000000000000000"), (-0.5, "-0.5"), (1e300, "1E+300"), (12345678901234567890.0, "12345678901234567168")],
)
def test_numbers(value: float, text: str) -> None:
    assert plain(value) == text


def test_a_workbook_that_repeats_one_long_string_is_refused(read_file: Read) -> None:
    row = '<row><c t="s"><v>0</v></c><c t="s"><v>0</v></c></row>'
    data = _shared(f"<si><t>{'長' * 30_000}</t></si>", row * 200_000)
    assert len(data) < 1 << 20
    found = _why(read_file("xlsx", "a.xlsx", data))
    assert (found.error, "CSV" in found.detail) == ("too_large", True)


def test_a_cell_that_is_far_away_costs_nothing(read_file: Read) -> None:
    cells = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>'
    assert _one(read_file("xlsx", "a.xlsx", _shared("", cells))).text == "Sheet\n\n1\n\n2"


# PowerPoint


def test_slides_titles_tables_groups_and_notes(read_file: Read) -> None:
    deck = _slides("表紙")
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.add_textbox(Cm(1), Cm(1), Cm(5), Cm(2)).text_frame.text = "左の枠"
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(Cm(1), Cm(1), Cm(5), Cm(2)).text_frame.text = "組の中\v二行目"
    table = slide.shapes.add_table(2, 2, Cm(1), Cm(5), Cm(9), Cm(3)).table
    for at, value in enumerate(("項目", "額", "検査", "1,200")):
        table.cell(at // 2, at % 2).text = value
    slide.shapes.title.text = "業績"
    slide.placeholders[1].text = "売上は伸びた。\n利益は減った。"
    slide.notes_slide.notes_text_frame.text = "ここで図を見せる。"
    hidden = deck.slides.add_slide(deck.slide_layouts[5])
    hidden.shapes.title.text = "予備"
    hidden._element.set("show", "0")
    deck.core_properties.title = "PowerPoint プレゼンテーション"
    deck.core_properties.author = "企画部"
    data = _bytes(deck)
    body = "業績\n売上は伸びた。\n利益は減った。\n左の枠\n組の中\n二行目\n項目\t額\n検査\t1,200"
    found = _one(read_file("pptx", "a.pptx", data))
    assert found.text == f"表紙\n\n{body}\nここで図を見せる。"
    assert (found.title, found.meta["author"]) == ("表紙", "企画部")
    assert _one(read_file("pptx", "a.pptx", data, notes=False, hidden=True)).text == f"表紙\n\n{body}\n\n予備"


def test_merged_cells_of_a_slide_are_not_repeated(read_file: Read) -> None:
    deck = _slides()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    table = slide.shapes.add_table(2, 3, Cm(1), Cm(5), Cm(9), Cm(3)).table
    table.cell(0, 0).merge(table.cell(0, 1))
    table.cell(0, 0).text, table.cell(0, 2).text, table.cell(1, 2).text = "合計", "三", "六"
    assert _one(read_file("pptx", "a.pptx", _bytes(deck))).text == "合計\t\t三\n\t\t六"


# all three


@pytest.mark.parametrize("form", MAIN)
def test_files_without_text(read_file: Read, form: str) -> None:
    empty = {"docx": docx.Document, "xlsx": openpyxl.Workbook, "pptx": pptx.Presentation}[form]()
    assert _why(read_file(form, f"a.{form}", _bytes(empty))).error == "no_text"


@pytest.mark.parametrize("form", MAIN)
def test_old_and_locked_files_say_what_to_do(read_file: Read, form: str) -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    assert f"soffice --headless --convert-to {form}" in _why(read_file(form, f"a.{form}", ole)).detail
    locked = ole + "EncryptedPackage".encode("utf-16-le") + bytes(600)
    assert "password" in _why(read_file(form, f"a.{form}", locked)).detail


@pytest.mark.parametrize("form", MAIN)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("attack", ["laughs", "file", "url"])
def test_entities_are_refused(read_file: Read, tmp_path: Path, form: str, encoding: str, attack: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("極秘の文字列", encoding="utf-8")
    doctype = {
        "laughs": LAUGHS,
        "file": f'<!DOCTYPE a [<!ENTITY j SYSTEM "{secret.as_uri()}">]>',
        "url": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">',
    }[attack]
    with zipfile.ZipFile(io.BytesIO(SIMPLE[form]())) as file:
        xml = file.read(MAIN[form]).decode()
    root = xml.partition("?>")[2] if xml.startswith("<?xml") else xml
    label = "UTF-8" if encoding == "utf-8" else "UTF-16"
    evil = f'<?xml version="1.0" encoding="{label}"?>{" " * 70_000}{doctype}{root}'.replace("本文です。", "&j;")
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    data = _changed(SIMPLE[form](), {MAIN[form]: mark + evil.encode(encoding)})
    found = _why(read_file(form, f"a.{form}", data))
    assert "document type" in found.detail


def test_entities_in_strings_and_slides_are_refused(read_file: Read) -> None:
    cells = '<row><c t="s"><v>0</v></c></row>'
    data = _shared("<si><t>字</t></si>", cells)
    assert _one(read_file("xlsx", "a.xlsx", data)).text == "Sheet\n\n字"
    evil = f"{DECLARATION}{LAUGHS}<sst><si><t>&j;</t></si></sst>".encode()
    found = _why(read_file("xlsx", "a.xlsx", _changed(data, {"xl/sharedStrings.xml": evil})))
    assert "document type" in found.detail
    evil = f"{DECLARATION}{LAUGHS}<sld/>".encode()
    assert (
        "document type"
        in _why(read_file("pptx", "a.pptx", _changed(SIMPLE["pptx"](), {"ppt/slides/slide1.xml": evil}))).detail
    )


def test_an_encoding_that_could_hide_a_declaration_is_refused(read_file: Read) -> None:
    evil = b'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE a+AD4-<a/>'
    assert "utf-7" in _why(read_file("docx", "a.docx", _changed(SIMPLE["docx"](), {MAIN["docx"]: evil}))).detail


@pytest.mark.parametrize("form", MAIN)
def test_zip_bombs_are_refused_before_they_are_unpacked(read_file: Read, form: str) -> None:
    bomb = _changed(SIMPLE[form](), {"word/media/image1.bmp": bytes(64 << 20)})
    assert _why(read_file(form, f"a.{form}", bomb)).error == "too_large"


def test_a_part_that_lies_about_its_size_is_cut_off(read_file: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ooxml, "PART_BYTES", 10_000)
    monkeypatch.setattr(ooxml, "_MAX_TAGS", 1000)
    text = "".join(f"{number}号の本文" for number in range(5000))
    assert _why(read_file("docx", "a.docx", _bytes(_word(text)))).error == "too_large"


def test_a_part_of_too_many_tags_is_refused(read_file: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ooxml, "_MAX_TAGS", 20_000)
    data = _bytes(_word(*(f"{number}行" for number in range(10_000))))
    assert _why(read_file("docx", "a.docx", data)).error == "too_large"


def test_nesting_is_bounded(read_file: Read) -> None:
    deep = "<w:tbl><w:tr><w:tc>" * 3000 + "<w:p><w:r><w:t>底</w:t></w:r></w:p>" + "</w:tc></w:tr></w:tbl>" * 3000
    xml = f"{DECLARATION}<w:document {nsdecls('w')}><w:body>{deep}</w:body></w:document>"
    found = _why(read_file("docx", "a.docx", _changed(SIMPLE["docx"](), {MAIN["docx"]: xml.encode()})))
    assert "XML" in found.detail or "nested" in found.detail
    group = "<p:grpSp>" * 240 + "</p:grpSp>" * 240
    xml = f'{DECLARATION}<p:sld xmlns:p="p"><p:cSld><p:spTree>{group}</p:spTree></p:cSld></p:sld>'
    assert len(read_file("pptx", "a.pptx", _changed(SIMPLE["pptx"](), {"ppt/slides/slide1.xml": xml.encode()}))) == 1


@pytest.mark.parametrize("form", MAIN)
@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"%PDF-1.7", bytes(5000), b"PK\x05\x06" + bytes(18)])
def test_what_is_no_office_file(read_file: Read, form: str, data: bytes) -> None:
    assert _why(read_file(form, f"a.{form}", data)).error in ("archive", "format")


@pytest.mark.parametrize("form", MAIN)
def test_another_office_format_is_told(read_file: Read, form: str) -> None:
    other = SIMPLE["xlsx" if form == "docx" else "docx"]()
    assert f"is it really a .{form} file" in _why(read_file(form, f"a.{form}", other)).detail


@pytest.mark.parametrize("form", MAIN)
@pytest.mark.parametrize("part", ["main", "rels", "core"])
@given(cut=st.integers(0, 3000), junk=st.binary(max_size=30))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_damaged_parts_give_documents_or_reasons(
    make_source: Any, tmp_path: Path, form: str, part: str, cut: int, junk: bytes
) -> None:
    folder, _, name = MAIN[form].partition("/")
    target = {"main": MAIN[form], "rels": f"{folder}/_rels/{name}.rels", "core": "docProps/core.xml"}[part]
    with zipfile.ZipFile(io.BytesIO(SIMPLE[form]())) as file:
        xml = file.read(target)
    path = tmp_path / f"a.{form}"
    path.write_bytes(_changed(SIMPLE[form](), {target: xml[:cut] + junk + xml[cut + len(junk) :]}))
    _check(make_source(form), path)


@pytest.mark.parametrize("form", MAIN)
@given(at=st.integers(0, 40_000), junk=st.binary(min_size=1, max_size=8))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_damaged_files_give_documents_or_reasons(
    make_source: Any, tmp_path: Path, form: str, at: int, junk: bytes
) -> None:
    data = SIMPLE[form]()
    at %= len(data)
    path = tmp_path / f"a.{form}"
    path.write_bytes(data[:at] + junk + data[at + len(junk) :])
    _check(make_source(form), path)


def _check(source: OfficeSource, path: Path) -> None:
    for item in source.documents(Piece(str(path), path.name, 1)):
        if isinstance(item, Document):
            (item.text + item.title).encode()
        else:
            assert item.detail

"""Each format: what becomes text, and what is quarantined under which name."""

import gzip
import io
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined, to_batch
from jpfm.data.sources.aozora import clean, gaiji
from jpfm.data.sources.archive import members
from jpfm.data.sources.base import Piece

Read = Callable[..., list[Document | Quarantined]]


def _document(found: list[Document | Quarantined]) -> Document:
    (one,) = found
    assert isinstance(one, Document), one
    return one


def _bad(found: list[Document | Quarantined], error: str) -> Quarantined:
    (one,) = found
    assert isinstance(one, Quarantined), one
    assert one.error == error
    return one


# --- Aozora ---------------------------------------------------------------------------------------------------------

AOZORA = {
    "硝子《ガラス》の駅": "硝子の駅",
    "紺の｜頭巾《ずきん》の婆さん": "紺の頭巾の婆さん",
    "［＃３字下げ］一［＃「一」は中見出し］": "一",
    "ただ、灯りを［＃「灯りを」に傍点］": "ただ、灯りを",
    "※［＃「口＋加」、第3水準1-14-93］※［＃「口＋非」、第4水準2-4-8］": "咖啡",
    "なに※［＃感嘆符二つ、1-8-75］　いろ※［＃二の字点、1-2-22］": "なに‼　いろ〻",
    "※［＃濁点付き片仮名ワ、1-7-82］※［＃ローマ数字1、1-13-21］": "ヷⅠ",
    "※［＃「木＋某」、1-123-4］※［＃「木＋某」、123-4］": "〓〓",
    "※［＃「口＋愛」、U+566F、123-4］気": "噯気",
    "※［＃「にんべん＋尤」、第4水準2-1-9］": None,
    "※［＃「木＋某」］": "〓",
    "※［＃「x」、U+FFFFFF］※［＃「x」、U+D800］": "〓〓",
    "※［＃「x」、第3水準1-99-99］": "〓",
    "《》は残らず、《山》だけ消える": "《》は残らず、だけ消える",
    "二人《ふたり》で｜三四郎池《さんしろういけ》へ": "二人で三四郎池へ",
    "長い《" + "あ" * 90 + "》": "長い《" + "あ" * 90 + "》",
    "ルビなし\n\n空行": "ルビなし\n\n空行",
}


@pytest.mark.parametrize(("marked", "plain"), AOZORA.items())
def test_aozora_marks_are_resolved(marked: str, plain: str | None) -> None:
    text, missing = clean(marked)
    if plain is None:  # a cell of the second plane: any one character, and no mark left
        assert len(text) == 1
        plain = text
    assert text == plain
    assert missing == text.count("〓")
    text.encode()


def test_ruby_can_be_kept() -> None:
    assert clean("硝子《ガラス》と｜山毛欅《ぶな》", keep_ruby=True)[0] == "硝子（ガラス）と山毛欅（ぶな）"


def test_a_gaiji_note_names_one_character() -> None:
    assert [gaiji(note) for note in ("第3水準1-84-77", "第4水準2-12-11", "U+9AD9", "縦書き")] == [
        bytes([84 + 0xA0, 77 + 0xA0]).decode("euc_jis_2004"),
        (b"\x8f" + bytes([12 + 0xA0, 11 + 0xA0])).decode("euc_jis_2004"),
        "髙",
        "〓",
    ]


WORK = """硝子の浮玉
槙尾灯子

-------------------------------------------------------
【テキスト中に現れる記号について】

《》：ルビ
（例）早波《さなみ》
-------------------------------------------------------

　わたしの育った早波《さなみ》の浜。
底本：とは何かと父が聞いた。

底本：「槙尾灯子随筆選」架空書房
入力：久慈峰子
校正：倉科朔
"""


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_header_and_colophon_become_facts(read_file: Read, end: str) -> None:
    found = _document(read_file("aozora", "work.txt", WORK.replace("\n", end).encode("cp932")))
    assert found.text == "　わたしの育った早波の浜。\n底本：とは何かと父が聞いた。"
    assert (found.title, found.encoding, found.id) == ("硝子の浮玉", "cp932", "s/work.txt")
    assert found.meta == {
        "author": "槙尾灯子", "gaiji_missing": 0, "source_book": "「槙尾灯子随筆選」架空書房",
        "typed_by": "久慈峰子", "proofread_by": "倉科朔",
    }  # fmt: skip


def test_a_work_without_ruby_has_no_notice_block(read_file: Read) -> None:
    text = "題\n著者\n\n　本文の一行目である。\n\n底本：「本」\n"
    assert _document(read_file("aozora", "a.txt", text.encode("cp932"))).text == "　本文の一行目である。"


@pytest.mark.parametrize("text", ["", "題\n著者\n\n", "題\n著者\n\n底本：「本」\n"])
def test_a_work_without_text_is_quarantined(read_file: Read, text: str) -> None:
    assert "no text between" in _bad(read_file("aozora", "a.txt", text.encode("cp932")), "format").detail


def test_the_broken_work_of_the_sample_is_quarantined(read_file: Read, sample: Path) -> None:
    data = (sample / "aozora" / "900_kowareta.txt").read_bytes()
    assert "no Japanese encoding" in _bad(read_file("aozora", "900.txt", data), "decode").detail


# --- HTML -----------------------------------------------------------------------------------------------------------

RUBY = {
    "<ruby>山毛欅<rp>(</rp><rt>ぶな</rt><rp>)</rp></ruby>の森": "山毛欅の森",
    "<ruby>東<rt>とう<rt>きょう</ruby>の森": "東の森",
    "<ruby><rb>東<rb>京<rt>とう<rt>きょう</ruby>の森": "東京の森",
    "<RUBY lang='ja'><RB>東京</RB><RP>（</RP><RT class=x>とうきょう</RT><RP>）</RP></RUBY>の森": "東京の森",
    "<ruby>旧金山<rt>jiùjīnshān</rt><rtc><rt>San Francisco</rt></rtc></ruby>の森": "旧金山の森",
    "<ruby>漢<rt>かん</rt>字<rt>じ</rt></ruby>の森": "漢字の森",
}


@pytest.mark.parametrize(("markup", "plain"), RUBY.items())
def test_ruby_keeps_the_word_and_drops_the_reading(read_file: Read, markup: str, plain: str) -> None:
    page = f"<html><body><main><p>{markup}を歩いた。</p></main></body></html>"
    assert _document(read_file("html", "a.html", page.encode())).text.strip() == f"{plain}を歩いた。"


def test_a_page_gives_main_text_title_licence_and_address(read_file: Read) -> None:
    page = """<!DOCTYPE html><html lang="ja"><head><meta charset="Shift_JIS"><title> ごみの日 | 市 </title>
<link rel="license" href="https://creativecommons.org/licenses/by/4.0/deed.ja">
<link rel="canonical" href="https://city.example/gomi.html"></head>
<body><nav><ul><li><a href="/">めにゅー</a></li></ul></nav>
<main><article><h1>ごみの日①</h1><p>㈱髙橋商店の前に、朝八時までに出してください。燃えるごみは火曜と金曜です。</p></article></main>
<footer>著作権表示のある帯</footer><script>alert('動く')</script></body></html>"""
    found = _document(read_file("html", "gomi.html", page.encode("cp932")))
    assert "㈱髙橋商店の前に" in found.text
    for gone in ("めにゅー", "帯", "alert", "<p>"):
        assert gone not in found.text
    assert (found.title, found.encoding, found.url) == ("ごみの日 | 市", "cp932", "https://city.example/gomi.html")
    assert found.licence == "https://creativecommons.org/licenses/by/4.0/deed.ja"
    assert found.meta == {"lang": "ja"}


@pytest.mark.parametrize("page", [b"", b"<", b"\x00\x00", b"<html><p>&#xD800;&#0;&#x110000;</p>", b"<p>" * 3000])
def test_odd_pages_are_read_without_harm(read_file: Read, page: bytes) -> None:
    found = _document(read_file("html", "a.html", page))
    (found.text + found.title).encode()


@pytest.mark.parametrize("name", ["gomi.html", "fault_near.html", "recipe_purin.html"])
def test_pages_of_the_sample_lose_navigation_and_keep_the_article(read_file: Read, sample: Path, name: str) -> None:
    found = _document(read_file("html", name, (sample / "html" / name).read_bytes()))
    assert len(found.text) > 300
    assert "本文へ移動" not in found.text
    assert "{box-sizing" not in found.text


# --- law ------------------------------------------------------------------------------------------------------------

LAW = """<?xml version="1.0" encoding="UTF-8"?>
<Law Lang="ja"><LawNum>令和七年条例第三号</LawNum><LawBody><LawTitle>見本条例</LawTitle>
<TOC><TOCLabel>目次</TOCLabel></TOC>
<MainProvision><Chapter Num="1"><ChapterTitle>第一章　総則</ChapterTitle>
<Article Num="1"><ArticleCaption>（目的）</ArticleCaption><ArticleTitle>第一条</ArticleTitle>
<Paragraph Num="1"><ParagraphNum/><ParagraphSentence><Sentence>この条例は、</Sentence><Sentence><Ruby>橋梁<Rt>きょうりょう</Rt></Ruby>を定める。</Sentence></ParagraphSentence></Paragraph>
<Paragraph Num="2"><ParagraphNum>２</ParagraphNum><ParagraphSentence><Sentence>次のとおりとする。</Sentence></ParagraphSentence>
<Item Num="1"><ItemTitle>一</ItemTitle><ItemSentence><Sentence>歩道橋</Sentence></ItemSentence>
<Subitem1 Num="1"><Subitem1Title>イ</Subitem1Title><Subitem1Sentence><Sentence>木造</Sentence></Subitem1Sentence></Subitem1></Item></Paragraph>
</Article></Chapter></MainProvision>
<SupplProvision><SupplProvisionLabel>附　則</SupplProvisionLabel><Paragraph Num="1"><ParagraphNum/><ParagraphSentence><Sentence>公布の日から施行する。</Sentence></ParagraphSentence></Paragraph></SupplProvision>
<AppdxTable><TableStruct><Table><TableRow><TableColumn><Sentence>甲</Sentence></TableColumn><TableColumn><Sentence>乙</Sentence></TableColumn></TableRow></Table></TableStruct></AppdxTable>
</LawBody></Law>"""  # fmt: skip # noqa: E501


def test_a_law_is_read_in_order_without_readings(read_file: Read) -> None:
    found = _document(read_file("law_xml", "law.xml", LAW.encode()))
    assert found.text.split("\n") == [
        "見本条例", "第一章　総則", "（目的）", "第一条　この条例は、橋梁を定める。", "２　次のとおりとする。",
        "一　歩道橋", "イ　木造", "附　則", "公布の日から施行する。", "甲\t乙",
    ]  # fmt: skip
    assert (found.title, found.meta) == ("見本条例", {"law_num": "令和七年条例第三号"})


def test_a_law_inside_an_answer_of_the_api_is_found(read_file: Read) -> None:
    body = LAW.split("\n", 1)[1]
    wrapped = f"<DataRoot><ApplData><LawFullText>{body}</LawFullText></ApplData></DataRoot>"
    assert _document(read_file("law_xml", "a.xml", wrapped.encode())).title == "見本条例"


def test_an_outside_entity_is_not_read(read_file: Read, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("himitsu")
    law = f'<!DOCTYPE Law [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]><Law><LawBody><LawTitle>&x;条例</LawTitle></LawBody></Law>'
    for found in read_file("law_xml", "a.xml", law.encode()):
        assert "himitsu" not in repr(found)


def test_a_billion_laughs_are_refused(read_file: Read) -> None:
    steps = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    law = f'<!DOCTYPE l [<!ENTITY a "哈哈哈哈哈哈">{steps}]><Law><LawBody><LawTitle>&j;</LawTitle></LawBody></Law>'
    for found in read_file("law_xml", "a.xml", law.encode()):
        assert len(repr(found)) < 10_000
        assert isinstance(found, Quarantined) or len(found.text) < 100


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "not well-formed"),
        (b"<Law><LawBody></Law>", "not well-formed"),
        (b"<html/>", "no <Law> element"),
        (LAW.encode()[:900], "not well-formed"),
        (b"\x00\x01", "not well-formed"),
    ],
)
def test_what_is_no_law_is_quarantined(read_file: Read, data: bytes, what: str) -> None:
    assert what in _bad(read_file("law_xml", "a.xml", data), "format").detail


# --- Markdown -------------------------------------------------------------------------------------------------------

MARKDOWN = {
    "# 見出し\n\n本文は**太字**と[リンク](https://a.example/b)です。": "見出し\n\n本文は太字とリンクです。",
    "- 一\n- 二\n  - 二の一\n\n1. 甲\n2. 乙": "一\n二\n二の一\n\n甲\n乙",
    "| 品名 | 値段 |\n|---|---:|\n| 鉛筆 | 120円 |": "品名\t値段\n鉛筆\t120円",
    "```python\nprint('①')\n```\n\n`code`と&amp;と\\*印": "print('①')\n\ncodeと&と*印",
    "> 引用\n> 続き\n\n![図の説明](a.png)": "引用\n続き\n\n図の説明",
    "段落<br>の<span style='x'>中</span>\n\n<div>\n生の<b>HTML</b>\n</div>\n\n<!-- 註 -->": "段落の中\n\n生のHTML",
    "一行目  \n二行目\\\n三行目": "一行目\n二行目\n三行目",
    "": "",
}


@pytest.mark.parametrize(("source", "plain"), MARKDOWN.items())
def test_markdown_becomes_plain_text(read_file: Read, source: str, plain: str) -> None:
    assert _document(read_file("markdown", "a.md", source.encode())).text == plain


def test_front_matter_is_a_fact_and_the_first_heading_the_title(read_file: Read) -> None:
    source = "---\ntitle: x\ntags: [a]\n---\n\n前文\n\n## 第<b>一</b>章\n\n# 後"
    found = _document(read_file("markdown", "a.md", source.replace("\n", "\r\n").encode()))
    assert found.meta == {"front_matter": "title: x\ntags: [a]"}
    assert (found.title, found.text) == ("第一章", "前文\n\n第一章\n\n後")


# --- records --------------------------------------------------------------------------------------------------------


def test_a_broken_line_is_quarantined_and_the_next_one_read(read_file: Read) -> None:
    lines = [
        '{"text": "一", "title": "題", "k": [1]}'.encode(),
        b'{"text": "cut',
        b"",
        b"[1, 2]",
        b'{"text": 5}',
        b'{"body": "other"}',
        b'{"text": "\\ud83d"}',
        b'{"text": "\\ud83c\\udf63", "title": "\\ud800", "k": "\\udfff"}',
        b'{"text": "\\u0000nul"}',
        b"\xff\xfe\xfd",
        b"[" * 100_000,
        b'{"text": NaN}',
        b"9" * 5000,
        '{"text": "最後"}'.encode(),
    ]
    found = read_file("jsonl", "a.jsonl", b"\n".join(lines), title_field="title", meta_fields=("k",))
    good = {doc.id: doc.text for doc in found if isinstance(doc, Document)}
    assert good == {"s/a.jsonl#1": "一", "s/a.jsonl#8": "🍣", "s/a.jsonl#9": "\0nul", "s/a.jsonl#14": "最後"}
    errors = {doc.id.rpartition("#")[2]: doc.error for doc in found if isinstance(doc, Quarantined)}
    assert errors == dict.fromkeys(["2", "4", "5", "6", "11", "12", "13"], "format") | {"7": "decode", "10": "decode"}
    details = [doc.detail for doc in found if isinstance(doc, Quarantined)]
    assert any("'text' is missing; fields found: body; text_field names it" in detail for detail in details)
    assert any("'text' is a int, not text" in detail for detail in details)
    batch = to_batch([doc for doc in found if isinstance(doc, Document)], "s", "CC0-1.0")
    assert batch.column("title").to_pylist() == ["題", "", "", ""]
    assert [json.loads(meta) for meta in batch.column("meta").to_pylist()][:2] == [{"k": [1]}, {"k": "\udfff"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "euc_jp", "utf-16"])
def test_records_are_read_in_any_japanese_encoding(read_file: Read, encoding: str) -> None:
    rows = [{"body": "吾輩は猫である。名前はまだ無い。"}, {"body": "どこで生れたか頓と見当がつかぬ。"}]
    data = "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows).encode(encoding)
    found = read_file("jsonl", "a.jsonl.gz", gzip.compress(data), text_field="body")
    assert [doc.text for doc in found if isinstance(doc, Document)] == [row["body"] for row in rows]


@pytest.mark.parametrize(
    ("settings", "data", "what"),
    [
        ({}, b"", "not JSON"),
        ({}, b'{"text": "a"}\n{"text": "b"}', "use format: jsonl"),
        ({}, b'{"rows": []}', "set records_field"),
        ({"records_field": "rows"}, b'{"data": []}', "set records_field"),
        ({}, b"[" * 100_000, "not JSON"),
    ],
)
def test_json_that_is_no_list_of_records(read_file: Read, settings: dict[str, Any], data: bytes, what: str) -> None:
    assert what in _bad(read_file("json", "a.json", data, **settings), "format").detail


def test_json_records_below_a_field(read_file: Read) -> None:
    found = read_file("json", "a.json", '{"rows": [{"t": "一"}, 3]}'.encode(), records_field="rows", text_field="t")
    assert [type(doc) for doc in found] == [Document, Quarantined]


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="none", use_dictionary=False)
    return out.getvalue()


def test_parquet_rows_are_documents(read_file: Read) -> None:
    table = pa.table(
        {
            "body": pa.array(["一", None, "三"], pa.large_string()),
            "day": [date(2025, 4, 1)] * 3,
            "price": pa.array([Decimal("1.50")] * 3),
        }
    )
    found = read_file("parquet", "a.parquet", _parquet(table), text_field="body", meta_fields=("day", "price"))
    assert [type(doc) for doc in found] == [Document, Quarantined, Document]
    meta = to_batch([doc for doc in found if isinstance(doc, Document)], "s", "")["meta"][0].as_py()
    assert json.loads(meta) == {"day": "2025-04-01", "price": "1.50"}


def test_parquet_without_the_text_column_names_those_it_has(read_file: Read) -> None:
    bad = _bad(read_file("parquet", "a.parquet", _parquet(pa.table({"url": ["x"], "body": ["y"]}))), "format")
    assert "column 'text' is missing (columns found: url, body; set text_field)" in bad.detail


def test_damaged_parquet_is_quarantined_after_its_good_rows(read_file: Read) -> None:
    whole = _parquet(pa.table({"text": [f"第{n}の文書である。" * 40 for n in range(3000)]}))
    assert "not a Parquet file" in _bad(read_file("parquet", "a.parquet", whole[: len(whole) // 2]), "format").detail
    assert "not a Parquet file" in _bad(read_file("parquet", "a.parquet", b""), "format").detail
    hurt = bytearray(whole)
    at = len(whole) // 2
    hurt[at : at + 3000] = b"\xff" * 3000
    found = read_file("parquet", "a.parquet", bytes(hurt))
    assert isinstance(found[-1], Quarantined)
    assert f"damaged after row {len(found) - 1}" in found[-1].detail


# --- all ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["aozora", "html", "jsonl", "json", "law_xml", "markdown", "parquet", "text"])
@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff\xfe", b"\x1b$B", "。".encode() * 3, bytes(range(256)), b"{" * 9])
def test_no_bytes_stop_a_source(read_file: Read, form: str, data: bytes) -> None:
    for found in read_file(form, "a.bin", data):
        assert isinstance(found, Document | Quarantined)
        if isinstance(found, Document):
            to_batch([found], "s", "CC0-1.0")


def test_a_bad_mark_of_utf_8_is_a_decode_error(read_file: Read) -> None:
    _bad(read_file("text", "a.txt", b"\xef\xbb\xbf" + "日本".encode()[:-1]), "decode")


def test_a_pattern_without_a_file_is_said_so(make_source: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("x")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"source 's': no file matches .*\*\.jsonl"):
        make_source("text", paths=("*.txt", "*.jsonl")).files(tmp_path)
    source = make_source("text", paths=("*.txt", "a*"), exclude=("b*",))
    assert [piece.name for piece in source.files(tmp_path)] == ["a.txt"]


# --- real data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("author", ["000121_新美南吉", "000119_中島敦", "001569_中谷宇吉郎"])
def test_every_work_of_an_author_is_read(shared_data: Path, make_source: Callable[..., Any], author: str) -> None:
    path = shared_data / "raw" / "aozora" / f"{author}.tar.gz"
    found = list(make_source("aozora").documents(Piece(str(path), path.name, 0)))
    assert len(found) == sum(1 for _ in members(path, path.name)) > 5
    for doc in found:
        assert isinstance(doc, Document), doc
        assert doc.encoding == "cp932"
        assert doc.meta["author"] == author.partition("_")[2]  # not the subtitle that may stand above it
        assert len(doc.text) > 100
        assert not any(mark in doc.text for mark in ("《", "［＃", "｜", "底本：「", "青空文庫"))
        assert doc.text.count("〓") == doc.meta["gaiji_missing"]


def test_the_aviation_act_is_read(shared_data: Path, make_source: Callable[..., Any]) -> None:
    (path,) = sorted((shared_data / "raw" / "law-xml").glob("*.xml.gz"))
    found = _document(list(make_source("law_xml").documents(Piece(str(path), path.name, 0))))
    assert (found.title, found.meta["law_num"]) == ("航空法", "昭和二十七年法律第二百三十一号")
    lines = found.text.split("\n")
    assert any(line.startswith("第一条　この法律は、") for line in lines)
    assert len(found.text) > 150_000
    assert "<" not in found.text


def test_pages_of_the_w3c_are_read(shared_data: Path, make_source: Callable[..., Any]) -> None:
    for path in sorted((shared_data / "raw" / "html-jlreq").glob("*.html*")):
        found = _document(list(make_source("html").documents(Piece(str(path), path.name, 0))))
        assert found.title
        assert len(found.text) > 1000
        assert "<ruby" not in found.text

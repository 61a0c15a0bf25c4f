"""e-Gov law XML: every part of the schema in its place, the API's answers, and XML that means harm."""

import base64
import gzip
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from tests.data.found import document as _document
from tests.data.found import quarantined as _bad

from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.base import Piece

Read = Callable[..., list[Document | Quarantined]]


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


WHOLE = """<Law Era="Reiwa" Year="07" Num="003" LawType="PrefecturalOrdinance" Lang="ja" PromulgateMonth="4" PromulgateDay="01">
<LawNum>令和七年条例第三号</LawNum><LawBody>
<LawTitle Kana="みほん" Abbrev="見本"><Ruby>硯<Rt>すずり</Rt></Ruby>条例</LawTitle>
<EnactStatement>議会の議決を経て、この条例を公布する。</EnactStatement>
<TOC><TOCLabel>目次</TOCLabel><TOCChapter><ChapterTitle>第一章　総則</ChapterTitle><ArticleRange>（第一条）</ArticleRange></TOCChapter></TOC>
<Preamble><Paragraph Num="1"><ParagraphNum/><ParagraphSentence><Sentence>ここに前文を置く。</Sentence></ParagraphSentence></Paragraph></Preamble>
<MainProvision>
<Part Num="1"><PartTitle>第一編　<Ruby>墨<Rt>すみ</Rt></Ruby></PartTitle><Chapter Num="1"><ChapterTitle>第一章　総則</ChapterTitle>
<Section Num="1"><SectionTitle>第一節</SectionTitle><Subsection Num="1"><SubsectionTitle>第一款</SubsectionTitle>
<Division Num="1"><DivisionTitle>第一目　<Ruby>筆<Rt>ふで</Rt></Ruby></DivisionTitle>
<Article Num="1"><ArticleCaption>（定義）</ArticleCaption><ArticleTitle>第一条</ArticleTitle>
<Paragraph Num="1"><ParagraphNum/><ParagraphSentence><Sentence Function="main">墨は、次による。</Sentence><Sentence Function="proviso">ただし、<Line>朱墨</Line>を除く。</Sentence></ParagraphSentence>
<Item Num="1"><ItemTitle>一</ItemTitle><ItemSentence><Column Num="1"><Sentence>油煙墨</Sentence></Column><Column Num="2"><Sentence>油の煤</Sentence><Sentence>による。</Sentence></Column></ItemSentence>
<Subitem1 Num="1"><Subitem1Title>イ</Subitem1Title><Subitem1Sentence><Sentence>菜種</Sentence></Subitem1Sentence>
<Subitem2 Num="1"><Subitem2Title>（１）</Subitem2Title><Subitem2Sentence><Sentence>寒地<Sup>2</Sup>産</Sentence></Subitem2Sentence></Subitem2></Subitem1>
<TableStruct><Table><TableRow><TableColumn><Sentence>号中の表</Sentence></TableColumn></TableRow></Table></TableStruct></Item>
<List><ListSentence><Sentence>列記一</Sentence></ListSentence><Sublist1><Sublist1Sentence><Sentence>列記二</Sentence></Sublist1Sentence></Sublist1></List>
</Paragraph>
<Paragraph Num="2"><ParagraphCaption>（見出し）</ParagraphCaption><ParagraphNum>２</ParagraphNum><ParagraphSentence><Sentence>算式は<ArithFormula Num="1">Ａ×Ｂ</ArithFormula>とする。</Sentence></ParagraphSentence>
<Class Num="1"><ClassTitle>第一類</ClassTitle><ClassSentence><Sentence>硯</Sentence></ClassSentence></Class>
<FigStruct><FigStructTitle>図</FigStructTitle><Fig src="a.jpg"/></FigStruct></Paragraph></Article>
<Article Num="2" Delete="true"><ArticleTitle>第二条</ArticleTitle><Paragraph Num="1"><ParagraphNum/><ParagraphSentence><Sentence>削除</Sentence></ParagraphSentence></Paragraph></Article>
<Article Num="3"><ArticleTitle>第三条</ArticleTitle><Paragraph Num="1"><ParagraphNum/><ParagraphSentence><Sentence>墨条例を次のように改正する。</Sentence></ParagraphSentence>
<AmendProvision><AmendProvisionSentence><Sentence>第五条を次のように改める。</Sentence></AmendProvisionSentence><NewProvision>
<Article Num="5"><ArticleTitle>第五条</ArticleTitle><Paragraph Num="1"><ParagraphNum/><ParagraphSentence><Sentence>新しい規定<QuoteStruct>「引用」</QuoteStruct></Sentence></ParagraphSentence></Paragraph></Article>
</NewProvision></AmendProvision></Paragraph><SupplNote>（罰則）</SupplNote></Article>
</Division></Subsection></Section></Chapter></Part></MainProvision>
<SupplProvision><SupplProvisionLabel>附　則</SupplProvisionLabel><Article Num="1"><ArticleCaption>（施行期日）</ArticleCaption><ArticleTitle>第一条</ArticleTitle><Paragraph Num="1"><ParagraphNum/><ParagraphSentence><Sentence>公布の日から施行する。</Sentence></ParagraphSentence></Paragraph></Article>
<SupplProvisionAppdxTable><SupplProvisionAppdxTableTitle>附則別表</SupplProvisionAppdxTableTitle><TableStruct><Table><TableRow><TableColumn/><TableColumn><Sentence>乙</Sentence></TableColumn></TableRow></Table></TableStruct></SupplProvisionAppdxTable></SupplProvision>
<SupplProvision AmendLawNum="令和八年条例第九号" Extract="true"><SupplProvisionLabel>附　則</SupplProvisionLabel><Paragraph Num="1"><ParagraphNum>１</ParagraphNum><ParagraphSentence><Sentence>改正附則である。</Sentence></ParagraphSentence></Paragraph></SupplProvision>
<AppdxTable Num="1"><AppdxTableTitle>別表第一</AppdxTableTitle><RelatedArticleNum>（第一条関係）</RelatedArticleNum>
<TableStruct><TableStructTitle>墨の表</TableStructTitle><Table><TableHeaderRow><TableHeaderColumn>種別</TableHeaderColumn><TableHeaderColumn>料</TableHeaderColumn></TableHeaderRow>
<TableRow><TableColumn rowspan="2"><Sentence>油煙</Sentence></TableColumn><TableColumn><Item Num="1"><ItemTitle>一</ItemTitle><ItemSentence><Sentence>百円</Sentence></ItemSentence></Item><Item Num="2"><ItemTitle>二</ItemTitle><ItemSentence><Sentence>二百円</Sentence></ItemSentence></Item></TableColumn></TableRow></Table>
<Remarks><RemarksLabel>備考</RemarksLabel><Sentence>税を含む。</Sentence></Remarks></TableStruct></AppdxTable>
<AppdxStyle Num="1"><AppdxStyleTitle>様式第一号</AppdxStyleTitle><StyleStruct><Style><Fig src="b.pdf"/></Style></StyleStruct></AppdxStyle>
<Appdx><ArithFormulaNum>付録</ArithFormulaNum><ArithFormula>Ｃ÷Ｄ</ArithFormula></Appdx>
<NewElement><Deeper>知らない要素も残す</Deeper></NewElement>
</LawBody></Law>"""  # noqa: E501

LINES = """硯条例
議会の議決を経て、この条例を公布する。
ここに前文を置く。
第一編　墨
第一章　総則
第一節
第一款
第一目　筆
（定義）
第一条　墨は、次による。ただし、朱墨を除く。
一　油煙墨　油の煤による。
イ　菜種
（１）　寒地2産
号中の表
列記一
列記二
（見出し）
２　算式はＡ×Ｂとする。
第一類　硯
図
第二条　削除
第三条　墨条例を次のように改正する。
第五条を次のように改める。
第五条　新しい規定「引用」
（罰則）
附　則
（施行期日）
第一条　公布の日から施行する。
附則別表
\t乙
附　則　（令和八年条例第九号）　抄
１　改正附則である。
別表第一
（第一条関係）
墨の表
種別\t料
油煙\t一　百円 二　二百円
備考
税を含む。
様式第一号
付録
Ｃ÷Ｄ
知らない要素も残す"""


def test_every_part_of_the_schema_in_its_place(read_file: Read) -> None:
    found = _document(read_file("law_xml", "a.xml", WHOLE.encode()))
    assert found.text == LINES
    assert (found.title, found.date, found.lang) == ("硯条例", "2025-04-01", "ja")
    assert found.meta == {
        "law_num": "令和七年条例第三号", "law_type": "PrefecturalOrdinance", "promulgated": "2025-04-01",
    }  # fmt: skip


def test_amending_provisions_by_switch(read_file: Read) -> None:
    text = _document(read_file("law_xml", "a.xml", WHOLE.encode(), amending_provisions=False)).text
    assert "改正附則" not in text
    assert "公布の日から施行する。" in text


def _tree(element: etree._Element) -> dict[str, Any]:
    """A law as API version 2 writes it in JSON."""
    children: list[Any] = [element.text] if element.text else []
    for child in element:
        children.append(_tree(child))
        children += [child.tail] if child.tail else []
    return {"tag": element.tag, "attr": dict(element.attrib), "children": children}


FACTS = {"law_info": {"law_id": "407OR0000000003"}, "revision_info": {"law_revision_id": "407OR0000000003_20250401_0"}}


@pytest.mark.parametrize("full", [_tree(etree.fromstring(WHOLE)), base64.b64encode(WHOLE.encode()).decode()])
def test_json_answers_of_the_api_give_the_same_law(read_file: Read, full: Any) -> None:
    answer = json.dumps(FACTS | {"law_full_text": full}, ensure_ascii=False)
    found = _document(read_file("law_xml", "a.json", answer.encode()))
    assert found.text == LINES
    assert found.url == "https://laws.e-gov.go.jp/law/407OR0000000003"
    assert found.meta["law_revision_id"] == "407OR0000000003_20250401_0"


def test_xml_answers_of_the_api_name_the_law(read_file: Read) -> None:
    answer = (
        "<law_data_response><attached_files_info/><law_info><law_id>407OR0000000003</law_id></law_info><law_full_text>"
        f"{WHOLE}</law_full_text></law_data_response>"
    )
    found = _document(read_file("law_xml", "a.xml", answer.encode()))
    assert (found.text, found.meta["law_id"]) == (LINES, "407OR0000000003")


def test_the_bulk_zip_is_read(read_file: Read) -> None:
    name = "407OR0000000003_20250401_000000000000000"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("all_law_list.csv", "法令種別,法令番号\n")
        archive.writestr(f"{name}/{name}.xml", WHOLE)
        archive.writestr(f"{name}/pict/H01F001.jpg", b"\xff\xd8")
        archive.writestr("../../broken.xml", "<Law>")
    found = read_file("law_xml", "all_xml.zip", packed.getvalue())
    assert [type(item).__name__ for item in found] == ["Document", "Quarantined"]
    assert isinstance(found[0], Document)
    assert (found[0].meta["law_id"], found[0].meta["law_revision_id"]) == ("407OR0000000003", name)


@pytest.mark.parametrize(
    "data",
    [
        b"{}", b"{", b'{"law_full_text": "!!"}', b'{"law_full_text": {"tag": "Law", "children": 3}}',
        b'{"law_full_text": {"tag": "a b"}}', b'{"law_full_text": {"tag": "Law", "attr": [1]}}',
        b'{"law_full_text": {"tag": "Law", "attr": {"Year": "99999999999", "Era": "Reiwa"}, "children": ["\\ud800"]}}',
        b'{"law_full_text": ' + b'{"tag": "Law", "children": [' * 300 + b"]}" * 300 + b"}",
        b"<Law>" + b"<a>" * 10_000, b"<Law>" + b"<Item>" * 240 + b"</Item>" * 240 + b"</Law>",
        b"<Law><!-- c --><?p i?><LawBody>&#x10;</LawBody></Law>",
        b"<Law Year='x' Era='Reiwa'><LawBody><LawTitle/></LawBody></Law>",
    ],
)  # fmt: skip
def test_odd_laws_do_no_harm(read_file: Read, data: bytes) -> None:
    for found in read_file("law_xml", "a.xml", data):
        if isinstance(found, Document):
            found.text.encode()


def test_the_aviation_act_is_read(shared_data: Path, make_source: Callable[..., Any]) -> None:
    (path,) = sorted((shared_data / "raw" / "law-xml").glob("*.xml.gz"))
    found = _document(list(make_source("law_xml").documents(Piece(str(path), path.name, 0))))
    assert (found.title, found.meta["law_num"]) == ("航空法", "昭和二十七年法律第二百三十一号")
    lines = found.text.split("\n")
    assert any(line.startswith("第一条　この法律は、") for line in lines)
    assert "<" not in found.text
    assert (found.date, found.meta["law_id"]) == ("1952-07-15", "327AC0000000231")
    root = etree.fromstring(gzip.decompress(path.read_bytes()))
    for gone in [*root.iter("Rt"), *root.iter("TOC")]:
        for child in list(gone):
            gone.remove(child)
        gone.text = None
    body = root.find("LawBody")
    assert body is not None
    every = Counter("".join("".join(map(str, body.itertext())).split()))
    assert not every - Counter(found.text)  # not one character of the law is lost
    numbers = "".join(str(provision.get("AmendLawNum") or "") for provision in root.iter("SupplProvision"))
    assert not Counter("".join(found.text.split())) - every - Counter(numbers + "（）抄" * 99)

"""Wikitext to plain text, beside mwparserfromhell and at any depth; dumps of pages, and XML that means harm."""

import bz2
import html
import io
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined, to_batch
from jpfm.data.sources import mediawiki
from jpfm.data.sources.archive import Member
from jpfm.data.sources.base import Piece
from jpfm.data.sources.wikitext import plain
from jpfm.data.sources.wikitext_lines import without_empty_brackets
from jpfm.data.sources.wikitext_templates import template

Read = Callable[..., list[Document | Quarantined]]

MARKUP = {
    "'''硯'''は''文房具''、'''''重い'''''。": "硯は文房具、重い。",
    "[[硯]]と[[硯石|石]]と[[:Category:硯|分類]]": "硯と石と分類",
    "前[[ファイル:Suzuri.jpg|thumb|[[硯]]の図<ref>図の[[出典]]</ref>|alt=[[a]]]]後": "前後",
    "[[画像:a.png]][[File:b.png|右]][[メディア:c.ogg]][[カテゴリ:硯]][[Category:硯|*]]残": "残",
    "[[en:Inkstone]][[zh-min-nan:Hī]][[Re:はじめ]]と[[GTO:再]]": "Re:はじめとGTO:再",
    "[https://example.com/a_b?c=1 公式サイト] と [https://example.com/] と https://example.com/x": "公式サイト と  と https://example.com/x",
    "[//example.com 相対] [注1]": "相対 [注1]",
    "{{Infobox\n|名={{lang|en|A|B}}\n|図=[[File:x.png]]\n}}本文": "本文",
    "{{lang|zh|端渓}}、{{lang-en|inkstone}}、{{ルビ|硯|すずり}}、{{Nowrap|改行なし}}": "端渓、inkstone、硯、改行なし",
    "{{読み仮名|'''硯'''|すずり}}は{{仮リンク|端渓硯|zh|端溪砚|label=端渓の硯}}": "硯（すずり）は端渓の硯",
    "{{仮リンク|歙州硯|zh|歙砚}}{{要出典|date=2020年1月}}{{Sfn|山田|2001}}": "歙州硯",
    "{{要出典範囲|最古とされる|date=2021年}}。{{formatnum:12345}}個": "最古とされる。12345個",
    "約{{convert|12|cm|in}}、{{convert|3|-|5|kg|lb}}、{{val|1.5|e=3|u=m}}": "約12 cm、3-5 kg、1.5×103 m",
    "A{{!}}B{{=}}C{{・}}D{{{引数|既定}}}E": "A|B=C・D既定E",
    "硯（、{{読めない|x}}）と（{{lang-en|ink}}、）と（）と( )": "硯と（ink）とと",
    "一行<br />二行<BR>三行&nbsp;四&amp;五&lt;ref&gt;": "一行\n二行\n三行 四&五<ref>",
    "出典<ref name=\"a\">『本』</ref><ref name=a /><ref\n group='注'>x\ny</ref>後": "出典後",
    "式 <math>\\frac{1}{2} < x</math>": "式 $\\frac{1}{2} < x$",
    "<nowiki>[[そのまま]] ''と'' {{}}</nowiki>": "[[そのまま]] ''と'' {{}}",
    "前<!-- 隠し {{ [[ -->後<!-- 終わらない": "前後",
    "<ruby>硯<rp>（</rp><rt>すずり</rt><rp>）</rp></ruby>H<sub>2</sub>O<small>小</small>": "硯H2O小",
    "* 一\n** 二\n# 三\n; 用語 : 説明\n: 字下げ\n----\n終": "一\n二\n三\n用語\n説明\n字下げ\n\n終",
    "__NOTOC__ 本文 __目次強制__\n~~~~\n末": "本文\n\n末",
    "<gallery>\nFile:a.jpg|説明\n</gallery>残<timeline>x</timeline>": "残",
    "閉じない [[硯 と {{テンプレ と '''強調": "閉じない 硯 と テンプレ と 強調",
    "余り }} と ]] と |} と | と ||": "余り  と ]] と |} と | と ||",
    "<syntaxhighlight lang=\"c\">\nint a[2]; // '''x'''\n</syntaxhighlight>": "```\nint a[2]; // '''x'''\n```",
    "本文\n\n\n\n\n次": "本文\n\n次",
    "": "",
}  # fmt: skip


@pytest.mark.parametrize(("markup", "text"), MARKUP.items())
def test_markup_becomes_text(markup: str, text: str) -> None:
    assert plain(markup) == text


PAGE = """'''硯'''は文房具である。

== 歴史 ==
漢代に始まる。

=== 日本 ===
奈良時代に伝わる。

== 脚注 ==
{{脚注ヘルプ}}
=== 注釈 ===
消える注釈
== 産地 ==
=== 空の節 ===
{{節スタブ}}
=== 雄勝 ===
石巻市にある。
== 出典・参考文献 ==
消える本
== 関連項目 ==
* [[墨]]
"""


def test_sections_are_left_out_and_what_follows_them_stays() -> None:
    text = plain(PAGE, drop_sections=mediawiki.SECTIONS)
    assert text == (
        "硯は文房具である。\n\n歴史\n\n漢代に始まる。\n\n日本\n\n奈良時代に伝わる。\n\n産地\n\n雄勝\n\n石巻市にある。"
    )
    assert "消える注釈" in plain(PAGE)
    assert plain("== 見出し ==\n本文\n==== 深い ====\n下\n= 大 =\n", drop_sections=("見出し",)) == ""
    assert plain("==壊れ=\n本文\n==\n== ==") == "壊れ\n\n本文\n==\n== =="


TABLES = {
    "{| class=wikitable\n|+ 産地\n! 名 !! 県\n|-\n| 雄勝 || style=\"color:red\" | [[宮城県|宮城]]\n|}":
        "産地\n名\t県\n雄勝\t宮城",
    "{|\n|-\n! scope=row | 一\n| 二\n三\n|-\n|\n| 四\n|}": "一\t二 三\n\t四",
    "{|\n| 外\n{|\n| 内1 || 内2\n|}\n| 次\n|}": "外 内1 内2\t次",
    "{|\n| 式 || a ! b !! c\n! 見出し !! 二\n|}": "式\ta ! b !! c\t見出し\t二",
    "{|\n| {{lang|en|a|b}} || [[x|y]]\n|}後": "a\ty\n後",
    "{|\n| 閉じない表\n\n本文": "閉じない表 本文",
    "{|\n| [[閉じない\n|-\n| 次\n|}": "閉じない\n次",
}  # fmt: skip


@pytest.mark.parametrize(("markup", "text"), TABLES.items())
def test_tables_are_lines_of_cells(markup: str, text: str) -> None:
    assert plain(markup) == text.strip("\n ")


def test_tables_formulas_and_templates_by_switch() -> None:
    assert plain("前\n{|\n| 表\n|}\n後<math>x</math>", tables=False, math=False) == "前\n\n後"
    assert plain("{{社内用語|硯|説明}}", keep_templates={"社内用語": 1}) == "硯"
    assert template(["ＬＡＮＧ", "x"], {}) == ""


# pages without templates and tables, of which mwparserfromhell makes text as well
ORACLE = (
    "'''硯'''（すずり）は、[[墨]]を[[水]]で磨り卸すために使う[[文房具|道具]]である。",
    "== 歴史 ==\n[[漢]]代には''円面硯''があった<ref>『硯の本』</ref>。\n\n"
    "=== 日本 ===\n[[奈良時代]]に[[遣唐使|唐]]から伝わる。",
    "* [[端渓硯]]\n* [[歙州硯]]\n*# 細目\n: 字下げ\n; 見出し語",
    "[https://example.com/ 硯の館]と[[:en:Inkstone|英語版]]、&amp;と&#30543;。<!-- 註 -->",
    "<div style='x'>囲み<span class=\"y\">中</span></div>と<small>小</small>と<u>線</u>",
    "'''''強い'''''と''弱い''、[[a b]]と[[A_b#節|節]]。",
)


def _words(text: str) -> str:
    return re.sub(r"[\s*#:;]", "", text)


@pytest.mark.parametrize("page", ORACLE)
def test_same_words_as_mwparserfromhell(page: str) -> None:
    import mwparserfromhell

    code = mwparserfromhell.parse(page)
    for tag in code.filter_tags(matches=lambda node: str(node.tag) == "ref"):
        code.remove(tag)
    assert _words(plain(page)) == _words(html.unescape(code.strip_code(normalize=True, collapse=True)))


NESTS = (
    "{{", "[[", "\n{|", "{{lang|en|", "[[a|", "{{a|[[", "<ref>", "<!--", "[http://a b", "\n{|\n|", "<", "（", "{{{",
    "'''[[a|", "\n==a==\n[[", "<math>", "{{a\n|}", "\n|-", "[[a\n=\n", "{{convert|1|-|", "（、 ", "&#",
    "\n{|\n|a[[b\n|}", "\n{|\n|a=b=", "~~~", "__A",
)  # fmt: skip


@pytest.mark.parametrize("nest", NESTS)
def test_twenty_thousand_levels_come_to_an_end(nest: str) -> None:
    """With work that grows as the square this would take minutes; as the length it takes a moment."""
    deep = nest * 20_000 + "中" + "}}" * 20_000 + "]]" * 20_000 + "\n|}" * 20_000
    assert len(plain(deep)) < 2 * len(deep)


def test_ten_thousand_levels_keep_the_text_around_them() -> None:
    deep = "{{" * 10_000 + "中" + "}}" * 10_000
    assert plain(f"前{deep}後") == "前後"
    assert plain("前" + "[[" * 10_000 + "中") == "前中"
    assert plain("前" + "{{lang|ja|" * 50 + "中" + "}}" * 50 + "後") == "前中後"


@given(
    st.lists(
        st.sampled_from([*NESTS, "}}", "]]", "|}", "|", "=", "]", "\n", "\0", "字", "</ref>", "-->", "1", "&nbsp;"])
    )
)
def test_any_mixture_gives_text(parts: list[str]) -> None:
    text = plain("".join(parts), drop_sections=("a",))
    text.encode()
    assert "\0" not in text
    assert plain(text).count("字") <= text.count("字") <= "".join(parts).count("字")


BRACKETS = {
    "硯（すずり）": "硯（すずり）",
    "硯（ 、；）は": "硯は",
    "（、a、b、）": "（a、b）",
    "(ink)()": "(ink)",
    "（（））": "（）",
}


@pytest.mark.parametrize(("text", "tidy"), BRACKETS.items())
def test_brackets_left_empty_go(text: str, tidy: str) -> None:
    assert without_empty_brackets(text) == tidy


# --- dumps ----------------------------------------------------------------------------------------------------------


def _page(title: str, text: str, number: int = 1, ns: int = 0, extra: str = "") -> str:
    return (
        f"<page><title>{html.escape(title)}</title><ns>{ns}</ns><id>{number}</id>{extra}<revision><id>{number}00</id>"
        f"<parentid>9</parentid><timestamp>2024-05-01T01:02:03Z</timestamp><contributor><username>u</username><id>7</id>"
        f"</contributor><model>wikitext</model><format>text/x-wiki</format>"
        f'<text bytes="9" xml:space="preserve">{html.escape(text)}</text><sha1>x</sha1></revision></page>'
    )


HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="ja"><siteinfo>'
    "<sitename>Wikipedia</sitename><dbname>jawiki</dbname><base>https://ja.wikipedia.org/wiki/%E3%83%A1</base>"
    '<namespaces><namespace key="0" /></namespaces></siteinfo>'
)


def _dump(*pages: str) -> bytes:
    return (HEAD + "".join(pages) + "</mediawiki>").encode()


def _multistream(*pages: str) -> bytes:
    """As Wikimedia packs them: head, groups of pages and tail, each a bz2 stream of its own."""
    return b"".join(bz2.compress(part.encode()) for part in (HEAD, *pages, "</mediawiki>"))


def test_a_multistream_dump_gives_its_articles(read_file: Read) -> None:
    data = _multistream(
        _page("硯 (文房具)", "'''硯'''は[[墨|すみ]]を磨る。"), _page("ノート:硯", "話す", 2, ns=1),
        _page("すずり", "#転送 [[硯]]", 3, extra='<redirect title="硯" />'), _page("墨", "'''墨'''である。", 4),
    )  # fmt: skip
    found = read_file("mediawiki", "jawiki-pages-articles-multistream.xml.bz2", data)
    assert [(doc.title, doc.text) for doc in found if isinstance(doc, Document)] == [
        ("硯 (文房具)", "硯はすみを磨る。"), ("墨", "墨である。"),
    ]  # fmt: skip
    first = found[0]
    assert isinstance(first, Document)
    assert first.id == "s/jawiki-pages-articles-multistream.xml#1"
    assert first.url == "https://ja.wikipedia.org/wiki/%E7%A1%AF_(%E6%96%87%E6%88%BF%E5%85%B7)"
    assert (first.date, first.lang) == ("2024-05-01T01:02:03Z", "ja")
    assert first.meta == {"page_id": "1", "revision_id": "100", "site": "jawiki"}
    again = read_file("mediawiki", "a.xml", bz2.decompress(data), namespaces=(0, 1), redirects=True)
    assert [doc.title for doc in again if isinstance(doc, Document)] == ["硯 (文房具)", "ノート:硯", "すずり", "墨"]


def test_of_several_revisions_the_last_is_read(read_file: Read) -> None:
    page = _page("硯", "新しい").replace("<revision>", "<revision><id>1</id><text>古い</text></revision><revision>", 1)
    (found,) = read_file("mediawiki", "a.xml", _dump(page))
    assert isinstance(found, Document)
    assert (found.text, found.meta["revision_id"]) == ("新しい", "100")


def test_what_is_no_wikitext_is_quarantined(read_file: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mediawiki, "MAX_PAGE_CHARS", 1000)
    code = _page("設定", "{}", 2).replace("<model>wikitext", "<model>json")
    stub = re.sub(r"<text.*?</text>", '<text bytes="0" deleted="deleted" />', _page("消された", "", 3))
    found = read_file("mediawiki", "a.xml", _dump(_page("長い", "字" * 2000), code, stub, _page("硯", "本文", 4)))
    assert [(bad.error, bad.id[-2:]) for bad in found if isinstance(bad, Quarantined)] == [
        ("too_large", "#1"), ("format", "#2"), ("format", "#3"),
    ]  # fmt: skip
    assert isinstance(found[-1], Document)
    assert found[-1].text == "本文"


def test_a_cut_dump_gives_the_pages_before(read_file: Read) -> None:
    whole = _dump(*(_page(f"第{n}頁", "本文。" * 50, n) for n in range(1, 400)))
    found = read_file("mediawiki", "a.xml", whole[: len(whole) // 2])
    assert len(found) > 150
    assert all(isinstance(doc, Document) for doc in found[:-1])
    assert isinstance(found[-1], Quarantined)
    assert "not well-formed" in found[-1].detail
    packed = read_file("mediawiki", "a.xml.bz2", bz2.compress(whole)[:-400])
    assert isinstance(packed[-1], Quarantined)
    assert packed[-1].error == "archive"


LAUGHS = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "not well-formed"),
        (b"\x00\x01\x02", "not well-formed"),
        (b"<html/>", "no <mediawiki>"),
        (f'<!DOCTYPE m [<!ENTITY a "ha">{LAUGHS}]><mediawiki><page>&j;</page></mediawiki>'.encode(), "DOCTYPE"),
        (b'<!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/passwd">]><mediawiki>&x;</mediawiki>', "DOCTYPE"),
        (b'<!DOCTYPE m SYSTEM "http://127.0.0.1:9/x.dtd"><mediawiki/>', "DOCTYPE"),
        (b"<mediawiki>" + b"<a>" * 10_000, "nested more than"),
        (b"<mediawiki>" + b"<page/>" * 3 + b"&undefined;", "not well-formed"),
        (b"<mediawiki a='" + b"x" * (9 << 20), "a tag of more than"),
        (b'<?xml version="1.0" encoding="utf-7"?><mediawiki/>', "not well-formed"),
        (b'<?xml version="1.0" encoding="hex"?><mediawiki/>', "not well-formed"),
    ],
)  # fmt: skip
def test_harmful_xml_is_refused(read_file: Read, data: bytes, what: str) -> None:
    found = read_file("mediawiki", "a.xml", data)
    assert isinstance(found[-1], Quarantined)
    assert what in found[-1].detail


@given(st.binary(max_size=300), st.integers(0, 400))
def test_any_bytes_are_told_apart(make_source: Callable[..., Any], noise: bytes, place: int) -> None:
    data = _dump(_page("硯", "{{a|[[b]]}}'''本文'''"))
    source = make_source("mediawiki")
    try:
        found = list(source.read(Member("a.xml", io.BytesIO(data[:place] + noise + data[place:])), "s/a.xml"))
    except DataError:
        return
    to_batch([doc for doc in found if isinstance(doc, Document)], "s", "CC0-1.0")


def test_memory_does_not_grow_with_the_dump(make_source: Callable[..., Any], tmp_path: Path) -> None:
    def peak(pages: int) -> int:
        path = tmp_path / f"{pages}.xml.bz2"
        path.write_bytes(_multistream(*(_page(f"頁{n}", "本文である。" * 1500, n) for n in range(pages))))
        source = make_source("mediawiki")
        tracemalloc.start()
        count = sum(isinstance(doc, Document) for doc in source.documents(Piece(str(path), path.name, 0)))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == pages
        return most

    assert peak(400) < 1.2 * peak(100)

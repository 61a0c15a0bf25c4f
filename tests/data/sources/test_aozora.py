"""Aozora Bunko: marks become text, header and colophon become facts, and all 490 real works are read whole."""

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.found import document as _document
from tests.data.found import quarantined as _bad

from jpfm.data.document import Document, Quarantined
from jpfm.data.sources.aozora_marks import accented, clean, gaiji
from jpfm.data.sources.archive import members
from jpfm.data.sources.base import Piece

Read = Callable[..., list[Document | Quarantined]]


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


NOTES = {
    "百戦無［＃レ］効と倭人在［＃二］帶方［＃一］、出雲［＃（ノ）］神": "百戦無効と倭人在帶方、出雲神",
    "平田［＃割り注］東助［＃割り注終わり］氏": "平田（東助）氏",
    "一頁\n［＃改ページ］\n［＃ここから２字下げ］\n二頁\n［＃ここで字下げ終わり］\n三": "一頁\n二頁\n三",
    "一頁\n\n［＃改丁］\n\n\n\n二頁": "一頁\n\n二頁",
    "昭和十年［＃地から２字上げ］著者\n［＃地付き］（終）": "昭和十年　著者\n（終）",
    "水［＃「水」は底本では「氷」］と［＃「※［＃「木＋某」、12-3］と」に傍点］雪": "水と雪",
    "※［＃「てへん＋（「※［＃「木＋某」］」のつくり）」、第3水準1-84-77］": "挘",
    "［＃「図［１］の［説明］」のキャプション付きの図（fig1_01.png、横10×縦20）入る］図": "図",
    "※［＃始め二重括弧、1-1-52］夢※［＃終わり二重括弧、1-1-53］を《ゆめ》": "《夢》を",
    "いろ／＼、しみ／″＼と": "いろ〳〵、しみ〴〵と",
    "〔Bohe`me〕と〔l'e'te'〕と〔欄外に〕": "Bohèmeとl'étéと〔欄外に〕",
    "【＃ここより３字下げ】古い注記": "古い注記",
    "※［＃半濁点付き平仮名か、1-4-87］、※［＃半濁点付き片仮名ト、1-5-94］": "か゚、ト゚",
    "閉じない［＃注記と《るび": "閉じない［＃注記と《るび",
    "伏せ字の〓〓と※［＃「木＋某」］": "伏せ字の〓〓と〓",
}


@pytest.mark.parametrize(("marked", "plain"), NOTES.items())
def test_notes_of_every_kind(marked: str, plain: str) -> None:
    assert clean(marked)[0] == plain


def test_only_gaiji_without_a_character_are_counted() -> None:
    assert clean("伏せ字の〓〓と※［＃「木＋某」］［＃「※［＃「木＋某」］」に傍点］") == ("伏せ字の〓〓と〓", 1)


def test_kept_ruby_has_its_gaiji_too() -> None:
    assert clean("珈琲《※［＃濁点付き片仮名ワ、1-7-82］》", keep_ruby=True)[0] == "珈琲（ヷ）"


ACCENTS = {
    "Franc,ais": "Français", "Mu:nchen": "München", "A&rhus": "Århus", "Stra s&e": "Stra ße", "oe&uvre": "œuvre",
    "n~andu'": "ñandú", "L/o'dz'": "Łódź", "To_kyo_to": "Tōkyōto", "C'est l'homme": "C'est l'homme", "?@Que'": "¿Qué",
    "http://example": "http://example", "Hg, Ag: x/y": "Hg, Ag: x/y",
}  # fmt: skip


@pytest.mark.parametrize(("typed", "word"), ACCENTS.items())
def test_accents_typed_in_ascii(typed: str, word: str) -> None:
    assert accented(typed) == word


def test_accents_by_switch(read_file: Read) -> None:
    work = "題\n著者\n\n〔cafe'〕で会う。\n\n底本：「本」\n".encode("cp932")
    assert _document(read_file("aozora", "a.txt", work)).text == "caféで会う。"
    assert _document(read_file("aozora", "a.txt", work, accents=False)).text == "〔cafe'〕で会う。"


COLOPHON = """底本：「浮玉選集　上」架空書房
　　　1983（昭和58）年5月30日初版発行
　　　1990（平成2）年6月1日第4刷
底本の親本：「浮玉全集　第一巻」架空社
　　　1930（昭和5）年2月
初出：「浜」
　　　1925（大正14）年3月号
※「浜」と「濱」の混在は、底本通りです。
入力：久慈峰子
校正：倉科朔
2003年5月26日作成
2011年2月7日修正
青空文庫作成ファイル：
このファイルは、インターネットの図書館、青空文庫（http://www.aozora.gr.jp/）で作られました。
"""


def test_the_whole_colophon_is_kept_as_facts(read_file: Read) -> None:
    found = _document(
        read_file("aozora", "a.txt", f"題\n副題\n著者\n架空太郎訳\n\n本文。\n\n{COLOPHON}".encode("cp932"))
    )
    assert (found.text, found.date) == ("本文。", "1925-03")
    assert found.meta == {
        "author": "著者", "translator": "架空太郎訳", "subtitle": "副題", "gaiji_missing": 0,
        "source_book": "「浮玉選集　上」架空書房",
        "source_book_edition": "1983（昭和58）年5月30日初版発行\n1990（平成2）年6月1日第4刷",
        "parent_book": "「浮玉全集　第一巻」架空社", "parent_book_edition": "1930（昭和5）年2月",
        "first_published": "「浜」\n1925（大正14）年3月号", "notes": "※「浜」と「濱」の混在は、底本通りです。",
        "typed_by": "久慈峰子", "proofread_by": "倉科朔", "published": "2003-05-26", "revised": "2011-02-07",
    }  # fmt: skip


FOOTERS = {
    "親本：「本」社\n入力：久慈\n": "「本」社",
    "入力：久慈\n校正：倉科\n2003年5月26日作成\n": None,
    "この作品は青空文庫で公開されています。\n": None,
    "底本：「甲」社\n　　　1983（昭和58）年1月\n底本：「乙」社\n　　　1984（昭和59）年1月\n入力：久慈\n": None,
    "　底本:「甲」社\n": None,
    "": None,
}


@pytest.mark.parametrize(("footer", "parent"), FOOTERS.items())
def test_footers_of_other_forms_are_cut(read_file: Read, footer: str, parent: str | None) -> None:
    body = "　入力：という語は本文にもある。\n" + "　長い本文である。\n" * 300 + "　終わりの行。"
    found = _document(read_file("aozora", "a.txt", f"題\n著者\n\n{body}\n\n{footer}".encode("cp932")))
    assert found.text == body
    assert found.meta.get("parent_book") == parent


def test_authors_and_books_are_columns(read_file: Read) -> None:
    from jpfm.data.document import to_batch
    from jpfm.data.sources.aozora import AozoraSource

    found = _document(read_file("aozora", "work.txt", WORK.encode("cp932")))
    batch = to_batch([found], "s", "CC0-1.0", AozoraSource.columns)
    assert batch.column("author").to_pylist() == ["槙尾灯子"]
    assert batch.column("proofread_by").to_pylist() == ["倉科朔"]


PARTS = (
    "《",
    "》",
    "｜",
    "［",
    "］",
    "［＃",
    "※［＃",
    "〔",
    "〕",
    "／＼",
    "\n",
    "字",
    "e'",
    "、1-7-82",
    "【＃",
    "】",
    "割り注",
    "地付き",
)


@given(st.lists(st.sampled_from(PARTS), max_size=60), st.booleans())
def test_any_mixture_of_marks_loses_no_text_outside_them(parts: list[str], keep: bool) -> None:
    text, missing = clean("".join(parts), keep_ruby=keep)
    assert missing == text.count("〓")
    assert not re.search(r"［＃[^［］\n]*］", text)
    lone = "".join(parts)
    if not re.search("[《［〔【]", lone):
        assert text.count("字") == lone.count("字")


@pytest.mark.parametrize("nest", ["［＃", "《", "〔e'", "［", "※［＃［", "［＃［］", "\n［＃］", "／″＼", "【＃"])
def test_long_runs_of_marks_come_to_an_end(nest: str) -> None:
    clean(nest * 100_000)


MARKED = re.compile("[《》｜［］※〔〕／＼【】]")
LETTERS = re.compile("[ぁ-ゖァ-ヺー々〇㐀-鿿豈-龎]")


def _without_marks(body: str) -> tuple[str, int]:
    """The body without ruby and notes by another way, inside out, and how many gaiji notes it held."""
    body, gaiji_notes = re.sub("【＃(.*?)】", r"［＃\1］", re.sub("《.*?》", "", body)), 0
    while re.search("［＃[^［］]*］", body):
        body, count = re.subn("※［＃[^［］]*］", "", body)
        gaiji_notes += count
        body = re.sub("［＃[^［］]*］", "", body)
    return body, gaiji_notes


FORMS = str.maketrans("～∥－￠￡￢", "〜‖−¢£¬")


def test_all_490_works_are_read_whole(shared_data: Path, make_source: Callable[..., Any]) -> None:
    """No mark, header or colophon is left, and every line that bears no mark stands in the text as it was."""
    folder = shared_data / "raw" / "aozora"
    index = {
        Path(row["source_path"]).name: row for row in csv.DictReader((folder / "index.csv").open(encoding="utf-8"))
    }
    paths = sorted([*folder.glob("*.tar.gz"), *folder.glob("plain/*.txt")])
    source = make_source("aozora")
    seen = chars = 0
    for path in paths:
        raw = {Path(member.name).name: member.read() for member in members(path, path.name)}
        for doc in source.documents(Piece(str(path), path.name, 0)):
            assert isinstance(doc, Document), doc
            name = doc.id.rpartition("/")[2]
            original = raw[name].decode("cp932").translate(FORMS).replace("\r\n", "\n")
            assert doc.encoding == "cp932"
            assert not re.search(
                "《|》|［＃|｜|／″?＼|底本[：:]|青空文庫|【＃|テキスト中に現れる|^-{20}", doc.text, re.MULTILINE
            ), doc.id
            assert doc.text.count("〓") == doc.meta["gaiji_missing"]
            assert all(doc.meta[key] for key in ("author", "source_book", "typed_by", "proofread_by"))
            rules = [found.end() for found in re.finditer(r"^-{20,}$", original, re.MULTILINE)]
            start = rules[1] if rules else original.index("\n\n")
            body = original[start : original.rindex("\n底本：")]
            lines = set(doc.text.split("\n"))
            for line in body.strip("\n").split("\n"):
                assert MARKED.search(line) or line in lines, (doc.id, line)
            assert int(index[name]["chars"]) == len(raw[name].decode("cp932"))  # with carriage returns
            bare, notes = _without_marks(body)
            assert 0 <= len(LETTERS.findall(doc.text)) - len(LETTERS.findall(bare)) <= notes, doc.id
            seen += 1
            chars += len(doc.text)
    assert (seen, len(index)) == (490, 490)
    assert 6_500_000 < chars < 8_000_000

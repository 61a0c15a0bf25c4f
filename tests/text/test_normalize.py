"""One written form for one character, and nothing that changes what a text says."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.text.normalize import normalize


def _one(text: str) -> str:
    return str(normalize(pa.array([text], pa.string()))[0].as_py())


TABLE = {
    "ｶﾞｿﾘﾝｽﾀﾝﾄﾞ": "ガソリンスタンド",
    "ﾊﾟｰﾃｨｰ｡｢ｳﾞｧｲｵﾘﾝ｣､ﾜﾝ･ﾂｰ": "パーティー。「ヴァイオリン」、ワン・ツー",
    "ｱﾞﾟ": "ア゛゜",
    "ＡＢＣｘｙｚ０１２３": "ABCxyz0123",
    "（株）！？％＆＝＋": "（株）！？％＆＝＋",
    "か\u3099き\u3099は\u309a": "がぎぱ",
    "e\u0301cole": "école",
    "９：００～１８：００": "9：00〜18：00",
    "03－1234－5678": "03−1234−5678",
    "①②Ⅲ㈱㎡㍻№℡…‥": "①②Ⅲ㈱㎡㍻№℡…‥",
    "髙橋と高橋、﨑と崎、𠮷と吉": "髙橋と高橋、﨑と崎、𠮷と吉",
    "ーー—―‐–": "ーー—―‐–",
    "一行目\r\n二行目\r三行目\u2028四行目\u2029五行目\u0085六行目": "一行目\n二行目\n三行目\n四行目\n五行目\n六行目",
    "行末の空白　 \t\n次": "行末の空白\n次",
    "　字下げは残る": "　字下げは残る",
    "一\n\n\n\n\n二": "一\n\n二",
    "一\n \n　\n\t\n二": "一\n\n二",
    "\n\n前後\n\n ": "前後",
    "幅\u200bゼロ\ufeffと\u2060制御\u202e\x07\x00文字\x7f\x9f": "幅ゼロと制御文字",
    "soft\u00adhyphen\u00a0と空白": "softhyphen と空白",
    "葛\U000e0100飾区": "葛\U000e0100飾区",
    "👨\u200d👩\u200d👧と👍🏽": "👨\u200d👩\u200d👧と👍🏽",
    "▁下線に似た記号": "_下線に似た記号",
    "タブ\tは残る  空白も": "タブ\tは残る  空白も",
    "": "",
    " \n　\n": "",
    "縦\x0bタブ\x0c改頁": "縦タブ改頁",
}


@pytest.mark.parametrize(("text", "expected"), TABLE.items())
def test_normalised_form(text: str, expected: str) -> None:
    assert _one(text) == expected


troubled = st.text(
    st.sampled_from(
        "ｶﾞﾊﾟｳ゛\u3099\u309a\u0301かはAａ１ \t\u3000\n\r\u0085\u2028\u00a0\u200b\ufeff\x00\x0b〜～－▁㎡①髙神é👍\u200d"
    ),
    max_size=24,
)


@given(st.lists(troubled | st.text(max_size=40), min_size=1, max_size=5))
def test_normalising_twice_changes_nothing(texts: list[str]) -> None:
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    once = normalize(pa.array(texts, pa.string()))
    assert normalize(once).equals(once)
    assert len(once) == len(texts)
    for text in once.to_pylist():
        assert unicodedata.is_normalized("NFC", text)
        assert not text.endswith((" ", "\n", "\u3000"))
        assert "\r" not in text


@given(st.lists(troubled, min_size=2, max_size=6))
def test_a_text_does_not_depend_on_its_neighbours(texts: list[str]) -> None:
    whole = normalize(pa.array(texts, pa.string())).to_pylist()
    assert whole == [_one(text) for text in texts]
    assert normalize(pa.array(["x", *texts], pa.string()).slice(1)).to_pylist() == whole


@pytest.mark.parametrize("column", [pa.array([], pa.string()), pa.array(["ａ", ""], pa.string())])
def test_small_columns(column: pa.Array) -> None:
    assert normalize(column).type == pa.string()
    assert len(normalize(column)) == len(column)

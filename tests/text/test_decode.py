"""Bytes to text: what was written comes back, whatever encoding a Japanese file has."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.text.decode import UnreadableText, decode, plausibility

ESSAYS = Path(__file__).parents[2] / "src" / "jpfm" / "sample" / "raw" / "office" / "essay.jsonl"
SENTENCES = [
    sentence + "。"
    for line in ESSAYS.read_text(encoding="utf-8").splitlines()
    for sentence in json.loads(line)["body"].replace("\n", "").split("。")
    if len(sentence) > 12
]
BUSINESS = (
    "㈱髙﨑商会　第Ⅲ期①　床面積３５㎡　営業時間９：００～１８：００　電話０３－１２３４－５６７８　№１２　℡ ㍻ ㌔"
)
FORM = "ﾊﾝｶｸの帳票です。合計は十二件、担当は大槻さんと伺っております"
NOVEL = "森鷗外は俱楽部へ行った。それから剝がれた頰を"
ONE_FORM = str.maketrans("～－∥￠￡￢", "〜−‖¢£¬")

texts = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=6).map("\r\n".join)


@given(texts, st.sampled_from(["cp932", "euc_jp", "utf-8", "utf-8-sig", "iso2022_jp", "utf-16"]))
def test_real_sentences_come_back_from_every_encoding(text: str, encoding: str) -> None:
    found = decode(text.encode(encoding))
    assert found.text == text
    assert found.confidence > 0.6


@given(
    texts,
    st.sampled_from(["shift_jis", "Shift-JIS", " x-sjis ", "Windows-31J", "euc-jp", "utf-8", "latin-1", "", None]),
)
def test_a_wrong_label_does_no_harm(text: str, label: str | None) -> None:
    for encoding in ("cp932", "euc_jp", "utf-8"):
        assert decode(text.encode(encoding), label).text == text


@pytest.mark.parametrize("encoding", ["cp932", "utf-8", "utf-8-sig", "utf-16", "euc_jis_2004"])
def test_the_characters_of_business_pages_come_back(encoding: str) -> None:
    text = BUSINESS.replace("髙", "").replace("㌔", "") if encoding == "euc_jis_2004" else BUSINESS
    data = (text + "\n" + SENTENCES[0]).encode(encoding)
    found = decode(data, "shift_jis" if encoding == "cp932" else None).text.split("\n")[0]
    assert found.translate(ONE_FORM) == text.translate(ONE_FORM)
    if encoding == "cp932":
        assert "〜" in found  # the WAVE DASH that JIS means, not the FULLWIDTH TILDE that Microsoft reads
        assert "～" not in found


def _jis(text: str) -> bytes:
    """ISO-2022-JP as Windows mailers write it: CP932's cells as JIS rows, half-width kana after ESC ( I."""
    out, mode = b"", b"\x1b(B"
    for char in text:
        data = char.encode("cp932")
        if len(data) == 1:
            want, cell = (b"\x1b(I", bytes([data[0] & 0x7F])) if data[0] > 0x7F else (b"\x1b(B", data)
        else:
            lead, trail = data
            row = (lead - (0x81 if lead < 0xA0 else 0xC1)) * 2 + 0x21 + (trail >= 0x9F)
            column = trail - 0x7E if trail >= 0x9F else trail - (0x20 if trail > 0x7E else 0x1F)
            want, cell = b"\x1b$B", bytes([row, column])
        out += (want if want != mode else b"") + cell
        mode = want
    return out + (b"\x1b(B" if mode != b"\x1b(B" else b"")


@pytest.mark.parametrize(
    "text", ["㈱大槻商会 御中\r\n①見積書 ②納期 Ⅲ類 No.5 ㎡", "件名: Re: ｵﾌｨｽ移転の件〜至急", SENTENCES[0]]
)
def test_mail_with_microsofts_characters_comes_back(text: str) -> None:
    found = decode(_jis(text))
    assert found.text == text
    assert _jis("日本語") == "日本語".encode("iso2022_jp")  # the writer above agrees with Python's where both can


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        (b"", "", "utf-8"),
        (b"plain ASCII, 100%\n", "plain ASCII, 100%\n", "utf-8"),
        (b"\xef\xbb\xbfid,\xe5\x90\x8d\n", "id,名\n", "utf-8"),
        (FORM.encode("cp932"), FORM, "cp932"),
        ("経済産業省のニュース".encode("euc_jp"), "経済産業省のニュース", "euc_jp"),
        ("𠮷野家で牛丼を食べた".encode(), "𠮷野家で牛丼を食べた", "utf-8"),
        (NOVEL.encode("euc_jis_2004"), NOVEL, "euc_jis_2004"),
    ],
)  # fmt: skip
def test_known_bytes(data: bytes, text: str, encoding: str) -> None:
    assert decode(data)[:2] == (text, encoding)


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)) * 4,
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x02\x80\xff\xfe\xfd\xfc",
        "壊れた文章です。".encode() * 5 + b"\xe3\x81",
        "﻿印だけUTF-8".encode()[:-1] + b"\xff",
        b"\xff\xfe\x00\xd8",
    ],
)
def test_what_is_no_text_is_refused_with_a_hint(data: bytes) -> None:
    with pytest.raises(UnreadableText) as caught:
        decode(data)
    assert caught.value.hint


@given(st.sampled_from(SENTENCES), st.sampled_from([("utf-8", "cp932"), ("cp932", "euc_jp"), ("utf-8", "latin-1")]))
def test_right_text_looks_more_japanese_than_wrong_text(text: str, pair: tuple[str, str]) -> None:
    wrong = text.encode(pair[0]).decode(pair[1], "replace")
    assert plausibility(text) > 0.8 > plausibility(wrong)


def test_every_bundled_text_decodes_except_the_broken_one(sample: Path) -> None:
    files = [path for path in sorted(sample.rglob("*")) if path.is_file() and path.name != "900_kowareta.txt"]
    assert {decode(path.read_bytes()).encoding for path in files} == {"utf-8", "cp932", "euc_jp"}
    with pytest.raises(UnreadableText):
        decode((sample / "aozora" / "900_kowareta.txt").read_bytes())
